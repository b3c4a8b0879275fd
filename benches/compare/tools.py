"""What is compared: the tools, how each is started, and on which work."""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
WINDROW = os.environ.get("WINDROW_BIN", "windrow")


@dataclass
class Tool:
    """How a tool is started, once {query} {bars} {out} {threads} are filled in."""

    command: list
    # A module that a machine may lack: then the tool is left out, and that is told.
    optional: str = ""
    # Columns in which it is known to be less exact than the tolerance: the error allowed, and why.
    allowed: dict = field(default_factory=dict)


def script(name, *arguments, **options):
    return Tool([sys.executable, str(HERE / name), *arguments], **options)


FEATURES = ["{bars}", "{out}", "{threads}"]
QUERY = ["{query}", *FEATURES]

ROLLING = "its rolling stddev subtracts what leaves the frame, and keeps the rounding"
SQUARES = "its stddev_samp takes the sum of the squares less the square of the sum, which nearly cancel"

TOOLS = {
    "windrow": Tool([WINDROW, "run", "{query}", "--source", "bars={bars}", "--to", "{out}", "--threads", "{threads}"]),
    "polars + polars-talib": script("run_polars.py", *FEATURES),
    "the same, file by file": script("run_polars.py", *FEATURES, "by-file"),
    "pandas + TA-Lib": script("run_pandas.py", *FEATURES, "groupby"),
    "the same, by arrays": script("run_pandas.py", *FEATURES),
    "DuckDB": script("run_duckdb.py", *QUERY),
    "DataFusion": script("run_datafusion.py", *QUERY, allowed={"std_20": (1e-8, ROLLING)}),
    "chdb": script("run_chdb.py", *QUERY, optional="chdb", allowed={"std_20": (1e-7, SQUARES)}),
}

PANDAS = ["pandas + TA-Lib", "the same, by arrays"]
FRAMES = ["windrow", "polars + polars-talib", *PANDAS]
APART = ["windrow", "polars + polars-talib", "the same, file by file", *PANDAS]
ENGINES = ["windrow", "DuckDB", "DataFusion", "chdb"]

# work, layout, threads, tools, at most so many rounds
CELLS = [
    ("features23", "sorted", 2, APART, None),
    ("features23", "sorted", 1, APART, None),
    ("features23", "date", 2, FRAMES, None),
    ("features23", "small", 2, FRAMES, 3),
    ("windows8", "sorted", 2, ENGINES, None),
    ("windows8", "sorted", 1, ENGINES, None),
]


def missing(tool):
    """Why a tool cannot run, if it cannot: an optional one may be absent."""
    if not tool.optional:
        return None
    found = subprocess.run([sys.executable, "-c", f"import {tool.optional}"], capture_output=True, text=True)
    return f"not available ({found.stderr.strip().splitlines()[-1]})" if found.returncode else None


def versions():
    """The version of everything that is compared, and of what they stand on."""
    found = {}
    for name in ["polars", "polars-talib", "pandas", "numpy", "pyarrow", "TA-Lib", "duckdb", "datafusion", "chdb"]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    windrow = subprocess.run([WINDROW, "--version"], check=True, capture_output=True, text=True).stdout
    return {"windrow": windrow.split()[-1], **found, "python": platform.python_version()}
