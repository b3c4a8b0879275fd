/*
description: "a \x41\u00e9\U0001F4C8\q
labels: 'ahead
*/SELECT symbol, ts, close, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS ahead FROM bars
