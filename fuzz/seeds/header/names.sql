/*
entity: "sym'bol"
time: "t s"
partition_by: [_symbol, .x, '..', 'a/b', '']
params: {has: 1, 'a b': 2, self: 3, loop: 4, é: 5}
*/SELECT symbol, ts, close, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS ahead FROM bars
