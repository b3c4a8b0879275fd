"""Random statements over the table of against_duckdb.py, of the kinds that windows and joins alone do not reach.

Each kind is a method that gives one text; every result is in a total order. What windrow says of forms that it
does not have stands in REFUSED.
"""

from duckdb_expressions import COLUMNS, COMPARE, PARTS, STEPS, UNITS, both, texts_of
from duckdb_relations import Relations

# Parts of what windrow says of forms that it openly does not have; in statements with such subqueries, of those.
REFUSED = [
    " is not supported",
    " are not supported",
    "is in more than one table; put the table's name before it",
    "an INTERVAL is compared by operators only",
    "those have no order",
    "compute the same; compute it once",
    "differ by a cast only",
    "a frame starts behind its end",
]
# Valid statements that DataFusion 55.2 does not plan, each with the words that it fails with: correlated subqueries over
# renamed columns, sorts by a comparison with the result of a function, and keys of windows that differ by a name (which
# only a debug build holds against each other).
OPEN = ["unknown column", "engine cannot compute", "shall have the same sort keys", "is there twice"]
REFUSED_SUBQUERIES = [
    "a subquery stands where it cannot be computed for each row",
    "cannot read columns of the query around it",
    "that reads columns of the query around it cannot have",
    "behind ANY, ALL or SOME cannot stand here",
    "must be aggregated to return at most one row",
    "GROUP BY stands in a subquery that reads columns",
]
# Words that no refusal has: the engine failed.
BROKEN = ["Internal", "internal error", "engine cannot compute", "panicked", "please report"]


def refused(error, kind):
    """Whether an error openly says that windrow does not have a form that statements of a kind have."""
    if any(part in error for part in OPEN):
        return True
    words = REFUSED + (REFUSED_SUBQUERIES if kind in ("membership", "correlated") else [])
    return any(part in error for part in words) and not any(part in error for part in BROKEN)


class Statement(Relations):
    """The random statement of a seed; `kind` names what it tries."""

    KINDS = ["membership", "correlated", "sets", "joins", "instants", "groups", "values", "queries", "windows"]

    def texts(self):
        """The statement as windrow and as DuckDB read it."""
        self.kind = self.one(self.KINDS)
        ours, theirs = texts_of(getattr(self, self.kind)())
        return self.read(ours)[0], self.read(theirs)[1]

    def typed(self, x="", depth=1):
        """An expression of some type; of text so that '' and NULL differ."""
        kind = self.one(["integer", "integer", "double", "text", "text", "boolean", "boolean", "moment", "day"])
        made = getattr(self, kind)(x, depth)
        return f"'<' || coalesce({made}, '~') || '>'" if kind == "text" and self.maybe(0.5) else made

    # Values

    def values(self):
        """Expressions over NULLs and edges, of columns and of constants."""
        kind = self.random.random()
        depth = self.one([1, 2, 2, 3])
        if kind < 0.15:
            self.constants = 1.0
            columns = ", ".join(f"{self.typed('', depth)} AS x{n}" for n in range(4))
            return f"SELECT {columns} FROM t WHERE k = 1"
        columns = [self.typed("", depth) for _ in range(self.one([1, 2, 3]))]
        listed = ", ".join(f"{column} AS x{n}" for n, column in enumerate(columns))
        p = self.boolean("", self.one([1, 2, 3]))
        if kind < 0.3:
            return f"SELECT k, {listed} FROM t WHERE {p} AND {columns[0]} IS NOT NULL {self.by(['k'])}{self.cut()}"
        if kind < 0.4:
            where = self.one(["x0 IS NULL", "x0 = x0", "x0 IS NOT NULL"])
            return (f"SELECT k, x0 FROM (SELECT k, {listed} FROM {self.rows()} AS r) AS q WHERE {where} "
                    f"{self.by(['x0', 'k'])}{self.cut()}")
        if kind < 0.45:
            # A name of ORDER BY is that of the result.
            made = self.one([("i", self.integer), ("s", self.text), ("v", self.double), ("b", self.boolean),
                             ("d", self.day)])
            return (f"SELECT k, {made[1]('', 1)} AS {made[0]} FROM t WHERE {p} ORDER BY {made[0]} {self.nulls()}, "
                    f"k{self.cut()}")
        if kind < 0.5:
            return f"SELECT count(*), count(x0), sum(k) FROM (SELECT k, {listed} FROM t WHERE {p}) AS q"
        if kind < 0.6:
            # DuckDB sorts by no constant.
            first, second = (one if one not in ("true", "false") else "b" for one in (columns[0], self.boolean("", 1)))
            return f"SELECT k, {listed} FROM t ORDER BY {first} {self.nulls()}, {second} {self.nulls()}, k{self.cut()}"
        where = f" WHERE {p}" if self.maybe(0.8) else ""
        return f"SELECT k, {listed} FROM {self.rows()} AS r{where} {self.by(['k'])}{self.cut()}"

    # Times

    def instants(self):
        """Times, their parts, and their differences."""
        return self.one([self.moments, self.moments, self.gaps, self.gaps, self.gap_groups, self.ranges, self.ranges,
                         self.binned])()

    def moments(self):
        made = [
            lambda: self.moment("", 2),
            lambda: self.day("", 2),
            lambda: f"date_part('{self.one(PARTS)}', {self.one([self.moment('', 1), 'fine', 'whole', 'd'])})",
            lambda: f"extract({self.one(UNITS)} FROM {self.moment('', 1)})",
            lambda: f"date_part('epoch', {self.one(['ts', 'fine', 'd'])})",
            lambda: f"date_part('epoch', {self.moment('', 0)} - {self.moment('', 0)})",
            lambda: f"d {self.one(COMPARE)} {self.moment('', 1)}",
            lambda: f"(d - DATE '{self.one(['2022-01-10', '2022-04-30'])}')",
            # A day and an interval of days are a day in windrow.
            lambda: f"CAST(d {self.one('+-')} INTERVAL '{self.one(['1 day', '36 hours', '1 month'])}' AS TIMESTAMP)",
            lambda: f"date_trunc('{self.one(UNITS)}', {self.one(['fine', 'whole', 'd'])})",
            lambda: f"whole + INTERVAL '{self.one(STEPS)}'",
            lambda: f"greatest({self.moment('', 1)}, {self.one(['fine', 'whole', 'CAST(d AS TIMESTAMP)'])})",
            lambda: f"coalesce({self.one(['fine', 'whole'])}, ts)",
            lambda: f"CASE WHEN b THEN {self.one(['fine', 'whole', 'd'])} ELSE ts END",
        ]
        columns = ", ".join(f"{self.one(made)()} AS x{n}" for n in range(self.one([1, 2, 3])))
        p = self.times("")
        where = f" WHERE {self.within(p, '', 1) if self.maybe(0.5) else p}"
        return (f"SELECT k, {columns} FROM {self.rows() if self.maybe(0.3) else 't'} AS r{where} "
                f"{self.by(['k'])}{self.cut()}")

    def gap(self):
        """The difference of two times."""
        window = self.one(["PARTITION BY symbol ORDER BY ts", "ORDER BY k", "PARTITION BY g ORDER BY k"])
        return self.one([
            f"ts - lag(ts) OVER ({window})", f"lead(ts) OVER ({window}) - ts", f"fine - lag(fine) OVER ({window})",
            "ts - fine", "ts - CAST(d AS TIMESTAMP)", "ts - date_trunc('month', ts)", "whole - ts",
            f"ts - min(ts) OVER ({window})",
        ])

    def length(self):
        return f"INTERVAL '{self.one(STEPS + ['1 month', '30 days', '720 hours', '31 days', '5 days'])}'"

    def gap_compared(self, gap):
        op, step, negated = self.one(COMPARE), self.length(), self.maybe_not()
        return self.one([
            f"{gap} {op} {step}",
            f"{gap} {op} {step}",
            f"{step} {op} {gap}",
            f"{gap} {negated}BETWEEN INTERVAL '1 day' AND {step}",
            f"{gap} {negated}IN ({step}, {self.length()}, INTERVAL '1 day')",
            f"({gap} IS {negated}DISTINCT FROM {step})",
            f"({gap}) IS NULL",
            f"greatest({gap}, {step}) = {step}",
            f"coalesce({gap}, {step}) {op} INTERVAL '2 days'",
            f"CASE WHEN b THEN {gap} ELSE {step} END {op} {self.length()}",
            f"nullif({gap}, {step}) IS NULL",
            f"{gap} + {step} {op} {self.length()}",
        ])

    def gaps(self):
        kind = self.random.random()
        gap = self.gap()
        inner = f"(SELECT {', '.join(COLUMNS)}, {gap} AS gap FROM {self.rows() if self.maybe(0.2) else 't'} AS r) AS q"
        if kind < 0.3:
            return (f"SELECT k, {self.gap_compared('gap')} AS x, {self.gap_compared('gap')} AS y FROM {inner} "
                    f"{self.by(['k'])}{self.cut()}")
        if kind < 0.6:
            p = self.gap_compared("gap")
            return (f"SELECT k FROM {inner} WHERE {self.within(p, '', 1) if self.maybe(0.5) else p} "
                    f"{self.by(['k'])}{self.cut()}")
        if kind < 0.7:
            return f"SELECT k, date_part('epoch', gap) AS x FROM {inner} {self.by(['gap', 'k'])}{self.cut()}"
        if kind < 0.8 and "OVER" in gap:
            return f"SELECT k FROM t QUALIFY {self.gap_compared(f'({gap})')} {self.by(['k'])}{self.cut()}"
        if kind < 0.9:
            return f"SELECT k, rank() OVER (ORDER BY gap {self.nulls()}) AS x FROM {inner} {self.by(['k'])}{self.cut()}"
        return (f"SELECT a.k, c.k AS y FROM {inner.replace('AS q', 'AS a')} JOIN {inner.replace('AS q', 'AS c')} ON "
                f"a.gap = c.gap AND a.k < c.k {self.by(['a.k', 'c.k'])}{self.cut()}")

    def gap_groups(self):
        gap = self.gap()
        inner = f"(SELECT k, g, {gap} AS gap FROM t) AS q"
        step = self.length()
        return self.one([
            f"SELECT count(*), min(k), max(k) FROM {inner} GROUP BY gap {self.by(['gap'])}",
            f"SELECT date_part('epoch', gap) AS x, count(*) AS n FROM {inner} GROUP BY gap HAVING gap > {step} "
            f"{self.by(['x'])}",
            f"SELECT count(*), count(DISTINCT gap) FROM {inner}",
            f"SELECT count(*) FROM (SELECT DISTINCT gap, g FROM {inner}) AS p",
            f"SELECT g, min(gap) {self.one(COMPARE)} {step}, max(gap) {self.one(COMPARE)} {step} FROM {inner} GROUP BY "
            f"g ORDER BY g",
            f"SELECT date_part('epoch', max(gap)) AS x, date_part('epoch', min(gap)) AS y FROM {inner}",
            f"SELECT g, count(*) FILTER (WHERE gap > {step}) AS n FROM {inner} GROUP BY g ORDER BY g",
            f"SELECT {self.gap_compared('gap')} AS x, count(*) FROM (SELECT b, {gap} AS gap FROM t) AS q GROUP BY 1 "
            f"{self.by(['x'])}",
        ])

    def ranges(self):
        """Frames of intervals over times."""
        by = self.one(["ts", "ts DESC", "d", "d DESC", "fine NULLS FIRST", "fine DESC NULLS LAST", "whole NULLS LAST",
                       "CAST(d AS TIMESTAMP)", "date_trunc('week', ts)"])
        steps = sorted(self.random.choices([(1, "1 day"), (2, "36 hours"), (3, "2 days"), (4, "1 week"),
                                            (5, "1 month"), (6, "1 year")], k=2))
        if by.startswith("d"):
            steps = [(n, step.replace("36 hours", "2 days")) for n, step in steps]
        near, far = (step for _, step in steps)
        frame = self.one([
            f"BETWEEN INTERVAL '{far}' PRECEDING AND CURRENT ROW",
            f"BETWEEN INTERVAL '{near}' PRECEDING AND INTERVAL '{far}' FOLLOWING",
            f"BETWEEN INTERVAL '{far}' PRECEDING AND INTERVAL '{near}' PRECEDING",
            f"BETWEEN INTERVAL '{near}' FOLLOWING AND INTERVAL '{far}' FOLLOWING",
            f"BETWEEN UNBOUNDED PRECEDING AND INTERVAL '{near}' PRECEDING",
            f"BETWEEN INTERVAL '{near}' FOLLOWING AND UNBOUNDED FOLLOWING",
            f"BETWEEN CURRENT ROW AND INTERVAL '{far}' FOLLOWING",
            f"INTERVAL '{near}' PRECEDING",
        ])
        partition = self.one(["", "PARTITION BY symbol ", "PARTITION BY symbol ", "PARTITION BY g "])
        calls = ["sum(i)", "count(*)", "min(v)", "max(s)", "avg(w)", "count(i)", "count(*) FILTER (WHERE b)",
                 "count(DISTINCT g)"]
        over = f"({partition}ORDER BY {by} RANGE {frame})"
        columns = ", ".join(f"{call} OVER {over} AS x{n}" for n, call in enumerate(self.random.sample(calls, 2)))
        where = f" WHERE {self.boolean('', 1)}" if self.maybe(0.4) else ""
        return f"SELECT k, {columns} FROM t{where} {self.by(['k'])}{self.cut()}"

    def binned(self):
        key = self.one([self.bin(self.one(["ts", "fine"])),
                        f"date_trunc('{self.one(UNITS)}', {self.one(['ts', 'fine', 'd'])})",
                        f"date_part('{self.one(PARTS)}', {self.one(['ts', 'd', 'fine'])})", "CAST(ts AS DATE)",
                        "CAST(fine AS DATE)"])
        having = self.one(["", "", f" HAVING count(*) > {self.one([1, 4])}",
                           " HAVING min(ts) > TIMESTAMP '2024-01-15 00:00:00'"])
        return (f"SELECT {key} AS x, count(*) AS n, sum(i) AS y, min(fine) AS z FROM {self.rows()} AS r WHERE "
                f"{self.times('')} GROUP BY 1{having} {self.by(['x'])}{self.cut()}")

    # Groups

    def aggregate(self, x="", numeric=False):
        kinds = [
            lambda: "count(*)",
            lambda: f"count({self.typed(x, 0)})",
            lambda: f"sum({self.integer(x, self.one([0, 1]))})",
            lambda: f"{self.one(['min', 'max'])}({self.integer(x, self.one([0, 1]))})",
            lambda: f"count(DISTINCT {self.one([self.integer(x, 0), self.text(x, 0), self.boolean(x, 0)])})",
            lambda: f"sum(DISTINCT {self.integer(x, 0)})",
            lambda: f"count({self.boolean(x, 1)})",
        ]
        if not numeric:
            kinds += [
                lambda: f"avg({self.double(x, self.one([0, 1]))})",
                lambda: f"{self.one(['sum', 'min', 'count'])}(CAST({x}{self.one(['i', 'g'])} AS "
                        f"{self.one(['DOUBLE', 'BIGINT'])}))",
                lambda: f"sum({self.double(x, 0)})",
                lambda: f"{self.one(['min', 'max'])}({self.one([self.text, self.double])(x, 0)})",
                lambda: f"{self.one(['min', 'max'])}({self.one([self.moment, self.day])(x, 0)})",
                lambda: f"{self.one(['bool_and', 'bool_or', 'min', 'max'])}({self.boolean(x, 0)})",
                lambda: f"string_agg({x}s, ',' ORDER BY {x}k{self.one(['', ' DESC'])})",
                lambda: f"string_agg(DISTINCT {x}s, ',' ORDER BY {x}s)",
                lambda: f"median({x}v)",
                lambda: f"{self.one(['bit_and', 'bit_or', 'bit_xor'])}({x}i)",
            ]
        call = self.one(kinds)()
        if self.maybe(0.25):
            call += f" FILTER (WHERE {self.boolean(x, self.one([0, 1]))})"
        return call

    def having(self, x=""):
        a, b = self.aggregate(x, numeric=True), self.aggregate(x, numeric=True)
        return self.one([
            f"{a} {self.one(COMPARE)} {self.one([0, 1, 5, 20])}",
            f"{a} IS {self.maybe_not()}NULL",
            f"NOT ({a} > 3 AND {b} < 10)",
            f"({a} > 0) IS {self.maybe_not()}TRUE",
            f"{a} {self.one(COMPARE)} {b}",
            f"{a} IN (1, 2, 3, NULL) OR {b} > 5",
            f"coalesce({a}, 0) {self.one(COMPARE)} 4",
        ])

    def key(self):
        self.constants = 0  # A whole number alone would be the place of a column.
        return self.one(["g", "s", "symbol", "b", "i % 3", "upper(s)", "length(s)", "date_trunc('month', ts)",
                         "coalesce(s, 'none')",
                         "CASE WHEN i > 0 THEN 'up' WHEN i < 0 THEN 'down' END", "nullif(g, 3)", "i IS NULL", "g + 1",
                         "d",
                         self.boolean("", 1), self.text("", 1), self.integer("", 1)])

    def groups(self):
        """GROUP BY in its forms, HAVING, DISTINCT."""
        return self.one([self.grouped_by, self.grouped_by, self.grouping_sets, self.grouping_sets, self.of_all,
                         self.distinct_rows,
                         self.distinct_on, self.twice])()

    def grouped_by(self):
        keys = [self.key() for _ in range(self.one([1, 1, 2, 3]))]
        if self.maybe(0.1):
            keys.append(self.one(["1", "'all'", "true", "NULL"]))
            keys[-1] = f"CAST({keys[-1]} AS VARCHAR)"
        names = [f"x{n}" for n in range(len(keys))]
        style = self.one(["number", "name", "expression"])
        by = {"number": [str(n + 1) for n in range(len(keys))], "name": names, "expression": keys}[style]
        calls = [self.aggregate() for _ in range(self.one([1, 2, 3]))]
        columns = ", ".join([f"{key} AS {name}" for key, name in zip(keys, names)]
                            + [f"{call} AS y{n}" for n, call in enumerate(calls)])
        where = f" WHERE {self.boolean('', 1)}" if self.maybe(0.4) else self.one(["", " WHERE k < 0"])
        having = f" HAVING {self.having()}" if self.maybe(0.4) else ""
        first = f"count(*) {self.one(['', 'DESC'])}, " if self.maybe(0.3) else ""
        order = self.by(names).replace("ORDER BY ", f"ORDER BY {first}")
        return f"SELECT {columns} FROM {self.rows()} AS r{where} GROUP BY {', '.join(by)}{having} {order}{self.cut()}"

    def grouping_sets(self):
        keys = self.random.sample(["g", "s", "symbol", "b"], self.one([2, 2, 3]))
        listed = ", ".join(keys)
        subsets = [self.random.sample(keys, self.random.randrange(len(keys) + 1)) for _ in range(self.one([2, 3]))]
        sets = ", ".join(f"({', '.join(subset)})" for subset in subsets)
        form = self.one([f"ROLLUP({listed})", f"CUBE({listed})", f"GROUPING SETS ({sets})",
                         f"{keys[0]}, ROLLUP({', '.join(keys[1:])})"])
        grouped = "SETS" not in form or all(any(key in subset for subset in subsets) for key in keys)
        marks = [f"grouping({key})" for key in keys] if grouped else []
        columns = ", ".join(keys + [f"{mark} AS m{n}" for n, mark in enumerate(marks)]) if marks else "count(*) AS n"
        calls = [self.aggregate() for _ in range(2)]
        names = keys + [f"m{n}" for n in range(len(marks))] if marks else ["n", "y0", "y1"]
        if not marks:
            calls = [f"sum({self.integer('', 0)})", f"count({self.text('', 0)})"]
        having = f" HAVING {self.having()}" if self.maybe(0.3) else ""
        where = f" WHERE {self.boolean('', 1)}" if self.maybe(0.3) else self.one(["", "", " WHERE k < 0"])
        more = ", ".join(f"{call} AS y{n}" for n, call in enumerate(calls))
        return (f"SELECT {columns}, {more} FROM {self.rows()} AS r{where} GROUP BY {form}{having} "
                f"{self.by(names)}{self.cut()}")

    def of_all(self):
        """Aggregates of all rows, and of none."""
        columns = ", ".join(f"{self.aggregate()} AS y{n}" for n in range(self.one([1, 2, 4])))
        where = f" WHERE {self.one([self.boolean('', 2), 'k < 0', 'i > 1000', 'false'])}" if self.maybe(0.7) else ""
        having = f" HAVING {self.having()}" if self.maybe(0.3) else ""
        return f"SELECT {columns} FROM {self.rows()} AS r{where}{having}"

    def distinct_rows(self):
        keys = [self.one([self.key(), self.typed("", 1)]) for _ in range(self.one([1, 2]))]
        names = [f"x{n}" for n in range(len(keys))]
        columns = ", ".join(f"{key} AS {name}" for key, name in zip(keys, names))
        where = f" WHERE {self.boolean('', 1)}" if self.maybe(0.5) else ""
        return f"SELECT DISTINCT {columns} FROM {self.rows()} AS r{where} {self.by(names)}{self.cut()}"

    def distinct_on(self):
        keys = [self.key() for _ in range(self.one([1, 2]))]
        order = ", ".join(f"{key} {self.nulls()}" for key in keys)
        more = self.one(["k", "k DESC", f"i {self.nulls()}, k", "w, k", f"s {self.nulls()}, k DESC"])
        where = f" WHERE {self.boolean('', 1)}" if self.maybe(0.4) else ""
        return (f"SELECT DISTINCT ON ({', '.join(keys)}) k, i, s, w FROM {self.rows()} AS r{where} ORDER BY {order}, "
                f"{more}{self.cut()}")

    def twice(self):
        """Groups of groups."""
        inner = f"SELECT g, s, count(*) AS n, sum(i) AS i, max(v) AS v FROM {self.rows()} AS r GROUP BY g, s"
        if self.maybe(0.4):
            inner += f" HAVING {self.having()}"
        where = self.one(["", " WHERE n > 2", " WHERE s IS NULL", " WHERE g < 3 AND i > 0",
                          " WHERE g = 2 OR s = 'NA'", " WHERE NOT (i > 0)"])
        return (f"SELECT g, count(*), sum(n), sum(i), max(v), count(DISTINCT s) FROM ({inner}) AS q{where} GROUP BY g "
                f"ORDER BY g")

    # WITH

    def queries(self):
        """WITH queries, VALUES, recursion, constants."""
        p, q = self.boolean("", 1), self.boolean("", 1)
        n, m = self.one([1, 3, 10]), self.one([2, 5])
        cut = f"SELECT * FROM t ORDER BY {self.one(['k', 'k DESC', 'g, k', 'w DESC, k'])} LIMIT {n}"
        values = self.one(["VALUES (1, 'red'), (2, NULL), (NULL, 'green'), (2, 'NA')",
                           "SELECT 1, 'red' UNION ALL SELECT 2, 'grey' UNION ALL SELECT 2, 'grey'",
                           "VALUES (0, 'blue')", "SELECT NULL, 'red' UNION ALL SELECT 3, NULL"])
        join = self.one(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        return self.one([
            f"WITH p AS (SELECT * FROM {self.rows()} AS r WHERE {p}) SELECT a.k, c.k AS y FROM p AS a {join} p AS c ON "
            f"a.k = c.k + {n} {self.by(['a.k', 'c.k'])}{self.cut()}",
            f"WITH p AS ({cut}) SELECT a.k, {self.typed('a.', 1)} AS x, c.k AS y FROM p AS a, p AS c "
            f"{self.by(['a.k', 'c.k'])}{self.cut()}",
            f"WITH p AS ({cut}) SELECT k, {self.typed('', 1)} AS x FROM p WHERE {q} {self.by(['k'])}",
            f"WITH p AS (SELECT * FROM t WHERE {p}), q AS (SELECT g, count(*) AS n, sum(i) AS i FROM p GROUP BY g) "
            f"SELECT p.k, q.n, q.i FROM p {join} q ON p.g = q.g + 1 {self.by(['p.k', 'q.n', 'q.i'])}{self.cut()}",
            f"WITH p AS (WITH q AS (SELECT k, g, i, s, b FROM t WHERE k < 60) SELECT k, g, s, b, i + {n} AS i FROM q "
            f"WHERE g > 0) "
            f"SELECT count(*), sum(i), (SELECT count(*) FROM p WHERE i IS NULL) AS x FROM p WHERE i > {m} OR b",
            f"WITH one AS (SELECT k AS x, w AS y FROM t WHERE {p} ORDER BY k LIMIT 1) SELECT t.k, one.x FROM t CROSS "
            f"JOIN one WHERE t.w > one.y {self.by(['k'])}{self.cut()}",
            f"WITH one AS (SELECT g AS x FROM t ORDER BY k LIMIT 1 OFFSET {n}) SELECT k FROM t WHERE g "
            f"{self.one(COMPARE)} (SELECT x FROM one) {self.by(['k'])}{self.cut()}",
            f"WITH RECURSIVE r AS (SELECT 1 AS n, {m} AS x UNION ALL SELECT n + 1, x * 2 - n FROM r WHERE n < {n}) "
            f"SELECT n, x FROM r ORDER BY n",
            f"WITH RECURSIVE r AS (SELECT k, g, 0 AS depth FROM t WHERE k = {n} UNION ALL SELECT t.k, t.g, r.depth + 1 "
            f"FROM r JOIN t ON t.k = r.k + {m} WHERE r.depth < 4) "
            f"SELECT k, g, depth FROM r {self.by(['k'])}",
            f"WITH RECURSIVE r AS (SELECT {n} AS n UNION SELECT (n * {m}) % 7 FROM r) SELECT n FROM r ORDER BY n",
            f"SELECT q.x, q.y FROM ({values}) AS q(x, y) WHERE "
            f"{self.one(['q.x > 1', 'q.y IS NULL', 'q.x IS NOT NULL', 'true'])} {self.by(['x', 'y'])}",
            f"SELECT t.k, q.x, q.y FROM t {join} ({values}) AS q(x, y) ON "
            f"{self.one(['t.g = q.x', 't.s = q.y', 't.g = q.x AND t.s = q.y'])} "
            f"{self.by(['t.k', 'q.x', 'q.y'])}{self.cut()}",
            f"SELECT q.n, count(t.k) AS y FROM generate_series(0, {n}) AS q(n) LEFT JOIN t ON t.g = q.n GROUP BY q.n "
            f"ORDER BY q.n",
            f"SELECT (SELECT count(*) FROM t WHERE {p}) AS x, (SELECT max(i) FROM t WHERE {q}) AS y",
            f"SELECT k, x FROM (SELECT k, {self.typed('', 1)} AS x FROM ({cut}) AS a UNION ALL SELECT -1, NULL) AS q "
            f"{self.by(['k'])}",
            f"WITH t AS (SELECT * FROM t WHERE {p}) SELECT k, g FROM t WHERE {q} {self.by(['k'])}{self.cut()}",
            f"WITH p(x, y) AS (SELECT g, sum(i) FROM t GROUP BY g) SELECT a.x, a.y, (SELECT max(c.y) FROM p AS c WHERE "
            f"c.x < a.x) AS z FROM p AS a ORDER BY a.x",
            f"SELECT * FROM (SELECT k, g, s FROM ({cut}) AS a ORDER BY k DESC LIMIT {m}) AS q WHERE g > 1 "
            f"{self.by(['k'])}",
            f"SELECT x, count(*) AS n FROM (SELECT {self.typed('', 1)} AS x FROM t UNION ALL SELECT NULL FROM t "
            f"WHERE {q}) AS u GROUP BY x {self.by(['x'])}",
        ])

    # Windows

    def windows(self):
        """Windows over groups, with DISTINCT, in ORDER BY, of expressions; QUALIFY."""
        return self.one([self.over_groups, self.over_groups, self.counted_apart, self.in_order, self.in_expressions,
                         self.in_expressions, self.above_windows, self.named])()

    def over_groups(self):
        keys = self.one([["g"], ["s"], ["g", "s"], ["symbol", "g"], ["g", "b"]])
        order = f"{self.by(keys)}"
        total = self.one(["sum(i)", "count(*)", "max(i)", "sum(g)", "count(DISTINCT s)"])
        ranked = f"ORDER BY {total} {self.nulls()}, {', '.join(f'{key} {self.nulls()}' for key in keys)}"
        part = f"PARTITION BY {keys[0]} " if len(keys) > 1 and self.maybe(0.5) else ""
        calls = [
            f"rank() OVER ({part}ORDER BY {total} {self.nulls()})", f"row_number() OVER ({part}{ranked})",
            f"sum({total}) OVER ({part}{order})",
            f"lag({total}) OVER ({part}{ranked})", f"sum(sum(w)) OVER ({part}{order} ROWS 2 PRECEDING)",
            f"{total} - lag({total}, 1, 0) OVER ({order})",
            f"max(count(*)) OVER ({part.strip()})", f"count(*) OVER ({part.strip()})",
            f"first_value({total}) OVER ({part}{ranked})",
            f"sum(i) * 1.0 / nullif(sum(sum(i)) OVER (), 0)", f"dense_rank() OVER (ORDER BY {keys[0]} {self.nulls()})",
        ]
        columns = ", ".join(f"{call} AS x{n}" for n, call in enumerate(self.random.sample(calls, 2)))
        where = f" WHERE {self.boolean('', 1)}" if self.maybe(0.4) else ""
        having = f" HAVING {self.having()}" if self.maybe(0.3) else ""
        kept = f" QUALIFY {self.one(calls[:2])} <= {self.one([1, 2, 5])}" if self.maybe(0.4) else ""
        return (f"SELECT {', '.join(keys)}, {total} AS y, {columns} FROM {self.rows()} AS r{where} GROUP BY "
                f"{', '.join(keys)}{having}{kept} {order}{self.cut()}")

    def counted_apart(self):
        """DISTINCT in windows."""
        call = self.one(["count(DISTINCT {})", "count(DISTINCT {})", "sum(DISTINCT i)",
                         "count(DISTINCT {}) FILTER (WHERE b)", "max(DISTINCT i)"])
        call = call.format(self.one([self.integer("", 0), self.text("", 0), "b", "g", "d"]))
        return (f"SELECT k, {call} OVER {self.window(self.maybe(0.6), True)} AS x, count(*) OVER "
                f"{self.window(True, True)} AS y FROM {self.rows()} AS r {self.by(['k'])}{self.cut()}")

    def in_order(self):
        call = self.call(exact=True)
        where = f" WHERE {self.boolean('', 1)}" if self.maybe(0.4) else ""
        distinct = (f"SELECT DISTINCT g, {self.one(['rank', 'dense_rank'])}() OVER (ORDER BY g) AS x FROM t{where} "
                    f"ORDER BY g")
        return self.one([f"SELECT k FROM t{where} ORDER BY {call} {self.nulls()}, k{self.cut()}",
                         f"SELECT k, {call} AS x FROM t{where} ORDER BY x {self.nulls()}, k{self.cut()}", distinct])

    def in_expressions(self):
        """Windows within expressions, and expressions within windows."""
        part = self.one(["g", "s", "symbol", "i % 2", "b", "upper(s)", "i IS NULL", "length(s), g",
                         self.boolean("", 1)])
        arg = self.one([self.integer("", 1), self.integer("", 0)])
        order = self.one(["k", f"{self.integer('', 1)} {self.nulls()}, k", f"{self.text('', 1)} {self.nulls()}, k",
                          f"{self.boolean('', 0)} {self.nulls()}, k"])
        kept = f" FILTER (WHERE {self.boolean('', 1)})" if self.maybe(0.3) else ""
        frame = self.frame("ROWS") if self.maybe(0.5) else ""
        over = f"(PARTITION BY {part} ORDER BY {order}{frame})"
        plain = f"(PARTITION BY {part} ORDER BY {order})"
        same = self.one(["i * 1", "CAST(i AS DOUBLE)", "CASE WHEN true THEN i END"])
        calls = [
            f"i - max({arg}){kept} OVER {over}", f"coalesce(lag({arg}) OVER {plain}, {arg}, 0)",
            f"CASE WHEN lag(b) OVER {plain} THEN i ELSE sum({arg}){kept} OVER {over} END",
            f"count(*){kept} OVER {over} > 3", f"sum(CASE WHEN {self.boolean('', 1)} THEN 1 ELSE 0 END) OVER {over}",
            f"(min({arg}) OVER {over}) = i",
            f"nullif(count({arg}){kept} OVER {over}, 0)", f"row_number() OVER {plain} % 3",
            f"sum({arg}) OVER {over} + sum({arg}) OVER {over}",
            f"first_value({arg}) OVER {over} IS NULL", f"sum(i) OVER {over} - sum({same}) OVER {over}",
            f"sum(i) FILTER (WHERE {self.one(['true', 'i = i', 'k >= 0'])}) OVER {over} - sum(i) OVER {over}",
            f"max({self.text('', 1)}) OVER {over} || '!'", f"count({self.boolean('', 1)}) OVER {over}",
        ]
        columns = ", ".join(f"{call} AS x{n}" for n, call in enumerate(self.random.sample(calls, self.one([1, 2]))))
        where = f" WHERE {self.boolean('', 1)}" if self.maybe(0.4) else ""
        kept = f" QUALIFY {self.one([calls[3], calls[5], calls[9]])}" if self.maybe(0.3) else ""
        return f"SELECT k, {columns} FROM {self.rows()} AS r{where}{kept} {self.by(['k'])}{self.cut()}"

    def above_windows(self):
        """Conditions above windows of several partitions: only those on what all share go below."""
        first, second = self.window(True, True), self.window(self.maybe(0.5), True)
        kept = self.one(["g = 2", "symbol = 'E'", "g < 3 AND symbol = 'D'", "s IS NULL", "b", self.boolean("", 1),
                         "x0 > 0", "x1 IS NULL OR g = 1", "k < 20"])
        inner = (f"SELECT k, symbol, ts, v, w, i, g, s, b, d, fine, whole, "
                 f"{self.one(['sum(i)', 'count(*)', 'max(i)'])} OVER {first} AS x0, {self.one(['min(i)', 'count(i)'])} "
                 f"OVER {second} AS x1 FROM t")
        return f"SELECT k, x0, x1 FROM ({inner}) AS q WHERE {kept} {self.by(['k'])}{self.cut()}"

    def named(self):
        part = self.one(["symbol", "g", "s"])
        frame = self.frame("ROWS")
        columns = (f"sum(i) OVER w AS x, count(*) FILTER (WHERE {self.boolean('', 1)}) OVER w AS y, lag(i, 2) OVER z "
                   f"AS u, row_number() OVER z AS n")
        kept = self.one(["", " QUALIFY n <= 3", " QUALIFY row_number() OVER w <= 2", " QUALIFY x > 0"])
        where = f" WHERE {self.boolean('', 1)}" if self.maybe(0.4) else ""
        return (f"SELECT k, {columns} FROM t{where} WINDOW w AS (PARTITION BY {part} ORDER BY k{frame}), z AS (ORDER "
                f"BY g, k DESC){kept} {self.by(['k'])}{self.cut()}")
