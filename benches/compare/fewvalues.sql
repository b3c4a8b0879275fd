-- Columns in which values come back: what feature sets have besides smooth floats.
SELECT symbol, ts, close, volume,
       row_number() OVER w AS bar, max(high) OVER (w ROWS 19 PRECEDING) AS high_20,
       aroon(high, low, 14) OVER w AS aroon,
       CASE WHEN close > open THEN 1.0 WHEN close < open THEN -1.0 ELSE 0.0 END AS direction,
       percent_rank() OVER (PARTITION BY ts ORDER BY close, symbol) AS rank
FROM bars
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
