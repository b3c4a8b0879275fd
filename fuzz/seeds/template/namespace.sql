/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
{% set ns = namespace(x=1) %}{% for n in lags %}{% set ns.x = ns.x + n %}{{ loop.cycle('a', 'b') }}{{ loop.index }}{% else %}-{% endfor %}SELECT {{ ns.x }}