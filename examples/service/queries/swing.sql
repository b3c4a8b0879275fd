/*
description: Where the close stands between its averages, and what came of it
params: {fast: 10, slow: 50}
labels: [fwd_ret_5]
outputs:
  trend: fast average of the close over the slow one, less 1
  stretch: distance of the close from the fast average, in average true ranges
  rsi_14: relative strength index over 14 bars
  fwd_ret_5: return of the next five bars
audits:
  - rsi_14 BETWEEN 0 AND 100
  - unique: [symbol, ts]
*/
SELECT symbol, ts,
       sma(close, {{ fast }}) OVER w / sma(close, {{ slow }}) OVER w - 1 AS trend,
       (close - sma(close, {{ fast }}) OVER w) / atr(high, low, close, 14) OVER w AS stretch,
       rsi(close, 14) OVER w AS rsi_14,
       lead(close, 5) OVER w / close - 1 AS fwd_ret_5
FROM bars
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
