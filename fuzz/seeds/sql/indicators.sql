SELECT symbol, ts,
       rsi(close) OVER w AS rsi_14,
       macd(close, 5, 10, 3) OVER w['macdhist'] AS hist,
       bbands(close, nbdevup => 3) OVER w AS bands,
       sma(close - lag(close) OVER w, 3) OVER w AS change
FROM bars
WHERE close > 1
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
