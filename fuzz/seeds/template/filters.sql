/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
SELECT {{ lags|map('abs')|join('+') }}, {{ name|upper|replace('X', "'")|indent(2) }}, {{ '%5.2f'|format(1.5) }}, {{ map|dictsort|list }}, {{ lags|batch(2)|list }}, {{ [3, 1]|sort(reverse=true)|first }}, {{ 'é'|title|length }}, {{ map|items|list }}, {{ lags|select('odd')|sum }}