-- The 8 plain windows of the comparison with SQL engines: one text for all of them.
SELECT symbol, ts,
       lag(close, 1) OVER w AS prev_close,
       row_number() OVER w AS bar_number,
       first_value(close) OVER w60 AS close_60,
       avg(close) OVER w20 AS avg_20,
       stddev_samp(close) OVER w20 AS std_20,
       sum(volume) OVER w20 AS volume_20,
       min(low) OVER w14 AS low_14,
       max(high) OVER w14 AS high_14
FROM bars
WINDOW w AS (PARTITION BY symbol ORDER BY ts),
       w14 AS (PARTITION BY symbol ORDER BY ts ROWS 13 PRECEDING),
       w20 AS (PARTITION BY symbol ORDER BY ts ROWS 19 PRECEDING),
       w60 AS (PARTITION BY symbol ORDER BY ts ROWS 59 PRECEDING)
