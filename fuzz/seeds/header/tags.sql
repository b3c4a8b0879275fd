/*
params: {a: !!int 'x', b: !!binary aGk=, c: !own {x: y}, ? [k] : v, d: !!str, e: !!set {x}}
*/SELECT symbol, ts, close, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS ahead FROM bars
