/*
description: [1]
entity: 7
time: {a: b}
labels: ahead
outputs: [x]
requires: {close}
optional: null
partition_by: true
audits: {unique: close}
*/SELECT symbol, ts, close, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS ahead FROM bars
