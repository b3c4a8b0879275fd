/*
description: >-
  Prices and volume as the source has them, one row for each symbol and time: what charts show beside features.
outputs:
  open: first price of the bar
  high: highest price of the bar
  low: lowest price of the bar
  close: last price of the bar
  volume: traded volume of the bar
*/
SELECT symbol, ts, open, high, low, close, volume
FROM bars
