"""Measures the encodings that windrow's writer could choose from; `./bench --encodings` starts it.

Here are the options and the tables, the measurement is in variants.py. (A file encodings.py would hide
a package of Python's own.)
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from statistics import median

import compare
import tables

SETS = ["features23", "fewvalues"]


def variant_table(result):
    """Size, and CPU to write, to read all and to read one symbol."""
    engines = list(result["variants"][0]["read"][0])
    header = ["encoding", "codec", "page", "MB", "write", *engines, *(f"{name}, one" for name in engines)]
    rows = []
    for variant in result["variants"]:
        cells = [f"{variant['size']:.1f}", f"{median(run['cpu'] for run in variant['write']):.2f}"]
        cells += [f"{median(run[engine]['cpu'] for run in variant['read']):.2f}" for engine in engines]
        cells += [f"{median(run[engine]['cpu'] for run in variant['one']) * 1e3:.0f}" for engine in engines]
        rows.append([variant["encoding"], variant["codec"], f"{variant['page']:,}", *cells])
    return tables.table(header, rows)


def column_table(result):
    """Bytes of a value in each encoding, with small pages / with one page for a row group."""
    encodings = list(result["columns"][0]["bytes"])
    rows = [
        [
            column["name"],
            f"{column['distinct']:,}",
            *(" / ".join(f"{size:.2f}" for size in column["bytes"][encoding]) for encoding in encodings),
            column["chosen"],
        ]
        for column in result["columns"]
    ]
    return tables.table(["column", "distinct", *encodings, "chosen"], rows)


def section(result):
    pages = " / ".join(f"{rows:,}" for rows in result["pages"])
    return "\n".join(
        [
            f"#### {result['name']}: {result['rows']:,} rows, {len(result['columns'])} columns",
            "",
            variant_table(result),
            "",
            f"Bytes of a value with zstd:1, pages of {pages} rows; windrow's own files have {result['own']:.1f} for a row:",
            "",
            column_table(result),
        ]
    )


def everything(results):
    machine = "{processor}, {processors} processors, {memory} GB, Linux {kernel}; load {load_before} before, {load_after} after"
    versions = ", ".join(f"{tool} {results['versions'][tool]}" for tool in ["windrow", "pyarrow", "duckdb", "polars", "datafusion"])
    head = f"{machine.format(**results['machine'])}; medians of {results['repeat']}\n\n{versions}"
    return "\n\n".join([head, *map(section, results["sets"])])


def named(text):
    name, equals, path = text.partition("=")
    if not (name and equals and Path(path).exists()):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=FILE with a file or directory that is there")
    return name, Path(path).resolve()


def main():
    parser = argparse.ArgumentParser(prog="./bench", description=__doc__.splitlines()[0])
    parser.add_argument("--encodings", action="store_true", help="this measurement")
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, to try it")
    parser.add_argument("--repeat", type=compare.rounds, default=5, metavar="N", help="counted rounds (5)")
    parser.add_argument("--bars", type=named, action="append", default=[], metavar="NAME=FILE", help="the features of these bars, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--list", action="store_true", help="name what would run, and run nothing")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="print the tables of such results, and run nothing")
    parser.set_defaults(keep=None)
    options = parser.parse_args()
    if options.markdown:
        print(everything(json.loads(options.markdown.read_text())))
        return
    if options.list:
        print("\n".join(f"{query}/{name}" for name in ["sorted", *dict(options.bars)] for query in SETS))
        return
    import variants  # not before: it needs what ./bench installs, and the rest does not

    bench = compare.Bench(options)
    folder = bench.out / "encodings"
    folder.mkdir(parents=True, exist_ok=True)
    # Two files of the sorted layout are as many rows as are wanted.
    bars = [("sorted", bench.bars("sorted") / "part-[01].parquet"), *options.bars]
    results = {"machine": compare.machine(), "versions": compare.versions(), "repeat": options.repeat, "sets": []}
    for name, path in bars:
        for query in SETS:
            results["sets"].append(variants.measure(f"{query}, {name}", query, path, folder, options.repeat))
            print(f"\n{section(results['sets'][-1])}\n", flush=True)
    results["machine"]["load_after"] = round(os.getloadavg()[0], 1)
    shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
