/*
description: >-
  Volume: running totals and flows, volume and turnover against their own past, the price that
  volume paid, and what it costs to trade. Turnover is the money traded: close * volume. The
  volume of a bar that misses a price counts as missing.
params:
  averages: [5, 20, 60]
optional: [factor]
outputs:
  obv: on balance volume since the first bar; compare its changes, not its level
  ad: Chaikin's accumulation/distribution line since the first bar; likewise
  adosc: Chaikin's oscillator, ema 3 - ema 10 of ad
  mfi_14: money flow index, share of the money traded in rising bars, from 0 to 100
  cmf_20: Chaikin's money flow, volume weighted by where it closed, from -1 (low) to 1 (high)
  up_volume_20: volume of rising less that of falling bars, as a share of all of 20 bars, -1 to 1
  force_13: average over 13 bars of the change of the close times volume, as a share of turnover_20
  volume_ratio: volume / its average over n bars, this one included
  volume_cv_20: standard deviation of the volume over 20 bars / its average
  idle_20: share of the last 20 bars in which nothing was traded
  turnover: money traded in the bar
  turnover_20: its average over 20 bars
  turnover_z_63: logarithm of turnover, in standard deviations from its average over 63 bars
  amihud_21: average of |return| per million traded over the last 21 bars with trades
  vwap_20: volume weighted average of (high + low + close) / 3 over 20 bars
  dist_vwap: close / vwap over n bars - 1
  close_volume_correl_20: correlation of close and volume over 20 bars
  ret_volume_correl_60: correlation of |return| and volume over 60 bars
audits:
  - unique: [symbol, ts]
  - not_null: [symbol, ts]
  - idle_20 BETWEEN 0 AND 1
  - amihud_21 >= 0
*/
{% set f = 'factor' if has('factor') else '1.0' -%}
WITH px AS (
    SELECT symbol, ts,
           high * {{ f }} AS high, low * {{ f }} AS low, close * {{ f }} AS close,
           CASE WHEN high + low + close IS NOT NULL THEN volume / NULLIF({{ f }}, 0) END AS volume
    FROM bars
),
flows AS (
    SELECT *,
           close * volume AS turnover,
           (high + low + close) / 3 * volume AS traded,
           COALESCE((2 * close - high - low) / NULLIF(high - low, 0), 0) * volume AS flow,
           mom(close, 1) OVER w AS change,
           mom(close, 1) OVER w / NULLIF(close - mom(close, 1) OVER w, 0) AS ret
    FROM px
    WINDOW w AS (PARTITION BY symbol ORDER BY ts)
)
SELECT symbol, ts,

       -- Which way it flows.
       obv(close, volume) OVER w AS obv,
       ad(high, low, close, volume) OVER w AS ad,
       adosc(high, low, close, volume, 3, 10) OVER w AS adosc,
       mfi(high, low, close, volume, 14) OVER w AS mfi_14,
       sum(flow, 20) OVER w / NULLIF(sum(volume, 20) OVER w, 0) AS cmf_20,
       sum(signum(change) * volume, 20) OVER w / NULLIF(sum(volume, 20) OVER w, 0) AS up_volume_20,
       ema(change * volume, 13) OVER w / NULLIF(sma(turnover, 20) OVER w, 0) AS force_13,

       -- How much there is.
       {%- for n in averages %}
       volume / NULLIF(sma(volume, {{ n }}) OVER w, 0) AS volume_ratio_{{ n }},
       {%- endfor %}
       stddev(volume, 20) OVER w / NULLIF(sma(volume, 20) OVER w, 0) AS volume_cv_20,
       sma(CASE WHEN volume = 0 THEN 1.0 WHEN volume <> 0 THEN 0.0 END, 20) OVER w AS idle_20,
       turnover,
       sma(turnover, 20) OVER w AS turnover_20,
       (log_turnover - sma(log_turnover, 63) OVER w)
           / NULLIF(stddev(log_turnover, 63) OVER w, 0) AS turnover_z_63,
       sma(abs(ret) / NULLIF(turnover, 0) * 1000000, 21) OVER w AS amihud_21,

       -- What it paid.
       sum(traded, 20) OVER w / NULLIF(sum(volume, 20) OVER w, 0) AS vwap_20,
       {%- for n in averages %}
       close * sum(volume, {{ n }}) OVER w / NULLIF(sum(traded, {{ n }}) OVER w, 0) - 1 AS dist_vwap_{{ n }},
       {%- endfor %}

       -- What it goes with.
       correl(close, volume, 20) OVER w AS close_volume_correl_20,
       correl(abs(ret), volume, 60) OVER w AS ret_volume_correl_60
FROM (SELECT *, CASE WHEN turnover > 0 THEN ln(turnover) END AS log_turnover FROM flows)
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
