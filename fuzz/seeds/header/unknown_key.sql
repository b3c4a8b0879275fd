/* labls: [ahead]
parms: {a: 1} */SELECT symbol, ts, close, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS ahead FROM bars
