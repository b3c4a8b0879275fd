"""Runs windrow and its peers on the same work, side by side; `./bench` sets it up and starts it."""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import measure
import tables
from tools import CELLS, HERE, TOOLS, missing, versions

WARM_UP = 1  # rounds that are not counted: files come into the page cache
TOLERANCE = 1e-9


class Bench:
    """One run of everything: what was asked for, where it happens, what came out."""

    def __init__(self, options):
        self.options = options
        self.home = Path(os.environ["WINDROW_BENCH_DIR"]).resolve()
        self.out = (options.keep or self.home / "out").resolve()
        self.failures = []

    def bars(self, layout):
        """Where the bars of a layout are; they are made again if what makes them has changed."""
        maker = HERE / "data.py"
        mark = hashlib.sha256(maker.read_bytes()).hexdigest()[:8]
        target = self.home / f"data-{mark}" / (f"{layout}-quick" if self.options.quick else layout)
        if not target.exists():
            say(f"making {target}")
            quick = ["quick"] if self.options.quick else []
            subprocess.run([sys.executable, maker, target, layout, *quick], check=True)
        return target

    def fail(self, text):
        self.failures.append(text)
        say(f"FAILED {text}")

    def cell(self, work, layout, threads, tools, limit):
        """One work on one layout: runs every tool, and then compares what they wrote."""
        name = f"{work}-{layout}-{threads}"
        folder = self.out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        paths = {"query": HERE / f"{work}.sql", "bars": self.bars(layout), "threads": threads}
        absent = {tool: reason for tool in tools if (reason := missing(TOOLS[tool]))}
        runs = {tool: [] for tool in tools if tool not in absent}
        floor = []
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, processors[:threads])
        for turn in range(WARM_UP + min(self.options.repeat, limit or self.options.repeat)):
            # In turns, so that what else the machine does hits all alike.
            for tool in list(runs):
                try:
                    runs[tool].append(self.once(tool, folder, paths))
                    say(f"{name}, turn {turn}: {tool} {runs[tool][-1]['seconds']:.2f} s")
                except measure.Failed as error:
                    del runs[tool]
                    absent[tool] = f"failed: {error}"
                    self.fail(f"{name}: {tool}: {error}")
            floor += self.floor(name, folder, paths)
        os.sched_setaffinity(0, processors)
        result = {
            "work": work,
            "layout": layout,
            "threads": threads,
            "runs": {
                tool: {key: [costs[key] for costs in each[WARM_UP:]] for key in each[0]} for tool, each in runs.items()
            },
            "floor": [seconds for seconds, _ in floor[WARM_UP:]],
            "flushed": [seconds for _, seconds in floor[WARM_UP:]],
            "absent": absent,
            "agreement": self.agreement(name, folder, list(runs)),
        }
        if not self.options.keep:
            shutil.rmtree(folder)
        return result

    def once(self, tool, folder, paths):
        """What one run of a tool costs; its output takes the place of the one before."""
        out = folder / file_name(tool)
        shutil.rmtree(out, ignore_errors=True)
        costs, _ = measure.run([part.format(**paths, out=out) for part in TOOLS[tool].command], folder)
        return {**costs, "size": measure.parquet_size(out)}

    def floor(self, name, folder, paths):
        """The seconds to scan the bars and to write windrow's columns without computing them, and with a flush."""
        program, features = os.environ.get("WINDROW_FLOOR"), folder / file_name("windrow")
        if not program or not features.exists():
            return []
        out = folder / "floor"
        shutil.rmtree(out, ignore_errors=True)
        try:
            _, printed = measure.run([program, paths["bars"], features, out, str(paths["threads"])], folder)
            seconds, flushed = map(float, printed.split())
            return [(seconds, flushed)]
        except (measure.Failed, ValueError) as error:
            self.fail(f"{name}: floor: {error}")
            return []

    def agreement(self, name, folder, tools):
        """Every tool's values against windrow's."""
        peers = [tool for tool in tools if tool != "windrow"]
        if "windrow" not in tools or not peers:
            return {}
        command = [sys.executable, HERE / "agree.py", *(folder / file_name(tool) for tool in ["windrow", *peers])]
        reports = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        for tool, report in zip(peers, reports, strict=True):
            report["allowed"] = []
            for column in report["columns"]:
                text = "{name} is off by {error:.1e} at {at}, {ours!r} and {theirs!r}".format(**column)
                limit, why = TOOLS[tool].allowed.get(column["name"], (TOLERANCE, ""))
                if not column["error"] <= limit:
                    report["problems"].append(text)
                elif column["error"] > TOLERANCE:
                    report["allowed"].append(f"{text}: {why}")
            self.failures += [f"{name}: {tool}: {problem}" for problem in report["problems"]]
        return dict(zip(peers, reports))

    def run(self, cells):
        results = {
            "machine": machine(),
            "versions": versions(),
            "quick": self.options.quick,
            "repeat": self.options.repeat,
            "cells": [],
        }
        for cell in cells:
            result = self.cell(*cell)
            results["cells"].append(result)
            print(f"\n### {tables.title(result)}\n\n{tables.cell(result)}\n", flush=True)
            results["machine"]["load_after"] = round(os.getloadavg()[0], 1)
            if self.options.json:
                self.options.json.write_text(json.dumps(results, indent=1) + "\n")
        for failure in self.failures:
            say(failure)
        return 1 if self.failures else 0


def say(text):
    print(text, file=sys.stderr, flush=True)


def file_name(tool):
    """A tool's name as that of a directory."""
    return "".join(c if c.isalnum() else "-" for c in tool)


def name_of(cell):
    return "/".join(map(str, cell[:3]))


def selected(cell, only):
    """Whether the cell is one of those asked for: by work, by work/layout or by work/layout/threads."""
    return not only or any(f"{name_of(cell)}/".startswith(f"{wanted}/") for wanted in only)


def machine():
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "memory": round(memory / 1e9),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def works(text):
    wanted = text.split(",")
    for name in wanted:
        if not any(selected(cell, [name]) for cell in CELLS):
            known = ", ".join(map(name_of, CELLS))
            raise argparse.ArgumentTypeError(f"{name} is none of {known}, nor the beginning of one")
    return wanted


def rounds(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of rounds")
    return int(text)


def main():
    parser = argparse.ArgumentParser(prog="./bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, to try it")
    parser.add_argument("--repeat", type=rounds, default=5, metavar="N", help="counted rounds (5)")
    parser.add_argument("--only", type=works, metavar="WORK,..", help="features23, windows8/sorted, features23/sorted/1, ..")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where outputs are written, and left")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--list", action="store_true", help="name what would run, and run nothing")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="print the tables of such results, and run nothing")
    options = parser.parse_args()
    if options.markdown:
        print(tables.everything(json.loads(options.markdown.read_text())))
        return 0
    chosen = [cell for cell in CELLS if selected(cell, options.only)]
    if options.list:
        print("\n".join(map(name_of, chosen)))
        return 0
    return Bench(options).run(chosen)


if __name__ == "__main__":
    sys.exit(main())
