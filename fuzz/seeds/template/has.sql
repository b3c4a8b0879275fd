/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
{% set f = 'factor' if has('factor') else '1.0' -%}
SELECT symbol, ts, close * {{ f }} AS close {% if has('sector') %}, sector{% endif %} FROM bars