"""Writes the golden files of this folder: inputs (series.csv) and what TA-Lib makes of them (one file per function).

Run it with a Python that has numpy and the TA-Lib wheel 0.8.2 (C library 0.8.1):

    python generate.py

Every line of a function's file is one output of one call: series, parameters, output, then one value per row, empty
where TA-Lib has none. The first case of every function is its defaults, on every series; the others are on the first.
"""

import csv
import pathlib

import numpy as np
import talib
from talib import abstract

HERE = pathlib.Path(__file__).parent
ROWS = 220
MA_TYPES = [0, 1, 2, 3, 4, 5, 6, 8, 9, 12, 13]

# Parameters beside the defaults, which the wheel itself knows.
CASES = {
    "sma": [[1], [2], [7], [100]], "ema": [[1], [2], [9]], "wma": [[1], [2], [11], [64]], "dema": [[1], [5]],
    "tema": [[1], [5]], "trima": [[1], [2], [9], [24]], "kama": [[1], [2], [10]], "t3": [[1, 0.7], [3, 0.5]],
    "rma": [[1], [2], [9]], "hma": [[1], [2], [3], [9], [16]],
    "bbands": [[5, 1.5, 2.5, 0], *[[10, 2.0, 2.0, ma] for ma in MA_TYPES[1:]]],
    "donchian": [[2], [7]], "rsi": [[2], [5]], "macd": [[5, 8, 3], [8, 5, 1]],
    "stoch": [[5, 3, 1, 3, 2], [1, 1, 0, 1, 0], [8, 4, 6, 5, 13]], "stochf": [[5, 3, 1], [1, 1, 0], [9, 4, 12]],
    "stochrsi": [[5, 4, 3, 1], [9, 1, 1, 0]], "adx": [[2], [5]], "plus_di": [[1], [2], [5]],
    "minus_di": [[1], [2], [5]], "dx": [[2], [5]], "cci": [[2], [5], [40]], "willr": [[2], [5]],
    "roc": [[1], [3]], "mom": [[1], [3]], "mfi": [[2], [5]],
    "ppo": [[3, 8, ma] for ma in MA_TYPES], "apo": [[8, 3, 1], *[[3, 8, ma] for ma in MA_TYPES]],
    "trix": [[1], [5]], "aroon": [[2], [5]], "aroonosc": [[2], [5]], "ultosc": [[5, 2, 9], [1, 1, 1]],
    "cmo": [[2], [5]], "bop": [], "atr": [[1], [2], [5]], "natr": [[1], [2], [5]], "trange": [],
    "stddev": [[2, 1.0], [20, 2.0], [7, -1.5]], "var": [[1, 1.0], [20, 2.0]], "obv": [], "ad": [],
    "adosc": [[2, 3], [10, 3]], "vwap": [], "linearreg_slope": [[2], [5], [50]], "correl": [[1], [2], [10]],
    "beta": [[1], [2], [20]], "max": [[2], [7]], "min": [[2], [7]], "sum": [[2], [7], [100]],
}


def bars(close, volume, spread, rng):
    """OHLCV around a close; the open is the close before it."""
    opens = np.r_[close[0], close[:-1]]
    above, below = rng.uniform(0, spread, len(close)), rng.uniform(0, spread, len(close))
    return {
        "open": opens, "high": np.maximum(opens, close) + above, "low": np.minimum(opens, close) - below,
        "close": close, "volume": volume,
    }


def series():
    """A random walk; the same with flat stretches; large prices that hardly move; small prices that move a
    lot; coarse ticks, whose ties and whose rounding show in every comparison."""
    rng = np.random.default_rng(20240102)
    steps = rng.normal(0, 1, ROWS)
    volume = np.round(rng.uniform(1e3, 1e5, ROWS))
    walk = np.round(100 + np.cumsum(steps), 2)
    flat = walk.copy()
    flat[30:75] = 10.1
    flat[120:] = flat[119]
    result = {
        "walk": bars(walk, volume, 0.8, rng),
        "flat": bars(flat, np.where(np.arange(ROWS) % 50 == 7, 0, volume), 0.0, rng),
        "large": bars(1e7 + np.cumsum(steps), volume * 1e3, 0.5, rng),
        "small": bars(1e-4 * np.exp(np.cumsum(steps) / 20), volume / 1e3, 2e-6, rng),
    }
    result["ticks"] = {
        name: values if name == "volume" else np.round(np.round(values / 0.05) * 0.05, 2)
        for name, values in bars(50 + np.cumsum(steps) / 10, volume, 0.15, rng).items()
    }
    # Stretches in which not even high and low differ.
    for name in ("open", "high", "low", "close"):
        result["flat"][name][31:75] = 10.1
        result["flat"][name][121:] = flat[119]
    return result


def outputs(function, data, params):
    """The columns of one call, by TA-Lib's names in lower case."""
    call = abstract.Function(function.upper())
    names = list(call.info["parameters"])
    result = call(data, **{name: type(call.info["parameters"][name])(value) for name, value in zip(names, params)})
    return dict(zip(call.info["output_names"], result if isinstance(result, list) else [result]))


def main():
    assert talib.__ta_version__.startswith(b"0.8.1"), talib.__ta_version__
    all_series = series()
    with open(HERE / "series.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for name, data in all_series.items():
            for column, values in data.items():
                writer.writerow([name, column, *(repr(float(value)) for value in values)])
    for function, cases in CASES.items():
        defaults = list(abstract.Function(function.upper()).info["parameters"].values())
        with open(HERE / f"{function}.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            calls = [(name, defaults) for name in all_series] + [("walk", case) for case in cases]
            for name, params in calls:
                for output, values in outputs(function, all_series[name], params).items():
                    cells = ["" if np.isnan(value) else format(value, ".13g") for value in values]
                    writer.writerow([name, " ".join(str(value) for value in params), output, *cells])


if __name__ == "__main__":
    main()
