-- a remark
SELECT symbol, ts, close FROM bars
