-- The 23 features of the comparison: 18 expressions, 23 float columns.
SELECT symbol, ts,
       sma(close, 5) OVER w AS sma_5, sma(close, 20) OVER w AS sma_20, sma(close, 50) OVER w AS sma_50,
       ema(close, 12) OVER w AS ema_12, ema(close, 26) OVER w AS ema_26,
       rsi(close, 14) OVER w AS rsi_14, stddev(close, 20) OVER w AS std_20, roc(close, 10) OVER w AS roc_10,
       atr(high, low, close, 14) OVER w AS atr_14,
       macd(close, 12, 26, 9) OVER w AS macd, bbands(close, 20, 2, 2) OVER w AS bb,
       obv(close, volume) OVER w AS obv, adx(high, low, close, 14) OVER w AS adx_14, cci(high, low, close, 20) OVER w AS cci_20,
       willr(high, low, close, 14) OVER w AS willr_14, mfi(high, low, close, volume, 14) OVER w AS mfi_14,
       stoch(high, low, close, 14, 3, 0, 3, 0) OVER w AS stoch, ln(close / lag(close, 1) OVER w) AS log_ret
FROM bars
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
