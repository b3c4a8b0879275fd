"""Makes the bars that the tools are compared on: the same bytes' worth of values on every machine.

usage: data.py DIR sorted|date|small [quick]

Prices are random walks from 50 on business days, rounded to cents; volumes are whole numbers. Files
are what pyarrow writes with zstd, as anybody's would be: no metadata that says they are sorted.
"""

import os
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# layout: symbols, days
SIZES = {"sorted": (2000, 2520), "date": (500, 2520), "small": (100, 500)}
QUICK = {"sorted": (200, 2520), "date": (500, 252), "small": (10, 500)}

FILES = 8  # of the sorted layout
ROW_GROUPS = 4  # in each of them


def days(count):
    """That many business days."""
    return np.busday_offset("2014-01-01", np.arange(count), roll="forward").astype("datetime64[us]")


def bars(symbol, ts):
    """One symbol's bars, which depend on its number only."""
    random = np.random.default_rng([5, symbol])
    n = len(ts)
    close = np.round(50 * np.exp(np.cumsum(random.normal(0.0003, 0.02, n))), 2)
    open_ = np.round(close * (1 + random.normal(0, 0.004, n)), 2)
    high = np.maximum(open_, close) * (1 + np.abs(random.normal(0, 0.004, n)))
    low = np.minimum(open_, close) * (1 - np.abs(random.normal(0, 0.004, n)))
    return {
        "symbol": np.full(n, f"S{symbol:05}"),
        "ts": ts,
        "open": open_,
        "high": np.round(high, 2),
        "low": np.round(low, 2),
        "close": close,
        "volume": random.integers(10_000, 10_000_000, n).astype(float),
    }


def table(symbols, ts):
    """The bars of several symbols, one after the other."""
    parts = [bars(symbol, ts) for symbol in symbols]
    return pa.table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def write(rows, path, **options):
    pq.write_table(rows, path, compression="zstd", **options)


def write_sorted(folder, symbols, ts):
    """A few files, each with its own symbols, sorted by symbol and time."""
    each = symbols // FILES
    for file in range(FILES):
        rows = table(range(file * each, (file + 1) * each), ts)
        write(rows, f"{folder}/part-{file}.parquet", row_group_size=len(rows) // ROW_GROUPS)


def dates(folder, symbols, ts):
    """For each day its directory, made, and the bars of all symbols."""
    rows = table(range(symbols), ts)
    for number, day in enumerate(ts.astype("datetime64[D]")):
        path = f"{folder}/date={day}"
        os.mkdir(path)
        yield path, rows.take(np.arange(symbols) * len(ts) + number)


def write_date(folder, symbols, ts):
    """A directory per day, with one file of all symbols."""
    for path, rows in dates(folder, symbols, ts):
        write(rows, f"{path}/bars.parquet")


def write_small(folder, symbols, ts):
    """A directory per day, with a file per symbol that holds one bar."""
    for path, rows in dates(folder, symbols, ts):
        for row, symbol in enumerate(rows["symbol"].to_pylist()):
            write(rows.slice(row, 1), f"{path}/{symbol}.parquet")


WRITERS = {"sorted": write_sorted, "date": write_date, "small": write_small}


def main():
    target, layout, *quick = sys.argv[1:]
    symbols, count = (QUICK if quick else SIZES)[layout]
    # Made aside and renamed, so that what is there is whole.
    aside = f"{target}.part"
    shutil.rmtree(aside, ignore_errors=True)
    os.makedirs(aside)
    WRITERS[layout](aside, symbols, days(count))
    os.rename(aside, target)


if __name__ == "__main__":
    main()
