/*
description: >-
  Momentum: oscillators of price and money flow, rates of change, and the 12-1 month momentum
  of the literature (252 and 21 daily bars).
params:
  changes: [1, 5, 10, 21, 63, 126, 252]
optional: [factor]
outputs:
  rsi_7: relative strength index of the close over 7 bars, from 0 to 100
  rsi_14: the same over 14 bars, Wilder's own period
  rsi_28: the same over 28 bars
  stoch_k_14: place of the close in the range of 14 bars, averaged over 3, from 0 to 100
  stoch_d_14: average of the last 3 stoch_k_14
  stochrsi_k_14: place of rsi_14 in its own range of 14 bars, from 0 to 100
  stochrsi_d_14: average of the last 3 stochrsi_k_14
  willr_14: Williams' %R, distance of the close below the high of 14 bars, from -100 to 0
  cci_20: commodity channel index, distance of the typical price from its mean in mean deviations
  cmo_14: Chande momentum oscillator, gains less losses in percent of both, from -100 to 100
  mfi_14: money flow index, share of the money traded in rising bars, from 0 to 100
  ultosc: ultimate oscillator over 7, 14 and 28 bars, from 0 to 100
  bop_14: balance of power, (close - open) / (high - low), averaged over 14 bars
  ppo: percentage price oscillator, (ema 12 - ema 26) in percent of ema 26
  ppo_signal: ema of ppo over 9 bars
  ppo_hist: ppo - ppo_signal
  trix_15: change in percent of the triple exponential average over 15 bars
  roc: change over n bars in percent; rows without a close are not counted
  mom_252_21: return from 252 to 21 bars ago, momentum without the short-term reversal
  mom_126_21: return from 126 to 21 bars ago
  steadiness_63: mean over standard deviation of the last 63 returns, both of single bars
audits:
  - unique: [symbol, ts]
  - not_null: [symbol, ts]
  - rsi_7 BETWEEN 0 AND 100
  - rsi_14 BETWEEN 0 AND 100
  - rsi_28 BETWEEN 0 AND 100
  - stochrsi_k_14 BETWEEN 0 AND 100
  - cmo_14 BETWEEN -100 AND 100
*/
{% set f = 'factor' if has('factor') else '1.0' -%}
WITH px AS (
    SELECT symbol, ts,
           open * {{ f }} AS open, high * {{ f }} AS high, low * {{ f }} AS low, close * {{ f }} AS close,
           volume / NULLIF({{ f }}, 0) AS volume
    FROM bars
)
SELECT symbol, ts,

       -- Oscillators.
       {%- for n in [7, 14, 28] %}
       rsi(close, {{ n }}) OVER w AS rsi_{{ n }},
       {%- endfor %}
       stoch(high, low, close, 14, 3, 'sma', 3, 'sma') OVER w['slowk'] AS stoch_k_14,
       stoch(high, low, close, 14, 3, 'sma', 3, 'sma') OVER w['slowd'] AS stoch_d_14,
       stochrsi(close, 14, 14, 3) OVER w['fastk'] AS stochrsi_k_14,
       stochrsi(close, 14, 14, 3) OVER w['fastd'] AS stochrsi_d_14,
       willr(high, low, close, 14) OVER w AS willr_14,
       cci(high, low, close, 20) OVER w AS cci_20,
       cmo(close, 14) OVER w AS cmo_14,
       mfi(high, low, close, volume, 14) OVER w AS mfi_14,
       ultosc(high, low, close, 7, 14, 28) OVER w AS ultosc,
       sma(bop(open, high, low, close) OVER w, 14) OVER w AS bop_14,

       -- Averages against each other.
       ppo(close, 12, 26, 'ema') OVER w AS ppo,
       ema(ppo(close, 12, 26, 'ema') OVER w, 9) OVER w AS ppo_signal,
       ppo(close, 12, 26, 'ema') OVER w - ema(ppo(close, 12, 26, 'ema') OVER w, 9) OVER w AS ppo_hist,
       trix(close, 15) OVER w AS trix_15,

       -- Changes.
       {%- for n in changes %}
       roc(close, {{ n }}) OVER w AS roc_{{ n }},
       {%- endfor %}
       lag(close, 21) OVER w / NULLIF(lag(close, 252) OVER w, 0) - 1 AS mom_252_21,
       lag(close, 21) OVER w / NULLIF(lag(close, 126) OVER w, 0) - 1 AS mom_126_21,
       sma(roc(close, 1) OVER w, 63) OVER w
           / NULLIF(stddev(roc(close, 1) OVER w, 63) OVER w, 0) AS steadiness_63
FROM px
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
