/*
labels: [ahead]
audits:
- unique: []
- nott_null: [x]
- close BETWEEN
- '((((((((('
- sum(close) > 0
- (SELECT 1) = 1
- unique: [nobody]
  not_null: [close]
*/SELECT symbol, ts, close, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS ahead FROM bars
