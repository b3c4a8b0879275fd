"""Holds what other tools wrote against what windrow wrote, value by value.

usage: agree.py OURS THEIRS...

Prints a list of reports as JSON, one per directory of parquet files in THEIRS: the largest error of
each column and where it is, and what differs altogether: rows, columns, where NULL stands. The error
of two values is

    |a - b| / max(|a|, |b|, s / 1000)

where s is the mean of |a| over windrow's column: values that cancel to about zero are held against a
thousandth of what is usual in the column. NULL agrees with NULL only. NaN of another tool is its NULL
(TA-Lib's warm-up); NaN of windrow is an error.
"""

import json
import sys
from glob import glob

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

SMALL = 1e-3


class Output:
    """The parquet files below a directory, whose rows are seen in the order of symbol and time."""

    def __init__(self, folder):
        self.data = ds.dataset(glob(f"{folder}/**/*.parquet", recursive=True), format="parquet")
        self.names = [name for name in self.data.schema.names if name not in ("symbol", "ts")]
        keys = self.data.to_table(columns=["symbol", "ts"]).combine_chunks()
        symbols = pc.dictionary_encode(keys["symbol"].cast(pa.string()).combine_chunks())
        names = np.asarray(symbols.dictionary.to_pylist())
        codes = symbols.indices.to_numpy()
        time = keys["ts"].cast(pa.timestamp("us", tz=keys["ts"].type.tz)).cast(pa.int64()).to_numpy()
        self.symbols, ranks = np.unique(names, return_inverse=True)
        self.order = np.lexsort((time, ranks[codes]))
        self.symbol, self.time = ranks[codes][self.order], time[self.order]

    def key(self, row):
        return f"{self.symbols[self.symbol[row]]} {self.time[row].astype('datetime64[us]').astype('datetime64[s]')}"

    def same_keys(self, other):
        return (
            np.array_equal(self.symbols, other.symbols)
            and np.array_equal(self.symbol, other.symbol)
            and np.array_equal(self.time, other.time)
        )

    def column(self, name):
        """The values, with NaN for NULL, and how many were NaN before."""
        values = self.data.to_table(columns=[name])[name].cast(pa.float64())
        nan = pc.sum(pc.is_nan(values)).as_py() or 0
        return values.to_numpy()[self.order], nan


def compare(ours, theirs):
    """The largest error and its row; no error if NULL does not stand in the same rows, and the first that differs."""
    empty, other = np.isnan(ours), np.isnan(theirs)
    if not np.array_equal(empty, other):
        return None, int(np.flatnonzero(empty != other)[0])
    size = np.abs(ours)
    usual = np.mean(size, where=~empty) if not empty.all() else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.abs(ours - theirs) / np.maximum(np.maximum(size, np.abs(theirs)), SMALL * usual)
    # Equal values have no error, be they zero or infinite; what is left without one is infinitely wrong.
    error[empty | (ours == theirs)] = 0
    error[np.isnan(error)] = np.inf
    row = int(error.argmax())
    return float(error[row]), row


def report(ours, theirs):
    problems, columns = [], []
    if sorted(ours.names) != sorted(theirs.names):
        problems.append(f"columns differ: {sorted(set(ours.names) ^ set(theirs.names))}")
    if not ours.same_keys(theirs):
        problems.append(f"rows differ: {len(ours.time)} and {len(theirs.time)}, or their keys")
        return {"rows": len(ours.time), "columns": columns, "problems": problems}
    for name in (name for name in ours.names if name in theirs.names):
        (a, nan), (b, _) = ours.column(name), theirs.column(name)
        if nan:
            problems.append(f"{name}: {nan} NaN from windrow")
        error, row = compare(a, b)
        if error is None:
            problems.append(f"{name}: NULL differs first at {ours.key(row)}: {a[row]} and {b[row]}")
            continue
        values = {"at": ours.key(row), "ours": float(a[row]), "theirs": float(b[row])}
        columns.append({"name": name, "error": error, **values})
    return {"rows": len(ours.time), "columns": columns, "problems": problems}


def main():
    ours = Output(sys.argv[1])
    json.dump([report(ours, Output(folder)) for folder in sys.argv[2:]], sys.stdout)


if __name__ == "__main__":
    main()
