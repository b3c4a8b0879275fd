/*
description: >-
  Cross-section: every symbol against all symbols with a value at the same ts, and against its
  sector where the source has one. A symbol without a value gets NULL and is not counted.
  Reads the feature sets returns, momentum, volatility and volume.
params:
  factors: [ret_5, ret_21, mom_252_21, rsi_14, vol_21, amihud_21, turnover_20]
  horizons: [1, 5, 21]
optional: [sector]
outputs:
  universe: how many symbols have a return over one bar at this ts
  market_ret_1: average return of all symbols over one bar, equally weighted
  market_up: share of symbols whose close rose
  dispersion: standard deviation of the one-bar returns of all symbols
  excess: return over n bars less its average, over all symbols or (excess_sector) the sector
  rank: place in a factor, above 0 and up to 1 for the highest, among all or in the sector (rank_sector)
  z: distance of a factor from the average of all symbols, in standard deviations
  beta_63: slope of the symbol's one-bar returns over market_ret_1, over 63 bars
  tracking_error_63: standard deviation of the one-bar returns less market_ret_1, over 63 bars
audits:
  - unique: [symbol, ts]
  - not_null: [symbol, ts]
  - universe >= 0
  - market_up BETWEEN 0 AND 1
*/
WITH at_ts AS (
    SELECT bars.symbol, bars.ts, ret_1,

           -- The market. The order of symbols decides how sums round, so it is given.
           count(ret_1) OVER market AS universe,
           avg(CASE WHEN ret_1 > 0 THEN 1.0 WHEN ret_1 <= 0 THEN 0.0 END) OVER market AS market_up,
           stddev_pop(ret_1) OVER market AS dispersion,
           CASE WHEN ret_1 IS NOT NULL THEN avg(ret_1) OVER market END AS market_ret_1,
           {%- if has('sector') %}

           -- The sector.
           {%- for n in horizons %}
           CASE WHEN sector IS NOT NULL THEN cs_demean(ret_{{ n }}) OVER peers END AS excess_sector_ret_{{ n }},
           {%- endfor %}
           {%- for factor in factors %}
           CASE WHEN sector IS NOT NULL THEN cs_rank({{ factor }}) OVER peers END AS rank_sector_{{ factor }},
           {%- endfor %}
           {%- endif %}

           -- All symbols.
           {%- for n in horizons %}
           cs_demean(ret_{{ n }}) OVER everyone AS excess_ret_{{ n }},
           {%- endfor %}
           {%- for factor in factors %}
           cs_rank({{ factor }}) OVER everyone AS rank_{{ factor }},
           cs_zscore({{ factor }}) OVER everyone AS z_{{ factor }}
           {{- ',' if not loop.last }}
           {%- endfor %}
    FROM bars
    {%- for set in ['returns', 'momentum', 'volatility', 'volume'] %}
    JOIN {{ set }} ON {{ set }}.symbol = bars.symbol AND {{ set }}.ts = bars.ts
    {%- endfor %}
    WINDOW everyone AS (PARTITION BY bars.ts),
           {%- if has('sector') %}
           peers AS (PARTITION BY bars.ts, sector),
           {%- endif %}
           market AS (PARTITION BY bars.ts ORDER BY bars.symbol
                      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
SELECT * EXCEPT (ret_1),

       -- Back along time: each symbol against the market.
       correl(ret_1, market_ret_1, 63) OVER w
           * stddev(ret_1, 63) OVER w / NULLIF(stddev(market_ret_1, 63) OVER w, 0) AS beta_63,
       stddev(ret_1 - market_ret_1, 63) OVER w AS tracking_error_63
FROM at_ts
WINDOW w AS (PARTITION BY symbol ORDER BY ts)
