/*
description: >-
  Price action: gaps, the anatomy of a bar, bars against those before, streaks, distance to highs
  and lows, breakouts. Conditions are true, false, or NULL where it cannot be told.
params:
  extremes: [20, 63, 252]
  breakouts: [20, 55]
optional: [factor]
outputs:
  gap: this open / the last close - 1
  gap_atr: the same gap in average true ranges over 14 bars, as of the last bar
  body: (close - open) / (high - low), from -1 to 1
  upper_shadow: share of the bar's range above open and close
  lower_shadow: share of the bar's range below open and close
  close_pos: place of the close in the bar's range, from 0 (low) to 1 (high)
  range_atr: high - low in average true ranges over 14 bars, as of the last bar
  inside_bar: neither a higher high nor a lower low than the bar before
  outside_bar: a higher high and a lower low than the bar before
  engulfing: 1 if a rising body covers the falling one before it, -1 the other way round, else 0
  narrowest_7: the narrowest range of 7 bars
  streak: closes in a row that rose (3 is three of them) or fell (-3), 0 for an unchanged close
  up_share_20: share of rising closes among the last 20
  dist_high: close / the highest high of n bars - 1, 0 or less
  dist_low: close / the lowest low of n bars - 1, 0 or more
  since_high_252: bars since the highest high of 252
  since_low_252: bars since the lowest low of 252
  breakout_up: the close is above the highest high of the n bars before
  breakout_down: the close is below the lowest low of the n bars before
audits:
  - unique: [symbol, ts]
  - not_null: [symbol, ts]
  - up_share_20 BETWEEN 0 AND 1
  - since_high_252 BETWEEN 0 AND 252
  - since_low_252 BETWEEN 0 AND 252
*/
{% set f = 'factor' if has('factor') else '1.0' -%}
WITH px AS (
    SELECT symbol, ts, row_number() OVER w AS row,
           open * {{ f }} AS open, high * {{ f }} AS high, low * {{ f }} AS low, close * {{ f }} AS close,
           NULLIF(high * {{ f }} - low * {{ f }}, 0) AS span
    FROM bars
    WINDOW w AS (PARTITION BY symbol ORDER BY ts)
),
before AS (
    SELECT *,
           lag(open, 1) OVER w AS open_1,
           lag(high, 1) OVER w AS high_1,
           lag(low, 1) OVER w AS low_1,
           lag(close, 1) OVER w AS close_1,
           lag(atr(high, low, close, 14) OVER w, 1) OVER w AS atr_1,
           signum(close - lag(close, 1) OVER w) AS step
    FROM px
    WINDOW w AS (PARTITION BY symbol ORDER BY ts)
),
turns AS (
    -- The first bar of every streak knows its row.
    SELECT *, CASE WHEN step = lag(step, 1) OVER w THEN NULL ELSE row END AS turn
    FROM before
    WINDOW w AS (PARTITION BY symbol ORDER BY ts)
)
SELECT symbol, ts,

       -- One bar.
       open / NULLIF(close_1, 0) - 1 AS gap,
       (open - close_1) / NULLIF(atr_1, 0) AS gap_atr,
       (close - open) / span AS body,
       (high - (open + close + abs(open - close)) / 2) / span AS upper_shadow,
       ((open + close - abs(open - close)) / 2 - low) / span AS lower_shadow,
       (close - low) / span AS close_pos,
       (high - low) / NULLIF(atr_1, 0) AS range_atr,

       -- Against the bars before.
       high <= high_1 AND low >= low_1 AS inside_bar,
       high > high_1 AND low < low_1 AS outside_bar,
       CASE WHEN close_1 < open_1 AND open <= close_1 AND close >= open_1 THEN 1
            WHEN close_1 > open_1 AND open >= close_1 AND close <= open_1 THEN -1
            WHEN open + close + open_1 + close_1 IS NOT NULL THEN 0 END AS engulfing,
       high - low <= min(high - low, 7) OVER w AS narrowest_7,
       step * (row - max(turn) OVER (w ROWS UNBOUNDED PRECEDING) + 1) AS streak,
       sma(CASE WHEN step > 0 THEN 1.0 WHEN step <= 0 THEN 0.0 END, 20) OVER w AS up_share_20,

       -- Against highs and lows.
       {%- for n in extremes %}
       close / NULLIF(max(high, {{ n }}) OVER w, 0) - 1 AS dist_high_{{ n }},
       close / NULLIF(min(low, {{ n }}) OVER w, 0) - 1 AS dist_low_{{ n }},
       {%- endfor %}
       {%- for n in breakouts %}
       close > max(high_1, {{ n }}) OVER w AS breakout_up_{{ n }},
       close < min(low_1, {{ n }}) OVER w AS breakout_down_{{ n }},
       {%- endfor %}
       round((100 - aroon(high, low, 252) OVER w['aroonup']) * 2.52) AS since_high_252,
       round((100 - aroon(high, low, 252) OVER w['aroondown']) * 2.52) AS since_low_252
FROM turns
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
