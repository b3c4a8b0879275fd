/*
description: Liquidity, as an example of a feature set of your own
outputs:
  traded: money traded per bar, averaged over 21 bars
  amihud: Amihud's illiquidity, the mean of absolute return per money traded over 21 bars
audits:
  - unique: [symbol, ts]
  - amihud >= 0
*/
SELECT symbol, ts,
       sma(close * volume, 21) OVER w AS traded,
       sma(abs(roc(close, 1) OVER w) / NULLIF(close * volume, 0), 21) OVER w AS amihud
FROM bars
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
