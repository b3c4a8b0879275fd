"""What SQL offers in windrow, held against DuckDB and numpy.

usage: against_duckdb.py WINDROW WORK [QUERIES] [JOINS] [STATEMENTS] [SEED]

First every aggregate and every window function that `information_schema.routines` names, over groups
and over frames of every kind; a name without a reference fails. Then QUERIES random queries (default:
500) with windows, frames, IGNORE NULLS, FILTER, QUALIFY, subqueries, joins, LIMIT and OFFSET,
JOINS random joins (default: 20), each with 1, 2 and 3 threads, and STATEMENTS random statements (default:
300) of the kinds in duckdb_statements.py, which windrow may refuse in words that say so; all with a time
limit, and from SEED (default: 1) on. A query that differs is printed with its seed, as windrow and as
DuckDB read it.
"""

import csv
import io
import json
import math
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from duckdb_functions import AGGREGATES, MORE, WINDOWS
from duckdb_queries import Join, Query
from duckdb_statements import Statement, refused

TOLERANCE = 1e-9
# A query that takes longer hangs.
SECONDS = 20
# Queries over the same rows.
BATCH = 500


def table(random):
    """Rows with ties, NULLs, groups of one row and of none that has a value; `k` numbers them in a total order."""
    rows = []
    for symbol, count in zip("ABCDE", (1, 2, 7, 40, 60)):
        days = np.sort(random.choice(150, count, replace=False))
        rows += [(symbol, int(day)) for day in days]
    n = len(rows)
    some = lambda values, share: [None if random.random() < share else value for value in values]
    words = ["red", "green", "blue", "grey", "NA"]
    values = np.round(random.normal(100, 20, n), 2)
    table = pa.table(
        {
            "symbol": [symbol for symbol, _ in rows],
            "ts": pa.array([day * 86_400_000_000 + 1_700_000_000_000_000 for _, day in rows], pa.timestamp("us")),
            "k": pa.array(random.permutation(n), pa.int64()),
            "v": pa.array(some([float(v) for v in values], 0.2), pa.float64()),
            "w": pa.array(random.normal(0, 1, n), pa.float64()),
            "i": pa.array(some([int(i) for i in random.integers(-50, 50, n)], 0.2), pa.int64()),
            "g": pa.array(random.integers(0, 6, n), pa.int64()),
            "s": pa.array(some([str(w) for w in random.choice(words, n)], 0.2), pa.string()),
            "b": pa.array(some([bool(b) for b in random.integers(0, 2, n)], 0.2), pa.bool_()),
            "d": pa.array([day + 19_000 for _, day in rows], pa.date32()),
        }
    )
    # Times on both sides of 1970, and times without fractions; equal ones too.
    old = [int(at) for at in random.integers(-200_000_000_000_000, 200_000_000_000_000, n)]
    old = [at // 3_600_000_000 * 3_600_000_000 if random.random() < 0.3 else at for at in old]
    fine = some([old[n // 2] if n % 5 == 0 else at for n, at in enumerate(old)], 0.2)
    whole = some([int(day) * 86_400 + 1_700_000_000 for day in random.integers(0, 150, n)], 0.2)
    table = table.append_column("fine", pa.array(fine, pa.timestamp("us")))
    return table.append_column("whole", pa.array(whole, pa.timestamp("s")))


class Both:
    """The same rows in windrow and in DuckDB."""

    def __init__(self, windrow, work, seed):
        self.windrow = windrow
        self.rows = table(np.random.default_rng(seed))
        os.makedirs(f"{work}/t", exist_ok=True)
        pq.write_table(self.rows, f"{work}/t/t.parquet", row_group_size=37)
        self.source = f"t={work}/t"
        self.connections = threading.local()

    def ours(self, query, threads=2):
        command = [self.windrow, "sql", "--format", "csv", "--threads", str(threads), "--source", self.source, query]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return None, f"not done after {SECONDS} s"
        if done.returncode:
            return None, done.stderr.strip()
        return list(csv.reader(io.StringIO(done.stdout)))[1:], None

    def theirs(self, query):
        if not hasattr(self.connections, "mine"):
            self.connections.mine = duckdb.connect(config={"threads": 1})
            self.connections.mine.register("t", self.rows)
        return self.connections.mine.sql(query).fetchall()


def same(ours, theirs, tolerance=TOLERANCE):
    """Whether a text of windrow's is a value of DuckDB's."""
    # DuckDB gives NaN for a correlation or slope of rows without spread, windrow NULL as PostgreSQL does; the rows
    # have no NaN themselves.
    if theirs is None or isinstance(theirs, float) and math.isnan(theirs):
        return ours == ""
    if isinstance(theirs, bool):
        return ours == ("true" if theirs else "false")
    if isinstance(theirs, (int, float, Decimal)):
        if ours == "":
            return False
        try:
            theirs, number = float(theirs), float(ours)
        except ValueError:
            return False
        return abs(theirs - number) <= tolerance * max(abs(theirs), 1e-3)
    if hasattr(theirs, "isoformat"):
        return ours == theirs.isoformat()
    return ours == str(theirs)


def difference(ours, theirs, tolerance=TOLERANCE):
    if len(ours) != len(theirs):
        return f"{len(ours)} rows and {len(theirs)}"
    for row, (mine, other) in enumerate(zip(ours, theirs)):
        for column, (a, b) in enumerate(zip(mine, other, strict=True)):
            if not same(a, b, tolerance):
                return f"row {row}, column {column}: {a or 'NULL'} and {b}"
    return None


def offered(both, kind):
    query = f"SELECT DISTINCT routine_name FROM information_schema.routines WHERE function_type = '{kind}'"
    rows, error = both.ours(query)
    assert not error, error
    return {row[0] for row in rows}


def indicators(windrow):
    """windrow's own functions: their references stand elsewhere."""
    listed = subprocess.run([windrow, "functions", "--json"], capture_output=True, text=True, check=True)
    return {one["name"] for one in json.loads(listed.stdout)}


def functions(both):
    """(what, ours, theirs, tolerance) of every function that SQL offers."""
    own = indicators(both.windrow)
    aggregates, windows = offered(both, "AGGREGATE"), offered(both, "WINDOW") - own
    for name in sorted(aggregates - AGGREGATES.keys() - {"grouping"}):
        yield name, None, None, None
    for name in sorted(windows - WINDOWS.keys() - AGGREGATES.keys()):
        yield name, None, None, None
    for name in sorted(aggregates & AGGREGATES.keys()):
        yield from ((name, *pair) for pair in AGGREGATES[name].queries())
    for name in sorted(windows & WINDOWS.keys()):
        yield from ((name, *pair) for pair in WINDOWS[name].queries())
    for name, one in MORE:
        yield from ((name, *pair) for pair in one.queries())
    yield (
        "grouping",
        "SELECT symbol, g, grouping(symbol), grouping(g), sum(i) FROM t GROUP BY ROLLUP(symbol, g) ORDER BY 3, 4, 1, 2",
        "SELECT symbol, g, grouping(symbol), grouping(g), sum(i) FROM t GROUP BY ROLLUP(symbol, g) ORDER BY 3, 4, 1, 2",
        TOLERANCE,
    )


def verdict(both, ours, theirs, tolerance, counts):
    """What is wrong with a query; None if nothing is."""
    if ours is None:
        return "has no reference: add it to duckdb_functions.py"
    try:
        expected = both.theirs(theirs)
    except duckdb.Error as error:
        return f"DuckDB refuses it: {error}"
    for threads in counts:
        rows, error = both.ours(ours, threads)
        wrong = error or difference(rows, expected, tolerance)
        if wrong:
            return f"with {threads} threads: {wrong}"
    return None


def report(title, jobs, both, every=False, refusals=None):
    """Runs jobs (what, ours, theirs, tolerance) side by side, `every` with 1, 2 and 3 threads; gives how many fail.
    What windrow openly refuses is counted in `refusals`, if there is such a Counter, and fails otherwise."""
    failed = 0
    with ThreadPoolExecutor(4) as pool:
        run = lambda job: verdict(both, *job[1][1:], [1, 2, 3] if every else [job[0] % 3 + 1])
        for (what, ours, theirs, _), wrong in zip(jobs, pool.map(run, enumerate(jobs))):
            kind = what.split()[0]
            if wrong and refusals is not None and refused(wrong, kind):
                refusals[kind] += 1
            elif wrong:
                failed += 1
                if failed <= 20:
                    print(f"{what}: {wrong}\n  windrow: {ours}\n  DuckDB:  {theirs}\n")
    print(f"{title}: {len(jobs)} queries, {failed} differ")
    return failed


def statements(both, seeds, tried, refusals):
    """Random statements; of each kind, counts in `tried` and `refusals`; gives how many fail."""
    made = [Statement(n) for n in seeds]
    texts = [one.texts() for one in made]
    tried.update(one.kind for one in made)
    jobs = [(f"{one.kind} {n}", *text, TOLERANCE) for n, one, text in zip(seeds, made, texts)]
    return report("random statements", jobs, both, refusals=refusals)


def barely_reached(tried, refusals):
    """How many kinds of statements windrow refuses too often to try them."""
    print("refused: " + ", ".join(f"{refusals[kind]} of {tried[kind]} {kind}" for kind in sorted(tried)))
    few = [kind for kind in tried if refusals[kind] * 3 > tried[kind] >= 30]
    for kind in few:
        print(f"{kind}: more than a third is refused")
    return len(few)


def main():
    windrow, work, *more = sys.argv[1:]
    defaults = (500, 20, 300, 1)
    more += [None] * (len(defaults) - len(more))
    queries, joins, count, seed = (int(a) if a else b for a, b in zip(more, defaults))
    both = Both(windrow, work, seed)
    failed = report("every function", list(functions(both)), both)
    for first in range(seed, seed + queries, BATCH):
        both = Both(windrow, work, first)
        seeds = range(first, min(first + BATCH, seed + queries))
        failed += report("random queries", [(f"seed {n}", *Query(n).texts(), TOLERANCE) for n in seeds], both)
    jobs = [(f"join {n}", *Join(n).texts(), TOLERANCE) for n in range(seed, seed + joins)]
    failed += report("random joins", jobs, both, every=True)
    tried, refusals = Counter(), Counter()
    for first in range(seed, seed + count, BATCH):
        both = Both(windrow, work, first)
        failed += statements(both, range(first, min(first + BATCH, seed + count)), tried, refusals)
    failed += barely_reached(tried, refusals)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
