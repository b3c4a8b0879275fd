"""A query over bars by DataFusion's own operators, told that the files are sorted.

usage: run_datafusion.py QUERY BARS OUT THREADS
"""

import sys

from datafusion import SessionConfig, SessionContext, col

query, bars, out, threads = sys.argv[1:]
with open(query) as file:
    sql = file.read()

context = SessionContext(SessionConfig().with_target_partitions(int(threads)))
context.register_parquet("bars", bars, file_sort_order=[[col("symbol").sort(), col("ts").sort()]])
# Dictionaries of values that hardly repeat cost time and save nothing.
options = "compression 'zstd(1)', dictionary_enabled false, 'dictionary_enabled::symbol' true"
context.sql(f"COPY ({sql}) TO '{out}/' STORED AS PARQUET OPTIONS ({options})").collect()
