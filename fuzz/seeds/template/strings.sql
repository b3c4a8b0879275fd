/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
SELECT {{ "\u0041\ud83d\x41\'" }}, {{ name[::-1] }}, {{ name[-5:99:0] }}, {{ name.nobody() }}, {{ name.upper }}, {{ fast.x }}, {{ (1,2)[0] }}