/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
SELECT {{ 9223372036854775807 * 9223372036854775807 }}, {{ 2 ** 200 }}, {{ 1 // 0 }}, {{ -7 % 3 }}, {{ 1e308 * 10 }}, {{ 0.1 + 0.2 }}, {{ lags[9999999999999999999] }}, {{ 'ab' * 3 }}, {{ range(5)|list }}