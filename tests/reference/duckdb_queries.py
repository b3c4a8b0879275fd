"""Random queries over the table of against_duckdb.py, each as windrow and as DuckDB read it.

Every query has one right answer: windows and results are in a total order wherever the order of equal
rows would count. The texts differ in two things: IGNORE NULLS stands behind the call in windrow and
inside it in DuckDB, and DuckDB gives NaN for a correlation or slope of rows without spread, windrow
NULL as PostgreSQL does.
"""

import random

INSIDE, BEHIND = "\u27e8", "\u27e9"  # where IGNORE NULLS may stand
SPREAD, KNOWN = "\u27ea", "\u27eb"  # around a call that DuckDB gives NaN for
# An order of rows that leaves no two equal; with a partition by symbol, ts is one too.
TOTAL = ["k", "k DESC", "g, k", "g DESC, k DESC", "v NULLS FIRST, k", "v DESC NULLS LAST, k", "s NULLS LAST, k DESC", "ts, symbol"]
TIES = ["g", "g DESC", "d", "ts", "v NULLS FIRST", "i DESC NULLS LAST"]
PARTITIONS = ["", "symbol", "g", "symbol, g", "b", "s"]
AGGREGATES = [
    "sum({n})", "avg({n})", "min({n})", "max({n})", "count({n})", "count(*)", "stddev({n})", "var_pop({n})",
    "corr({n}, w)", "covar_samp({n}, w)", "regr_slope({n}, w)", "median({n})", "avg(i)", "sum(i)", "min(i)",
]
EXACT = ["min({n})", "max({n})", "count({n})", "sum(i)", "min(i)"]
OTHERS = ["max(s)", "min(d)", "bool_or(b)", "bool_and(b)", "bit_xor(i)", "bit_or(i)", "max(b)"]
RANKS = ["rank()", "dense_rank()", "percent_rank()", "cume_dist()"]
NUMBERS = ["v", "w", "i", "v * w", "i + g", "abs(w)", "CASE WHEN b THEN v ELSE w END"]
CONDITIONS = [
    "i > 0", "v IS NOT NULL", "g < 3", "b", "symbol = 'E'", "symbol IN ('C', 'D')", "s = 'NA'", "w < 0.5",
    "k % 3 = 1", "NOT b OR v > 100", "g = 2 AND w > 0", "s IS NULL", "ts >= TIMESTAMP '2024-01-15'",
]


class Query:
    """The random query of a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def texts(self):
        """The query as windrow and as DuckDB read it."""
        text = self.random.choice([
            self.plain, self.plain, self.plain, self.top, self.above, self.grouped, self.qualified, self.distinct,
            self.joined, self.counted,
        ])()
        return self.read(text)

    def read(self, text):
        """A text with marks as windrow and as DuckDB read it."""
        ours = {INSIDE: "", BEHIND: " IGNORE NULLS", SPREAD: "", KNOWN: ""}
        theirs = {INSIDE: " IGNORE NULLS", BEHIND: "", SPREAD: "nullif(", KNOWN: ", 'NaN'::DOUBLE)"}
        return tuple(text.translate(str.maketrans(marks)) for marks in (ours, theirs))

    def maybe(self, share):
        return self.random.random() < share

    def one(self, of):
        return self.random.choice(of)

    # Calls and windows

    def offset(self):
        return self.one([0, 1, 1, 2, 3, 7, 30])

    def rows_frame(self):
        bounds = []
        for _ in range(2):
            n = self.offset()
            bounds.append(self.one([(-n, 0, f"{n} PRECEDING"), (n, 2, f"{n} FOLLOWING"), (0, 1, "CURRENT ROW")]))
        bounds.sort()
        start, end = bounds[0][2], bounds[1][2]
        if self.maybe(0.3):
            start = "UNBOUNDED PRECEDING"
        if self.maybe(0.2):
            end = "UNBOUNDED FOLLOWING"
        return start, end

    def frame(self, units):
        start, end = self.rows_frame()
        if self.maybe(0.25) and start.endswith("PRECEDING"):
            return f" {units} {start}"
        return f" {units} BETWEEN {start} AND {end}"

    def window(self, ordered, framed):
        """A window in a total order (`ordered`) or with equal rows."""
        partition = self.one(PARTITIONS)
        by = f"PARTITION BY {partition} " if partition else ""
        if ordered:
            order = self.one(TOTAL + (["ts", "ts DESC", "ts", "ts"] if "symbol" in partition else []))
            frame = self.frame("ROWS") if framed and self.maybe(0.7) else ""
        elif not framed:
            order, frame = self.one(TIES), ""
        else:
            order = self.one(TIES[:2] if self.maybe(0.5) else TIES)
            units = self.one(["RANGE", "GROUPS", ""]) if order in TIES[:2] else self.one(["GROUPS", ""])
            frame = self.frame(units) if units else ""
            # DuckDB 2.0.1 takes other rows than those of the least g into the first frames that end so.
            frame = frame.replace("AND 0 PRECEDING", "AND CURRENT ROW")
        return f"({by}ORDER BY {order}{frame})"

    def number(self):
        return self.one(NUMBERS)

    def call(self, exact=False):
        """A window call; of a number without a last digit to differ in if `exact`."""
        kind = self.random.random()
        if kind < 0.25:  # a shift
            name = self.one(["lag", "lead"])
            offset = self.one(["", ", 0", ", 1", ", 2", ", 3", ", 5", ", 100", ", -1", ", -2"])
            value = "v" if exact else self.one(["v", "w", "v"])
            default = self.one(["", "", ", -1.5"]) if offset and value == "v" else ""
            nulls = self.maybe(0.5)
            inside, behind = (INSIDE, BEHIND) if nulls else ("", "")
            return f"{name}({value}{offset}{default}{inside}){behind} OVER {self.window(True, self.maybe(0.3))}"
        if kind < 0.45:  # a value of the frame
            name = self.one(["first_value({})", "last_value({})", "nth_value({}, 1)", "nth_value({}, 3)"])
            inside, behind = (INSIDE, BEHIND) if self.maybe(0.4) else ("", "")
            name = name[:-1].format(self.one(["v", "i"] if exact else ["v", "s", "i", "w", "d"]))
            return f"{name}{inside}){behind} OVER {self.window(True, True)}"
        if kind < 0.6:  # a rank
            if self.maybe(0.4):
                return f"{self.one(['row_number()', 'ntile(3)', 'ntile(50)'])} OVER {self.window(True, False)}"
            ranks = RANKS[:2] if exact else RANKS
            return f"{self.one(ranks)} OVER {self.window(False, False)}"
        call = self.one(EXACT if exact else AGGREGATES * 2 + OTHERS).format(n=self.number())
        kept = f" FILTER (WHERE {self.one(CONDITIONS)})" if self.maybe(0.25) else ""
        call = f"{call}{kept} OVER {self.window(self.maybe(0.6), True)}"
        return f"{SPREAD}{call}{KNOWN}" if call.startswith(("corr", "regr")) else call

    # Sources

    def condition(self):
        if self.maybe(0.3):
            return f"({self.one(CONDITIONS)}) AND ({self.one(CONDITIONS)})"
        return self.one(CONDITIONS)

    def source(self, depth=0):
        kind = self.random.random()
        if kind < 0.5 or depth > 1:
            return "t"
        inner = self.source(depth + 1)
        if kind < 0.6:
            return f"(SELECT * FROM {inner} AS a WHERE {self.condition()})"
        if kind < 0.7:
            return f"(SELECT * FROM {inner} AS a ORDER BY {self.one(TOTAL)} LIMIT {self.one([5, 20, 60])} OFFSET {self.one([0, 0, 4])})"
        if kind < 0.8:
            return (f"(SELECT symbol, ts, k, {self.call(exact=True)} AS w, i, g, v, s, b, d FROM "
                    f"(SELECT symbol, ts, k, v, w, i, g, s, b, d FROM {inner} AS a) AS a)")
        if kind < 0.9:
            join = self.one(["JOIN", "LEFT JOIN"])
            on = self.one(["a.k = c.k", "a.symbol = c.symbol AND a.ts = c.ts", "a.k = c.k + 3"])
            return (f"(SELECT a.symbol, a.ts, a.k, c.v, a.w, c.i, a.g, a.s, c.b, a.d FROM {inner} AS a "
                    f"{join} t AS c ON {on})")
        condition = self.one(["g < 3", "w < 0.5", "symbol = 'E'"])
        return f"(SELECT * FROM {inner} AS a WHERE {condition} UNION ALL SELECT * FROM {inner} AS a WHERE NOT {condition})"

    def select(self, calls=None, extra=""):
        calls = calls or self.one([1, 1, 2, 3])
        columns = ", ".join(f"{self.call()} AS x{n}" for n in range(calls))
        where = f" WHERE {self.condition()}" if self.maybe(0.3) else ""
        return f"SELECT k, symbol, g, w, {columns}{extra} FROM {self.source()} AS q{where}", calls

    def end(self):
        order = self.one(["k", "k DESC", "g, k", "w NULLS FIRST, k"])
        limit = f" LIMIT {self.one([1, 3, 10, 40])}" if self.maybe(0.5) else ""
        offset = f" OFFSET {self.one([1, 5, 30])}" if self.maybe(0.2) else ""
        return f" ORDER BY {order}{limit}{offset}"

    # Forms

    def plain(self):
        return self.select()[0] + self.end()

    def top(self):
        rank = f", {self.one(['row_number()', 'rank()'])} OVER (PARTITION BY {self.one(['symbol', 'g'])} ORDER BY {self.one(TOTAL[:4])}) AS n"
        more = f" AND {self.one(['w < 0', 'g > 1', 'x0 IS NOT NULL'])}" if self.maybe(0.4) else ""
        return f"SELECT * FROM ({self.select(extra=rank)[0]}) AS p WHERE n <= {self.one([1, 2, 5])}{more}{self.end()}"

    def above(self):
        kept = self.one(["symbol = 'E'", "symbol >= 'D'", "g = 2", "w > 0", "k < 50", "x0 IS NULL", "symbol = 'D' AND g > 2"])
        return f"SELECT * FROM ({self.select()[0]}) AS p WHERE {kept}{self.end()}"

    def grouped(self):
        select, calls = self.select()
        sums = ", ".join(f"count(x{n})" for n in range(calls))
        return f"SELECT g, count(*), {sums}, sum(w) FROM ({select}) AS p GROUP BY g ORDER BY g"

    def qualified(self):
        columns = ", ".join(f"{self.call()} AS x{n}" for n in range(self.one([1, 2])))
        kept = self.one([
            f"row_number() OVER (PARTITION BY {self.one(['symbol', 'g'])} ORDER BY {self.one(TOTAL)}) <= {self.one([1, 3])}",
            f"{self.call()} IS NULL",
            f"count(*) OVER (PARTITION BY {self.one(['symbol', 'g'])}) > 20",
        ])
        where = f" WHERE {self.condition()}" if self.maybe(0.3) else ""
        return f"SELECT k, g, w, {columns} FROM {self.source()} AS q{where} QUALIFY {kept}{self.end()}"

    def distinct(self):
        select = f"SELECT g, {self.call(exact=True)} AS x0 FROM {self.source()} AS q"
        return f"SELECT DISTINCT x0, g FROM ({select}) AS p ORDER BY x0 NULLS FIRST, g LIMIT 30"

    def joined(self):
        left, right = self.select(1)[0], self.select(1)[0]
        join = self.one(["JOIN", "LEFT JOIN"])
        return f"SELECT p.k, p.g, p.w, p.x0, r.x0 AS y FROM ({left}) AS p {join} ({right}) AS r ON p.k = r.k ORDER BY p.k LIMIT {self.one([5, 200])}"

    def counted(self):
        limit = self.one([3, 15])
        order = self.one(['k', 'k DESC', 'g, k', 'w DESC NULLS LAST, k'])
        return f"SELECT count(*), count(x0), sum(w) FROM ({self.select(1)[0]} ORDER BY {order} LIMIT {limit}) AS p"


class Join(Query):
    """The random join of a seed: with parameters in a CTE of one row, on parts of the key, on less and greater, of
    windows with windows, and by subqueries."""

    KEYS = ["a.k = c.k", "a.symbol = c.symbol AND a.ts = c.ts", "a.symbol = c.symbol", "a.g = c.g", "a.s = c.s",
            "a.i = c.i", "a.symbol = c.symbol AND a.g = c.g", "a.k = c.k + 1", "a.d = c.d"]
    MORE = ["a.ts > c.ts", "a.k < c.k", "a.w <= c.w AND a.g <> c.g", "a.ts BETWEEN c.ts AND c.ts + INTERVAL '9 days'"]
    FEW = ["SELECT 2 AS n, 0.5 AS level", "SELECT max(g) AS n, avg(w) AS level FROM t", "SELECT g AS n, w AS level FROM t WHERE k = 3",
           "SELECT 1 AS n, 0.1 AS level UNION ALL SELECT 2, 0.2", "SELECT g AS n, w AS level FROM t WHERE k < 0"]

    def texts(self):
        """The join as windrow and as DuckDB read it."""
        text = self.one([self.parameters, self.parameters, self.keys, self.keys, self.windows, self.subquery, self.three])()
        return text, text

    def sums(self, of):
        return ", ".join(["count(*)", *(f"sum({x})" for x in of)])

    def parameters(self):
        """Parameters as dbt's users write them: a cross join with a CTE of one row, or of few."""
        few = self.one(self.FEW)
        cross = self.one(["t AS a CROSS JOIN p", "t AS a, p", "p CROSS JOIN t AS a", "t AS a JOIN p ON true", "p, t AS a",
                          "t AS a JOIN p ON a.g = p.n", "t AS a LEFT JOIN p ON a.g <= p.n", "t AS a JOIN p ON a.w > p.level"])
        where = self.one(["", "", " WHERE a.g >= p.n", " WHERE a.w > p.level", " WHERE a.symbol = 'E'"])
        window = self.one(["sum(a.w) OVER (PARTITION BY a.symbol ORDER BY a.ts ROWS 3 PRECEDING)", "a.w * p.level",
                           "lag(a.w) OVER (PARTITION BY a.symbol ORDER BY a.ts)"])
        if few.startswith("SELECT 1") and "OVER" in window:
            window = "a.w * p.level"  # two rows of one time have no one order
        return f"WITH p AS ({few}) SELECT a.k, p.n, {window} AS x FROM {cross}{where} ORDER BY a.k, p.n"

    def keys(self):
        join = self.one(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        on = self.one(self.KEYS) + (f" AND {self.one(self.MORE)}" if self.maybe(0.3) else "")
        if self.maybe(0.2):
            join, on = "JOIN", self.one(self.MORE)
        where = f" WHERE a.{self.one(['g < 3', 'w > 0', 'k % 2 = 0'])}" if self.maybe(0.3) else ""
        return f"SELECT {self.sums(['a.w', 'c.w', 'a.k * c.g'])} FROM t AS a {join} t AS c ON {on}{where}"

    def windows(self):
        window = lambda: f"SELECT k, symbol, ts, {self.one(['avg(w)', 'max(w)', 'sum(g)'])} OVER (PARTITION BY symbol ORDER BY ts ROWS {self.offset()} PRECEDING) AS x FROM t"
        key = self.one(["a.k = c.k", "a.symbol = c.symbol AND a.ts = c.ts", "a.symbol = c.symbol AND a.k < c.k"])
        return f"SELECT {self.sums(['a.x', 'c.x', 'a.x * c.x'])} FROM ({window()}) AS a {self.one(['JOIN', 'LEFT JOIN'])} ({window()}) AS c ON {key}"

    def subquery(self):
        condition = self.one([
            "k IN (SELECT k + 1 FROM t WHERE g = 2)", "k NOT IN (SELECT k FROM t WHERE w > 0)",
            "EXISTS (SELECT 1 FROM t AS c WHERE c.symbol = a.symbol AND c.g > a.g)",
            "NOT EXISTS (SELECT 1 FROM t AS c WHERE c.symbol = a.symbol AND c.k = a.k + 1)",
            "w > (SELECT avg(w) FROM t)", "w > (SELECT avg(c.w) FROM t AS c WHERE c.symbol = a.symbol)",
            "g = (SELECT max(g) FROM t AS c WHERE c.s = a.s)",
        ])
        return f"SELECT k, w FROM t AS a WHERE {condition} ORDER BY k"

    def three(self):
        first, second = self.one(self.KEYS[:2] + self.KEYS[6:8]), self.one(self.KEYS[:2] + self.KEYS[7:])
        second = second.replace("c.", "e.")
        return f"SELECT {self.sums(['a.w', 'c.w', 'e.w'])} FROM t AS a {self.one(['JOIN', 'LEFT JOIN'])} t AS c ON {first} {self.one(['JOIN', 'LEFT JOIN'])} t AS e ON {second}"
