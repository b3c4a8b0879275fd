"""Every value that windrow writes, held against the TA-Lib wheel, symbol by symbol.

usage: against_talib.py WINDROW WORK [BARS]

Without BARS (a parquet file with symbol, ts, open, high, low, close, volume), bars are generated:
random walks of many lengths, from 2 rows on, flat stretches, large and small prices.
"""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import talib

TOLERANCE = 1e-9

# name of the output: the SQL, and the same from TA-Lib
FEATURES = {
    "rsi": ("rsi(close, 14)", lambda b: talib.RSI(b.close, 14)),
    "ema": ("ema(close, 20)", lambda b: talib.EMA(b.close, 20)),
    "macd": ("macd(close, 12, 26, 9)", lambda b: talib.MACD(b.close, 12, 26, 9)),
    "bbands": ("bbands(close, 20, 2, 2)", lambda b: talib.BBANDS(b.close, 20, 2, 2)),
    "atr": ("atr(high, low, close, 14)", lambda b: talib.ATR(b.high, b.low, b.close, 14)),
    "adx": ("adx(high, low, close, 14)", lambda b: talib.ADX(b.high, b.low, b.close, 14)),
    "sma": ("sma(close, 50)", lambda b: talib.SMA(b.close, 50)),
    "stddev": ("stddev(close, 20)", lambda b: talib.STDDEV(b.close, 20)),
    "stoch": ("stoch(high, low, close, 14, 3, 0, 3, 0)", lambda b: talib.STOCH(b.high, b.low, b.close, 14, 3, 0, 3, 0)),
    "cci": ("cci(high, low, close, 20)", lambda b: talib.CCI(b.high, b.low, b.close, 20)),
    "willr": ("willr(high, low, close, 14)", lambda b: talib.WILLR(b.high, b.low, b.close, 14)),
    "mfi": ("mfi(high, low, close, volume, 14)", lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 14)),
    "obv": ("obv(close, volume)", lambda b: talib.OBV(b.close, b.volume)),
    "kama": ("kama(close, 10)", lambda b: talib.KAMA(b.close, 10)),
    "slope": ("linearreg_slope(close, 14)", lambda b: talib.LINEARREG_SLOPE(b.close, 14)),
}


# Where values cancel to about zero, errors are held against the size of what cancels: prices, or
# the hundreds that an oscillator moves in.
SCALES = {
    **dict.fromkeys(["macd", "slope", "stddev", "atr"], lambda bar: float(bar.close.abs().mean()) * 1e-3),
    **dict.fromkeys(["cci", "mfi"], lambda bar: 1.0),
}


def generate():
    random = np.random.default_rng(20240229)
    frames = []
    lengths = [2, 3, 14, 15, 16, 27, 28, 33, 34, 50, 51, 100, 500, 2520]
    for i in range(40):
        n = lengths[i % len(lengths)]
        close = np.exp(np.cumsum(random.normal(0, 0.02, n))) * 10.0 ** random.integers(-2, 5)
        if i % 5 == 4:
            close[n // 3 : n // 2] = close[n // 3]
        open_ = close * (1 + random.normal(0, 0.005, n))
        frames.append(
            pd.DataFrame(
                {
                    "symbol": f"G{i:03}",
                    "ts": pd.bdate_range("2010-01-01", periods=n),
                    "open": open_,
                    "high": np.maximum(open_, close) * (1 + random.uniform(0, 0.01, n)),
                    "low": np.minimum(open_, close) * (1 - random.uniform(0, 0.01, n)),
                    "close": close,
                    "volume": random.integers(0, 10_000_000, n).astype(float),
                }
            )
        )
    return pd.concat(frames).sample(frac=1, random_state=1)


def compare(name, ours, theirs, scale):
    """The largest error relative to the value, or to the prices where values cancel to zero."""
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        at = int(np.flatnonzero(np.isnan(ours) != np.isnan(theirs))[0])
        return np.inf, f"{name}: NULL differs first at row {at}: {ours[at]} and {theirs[at]}"
    known = ~np.isnan(ours)
    if not known.any():
        return 0.0, ""
    size = np.maximum(np.abs(theirs[known]), scale)
    error = np.abs(ours[known] - theirs[known]) / size
    at = int(error.argmax())
    return error[at], f"{name}: {ours[known][at]!r} and {theirs[known][at]!r}"


def main():
    windrow, work, *bars = sys.argv[1:]
    if bars:
        source = bars[0]
        frame = pd.read_parquet(source)
    else:
        source = f"{work}/bars.parquet"
        frame = generate()
        frame.to_parquet(source, index=False, coerce_timestamps="us")
    outputs = ",\n       ".join(f"{sql} OVER w AS {name}" for name, (sql, _) in FEATURES.items())
    with open(f"{work}/reference.sql", "w") as file:
        file.write(
            f"SELECT symbol, ts, {outputs}\nFROM bars\nWINDOW w AS (PARTITION BY symbol ORDER BY ts)\n"
        )
    command = [windrow, "run", f"{work}/reference.sql", "--source", f"bars={source}", "--to", f"{work}/out"]
    subprocess.run(command, check=True)
    written = pq.read_table(f"{work}/out").to_pandas().sort_values(["symbol", "ts"], kind="stable")
    frame = frame.dropna(subset=["symbol", "ts"]).drop_duplicates(["symbol", "ts"], keep="last")
    frame = frame.sort_values(["symbol", "ts"], kind="stable")
    assert len(frame) == len(written), (len(frame), len(written))
    worst, failed, symbols = {}, [], 0
    for (symbol, bar), (same, values) in zip(frame.groupby("symbol"), written.groupby("symbol")):
        assert symbol == same
        symbols += 1
        # TA-Lib gives up a series at its first NaN; windrow leaves such rows out.
        whole = bar[["open", "high", "low", "close", "volume"]].notna().all(axis=1).to_numpy()
        bar, values = bar[whole].astype({"volume": float}), values[whole]
        for name, (_, reference) in FEATURES.items():
            try:
                expected = reference(bar)
            except Exception:  # too short a series for the library: everything is NULL
                expected = None
            columns = [c for c in values.columns if c == name or c.startswith(name + "_")]
            if expected is None:
                expected = [np.full(len(bar), np.nan)] * len(columns)
            elif not isinstance(expected, tuple):
                expected = (expected,)
            scale = SCALES.get(name, lambda _: 1e-3)(bar)
            for column, theirs in zip(columns, expected, strict=True):
                ours = values[column].to_numpy(dtype=float, na_value=np.nan)
                error, text = compare(f"{symbol} {column}", ours, np.asarray(theirs, dtype=float), scale)
                worst[column] = max(worst.get(column, 0.0), error)
                if not error <= TOLERANCE:
                    failed.append(text)
    for column, error in worst.items():
        print(f"{column:24} {error:.1e}")
    print(f"{symbols} symbols, {len(frame)} rows, {len(failed)} values beyond {TOLERANCE}")
    for text in failed[:10]:
        print(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
