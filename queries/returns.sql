/*
description: Placeholder
*/
SELECT symbol, ts, close / lag(close, 1) OVER w - 1 AS ret_1
FROM bars
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
