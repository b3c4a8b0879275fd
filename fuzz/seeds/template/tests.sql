/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
{% if fast is divisibleby 3 and name is string and lags is iterable and nobody is undefined %}SELECT 1{% endif %}