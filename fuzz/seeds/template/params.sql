fast=abc
lags=[1
name='; DROP TABLE bars; --
nobody=7
map={a: {b: [*x]}}
up=yes
nil=!!
====
/*
params: {fast: 12, slow: 26, lags: [1, 5], nil: , up: true, name: x, map: {a: {b: 1}}}
optional: [sector, factor]
*/
SELECT {{ name }}