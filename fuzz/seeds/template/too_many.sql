/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}SELECT 1