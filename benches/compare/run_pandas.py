"""The 23 features by pandas and TA-Lib.

usage: run_pandas.py BARS OUT THREADS [groupby]

With `groupby` as it is usually written: a frame of features for each group, all of them joined in the
end. Without, the fastest form found: slices of numpy arrays into arrays that are made once. TA-Lib holds
Python's lock while it computes, so threads serve the reading only.
"""

import os
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import talib

bars, out, threads, *form = sys.argv[1:]
pa.set_cpu_count(int(threads))

# names of the outputs: what gives them, from high, low, close and volume of one symbol
FEATURES = {
    ("sma_5",): lambda h, l, c, v: talib.SMA(c, 5),
    ("sma_20",): lambda h, l, c, v: talib.SMA(c, 20),
    ("sma_50",): lambda h, l, c, v: talib.SMA(c, 50),
    ("ema_12",): lambda h, l, c, v: talib.EMA(c, 12),
    ("ema_26",): lambda h, l, c, v: talib.EMA(c, 26),
    ("rsi_14",): lambda h, l, c, v: talib.RSI(c, 14),
    ("std_20",): lambda h, l, c, v: talib.STDDEV(c, 20),
    ("roc_10",): lambda h, l, c, v: talib.ROC(c, 10),
    ("atr_14",): lambda h, l, c, v: talib.ATR(h, l, c, 14),
    ("macd_macd", "macd_macdsignal", "macd_macdhist"): lambda h, l, c, v: talib.MACD(c, 12, 26, 9),
    ("bb_upperband", "bb_middleband", "bb_lowerband"): lambda h, l, c, v: talib.BBANDS(c, 20, 2, 2),
    ("obv",): lambda h, l, c, v: talib.OBV(c, v),
    ("adx_14",): lambda h, l, c, v: talib.ADX(h, l, c, 14),
    ("cci_20",): lambda h, l, c, v: talib.CCI(h, l, c, 20),
    ("willr_14",): lambda h, l, c, v: talib.WILLR(h, l, c, 14),
    ("mfi_14",): lambda h, l, c, v: talib.MFI(h, l, c, v, 14),
    ("stoch_slowk", "stoch_slowd"): lambda h, l, c, v: talib.STOCH(h, l, c, 14, 3, 0, 3, 0),
    ("log_ret",): lambda h, l, c, v: np.log(c / np.append(np.nan, c[:-1])),
}

frame = pd.read_parquet(bars, columns=["symbol", "ts", "high", "low", "close", "volume"], partitioning=None)


def as_written(frame):
    """One frame of features per symbol."""

    def features(group):
        series = [group[name].to_numpy() for name in ["high", "low", "close", "volume"]]
        found = {"symbol": group["symbol"], "ts": group["ts"]}
        for names, feature in FEATURES.items():
            values = feature(*series)
            found.update(zip(names, values if len(names) > 1 else [values]))
        return pd.DataFrame(found)

    return pd.concat([features(group) for _, group in frame.groupby("symbol", sort=False)], ignore_index=True)


def fastest(frame):
    """Slices of the columns, and columns that are made once."""
    codes, _ = pd.factorize(frame["symbol"])
    if (np.diff(codes) < 0).any():  # the symbols are not together: days after days
        order = np.argsort(codes, kind="stable")
        frame, codes = frame.take(order), codes[order]
    inputs = [frame[name].to_numpy() for name in ["high", "low", "close", "volume"]]
    outputs = {name: np.empty(len(frame)) for names in FEATURES for name in names}
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(frame)]):
        series = [values[start:end] for values in inputs]
        for names, feature in FEATURES.items():
            values = feature(*series)
            for name, column in zip(names, values if len(names) > 1 else [values]):
                outputs[name][start:end] = column
    keys = {"symbol": frame["symbol"].array, "ts": frame["ts"].array}
    return pd.DataFrame({**keys, **outputs}, copy=False)


features = as_written(frame) if form == ["groupby"] else fastest(frame)
os.makedirs(out)
features.to_parquet(
    f"{out}/features.parquet",
    index=False,
    compression="zstd",
    compression_level=1,
    use_dictionary=["symbol"],  # features hardly repeat: looking for repetition costs time and saves nothing
)
