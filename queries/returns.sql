/*
description: >-
  Returns: simple and logarithmic over several horizons, split into overnight and intraday,
  and forward returns as labels. A price that is not above zero counts as missing.
params:
  horizons: [1, 5, 21, 63, 252]
  forward: [1, 5, 21]
optional: [factor]
labels: [fwd_ret, fwd_logret, fwd_open_ret]
outputs:
  ret: simple return over n bars, close / close n bars ago - 1
  logret: logarithmic return over n bars, which adds up over time
  ret_overnight: from the last close to this open
  ret_intraday: from this open to this close
  ret_overnight_21: the overnight returns of the last 21 bars, compounded
  ret_intraday_21: the intraday returns of the last 21 bars, compounded
  fwd_ret: label, simple return from this close to the close n bars on
  fwd_logret: label, logarithmic return from this close to the close n bars on
  fwd_open_ret: label, simple return from the next open, where one can still buy, to the close n bars on
audits:
  - unique: [symbol, ts]
  - not_null: [symbol, ts]
*/
{% set f = 'factor' if has('factor') else '1.0' -%}
WITH px AS (
    SELECT symbol, ts,
           CASE WHEN open * {{ f }} > 0 THEN open * {{ f }} END AS open,
           CASE WHEN close * {{ f }} > 0 THEN close * {{ f }} END AS close
    FROM bars
)
SELECT symbol, ts,

       -- Over n bars.
       {%- for n in horizons %}
       close / lag(close, {{ n }}) OVER w - 1 AS ret_{{ n }},
       ln(close / lag(close, {{ n }}) OVER w) AS logret_{{ n }},
       {%- endfor %}

       -- Overnight and intraday: together they are ret_1.
       open / lag(close, 1) OVER w - 1 AS ret_overnight,
       close / open - 1 AS ret_intraday,
       exp(sum(ln(open / lag(close, 1) OVER w), 21) OVER w) - 1 AS ret_overnight_21,
       exp(sum(ln(close / open), 21) OVER w) - 1 AS ret_intraday_21,

       -- Labels: they look ahead, and may only be predicted.
       {%- for n in forward %}
       lead(close, {{ n }}) OVER w / close - 1 AS fwd_ret_{{ n }},
       ln(lead(close, {{ n }}) OVER w / close) AS fwd_logret_{{ n }},
       lead(close, {{ n }}) OVER w / lead(open, 1) OVER w - 1 AS fwd_open_ret_{{ n }}
       {{- ',' if not loop.last }}
       {%- endfor %}
FROM px
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
