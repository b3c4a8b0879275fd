fast=3
lags=[2, 4, 8]
====
/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
SELECT symbol, ts
{%- for n in lags %}
 , sma(close, {{ n }}) OVER w AS sma_{{ n }}{% if not loop.last %} {% endif %}
{%- endfor %}
FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)
