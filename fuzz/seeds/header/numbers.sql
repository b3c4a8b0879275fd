/*
params: {a: 99999999999999999999999, b: -9223372036854775808, c: 1e999, d: .inf, e: .nan, f: 0o777, g: 0x7fffffffffffffffffff, h: 007, i: 1_000, j: 12:30:45, k: 2024-01-02}
*/SELECT symbol, ts, close, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS ahead FROM bars
