"""Makes the folder of a service: bars, sets, targets and settings. All rows come from a fixed seed."""
import csv
import datetime
import pathlib
import random

SYMBOLS = ["AAPL", "BRK/B", "^GSPC", "A B", "<b>bold</b>"] + [f"S{number:03}" for number in range(35)]
HOLE = 200  # The row from which on a week is missing.

FAILING = """/*
description: Fails for every symbol
*/
SELECT symbol, ts, CAST('x' || symbol AS DOUBLE) AS broken FROM bars
"""


def make_folder(folder, listen):
    """Writes everything that `windrow serve` needs into `folder`."""
    folder = pathlib.Path(folder)
    (folder / "queries").mkdir(parents=True)
    (folder / "queries/failing.sql").write_text(FAILING)
    (folder / "windrow.yaml").write_text(
        f"sources:\n  bars: bars.csv\ntargets:\n  store: ./store\nserve:\n  listen: {listen}\n  workers: 1\n")
    dice = random.Random(19)
    with open(folder / "bars.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["symbol", "ts", "open", "high", "low", "close", "volume"])
        for symbol in SYMBOLS:
            day, close = datetime.date(2023, 1, 2), 100.0
            for row in range(300):
                day += datetime.timedelta(days=3 if day.weekday() == 4 else 14 if row == HOLE else 1)
                first, close = close, round(close * (1 + dice.gauss(0, 0.01)), 2)
                spread = abs(dice.gauss(0, 0.5))
                high, low = max(first, close) + spread, min(first, close) - spread
                out.writerow([symbol, day, first, round(high, 2), round(low, 2), close, dice.randrange(10**5, 10**6)])
