"""Random statements of several relations: subqueries in conditions and in SELECT, sets, and joins."""

from duckdb_expressions import COLUMNS, COMPARE, Expressions, both


class Relations(Expressions):
    """Each kind is a method that gives one text."""

    def nulls(self):
        return self.one(["NULLS FIRST", "NULLS LAST", "DESC NULLS FIRST", "DESC NULLS LAST"])

    def by(self, names):
        """An ORDER BY of all names, in some order."""
        names = self.random.sample(names, len(names))
        return "ORDER BY " + ", ".join(f"{name} {self.nulls()}" for name in names)

    def cut(self):
        """A LIMIT and an OFFSET, or neither."""
        limit = f" LIMIT {self.one([0, 1, 1, 3, 3, 10, 10, 40, 200])}" if self.maybe(0.4) else ""
        return limit + (f" OFFSET {self.one([0, 1, 1, 5, 5, 30, 150])}" if self.maybe(0.15) else "")

    def rows(self, depth=0):
        """Rows with all columns of the table, and `k` without equals."""
        kind = self.random.random()
        if kind < 0.5 or depth > 1:
            return "t"
        inner = self.rows(depth + 1)
        if kind < 0.65:
            return f"(SELECT * FROM {inner} AS r WHERE {self.boolean('', self.one([0, 1]))})"
        if kind < 0.72:
            return f"(SELECT * FROM {inner} AS r {self.by(['g', 's'])}, k LIMIT {self.one([5, 40])})"
        if kind < 0.8:
            p = self.boolean("", 0)
            all_rows = f"SELECT * FROM {inner} AS r"
            return f"({all_rows} WHERE {p} UNION ALL {all_rows} WHERE ({p}) IS NOT TRUE)"
        made = {"i": self.integer, "v": self.double, "s": self.text, "b": self.boolean}
        new = self.random.sample(sorted(made), self.one([1, 2]))
        columns = [f"{made[name]('', 1)} AS {name}" if name in new else name for name in COLUMNS]
        if self.maybe(0.3):
            window = f"OVER (PARTITION BY symbol ORDER BY ts{self.one(['', ' ROWS 3 PRECEDING'])})"
            columns[COLUMNS.index("i")] = f"{self.one(['lag(i)', 'max(i)', 'count(i)'])} {window} AS i"
        return f"(SELECT {', '.join(columns)} FROM {inner} AS r)"

    def few(self):
        """A condition that keeps few rows, none or all."""
        return self.one(["k < 0", "k < 3", "k < 20", "true", "i IS NULL", "i IS NOT NULL", "g < 3 AND i > 0",
                         "s = 'NA'", "v > 110", "s IS NOT NULL AND w > 0", "i > 1000"])

    # IN, EXISTS

    def column_of(self, of):
        """A subquery of one column of a type, over rows of its own."""
        make = {"int": self.integer, "text": self.text, "double": self.double}[of]
        y, where = make("c.", 0), self.few()
        for name in ("k", "g", "i", "s", "v", "w"):
            where = " ".join(f"c.{word}" if word == name else word for word in where.split(" "))
        rows = f"{self.rows(1) if self.maybe(0.3) else 't'} AS c"
        plain = f"SELECT {y} FROM {rows} WHERE {where}"
        return self.one([
            plain, plain, plain, plain,
            f"SELECT DISTINCT {y} FROM {rows} WHERE {where}",
            f"SELECT max({y}) FROM {rows} WHERE {where}",
            f"SELECT min({y}) FROM {rows} WHERE {where} GROUP BY c.g HAVING count(*) > {self.one([1, 5, 1000])}",
            f"SELECT {y} AS y FROM {rows} ORDER BY c.k {self.one(['', 'DESC'])} LIMIT {self.one([0, 1, 4])}",
            f"{plain} UNION SELECT {make('e.', 0)} FROM t AS e WHERE e.k < 3",
            f"{plain} EXCEPT SELECT {make('e.', 0)} FROM t AS e WHERE e.k < 30",
            f"SELECT q.y FROM (SELECT {y} AS y, row_number() OVER (PARTITION BY c.symbol ORDER BY c.ts) AS n FROM "
            f"{rows}) AS q WHERE q.n = 1",
        ])

    def is_in(self, x, correlated=False):
        of = self.one(["int", "int", "int", "text", "text", "double"])
        make = {"int": self.integer, "text": self.text, "double": self.double}[of]
        value = make(x, self.one([0, 0, 0, 1]))
        if correlated:
            y = make("c.", 0)
            tie = self.one([f"c.g = {x}g", f"c.symbol = {x}symbol AND c.k < 60", f"c.s = {x}s", f"c.k < {x}k"])
            return f"{value} {self.maybe_not()}IN (SELECT {y} FROM t AS c WHERE {tie})"
        if self.maybe(0.05):
            return f"{value} {self.one(['= ANY', '<> ALL'])} ({self.column_of(of)})"
        return f"{value} {self.maybe_not()}IN ({self.column_of(of)})"

    def exists(self, x):
        tie = self.one([f"c.g = {x}g", f"c.s = {x}s", f"c.i = {x}i", f"c.symbol = {x}symbol AND c.w > {x}w",
                        f"c.k = {x}k + 1",
                        f"c.i > {x}i", f"(c.s IS NOT DISTINCT FROM {x}s)", f"c.g = {x}g AND c.i IS NULL", "true",
                        f"c.g = {x}g AND {x}b"])
        more = f" AND {self.boolean('c.', 0)}" if self.maybe(0.5) else ""
        select = self.one(["1", "*", "c.i", "NULL", "DISTINCT c.s", "c.k, c.s"])
        end = self.one(["", "", "", "", " LIMIT 1", " ORDER BY c.k", " GROUP BY c.g"]) if select == "1" else ""
        return f"{self.maybe_not()}EXISTS (SELECT {select} FROM t AS c WHERE {tie}{more}{end})"

    def membership(self):
        """IN (SELECT ...) and EXISTS in all places of a condition."""
        x = "a."
        choice = self.random.random()
        made = lambda: self.is_in(x) if choice < 0.6 else self.exists(x) if choice < 0.9 else self.is_in(x, True)
        p = made()
        for _ in range(self.one([0, 0, 1, 1, 2])):
            p = self.within(p, x, 1)
        if self.maybe(0.15):
            p = f"({p}) {self.one(['AND', 'OR'])} {self.exists(x) if self.maybe(0.5) else self.is_in(x)}"
        place = self.random.random()
        rows = f"{self.rows() if self.maybe(0.4) else 't'} AS a"
        if place < 0.8:
            return f"SELECT a.k, a.i, a.s FROM {rows} WHERE {p} {self.by(['k'])}{self.cut()}"
        if place < 0.86:
            return f"SELECT a.k, {p} AS x FROM {rows} {self.by(['k'])}{self.cut()}"
        if place < 0.9:
            return (f"SELECT a.g, count(*), sum(CASE WHEN {p} THEN 1 ELSE 0 END) AS n FROM {rows} GROUP BY a.g "
                    f"{self.by(['g'])}")
        if place < 0.95:
            join = self.one(["JOIN", "LEFT JOIN"])
            return (f"SELECT a.k, e.k AS y FROM {rows} {join} (SELECT * FROM t WHERE k < 20) AS e ON a.g = e.g WHERE "
                    f"{p} {self.by(['a.k', 'e.k'])}")
        return f"SELECT count(*), count(a.i), sum(a.k) FROM {rows} WHERE {p}"

    def correlated(self):
        """Subqueries of one value over what the row around them says, in SELECT and in WHERE."""
        x = "a."
        rows = f"{self.rows() if self.maybe(0.3) else 't'} AS a"
        kind = self.random.random()
        if kind < 0.4:
            columns = ", ".join(f"{self.scalar(x)} AS x{n}" for n in range(self.one([1, 1, 2])))
            where = f" WHERE {self.boolean(x, 1)}" if self.maybe(0.3) else ""
            return f"SELECT a.k, {columns} FROM {rows}{where} {self.by(['k'])}{self.cut()}"
        if kind < 0.7:
            p = self.compared(x)
            for _ in range(self.one([0, 0, 1, 2])):
                p = self.within(p, x, 1)
            return f"SELECT a.k, a.w FROM {rows} WHERE {p} {self.by(['k'])}{self.cut()}"
        if kind < 0.85:
            return f"SELECT a.k FROM {rows} WHERE {self.odd_exists(x)} {self.by(['k'])}{self.cut()}"
        join = self.one(["CROSS JOIN LATERAL {}", ", LATERAL {}", "LEFT JOIN LATERAL {} ON true",
                         "JOIN LATERAL {} ON q.y > 1"])
        tie = self.tie(x)
        inner = self.one([
            f"SELECT count(*) AS y, sum(c.w) AS z FROM t AS c WHERE {tie}",
            f"SELECT c.k AS y, c.w AS z FROM t AS c WHERE {tie} AND c.k < 20",
            f"SELECT max(c.i) AS y, min(c.v) AS z FROM t AS c WHERE {tie} AND {self.boolean('c.', 0)}",
            f"SELECT {x}i + {x}g AS y, {x}v * 2 AS z",
        ])
        lateral = join.format(f"({inner}) AS q")
        return f"SELECT a.k, q.y, q.z FROM {rows} {lateral} {self.by(['a.k', 'q.y', 'q.z'])}{self.cut()}"

    def tie(self, x):
        return self.one([f"c.g = {x}g", f"c.g = {x}g", f"c.s = {x}s", f"c.i = {x}i",
                         f"c.symbol = {x}symbol AND c.w > {x}w",
                         f"c.k = {x}k + 1", f"c.g = {x}g AND c.s = {x}s", f"c.g = {x}g AND c.w > {self.one([1, 100])}",
                         f"c.g = {x}g + 1 AND c.k < 60", f"{x}g = c.g AND {self.boolean('c.', 0)}"])

    def scalar(self, x):
        """A subquery of one value."""
        tie = self.tie(x)
        aggregate = self.one([
            "count(*)", "count(*)", "count(c.i)", "sum(c.i)", "max(c.s)", "min(c.v)", "avg(c.w)",
            "coalesce(sum(c.i), 0)",
            "count(*) + 1", "CASE WHEN count(*) > 3 THEN 1 ELSE 0 END", "count(DISTINCT c.s)", "sum(c.i) + count(*)",
            "bool_or(c.b)",
            "count(*) FILTER (WHERE c.b)", "coalesce(max(c.i), count(*))", "max(c.i) - min(c.i)", "count(*) > 0",
            "sum(c.i) IS NULL",
        ])
        plain = f"(SELECT {aggregate} FROM t AS c WHERE {tie})"
        return self.one([
            plain, plain, plain, plain, plain, plain, plain, plain,
            f"(SELECT {aggregate} FROM t AS c WHERE {tie} HAVING count(*) > {self.one([0, 3, 30])})",
            f"(SELECT {aggregate} FROM t AS c WHERE c.g = {x}g AND {self.boolean('c.', 0)} GROUP BY c.g)",
            f"(SELECT {self.one(['c.w', 'c.i', 'c.s'])} FROM t AS c WHERE c.k = {x}k + 1)",
            f"(SELECT {self.one(['c.w', 'c.i'])} FROM t AS c WHERE {tie} ORDER BY c.k {self.one(['', 'DESC'])} LIMIT "
            f"1)",
            f"(SELECT c.k FROM t AS c WHERE {tie} ORDER BY c.k LIMIT 1 OFFSET {self.one([1, 5])})",
            f"(SELECT DISTINCT c.g FROM t AS c WHERE c.g = {x}g)",
            f"(SELECT q.n FROM (SELECT c.g, {aggregate} AS n FROM t AS c WHERE c.k < 60 GROUP BY c.g) AS q WHERE q.g = "
            f"{x}g)",
            f"(SELECT count(*) FROM (SELECT DISTINCT c.s FROM t AS c WHERE c.g = {x}g) AS q)",
            f"(SELECT count(*) FROM t AS c LEFT JOIN t AS e ON c.k = e.k + 1 AND e.g = 2 WHERE c.g = {x}g)",
            f"coalesce({plain}, {plain})" if "c.s)" not in aggregate and "c.b)" not in aggregate else plain,
            f"(SELECT {aggregate} FROM t AS c)",
            f"(SELECT c.i FROM t AS c WHERE c.k < 0)",
        ])

    def compared(self, x):
        tie = self.tie(x)
        count = f"(SELECT count(*) FROM t AS c WHERE {tie})"
        total = f"(SELECT {self.one(['sum(c.i)', 'max(c.i)', 'avg(c.i)', 'min(c.k)'])} FROM t AS c WHERE {tie})"
        return self.one([
            f"{count} {self.one(COMPARE)} {self.one([0, 1, 5, x + 'g'])}",
            f"{count} IN (0, 1, {x}g)",
            f"{count} BETWEEN 0 AND 10",
            f"{total} {self.one(COMPARE)} {self.one(['0', '3', x + 'i'])}",
            f"{total} IS {self.maybe_not()}NULL",
            f"{x}i {self.one(COMPARE)} {total}",
            f"coalesce({total}, 0) = {self.one(['0', x + 'i'])}",
            f"({total} IS {self.maybe_not()}DISTINCT FROM {x}i)",
            f"{count} = {count}",
            f"{x}g > {count} - {x}i",
        ])

    def odd_exists(self, x):
        """EXISTS over what always has a row, or loses some."""
        tie = self.tie(x)
        inner = self.one([
            f"SELECT max(c.i) FROM t AS c WHERE {tie}",
            f"SELECT count(*) FROM t AS c WHERE {tie} HAVING count(*) > {self.one([0, 5])}",
            f"SELECT c.g FROM t AS c WHERE {tie} GROUP BY c.g HAVING sum(c.i) > {self.one([-100, 10])}",
            f"SELECT c.s, count(*) FROM t AS c WHERE c.g = {x}g GROUP BY c.s HAVING count(*) > {self.one([1, 3, 6])}",
            f"SELECT c.k FROM t AS c WHERE {tie} LIMIT {self.one([0, 1, 3])}",
            f"SELECT c.k FROM t AS c WHERE {tie} ORDER BY c.k LIMIT 2 OFFSET {self.one([0, 1, 10])}",
            f"SELECT DISTINCT c.s FROM t AS c WHERE {tie}",
            f"SELECT c.k FROM t AS c WHERE {tie} UNION ALL SELECT e.k FROM t AS e WHERE e.k = {x}k + 2",
            f"SELECT 1 FROM t AS c JOIN t AS e ON c.k = e.k + 1 WHERE {tie} AND e.g > 3",
            f"SELECT 1 FROM (SELECT c.g AS g, row_number() OVER (PARTITION BY c.g ORDER BY c.k) AS n FROM t AS c) AS q "
            f"WHERE q.g = {x}g AND q.n > 15",
            "SELECT max(c.i) FROM t AS c WHERE c.k < 0",
        ])
        p = f"{self.maybe_not()}EXISTS ({inner})"
        return self.within(p, x, 1) if self.maybe(0.3) else p

    # Sets

    def sets(self):
        """UNION, EXCEPT and INTERSECT, nested, and what stands above them."""
        shape = self.one(["it", "it", "id", "td", "dd", "ib", "i", "m"])
        text = self.tree(shape, self.one([1, 1, 2, 2, 3]))
        names = [f"x{n}" for n in range(len(shape))]
        kind = self.random.random()
        if kind < 0.5:
            numbers = [str(n + 1) for n in range(len(shape))]
            return f"{text} {self.by(numbers)}{self.cut()}"
        listed = ", ".join(names)
        if kind < 0.65:
            return (f"SELECT {listed}, count(*) AS n FROM ({text}) AS q({listed}) GROUP BY {listed} "
                    f"{self.by(names)}{self.cut()}")
        where = self.one(["x0 IS NULL", "x0 IS NOT NULL", "(x0 IS NULL) = (x0 IS NULL)"] + (
            ["x0 > 2", "x0 < 0 OR x0 IS NULL", "x0 IN (1, 2, NULL)", "x0 + 1 = 2"] if shape[0] == "i" else []))
        if kind < 0.85:
            return f"SELECT {listed} FROM ({text}) AS q({listed}) WHERE {where} {self.by(names)}{self.cut()}"
        if kind < 0.92:
            return f"SELECT count(*), count(x0), count(DISTINCT x0) FROM ({text}) AS q({listed})"
        return (f"WITH q({listed}) AS ({text}) SELECT a.{listed.replace(', ', ', a.')} FROM q AS a WHERE EXISTS "
                f"(SELECT 1 FROM q AS c WHERE c.x0 = a.x0) {self.by(names)}")

    def tree(self, shape, depth):
        if depth == 0:
            return self.operand(shape)
        op = self.one(["UNION", "UNION", "UNION ALL", "UNION ALL", "EXCEPT", "EXCEPT", "INTERSECT", "INTERSECT"])
        if self.maybe(0.05):
            op = self.one(["EXCEPT ALL", "INTERSECT ALL", "UNION DISTINCT"])
        left, right = self.tree(shape, depth - 1), self.tree(shape, self.one([0, depth - 1]))
        if depth > 1 and self.maybe(0.6):
            left = f"({left})"
        if depth > 1 and self.maybe(0.6):
            right = f"({right})"
        return f"{left} {op} {right}"

    def operand(self, shape):
        made = {"i": self.integer, "t": self.text, "d": self.double, "b": self.boolean, "m": self.moment}
        one = {"i": ["i", "g", "i", "g % 2"], "t": ["s", "symbol"], "d": ["v", "CAST(i AS DOUBLE)", "w"],
               "b": ["b", "i > 0"],
               "m": ["ts", "fine", "CAST(d AS TIMESTAMP)", "whole"]}
        columns = [self.one(one[of]) if self.maybe(0.7) else made[of]("", self.one([0, 1])) for of in shape]
        columns = ", ".join(f"{column} AS x{n}" for n, column in enumerate(columns))
        kind = self.random.random()
        if kind < 0.45:
            return f"SELECT {columns} FROM t WHERE {self.few()}"
        if kind < 0.6:
            return f"SELECT {columns} FROM {self.rows()} AS q WHERE {self.boolean('', 1)}"
        if kind < 0.7:
            return f"SELECT DISTINCT {columns} FROM t"
        if kind < 0.8:
            return f"(SELECT {columns} FROM t {self.by(['k'])} LIMIT {self.one([0, 1, 5, 30])})"
        if shape == "it" and kind < 0.9:
            return self.one(["SELECT sum(i) OVER (PARTITION BY g) AS x0, s FROM t",
                             "SELECT rank() OVER (PARTITION BY s ORDER BY g), s FROM t",
                             "SELECT count(*), s FROM t GROUP BY s", "SELECT max(i), min(s) FROM t WHERE k < 0"])
        if shape == "it":
            return self.one(["SELECT 1 AS x0, 'red' AS x1", "SELECT NULL AS x0, 'NA' AS x1",
                             "SELECT CAST(NULL AS BIGINT) AS x0, CAST(NULL AS VARCHAR) AS x1",
                             "VALUES (1, 'red'), (2, NULL), (1, 'red')", "SELECT 2 AS x0, NULL AS x1"])
        return f"SELECT {columns} FROM t"

    # Joins

    def side(self, columns):
        rows = self.rows(1) if self.maybe(0.3) else "t"
        kept = self.one(["k < 25", "k % 4 = 1", "g < 2 AND k < 60", "k < 8", "k < 0"])
        if self.maybe(0.1):
            kept = f"{self.boolean('', 1)} AND k < 40"
        return f"(SELECT {columns} FROM {rows} AS r WHERE {kept})"

    def joins(self):
        """USING and NATURAL, semi and anti joins, and chains of outer joins with conditions above and within."""
        return self.one([self.merged, self.merged, self.semi, self.chain, self.chain, self.chain, self.aggregated])()

    def merged(self):
        """Joins with a key that both sides have by one name."""
        keys = self.one([["g"], ["s"], ["i"], ["g", "s"], ["symbol", "g"], ["s", "i"]])
        join = self.one(["JOIN", "INNER JOIN", "LEFT JOIN", "LEFT JOIN", "LEFT OUTER JOIN", "RIGHT JOIN", "FULL JOIN"])
        left = self.side(f"k AS k1, {', '.join(keys)}, w AS w1")
        right = self.side(f"{', '.join(keys)}, k AS k2, v AS v2")
        natural = self.maybe(0.3)
        listed, key = ", ".join(keys), keys[0]
        using = f"NATURAL {join} {right} AS c" if natural else f"{join} {right} AS c USING ({listed})"
        select = self.one(["*", f"{listed}, k1, k2", f"a.{key}, c.{key}, k1, k2", "a.*, k2", "k1, c.*",
                           f"coalesce(a.{key}, c.{key}) AS x, {key}, k1, k2"])
        kept = [f"{key} IS NOT NULL", f"c.{key} IS NULL", "k2 IS NULL", f"a.{key} IS NOT NULL", "v2 > 90"]
        where = f" WHERE {self.one(kept)}" if self.maybe(0.3) else ""
        if self.maybe(0.15):
            third = self.side(f"{', '.join(keys)}, k AS k3")
            using += f" {self.one(['JOIN', 'LEFT JOIN'])} {third} AS e USING ({', '.join(keys)})"
            return (f"SELECT {keys[0]}, k1, k2, k3 FROM {left} AS a {using}{where} {self.by(['k1', 'k2', 'k3'])} LIMIT "
                    f"200")
        if self.maybe(0.15):
            return (f"SELECT {', '.join(keys)}, count(*), count(k1), count(k2) FROM {left} AS a {using} GROUP BY "
                    f"{', '.join(keys)} {self.by(keys)}")
        return f"SELECT {select} FROM {left} AS a {using}{where} {self.by(['k1', 'k2'])}{self.cut()}"

    def on(self, a, c):
        """A condition of a join, with a key or without."""
        keys = [f"{a}g = {c}g", f"{a}s = {c}s", f"{a}i = {c}i", f"{a}k = {c}k + 1", f"{a}s IS NOT DISTINCT FROM {c}s",
                f"({a}i IS NOT DISTINCT FROM {c}i) AND {a}g = {c}g", f"{a}g = {c}g AND {a}s = {c}s", f"{a}g + 1 = {c}g",
                f"upper({a}s) = upper({c}s)", f"{a}k = {c}k", f"coalesce({a}s, 'x') = coalesce({c}s, 'x')"]
        key = self.one(keys)
        key = f"({key})" if " AND " not in key and self.maybe(0.9) else key
        more = [f" AND {self.boolean(a, 0)}", f" AND {self.boolean(c, 0)}", f" AND {a}w < {c}w", "", "", "",
                f" AND ({a}b OR {c}b)", f" AND {a}i <> {c}i", f" AND ({a}i + {c}i > 0 OR {c}s IS NULL)"]
        return key + self.one(more)

    def one_sided(self, a, c):
        """A condition of one side alone, or of none."""
        return self.one([self.boolean(a, 0), self.boolean(c, 0), f"{a}g = 2", f"{c}g = 2", "true", "false",
                         f"{a}g = 1 AND {c}g = 1",
                         f"{a}g = 1 OR {c}g = {a}g"])

    def semi(self):
        kind = self.one(["SEMI", "ANTI"])
        on = self.on("a.", "c.")
        side = self.one(["LEFT", "RIGHT"])
        left, right = self.side("*"), self.side("*")
        ours = f"{left} AS a {side} {kind} JOIN {right} AS c ON {on}"
        first, second = (f"{left} AS a", f"{right} AS c") if side == "LEFT" else (f"{right} AS c", f"{left} AS a")
        theirs = f"{first} {kind} JOIN {second} ON {on}"
        x = "a." if side == "LEFT" else "c."
        where = f" WHERE {self.boolean(x, 1)}" if self.maybe(0.4) else ""
        return f"SELECT {x}k, {x}s FROM {both(ours, theirs)}{where} ORDER BY {x}k{self.cut()}"

    def chain(self):
        """Two or three joins, and a condition above that may make inner joins of outer ones."""
        names = ["a.", "c.", "e."][:self.one([2, 2, 3])]
        text = f"{self.side('*')} AS a"
        for place, c in enumerate(names[1:]):
            join = self.one(["JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "FULL JOIN"])
            a = self.one(names[:place + 1])
            on = self.on(a, c)
            if join == "FULL JOIN":
                on = on.split(" AND ")[0]
            elif self.maybe(0.15):
                on = self.one_sided(a, c)
            text += f" {join} {self.side('*')} AS {c[0]} ON {on}"
        x, y = self.one(names), self.one(names)
        where = self.one([
            "", "", f" WHERE {self.boolean(x, 1)}", f" WHERE {self.boolean(x, 1)}",
            f" WHERE {self.boolean(x, 1)} AND {self.boolean(y, 0)}",
            f" WHERE {x}k IS NULL", f" WHERE {x}k IS NOT NULL", f" WHERE {x}g = {y}g",
            f" WHERE coalesce({x}i, {y}i) > 0",
            f" WHERE {x}s IS NOT DISTINCT FROM {y}s", f" WHERE {x}i > 0 OR {y}i > 0",
            f" WHERE NOT ({x}i > 0 AND {y}g = 1)",
            f" WHERE CASE WHEN {x}k IS NULL THEN {y}g = 1 ELSE {x}g = 1 END",
            f" WHERE ({x}i > 0) IS {self.maybe_not()}TRUE",
            f" WHERE {x}i IN (1, 2, 3) OR {x}k IS NULL", f" WHERE concat({x}s, {y}s) = 'red'",
        ])
        keys = [f"{name}k" for name in names]
        columns = ", ".join(f"{name}k AS k{n}" for n, name in enumerate(names))
        more = f", {self.one([self.integer(x, 1), self.text(y, 1), self.boolean(x, 1)])} AS x"
        if self.maybe(0.2):
            return f"SELECT count(*), {', '.join(f'count({key})' for key in keys)}, sum({x}k * {y}g) FROM {text}{where}"
        return f"SELECT {columns}{more} FROM {text}{where} {self.by(keys)}{self.cut()}"

    def aggregated(self):
        """Joins with groups."""
        groups = (f"(SELECT g, {self.one(['s', 'symbol', 'b'])} AS z, count(*) AS n, sum(i) AS i FROM t "
                  f"WHERE {self.few()} GROUP BY 1, 2)")
        join = self.one(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        where = self.one(["", " WHERE c.n > 1", " WHERE c.n IS NULL", " WHERE a.g < 3", " WHERE c.i > 0 OR a.i > 0"])
        return (f"SELECT a.k, c.g, c.z, c.n, c.i FROM {self.side('*')} AS a {join} {groups} AS c ON a.g = c.g{where} "
                f"{self.by(['a.k', 'c.g', 'c.z'])}{self.cut()}")
