"""A query over bars by chdb, ClickHouse in the process.

usage: run_chdb.py QUERY BARS OUT THREADS
"""

import os
import sys

from chdb.session import Session

query, bars, out, threads = sys.argv[1:]
with open(query) as file:
    sql = file.read()

os.makedirs(out)
session = Session()
session.query(f"CREATE VIEW bars AS SELECT * FROM file('{bars}/*.parquet', Parquet)")
session.query(
    f"INSERT INTO FUNCTION file('{out}/features.parquet', Parquet) {sql} SETTINGS max_threads = {threads},"
    " output_format_parquet_compression_method = 'zstd', output_format_compression_level = 1"
)
