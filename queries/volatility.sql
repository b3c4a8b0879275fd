/*
description: >-
  Volatility: true range, close-to-close and range estimators, Bollinger bands, drawdowns.
  Estimators are standard deviations per year. A bar whose prices contradict each other (a close
  above the high, a price that is not above zero) is left out of the range estimators.
params:
  windows: [10, 21, 63, 252]
  ranges: [21, 63]
  bars_per_year: 252
optional: [factor]
outputs:
  atr_14: average true range over 14 bars, in units of the price
  natr_14: the same in percent of the close
  vol: standard deviation (n - 1) of the last n logarithmic returns, per year
  vol_down_63: root of the mean square of the last 63 returns with gains as 0, per year
  parkinson: from high and low (Parkinson 1980); blind to gaps and drift
  garman_klass: from all four prices (Garman and Klass 1980); blind to gaps, assumes no drift
  rogers_satchell: from all four prices (Rogers and Satchell 1991); blind to gaps, allows drift
  yang_zhang: from overnight, intraday and rogers_satchell (Yang and Zhang 2000); gaps and drift
  vol_ratio_10_63: standard deviation of the last 10 returns over that of the last 63
  vol_of_vol_63: standard deviation over mean of the last 63 values of the 21-bar volatility
  bb_width_20: width of the Bollinger bands (20 bars, 2 deviations) as a share of their middle
  bb_pct_20: place of the close between the bands, 0 on the lower and 1 on the upper
  drawdown: close below the highest close of the last n bars, as a share of it, 0 or less
audits:
  - unique: [symbol, ts]
  - not_null: [symbol, ts]
  - vol_down_63 >= 0
  - vol_ratio_10_63 >= 0
*/
{% set f = 'factor' if has('factor') else '1.0' -%}
WITH px AS (
    SELECT symbol, ts,
           open * {{ f }} AS open, high * {{ f }} AS high, low * {{ f }} AS low, close * {{ f }} AS close,
           low > 0 AND low <= least(open, close) AND high >= greatest(open, close) AS sound
    FROM bars
),
logs AS (
    SELECT symbol, ts, high, low, close,
           bbands(close, 20, 2, 2) OVER w AS bands,
           CASE WHEN close > 0 AND lag(close, 1) OVER w > 0
                THEN ln(close / lag(close, 1) OVER w) END AS ret,
           CASE WHEN sound AND lag(close, 1) OVER w > 0
                THEN ln(open / lag(close, 1) OVER w) END AS overnight,
           CASE WHEN sound THEN ln(close / open) END AS intraday,
           CASE WHEN sound THEN ln(high / low) END AS span,
           CASE WHEN sound THEN ln(high / close) * ln(high / open)
                              + ln(low / close) * ln(low / open) END AS drift_free
    FROM px
    WINDOW w AS (PARTITION BY symbol ORDER BY ts)
)
SELECT symbol, ts,

       -- True range.
       atr(high, low, close, 14) OVER w AS atr_14,
       natr(high, low, close, 14) OVER w AS natr_14,

       -- From closes. stddev(x, n) and var(x, n) divide by n, samples by n - 1.
       {%- for n in windows %}
       stddev(ret, {{ n }}) OVER w * sqrt({{ bars_per_year * n / (n - 1) }}) AS vol_{{ n }},
       {%- endfor %}
       sqrt({{ bars_per_year }} * sma(power((ret - abs(ret)) / 2, 2), 63) OVER w) AS vol_down_63,
       stddev(ret, 10) OVER w / NULLIF(stddev(ret, 63) OVER w, 0) * sqrt({{ 10 / 9 * 62 / 63 }})
           AS vol_ratio_10_63,
       stddev(stddev(ret, 21) OVER w, 63) OVER w
           / NULLIF(sma(stddev(ret, 21) OVER w, 63) OVER w, 0) AS vol_of_vol_63,

       -- From ranges.
       {%- for n in ranges %}
       {%- set k = 0.34 / (1.34 + (n + 1) / (n - 1)) %}
       sqrt({{ bars_per_year }} * sma(span * span / (4 * ln(2)), {{ n }}) OVER w) AS parkinson_{{ n }},
       sqrt({{ bars_per_year }} * sma(span * span / 2 - (2 * ln(2) - 1) * intraday * intraday,
                                    {{ n }}) OVER w)
           AS garman_klass_{{ n }},
       sqrt({{ bars_per_year }} * sma(drift_free, {{ n }}) OVER w) AS rogers_satchell_{{ n }},
       sqrt({{ bars_per_year }} * (var(overnight, {{ n }}) OVER w * {{ n / (n - 1) }}
                                   + var(intraday, {{ n }}) OVER w * {{ k * n / (n - 1) }}
                                   + sma(drift_free, {{ n }}) OVER w * {{ 1 - k }}))
           AS yang_zhang_{{ n }},
       {%- endfor %}

       -- Bollinger bands.
       (bands['upperband'] - bands['lowerband']) / NULLIF(bands['middleband'], 0) AS bb_width_20,
       (close - bands['lowerband']) / NULLIF(bands['upperband'] - bands['lowerband'], 0) AS bb_pct_20,

       -- Below the peak.
       {%- for n in [63, 252] %}
       close / NULLIF(max(close, {{ n }}) OVER w, 0) - 1 AS drawdown_{{ n }}
       {{- ',' if not loop.last }}
       {%- endfor %}
FROM logs
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
