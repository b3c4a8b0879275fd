"""The 23 features by polars and polars-talib.

usage: run_polars.py BARS OUT THREADS [by-file]

The files are read in the order of their paths, which is the order of time within every symbol on all
layouts here, so nothing is sorted. With `by-file` each file is a query of its own and gives a file:
right only where every symbol lies in one file, and the caller has to know that.

Of the forms tried this was the fastest on the machine it was written on: `read_parquet` and
`write_parquet` against `scan_parquet` with `collect` or `sink_parquet` of the in-memory and of the
streaming engine, each with `over` as it is, with "explode", and with `group_by().agg().explode()`.
"""

import os
import sys
from glob import glob

bars, out, threads, *by_file = sys.argv[1:]
os.environ["POLARS_MAX_THREADS"] = threads  # read when polars is imported

import polars as pl
import polars_talib as ta

KEYS = ["symbol", "ts"]
CLOSE, HIGH, LOW, VOLUME = (pl.col(name) for name in ["close", "high", "low", "volume"])


def struct(name, expression):
    """A struct whose fields are called name_field."""
    return expression.name.map_fields(lambda field: f"{name}_{field}").alias(name)


FEATURES = [
    ta.sma(CLOSE, 5).alias("sma_5"),
    ta.sma(CLOSE, 20).alias("sma_20"),
    ta.sma(CLOSE, 50).alias("sma_50"),
    ta.ema(CLOSE, 12).alias("ema_12"),
    ta.ema(CLOSE, 26).alias("ema_26"),
    ta.rsi(CLOSE, 14).alias("rsi_14"),
    ta.stddev(CLOSE, 20).alias("std_20"),
    ta.roc(CLOSE, 10).alias("roc_10"),
    ta.atr(HIGH, LOW, CLOSE, 14).alias("atr_14"),
    struct("macd", ta.macd(CLOSE, 12, 26, 9)),
    struct("bb", ta.bbands(CLOSE, 20, 2.0, 2.0)),
    ta.obv(CLOSE, VOLUME).alias("obv"),
    ta.adx(HIGH, LOW, CLOSE, 14).alias("adx_14"),
    ta.cci(HIGH, LOW, CLOSE, 20).alias("cci_20"),
    ta.willr(HIGH, LOW, CLOSE, 14).alias("willr_14"),
    ta.mfi(HIGH, LOW, CLOSE, VOLUME, 14).alias("mfi_14"),
    struct("stoch", ta.stoch(HIGH, LOW, CLOSE, 14, 3, 0, 3, 0)),
    (CLOSE / CLOSE.shift(1)).log().alias("log_ret"),
]


def features(files):
    # "explode" puts the groups one after the other in place of scattering values back to their rows.
    columns = [*(pl.col(key) for key in KEYS), *FEATURES]
    names = [*KEYS, "high", "low", "close", "volume"]
    frame = pl.read_parquet(files, columns=names, hive_partitioning=False)
    frame = frame.select(column.over("symbol", mapping_strategy="explode") for column in columns)
    return frame.unnest("macd", "bb", "stoch")


os.makedirs(out)
files = sorted(glob(f"{bars}/**/*.parquet", recursive=True))
for number, part in enumerate([[file] for file in files] if by_file else [files]):
    features(part).write_parquet(f"{out}/part-{number}.parquet", compression="zstd", compression_level=1)
