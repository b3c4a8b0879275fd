"""Random expressions over the table of against_duckdb.py, as windrow and as DuckDB read them.

What the two write differently stands in one text as `both(ours, theirs)`, which `texts_of` takes apart.
"""

import re

from duckdb_queries import Query

OPEN, MIDDLE, CLOSE = "\u2770", "\u2771", "\u2772"
PAIR = re.compile(f"{OPEN}([^{OPEN}{MIDDLE}{CLOSE}]*){MIDDLE}([^{OPEN}{MIDDLE}{CLOSE}]*){CLOSE}")
COMPARE = ["=", "<>", "<", "<=", ">", ">="]
COLUMNS = ["symbol", "ts", "k", "v", "w", "i", "g", "s", "b", "d", "fine", "whole"]
UNITS = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"]
PARTS = UNITS + ["dow", "doy"]
PATTERNS = ["g%", "%e%", "_re%", "%", "", "gr_en", "%d", "g%n", "NA", "red", "%E%"]
STEPS = ["1 day", "2 days", "24 hours", "36 hours", "1 week", "90 minutes", "1 day 12 hours", "10 days", "240 hours",
         "0 days"]
MOMENTS = ["2023-12-01 22:13:20", "2024-01-15 22:13:20", "2024-01-15 00:00:00", "2024-02-01 12:30:00",
           "2024-03-31 22:13:20"]
DAYS = ["2022-01-10", "2022-02-01", "2022-03-15", "2022-04-30", "2021-12-31"]
OLD = ["1969-12-31 23:59:59.5", "1970-01-01 00:00:00", "1965-07-04 08:00:00.25", "1972-03-01 00:00:00",
       "1970-01-01 00:00:00.000001"]
WHOLE = ["2024-01-15 22:13:20", "2024-01-15 22:13:20.5", "2023-12-31 00:00:00", "2024-02-10 22:13:19.999",
         "2024-02-20 22:13:20"]


def both(ours, theirs):
    """What windrow and DuckDB write differently."""
    return f"{OPEN}{ours}{MIDDLE}{theirs}{CLOSE}"


def texts_of(text):
    """A text as windrow and as DuckDB read it."""
    texts = []
    for side in (r"\1", r"\2"):
        one, found = text, 1
        while found:
            one, found = PAIR.subn(side, one)
        texts.append(one)
    return tuple(texts)


# The division of whole numbers.
DIVIDED = both("/", "//")


class Expressions(Query):
    """Expressions of a type; `x` stands before each column, such as `a.`; depth says how much may stand within."""

    # The share of constants among what stands at the leaves.
    constants = 0.12

    def maybe_not(self):
        return self.one(["", "NOT "])

    def null(self, ty):
        return f"CAST(NULL AS {ty})"

    def case(self, x, depth, make):
        """CASE in its forms, of values of one type."""
        value = lambda: make(x, depth - 1)
        kind = self.one(["when", "when", "when", "two", "no else", "value", "value", "boolean"])
        if kind == "value":
            of, first, second = self.integer(x, 0), self.one([0, 1, 2, "NULL"]), self.one([3, 4, self.integer(x, 0)])
            return f"CASE {of} WHEN {first} THEN {value()} WHEN {second} THEN {value()} ELSE {value()} END"
        if kind == "boolean":
            return f"CASE {self.boolean(x, 0)} WHEN true THEN {value()} WHEN false THEN {value()} END"
        more = f" WHEN {self.boolean(x, 0)} THEN {value()}" if kind == "two" else ""
        end = "" if kind == "no else" else f" ELSE {value()}"
        return f"CASE WHEN {self.boolean(x, depth - 1)} THEN {value()}{more}{end} END"

    def shared(self, x, depth, make):
        """What all types have."""
        value = lambda: make(x, depth - 1)
        return self.one([
            lambda: f"coalesce({value()}, {value()})",
            lambda: f"coalesce({value()}, {value()}, {value()})",
            lambda: f"nullif({value()}, {value()})",
            lambda: f"greatest({value()}, {value()})",
            lambda: f"least({value()}, {value()}, {value()})",
            lambda: self.case(x, depth, make),
            lambda: self.case(x, depth, make),
        ])()

    def integer(self, x="", depth=2):
        if depth <= 0:
            if self.maybe(self.constants):
                return self.one([str(self.one([0, 1, 2, 3, 7, 20])), "(-3)", self.null("BIGINT")])
            return self.one([f"{x}i"] * 4 + [f"{x}g"] * 2 + [f"{x}k", f"nullif({x}g, 3)"])
        if self.maybe(0.3):
            return self.shared(x, depth, self.integer)
        a, b = self.integer(x, depth - 1), self.integer(x, depth - 1)
        zero = self.one([f"nullif({b}, 0)", f"CASE WHEN {b} <> 0 THEN {b} END"])
        return self.one([
            lambda: f"({a} + {b})",
            lambda: f"({a} - {b})",
            lambda: f"({a} * {self.one([0, 1, 2, -1, 3])})",
            lambda: f"(-({a}))",
            lambda: f"abs({a})",
            lambda: f"(({a}) {DIVIDED} {zero})",
            lambda: f"(({a}) % {self.one([2, 3, 7, zero])})",
            lambda: f"CASE WHEN ({b}) <> 0 THEN ({a}) {DIVIDED} ({b}) END",
            lambda: f"(({a}) & 6)",
            lambda: f"(({a}) | 1)",
            lambda: f"length({self.text(x, depth - 1)})",
            lambda: f"position('e' IN {self.text(x, depth - 1)})",
            lambda: f"CAST({self.one(['round', 'floor', 'ceil', 'trunc'])}({self.double(x, depth - 1)}) AS BIGINT)",
            lambda: f"CAST({self.boolean(x, depth - 1)} AS BIGINT)",
            lambda: f"CAST(date_part('{self.one(PARTS)}', {self.moment(x, 0)}) AS BIGINT)",
        ])()

    def double(self, x="", depth=2):
        if depth <= 0:
            if self.maybe(self.constants):
                return self.one(["0.5", "(-2.5)", "100.25", "1e0", "0.0", self.null("DOUBLE")])
            return self.one([f"{x}v"] * 3 + [f"{x}w"])
        if self.maybe(0.3):
            return self.shared(x, depth, self.double)
        a, b = self.double(x, depth - 1), self.double(x, depth - 1)
        number = f"CAST({self.integer(x, depth - 1)} AS DOUBLE)"
        return self.one([
            lambda: f"({a} + {b})",
            lambda: f"({a} - {b})",
            lambda: f"({a} * {self.one([2, 0.5, -1, 1.0])})",
            lambda: f"(-({a}))",
            lambda: f"({a} / nullif(CAST({b} AS DOUBLE), 0))",
            lambda: f"{self.one(['abs', 'floor', 'ceil', 'round', 'trunc'])}({a})",
            lambda: f"{self.one(['round', 'floor', 'ceil', 'trunc'])}({number} / 2)",
            lambda: f"round({self.one([x + 'v', number + ' / 4'])}, {self.one([0, 2])})",
            lambda: f"round({number} / 4, {self.one([1, -1])})",
            lambda: f"sqrt(abs({a}))",
            lambda: f"power({self.one([number, x + 'w'])}, {self.one([0, 1, 2])})",
            lambda: number,
        ])()

    def text(self, x="", depth=2):
        if depth <= 0:
            if self.maybe(self.constants):
                return self.one(["'red'", "'green'", "''", "'NA'", "'a_b%'", self.null("VARCHAR")])
            return self.one([f"{x}s"] * 4 + [f"{x}symbol"])
        if self.maybe(0.25):
            return self.shared(x, depth, self.text)
        a, b = self.text(x, depth - 1), self.text(x, depth - 1)
        n, m = self.one([1, 2, 3, 9]), self.one([0, 1, 2, 8])
        return self.one([
            lambda: f"({a} || {b})",
            lambda: f"({a} || '_' || {b})",
            lambda: f"concat({a}, '-', {b})",
            lambda: f"concat_ws('-', {a}, {b}, 'z')",
            lambda: f"{self.one(['upper', 'lower', 'reverse', 'trim', 'ltrim', 'rtrim'])}({a})",
            lambda: f"substr({a}, {n})",
            lambda: f"substr({a}, {n}, {m})",
            lambda: f"substring({a} FROM {n} FOR {m})",
            lambda: f"{self.one(['left', 'right'])}({a}, {self.one([0, 1, 2, 9, -1, -3])})",
            lambda: f"replace({a}, {self.one(['e', 'ee', 'gre', 'q'])!r}, {self.one(['', 'E', 'xyz'])!r})",
            lambda: f"trim(BOTH 'n' FROM {a})",
            lambda: f"{self.one(['ltrim', 'rtrim'])}({a}, 'gnd')",
            lambda: f"{self.one(['lpad', 'rpad'])}({a}, {self.one([2, 6])}, 'xy')",
            lambda: f"repeat({a}, {self.one([0, 1, 2])})",
            lambda: f"split_part({a}, 'e', {self.one([1, 2, 3])})",
            lambda: f"translate({a}, 'ern', 'ER')",
            lambda: f"regexp_replace({a}, 'e+', 'E', 'g')",
            lambda: f"CAST({self.integer(x, depth - 1)} AS VARCHAR)",
            lambda: f"CAST({self.boolean(x, depth - 1)} AS VARCHAR)",
            lambda: f"CAST({x}d AS VARCHAR)",
        ])()

    # Conditions

    def boolean(self, x="", depth=2):
        if depth <= 0:
            return self.leaf(x)
        return self.within(self.boolean(x, depth - 1), x, depth)

    def within(self, p, x="", depth=1):
        """A condition that has `p` in one of the places that a condition may have."""
        q = lambda: self.boolean(x, depth - 1)
        return self.one([
            lambda: p,
            lambda: f"({p} AND {q()})",
            lambda: f"({q()} AND {p})",
            lambda: f"({p} OR {q()})",
            lambda: f"({q()} OR {p})",
            lambda: f"(NOT ({p}))",
            lambda: f"(NOT ({p} OR {q()}))",
            lambda: f"(NOT ({q()} AND {p}))",
            lambda: f"({q()} AND ({p} OR {q()}))",
            lambda: f"(({p}) = {self.one(['true', 'false'])})",
            lambda: f"(({p}) <> {self.one(['true', 'false', x + 'b'])})",
            lambda: f"(({p}) = ({q()}))",
            lambda: f"(({p}) IS NULL)",
            lambda: f"(({p}) IS NOT NULL)",
            lambda: f"(({p}) IS {self.maybe_not()}{self.one(['TRUE', 'FALSE'])})",
            lambda: f"(({p}) IS {self.maybe_not()}{both('UNKNOWN', 'NULL')})",
            lambda: f"(({p}) IS {self.maybe_not()}DISTINCT FROM {self.one([x + 'b', 'true', 'NULL'])})",
            lambda: f"CASE WHEN {p} THEN {q()} ELSE {q()} END",
            lambda: f"CASE WHEN {q()} THEN {p} ELSE {q()} END",
            lambda: f"CASE WHEN {p} THEN {self.one(['true', 'false', 'NULL'])} ELSE {q()} END",
            lambda: f"CASE WHEN {q()} THEN false WHEN {p} THEN true END",
            lambda: f"coalesce({p}, {self.one(['true', 'false', q()])})",
            lambda: f"nullif({p}, {self.one(['true', 'false'])})",
            lambda: f"(({p}) IN (true, NULL))",
            lambda: f"(({p}) NOT IN ({self.one(['true', 'false'])}, {x}b))",
        ])()

    def leaf(self, x):
        """A condition that is no other of other conditions."""
        kinds = [self.numbers, self.numbers, self.numbers, self.texts_compared, self.texts_compared, self.times,
                 self.rows_compared, self.moved, self.unbracketed]
        if self.maybe(self.constants):
            return self.one(["true", "false", self.null("BOOLEAN")])
        return self.one([lambda: f"{x}b", *(lambda kind=kind: kind(x) for kind in kinds)])()

    def numbers(self, x):
        """A comparison of numbers."""
        make = self.one([self.integer, self.integer, self.double])
        a, b = make(x, self.one([0, 0, 1])), make(x, 0)
        n, m = sorted(self.random.choices([-20, -3, 0, 1, 2, 4, 10, 100], k=2))
        return self.one([
            lambda: f"{a} {self.one(COMPARE)} {self.one([n, m, b])}",
            lambda: f"{self.one([n, m])} {self.one(COMPARE)} {a}",
            lambda: f"{a} {self.maybe_not()}BETWEEN {self.one([n, 'NULL', n])} AND {self.one([m, b, 'NULL'])}",
            lambda: f"{a} {self.maybe_not()}BETWEEN {m} AND {n}",
            lambda: f"({a} IS {self.maybe_not()}DISTINCT FROM {self.one([n, b, 'NULL'])})",
            lambda: f"{a} IS {self.maybe_not()}NULL",
            lambda: f"{a} {self.maybe_not()}IN ({n}, {m}{self.one(['', ', NULL', ', ' + b])})",
            lambda: f"{a} {self.maybe_not()}IN ({n})",
            lambda: f"{a} {self.one(COMPARE)} NULL",
            lambda: f"({a} {self.one(COMPARE)} {n} {self.one(['AND', 'OR'])} {a} {self.one(COMPARE)} {m})",
            lambda: f"({a} = {n} OR {a} = {m} OR {a} IN (1, 3))",
        ])()

    def texts_compared(self, x):
        a, b = self.text(x, self.one([0, 0, 1])), self.text(x, 0)
        negated = self.one(["", "NOT "])
        pattern = self.one(PATTERNS)
        escaped = self.one(["%\\_%", "gr\\%", "%\\%", "a\\_b%"])
        return self.one([
            lambda: f"{a} {self.one(COMPARE)} {self.one([b, 'NULL', repr(self.one(['green', 'NA', 'h', '']))])}",
            lambda: f"{a} {negated}LIKE {pattern!r}",
            lambda: f"{a} {negated}LIKE {pattern!r}",
            lambda: f"{a} {negated}ILIKE {self.one(['G%', '%E%', 'na', '_A', 'GREEN'])!r}",
            lambda: f"{a} {negated}LIKE {self.one(['NULL', f'CASE WHEN {x}b THEN {pattern!r} END', b])}",
            # Without ESCAPE a backslash escapes in PostgreSQL and windrow, and nothing does in DuckDB.
            lambda: f"({a} || '_%') {negated}LIKE " + both(f"'{escaped}'", f"'{escaped}' ESCAPE '\\'"),
            lambda: f"{a} {negated}SIMILAR TO {self.one(['gr(een|ey)', '(r|b)[a-z]+', 'e', 'red|NA', '[^g].*'])!r}"
            .replace(".*'", both("%'", ".*'")),
            lambda: self.matched(a),
            lambda: f"{a} {negated}IN ('red', {self.one(['NULL', b, repr('NA')])}, 'grey')",
            lambda: f"{a} {negated}BETWEEN 'green' AND {self.one(['NULL', repr('red'), b])}",
            lambda: f"({a} IS {negated}DISTINCT FROM {self.one([b, 'NULL', repr('red')])})",
            lambda: f"{a} IS {negated}NULL",
            lambda: f"starts_with({a}, 'gr')",
        ])()

    def unbracketed(self, x):
        """What precedence takes apart."""
        i, g, s, b = f"{x}i", f"{x}g", f"{x}s", f"{x}b"
        op, n, negated = self.one(COMPARE), self.one([1, 2, 3]), self.maybe_not()
        number = self.one([f"{i} + {g} * {n} - {g} % {n}", f"{i} - {g} - {n}", f"-{i} + {g}", f"{i} * -{n} % 7",
                           f"{i} {DIVIDED} {n} * {n}",
                           f"- {i} - -{g}", f"{i}"])
        return "(" + self.one([
            f"{number} {op} {g} + {n} AND {b} OR {s} IS NULL",
            f"NOT {number} {op} {n} OR NOT {b} AND {g} > {n}",
            f"{b} OR {number} BETWEEN {n} AND {g} + {n} AND {g} < 4",
            f"NOT {i} {negated}BETWEEN {g} - {n} AND {n} * 7 OR {b}",
            f"{b} IS {negated}DISTINCT FROM true AND {number} > {n}",
            f"{b} IS {negated}DISTINCT FROM false OR {g} = {n}",
            f"{number} IS {negated}DISTINCT FROM {g} + {n} OR {b}",
            f"NOT {s} IS {negated}DISTINCT FROM {s} || 'x' AND {b}",
            f"{s} || '_' || {g} {negated}LIKE 'gr%' || {n} OR {b}",
            f"NOT {s} {negated}LIKE 'gr%' AND {b} IS {negated}NULL",
            f"NOT {b} IS {negated}TRUE AND {i} {op} {n}",
            f"{i} {op} {n} IS {negated}TRUE AND {b}",
            f"NOT {g} {negated}IN ({n}, 5) AND {b} OR {i} < 0",
            f"{s} || 'e' {op} 'gre' || 'ye' AND {b}",
            f"{i} IS NULL AND {b} OR NOT {b} AND {g} {op} {n}",
            f"CASE {g} WHEN {n} THEN {i} ELSE {g} END + 1 {op} {n} OR {b}",
            f"CAST({g} AS DOUBLE) / {n} * {n} {op} {g} AND NOT {b}",
        ]) + ")"

    def matched(self, a):
        pattern = self.one(["e", "^g", "n$", "r.d", "^(red|NA)$", "[aA]"])
        negated = self.maybe(0.3)
        theirs = f"{'NOT ' if negated else ''}regexp_matches({a}, '{pattern}')"
        return both(f"{a} {'!~' if negated else '~'} '{pattern}'", theirs)

    def rows_compared(self, x):
        """Rows in brackets: DuckDB compares them as structs, and so reads what they mean."""
        make = self.one([self.integer, self.text])
        a, b, c, d = self.integer(x, 0), make(x, 0), self.integer(x, 0), make(x, 0)
        equal = lambda c, d: f"({a} = {c} AND {b} = {d})"
        less = lambda op, c, d: f"({a} {op[0]} {c} OR ({a} = {c} AND {b} {op} {d}))"
        kind = self.one(["=", "<>", "IN", "NOT IN", "<", "<=", ">", ">=", "BETWEEN"])
        if kind == "=":
            return both(f"({a}, {b}) = ({c}, {d})", equal(c, d))
        if kind == "<>":
            return both(f"({a}, {b}) <> ({c}, {d})", f"(NOT {equal(c, d)})")
        if kind.endswith("IN"):
            values = [(self.one([1, 2, "NULL", c]), self.one([d, "NULL"])) for _ in range(self.one([1, 2, 3]))]
            ours = ", ".join(f"({c}, {d})" for c, d in values)
            theirs = " OR ".join(equal(c, d) for c, d in values)
            return both(f"({a}, {b}) {kind} ({ours})", f"{'NOT ' if 'NOT' in kind else ''}({theirs})")
        if kind == "BETWEEN":
            theirs = f"({less('>=', c, d)} AND {less('<=', 3, d)})"
            return both(f"({a}, {b}) BETWEEN ({c}, {d}) AND (3, {d})", theirs)
        return both(f"({a}, {b}) {kind} ({c}, {d})", less(kind, c, d))

    def moved(self, x):
        """Comparisons that an optimizer moves to the other side: of casts, of floors, with numbers in quotes."""
        op, n = self.one(COMPARE), self.one([-5, 0, 2, 3, 9, 10, 100])
        a = self.one([f"{x}i", f"{x}g"])
        return self.one([
            lambda: f"CAST({a} AS VARCHAR) {op} '{n}'",
            lambda: f"CAST({a} AS DOUBLE) {op} {n}.5",
            lambda: f"{a} {op} {n}.5",
            lambda: f"{a} {op} '{n}'",
            lambda: f"{a} {self.maybe_not()}IN ({n}, {n}.5, 2)",
            lambda: f"CAST({a} AS {self.one(['SMALLINT', 'INTEGER'])}) {op} {n}",
            lambda: f"{self.one(['floor', 'ceil', 'round', 'trunc'])}({x}v) {op} {n}{self.one(['', '.5'])}",
            lambda: f"(floor({x}w) IS {self.maybe_not()}DISTINCT FROM {self.one([0, -1])})",
            lambda: f"floor({x}v) {self.maybe_not()}IN ({n}, 99, 101)",
            lambda: f"{a} {self.one(['+', '-'])} 2 {op} {n}",
            lambda: f"{a} * -1 {op} {n}",
            lambda: f"-{a} {op} {n}",
            lambda: f"{x}v / 2 {op} {n}",
            lambda: f"{a} {op} {a}",
            lambda: f"CAST({x}b AS BIGINT) {op} {self.one([0, 1, 2])}",
            lambda: f"{x}b {op} {self.one(['true', 'false'])}",
            lambda: f"length({x}s) {op} 4",
            lambda: f"lower({x}s) {op} 'na'",
            lambda: f"substr({x}s, 1, 2) {op} 'gr'",
            lambda: f"coalesce({a}, {n}) {op} {n}",
            lambda: f"nullif({a}, {n}) {op} {n}",
            lambda: f"CASE WHEN {x}b THEN {a} ELSE {n} END {op} {n}",
        ])()

    # Times

    def moment(self, x="", depth=1):
        """A timestamp without a zone."""
        if depth <= 0:
            if self.maybe(self.constants):
                return self.one([f"TIMESTAMP '{self.one(MOMENTS)}'", self.null("TIMESTAMP")])
            return self.one([f"{x}ts"] * 3 + [f"{x}fine"] * 2 + [f"CAST({x}d AS TIMESTAMP)"])
        if self.maybe(0.2):
            return self.shared(x, depth, self.moment)
        a = self.moment(x, depth - 1)
        sign = self.one(["+", "-"])
        return self.one([
            lambda: f"({a} {sign} INTERVAL '{self.one(STEPS)}')",
            lambda: f"({a} {sign} INTERVAL '{self.one(['1 month', '3 months', '1 year', '1 month 2 days'])}')",
            lambda: f"({a} + INTERVAL '1 month' - INTERVAL '1 day')",
            lambda: f"date_trunc('{self.one(UNITS)}', {a})",
            lambda: f"date_trunc('{self.one(UNITS)}', {a})",
            lambda: self.bin(a),
            lambda: f"CAST(CAST({a} AS DATE) AS TIMESTAMP)",
            lambda: f"CAST({self.day(x, depth - 1)} AS TIMESTAMP)",
        ])()

    def bin(self, a):
        """A bin of a width from an origin."""
        width = self.one(["1 day", "7 days", "36 hours", "15 minutes", "1 week", "5 seconds"])
        origin = self.one(["1970-01-01 00:00:00", "2000-01-03 00:00:00", "2024-01-01 09:30:00", "2030-01-01 00:00:00"])
        return f"{both('date_bin', 'time_bucket')}(INTERVAL '{width}', {a}, TIMESTAMP '{origin}')"

    def day(self, x="", depth=1):
        if depth <= 0:
            if self.maybe(self.constants):
                return self.one([f"DATE '{self.one(DAYS)}'", self.null("DATE")])
            return self.one([f"{x}d"] * 3 + [f"CASE WHEN {x}b THEN {x}d END"])
        a = self.day(x, depth - 1)
        return self.one([
            lambda: self.shared(x, depth, self.day),
            lambda: f"CAST({self.moment(x, depth - 1)} AS DATE)",
            lambda: f"CAST(date_trunc('{self.one(['month', 'week', 'year'])}', {a}) AS DATE)",
            lambda: f"CAST({a} {self.one(['+', '-'])} INTERVAL '{self.one(['1 day', '1 month', '2 weeks', '1 year'])}' "
                    f"AS DATE)",
        ])()

    def times(self, x):
        """A comparison of times."""
        op, other = self.one(COMPARE), self.one(COMPARE)
        a, b = self.moment(x, self.one([0, 0, 1])), self.moment(x, 0)
        moment, day, old, whole = (self.one(of) for of in (MOMENTS, DAYS, OLD, WHOLE))
        negated = self.one(["", "NOT "])
        year = self.one([1969, 1970, 1972, 2022, 2023, 2024])
        return self.one([
            lambda: f"{a} {op} {b}",
            lambda: f"{a} {op} TIMESTAMP '{moment}'",
            lambda: f"{a} {negated}BETWEEN TIMESTAMP '{moment}' AND {self.one([b, 'NULL', repr(moment)])}",
            lambda: f"{x}ts {op} '{moment}'",
            lambda: f"{x}ts {op} DATE '{moment[:10]}'",
            lambda: f"{x}fine {op} TIMESTAMP '{old}'",
            lambda: f"{x}fine {negated}IN (TIMESTAMP '{old}', {self.one(['NULL', x + 'ts', x + 'd'])})",
            lambda: f"{x}whole {op} TIMESTAMP '{whole}'",
            lambda: f"{x}whole {negated}IN (TIMESTAMP '{whole}', TIMESTAMP '{self.one(WHOLE)}')",
            lambda: f"{x}whole {op} {x}ts",
            lambda: f"{x}d {op} DATE '{day}'",
            lambda: f"{x}d {op} '{day}'",
            lambda: f"{x}d {op} TIMESTAMP '{day} {self.one(['00:00:00', '12:00:00', '00:00:00.000001'])}'",
            lambda: f"{x}d {negated}IN (DATE '{day}', TIMESTAMP '{day} 12:00:00')",
            lambda: f"({x}d IS {negated}DISTINCT FROM TIMESTAMP '{day} {self.one(['00:00:00', '12:00:00'])}')",
            lambda: f"{x}d {op} {a}",
            lambda: f"CAST({a} AS DATE) {op} {self.one([x + 'd', f'DATE {day!r}'])}",
            lambda: f"CAST({a} AS DATE) {op} DATE '{moment[:10]}'",
            lambda: f"date_part('year', {self.one([a, x + 'fine', x + 'd'])}) {op} {year}",
            lambda: f"(date_part('year', {x}fine) IS {negated}DISTINCT FROM {year})",
            lambda: f"date_part('year', {self.one([x + 'fine', x + 'd', x + 'whole'])}) {negated}IN ({year}, 2023)",
            lambda: f"extract({self.one(['month', 'day', 'hour'])} FROM {a}) {op} {self.one([1, 3, 12])}",
            lambda: f"date_trunc('{self.one(UNITS)}', {self.one([a, x + 'fine', x + 'd'])}) {op} TIMESTAMP '{moment}'",
            lambda: f"date_trunc('{self.one(UNITS[:5])}', {x}d) {op} DATE '{day}'",
            lambda: f"({a} - {b}) {op} INTERVAL '{self.one(STEPS)}'",
            lambda: f"({a} - {b} {op} INTERVAL '1 day' OR {a} {other} {b})",
            lambda: f"{a} - INTERVAL '1 day' {op} {b}",
        ])()
