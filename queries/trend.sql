/*
description: >-
  Trend: moving averages and the distance of the close to them, MACD, directional movement,
  regression lines, channels.
params:
  averages: [10, 20, 50, 100, 200]
  lines: [20, 60]
  channels: [20, 55]
optional: [factor]
outputs:
  sma: simple moving average of the close over n bars
  ema: exponential moving average of the close over n bars
  dist_sma: close / sma - 1
  cross_sma_50_200: sma over 50 bars / sma over 200 bars - 1, above 0 after a golden cross
  macd: MACD of the close (12, 26, 9), its signal line and the difference, in units of the price
  adx_14: average directional movement index, strength of the trend from 0 to 100
  plus_di_14: share of upward movement in the true range, in percent
  minus_di_14: share of downward movement in the true range, in percent
  aroon_up_14: 100 if the highest high of 14 bars is this one, 0 if it is 14 bars old
  aroon_down_14: the same for the lowest low
  slope: slope of the regression line through n closes, as a share of the close per bar
  r2: how well that line fits, from 0 (not at all) to 1
  channel_pos: place of the close in the n-bar Donchian channel, from 0 (low) to 1 (high)
  dist_kama_10: close / Kaufman's adaptive moving average - 1
audits:
  - unique: [symbol, ts]
  - not_null: [symbol, ts]
  - adx_14 BETWEEN 0 AND 100
  - aroon_up_14 BETWEEN 0 AND 100
  - aroon_down_14 BETWEEN 0 AND 100
*/
{% set f = 'factor' if has('factor') else '1.0' -%}
WITH px AS (
    SELECT symbol, ts, high * {{ f }} AS high, low * {{ f }} AS low, close * {{ f }} AS close
    FROM bars
)
SELECT symbol, ts,

       -- Moving averages.
       {%- for n in averages %}
       sma(close, {{ n }}) OVER w AS sma_{{ n }},
       ema(close, {{ n }}) OVER w AS ema_{{ n }},
       close / NULLIF(sma(close, {{ n }}) OVER w, 0) - 1 AS dist_sma_{{ n }},
       {%- endfor %}
       close / NULLIF(kama(close, 10) OVER w, 0) - 1 AS dist_kama_10,
       sma(close, 50) OVER w / NULLIF(sma(close, 200) OVER w, 0) - 1 AS cross_sma_50_200,
       macd(close, 12, 26, 9) OVER w AS macd,

       -- Direction and its strength.
       adx(high, low, close, 14) OVER w AS adx_14,
       plus_di(high, low, close, 14) OVER w AS plus_di_14,
       minus_di(high, low, close, 14) OVER w AS minus_di_14,
       aroon(high, low, 14) OVER w['aroonup'] AS aroon_up_14,
       aroon(high, low, 14) OVER w['aroondown'] AS aroon_down_14,

       -- Regression line: (n * n - 1) / 12 is the variance of the row numbers in it.
       {%- for n in lines %}
       linearreg_slope(close, {{ n }}) OVER w / NULLIF(close, 0) AS slope_{{ n }},
       power(linearreg_slope(close, {{ n }}) OVER w, 2) * {{ (n * n - 1) / 12 }}
           / NULLIF(var(close, {{ n }}) OVER w, 0) AS r2_{{ n }},
       {%- endfor %}

       -- Donchian channel.
       {%- for n in channels %}
       (close - min(low, {{ n }}) OVER w)
           / NULLIF(max(high, {{ n }}) OVER w - min(low, {{ n }}) OVER w, 0) AS channel_pos_{{ n }}
       {{- ',' if not loop.last }}
       {%- endfor %}
FROM px
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
