/*
description: 'Momentum: daily bars'
entity: symbol
time: ts
params: {fast: 12, names: [a, b], map: {x: 1.5}, none: , up: true}
labels: [ahead]
outputs:
  close: the last price
  ahead: 'trend: fast'
requires: [close]
optional: [sector, factor]
partition_by: [symbol]
audits:
  - close BETWEEN 0 AND 100
  - unique: [symbol, ts]
  - not_null: [close]
  - "symbol <> 'a: b'"
*/
SELECT symbol, ts, close, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS ahead FROM bars
