"""How windrow and DuckDB write each aggregate and window function of SQL, and over which rows it is tried."""

from dataclasses import dataclass

# What a frame may be, over rows in the total order (symbol, ts) or with ties in `g`.
FRAMES = [
    "PARTITION BY symbol ORDER BY ts",
    "PARTITION BY symbol ORDER BY ts ROWS 5 PRECEDING",
    "PARTITION BY symbol ORDER BY ts ROWS BETWEEN 2 PRECEDING AND 2 FOLLOWING",
    "PARTITION BY symbol ORDER BY ts ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING",
    "PARTITION BY symbol ORDER BY ts ROWS BETWEEN 1 FOLLOWING AND 4 FOLLOWING",
    "PARTITION BY symbol ORDER BY ts ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
    "PARTITION BY symbol ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    "PARTITION BY symbol ORDER BY ts DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
    "PARTITION BY symbol ORDER BY ts RANGE BETWEEN INTERVAL '20 days' PRECEDING AND CURRENT ROW",
    "ORDER BY k ROWS 6 PRECEDING",
]
# Frames by equal rows: what depends on the order of equal rows is not tried in them.
TIES = [
    "PARTITION BY symbol ORDER BY g",
    "PARTITION BY symbol ORDER BY g RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING",
    "PARTITION BY symbol ORDER BY g GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
    "ORDER BY g DESC",
    "PARTITION BY g",
]


@dataclass
class Aggregate:
    """An aggregate, as windrow and as DuckDB call it."""

    ours: str
    theirs: str = ""
    windows: bool = True
    filters: bool = True
    groups: bool = True
    tolerance: float = 1e-9

    def queries(self):
        theirs = self.theirs or self.ours
        parts = [
            "SELECT 0 AS part, '' AS x, 0 AS y, {} AS z FROM t",
            "SELECT 1 AS part, '' AS x, 0 AS y, {} AS z FROM t WHERE i > 1000",
        ]
        if self.groups:
            parts.append("SELECT 2 AS part, symbol AS x, 0 AS y, {} AS z FROM t GROUP BY symbol")
            parts.append("SELECT 3 AS part, s AS x, g AS y, {} AS z FROM t GROUP BY g, s")
            if self.filters:
                kept = "{} FILTER (WHERE i > 0)"
                parts.append(f"SELECT 4 AS part, symbol AS x, 0 AS y, {kept} AS z FROM t GROUP BY symbol")
        both = " UNION ALL ".join(parts) + " ORDER BY part, x NULLS LAST, y"
        yield both.replace("{}", self.ours), both.replace("{}", theirs), self.tolerance
        if self.windows and self.groups:
            yield over(self.ours, theirs, FRAMES + TIES) + (self.tolerance,)
            if self.filters:
                kept = " FILTER (WHERE i > 0)"
                yield over(self.ours + kept, theirs + kept, FRAMES[:9]) + (self.tolerance,)


@dataclass
class Window:
    """A window function, as windrow and as DuckDB call it; `frames` says whether the frame counts."""

    ours: str
    theirs: str = ""
    ties: bool = False
    nulls: str = ""

    def queries(self):
        theirs = self.theirs or self.ours
        frames = FRAMES + (TIES if self.ties else [])
        yield over(self.ours, theirs, frames) + (1e-9,)
        if self.nulls:
            yield over(self.ours + " IGNORE NULLS", self.nulls, frames) + (1e-9,)


def over(ours, theirs, frames):
    """One query with a column for each frame."""
    columns = lambda call: ", ".join(f"{call} OVER ({frame}) AS c{n}" for n, frame in enumerate(frames))
    return tuple(f"SELECT k, {columns(call)} FROM t ORDER BY k" for call in (ours, theirs))


AGGREGATES = {
    "any_value": Aggregate("any_value(symbol)", "any_value(symbol)", windows=False, filters=False),
    "approx_distinct": Aggregate("approx_distinct(i)", "count(DISTINCT i)", windows=False, tolerance=0.05),
    "approx_median": Aggregate("approx_median(v) BETWEEN quantile_cont(v, 0.4) AND quantile_cont(v, 0.6)",
                               "CASE WHEN count(v) > 0 THEN true END", groups=False),
    "approx_percentile_cont": Aggregate(
        "approx_percentile_cont(v, 0.75) BETWEEN quantile_cont(v, 0.65) AND quantile_cont(v, 0.85)",
        "CASE WHEN count(v) > 0 THEN true END", groups=False),
    "approx_percentile_cont_with_weight": Aggregate(
        "approx_percentile_cont_with_weight(v, 1, 0.5) BETWEEN quantile_cont(v, 0.4) AND quantile_cont(v, 0.6)",
        "CASE WHEN count(v) > 0 THEN true END", groups=False),
    "array_agg": Aggregate("array_to_string(array_agg(i ORDER BY k), ',', '-')",
                           "string_agg(coalesce(i::VARCHAR, '-'), ',' ORDER BY k)", windows=False, filters=False),
    "avg": Aggregate("avg(v)"),
    "mean": Aggregate("mean(i)", "avg(i)"),
    "bit_and": Aggregate("bit_and(i)"),
    "bit_or": Aggregate("bit_or(i)"),
    "bit_xor": Aggregate("bit_xor(i)"),
    "bool_and": Aggregate("bool_and(b)"),
    "bool_or": Aggregate("bool_or(b)"),
    "corr": Aggregate("corr(v, w)"),
    "count": Aggregate("count(v)"),
    "covar": Aggregate("covar(v, w)", "covar_samp(v, w)"),
    "covar_pop": Aggregate("covar_pop(v, w)"),
    "covar_samp": Aggregate("covar_samp(v, w)"),
    "first_value": Aggregate("first_value(v ORDER BY k)", "first(v ORDER BY k)", windows=False),
    "last_value": Aggregate("last_value(v ORDER BY k)", "last(v ORDER BY k)", windows=False),
    "nth_value": Aggregate("nth_value(v, 2 ORDER BY k)", "list(v ORDER BY k)[2]", windows=False, filters=False),
    "max": Aggregate("max(v)"),
    "min": Aggregate("min(v)"),
    "median": Aggregate("median(v)"),
    "percentile_cont": Aggregate("percentile_cont(0.3) WITHIN GROUP (ORDER BY v)", "quantile_cont(v, 0.3)", windows=False),
    "quantile_cont": Aggregate("quantile_cont(v, 0.9)", "quantile_cont(v, 0.9)"),
    "regr_avgx": Aggregate("regr_avgx(v, w)"),
    "regr_avgy": Aggregate("regr_avgy(v, w)"),
    "regr_count": Aggregate("regr_count(v, w)"),
    "regr_intercept": Aggregate("regr_intercept(v, w)"),
    "regr_r2": Aggregate("regr_r2(v, w)"),
    "regr_slope": Aggregate("regr_slope(v, w)"),
    "regr_sxx": Aggregate("regr_sxx(v, w)"),
    "regr_sxy": Aggregate("regr_sxy(v, w)"),
    "regr_syy": Aggregate("regr_syy(v, w)"),
    "stddev": Aggregate("stddev(v)"),
    "stddev_pop": Aggregate("stddev_pop(v)"),
    "stddev_samp": Aggregate("stddev_samp(v)"),
    "string_agg": Aggregate("string_agg(s, ',' ORDER BY k)", windows=False),
    "sum": Aggregate("sum(i)"),
    "var": Aggregate("var(v)", "var_samp(v)"),
    "var_pop": Aggregate("var_pop(v)"),
    "var_population": Aggregate("var_population(v)", "var_pop(v)"),
    "var_samp": Aggregate("var_samp(v)"),
    "var_sample": Aggregate("var_sample(v)", "var_samp(v)"),
}

WINDOWS = {
    "cume_dist": Window("cume_dist()", ties=True),
    "dense_rank": Window("dense_rank()", ties=True),
    "percent_rank": Window("percent_rank()", ties=True),
    "rank": Window("rank()", ties=True),
    "row_number": Window("row_number()"),
    "ntile": Window("ntile(4)"),
    "first_value": Window("first_value(v)", nulls="first_value(v IGNORE NULLS)"),
    "last_value": Window("last_value(v)", nulls="last_value(v IGNORE NULLS)"),
    "nth_value": Window("nth_value(v, 2)", nulls="nth_value(v, 2 IGNORE NULLS)"),
    "lag": Window("lag(v, 3)", nulls="lag(v, 3 IGNORE NULLS)"),
    "lead": Window("lead(v, 2, -1.5)", nulls="lead(v, 2, -1.5 IGNORE NULLS)"),
}

# The same functions over other types and in other forms.
MORE = [
    ("sum of doubles", Aggregate("sum(v)")),
    ("avg of integers", Aggregate("avg(i)")),
    ("count of rows", Aggregate("count(*)")),
    ("count of text", Aggregate("count(s)")),
    ("distinct count", Aggregate("count(DISTINCT s)", windows=False)),
    ("distinct sum", Aggregate("sum(DISTINCT i)", windows=False)),
    ("distinct avg", Aggregate("avg(DISTINCT i)", windows=False)),
    ("min of text", Aggregate("min(s)")),
    ("max of text", Aggregate("max(s)")),
    ("min of integers", Aggregate("min(i)")),
    ("max of dates", Aggregate("max(d)")),
    ("min of booleans", Aggregate("min(b)")),
    ("max of times", Aggregate("max(ts)")),
    ("median of integers", Aggregate("median(i)")),
    ("stddev of integers", Aggregate("stddev(i)")),
    ("lag of text", Window("lag(s)", nulls="lag(s, 1 IGNORE NULLS)")),
    ("lead of integers", Window("lead(i, 1, 0)", nulls="lead(i, 1, 0 IGNORE NULLS)")),
    ("last_value of text", Window("last_value(s)", nulls="last_value(s IGNORE NULLS)")),
    ("ntile of many", Window("ntile(100)")),
]
