"""A query over bars by DuckDB.

usage: run_duckdb.py QUERY BARS OUT THREADS
"""

import os
import sys

import duckdb

query, bars, out, threads = sys.argv[1:]
with open(query) as file:
    sql = file.read()

os.makedirs(out)
connection = duckdb.connect(config={"threads": int(threads), "preserve_insertion_order": False})
connection.execute(
    f"CREATE VIEW bars AS SELECT * FROM read_parquet('{bars}/**/*.parquet', hive_partitioning = false)"
)
connection.execute(
    f"COPY ({sql}) TO '{out}/features.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
)
