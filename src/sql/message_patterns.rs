//! Translates messages of DataFusion into the words of SQL.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::error::Error;

/// A kind of message: its pattern, the sentence that replaces it, and the hint.
type MessagePattern = (&'static str, &'static str, &'static str);

/// The kinds in order: the first pattern that matches gives the sentence. `$1` is the text of the pattern's
/// first group.
const KINDS: &[MessagePattern] = &[
    // Incompatible types.
    (
        r"^Cannot coerce arithmetic expression (.*TIMESTAMP.*|.*DATE.*) to valid types",
        "$1 cannot be computed",
        "a time and an INTERVAL give a time: ts + INTERVAL '1 day'",
    ),
    (
        r"^Cannot coerce arithmetic expression (.*) to valid types",
        "$1 cannot be computed",
        "cast to a number, such as CAST(x AS DOUBLE)",
    ),
    (
        r"^Cannot get result type for (?:temporal|arithmetic) operation (.*?):",
        "$1 cannot be computed",
        "the difference of two times is an INTERVAL, and a time and an INTERVAL give a time",
    ),
    (
        r"^Cannot infer common argument type for comparison operation (.*)",
        "$1 compares values of types that do not go together",
        "cast one of them",
    ),
    (
        r"^Can not find compatible types to compare (.*) with \[(.*)\]",
        "$1 cannot be compared with $2",
        "cast them to one type",
    ),
    (
        r"^Cannot infer common argument type for logical boolean operation (.*)",
        "$1 is no condition",
        "write a comparison on both sides",
    ),
    (
        r"^Cannot infer common argument type for regex operation (.*)",
        "$1 compares no text",
        "cast it to TEXT",
    ),
    (
        r"^Cannot infer common type for bitwise operation (.*)",
        "$1 is of no whole numbers",
        "CAST(x AS BIGINT) makes one",
    ),
    (
        r"^There isn't a common type to coerce (.*) and (.*) in (\w+) expression",
        "$3 compares text, and not $1 with $2",
        "cast to TEXT",
    ),
    (
        r"^Unary operator 'NOT' requires a boolean expression, got (.*)",
        "NOT takes a condition, and not $1",
        "write a comparison behind it",
    ),
    (
        r"^Cannot create filter with non-boolean predicate '(.*)' returning (.*)",
        "$1 is no condition but $2",
        "write a comparison",
    ),
    (
        r"^Failed to coerce then \((.*)\) and else \((.*)\) to common types in CASE",
        "the results of CASE are of types that do not go together: $1 and $2",
        "cast them to one type",
    ),
    (
        r"^Failed to coerce case .* to common types in CASE",
        "CASE compares values of types that do not go together",
        "cast them to one type",
    ),
    (
        r"^Incompatible inputs for Union: Previous inputs were of type (.*), but got incompatible type (.*) on column '(.*)'",
        "the queries of a UNION differ in the type of $3: $1 and $2",
        "cast to one type",
    ),
    (
        r"^Cannot automatically convert (.*) to (.*)",
        "$1 does not become $2 by itself",
        "write CAST(... AS ...)",
    ),
    // Values that do not fit a type.
    (
        r"(?:Can't|Cannot) cast (?:value|string) (.*?) to (?:value of |type )?(.*?)(?: type)?$",
        "$1 is no $2",
        "correct the value, or cast to another type",
    ),
    (
        r"^Unsupported CAST from (.*) to (.*)",
        "$1 cannot be cast to $2",
        "go by way of another type",
    ),
    (
        r"^Error parsing timestamp from ('.*?')",
        "$1 is no time",
        "write '2024-01-31' or '2024-01-31 15:30:00'",
    ),
    (r"^Unable to cast to DATE", "a text is no date", "write '2024-01-31'"),
    (
        r#"^Invalid input syntax for type interval: "(.*)""#,
        "'$1' is no interval",
        "write INTERVAL '7 days', for example",
    ),
    (
        r#"^Invalid timezone "(.*?)""#,
        "unknown time zone $1",
        "write a name such as 'America/New_York', or '+02:00'",
    ),
    (
        r"^Cannot cast to INTERVAL. Overflowing on",
        "a number of days is too large for an interval",
        "write a smaller one",
    ),
    (
        r"^(\w+)Array overflow on (.*)",
        "$2 does not fit its type",
        "cast to a wider type, such as CAST(... AS DOUBLE)",
    ),
    (
        r"^Date part '(.*)' not supported",
        "unknown part $1 of a time",
        "write year, quarter, month, week, day, hour, minute or second",
    ),
    (
        r"(?s)(?:^regex parse error|Regular expression did not compile|Regular expression error).*error: (.*?)$",
        "the regular expression does not compile: $1",
        "write \\( for a bracket itself",
    ),
    (
        r"(?s)^(?:regex parse error|.*Regular expression did not compile)",
        "the regular expression does not compile",
        "write \\( for a bracket itself",
    ),
    (
        r"^Overflow converting (\d.*?)(?: 00:00:00)? to Nanosecond",
        "$1 does not fit nanoseconds, which hold 1677 to 2262",
        "write TIMESTAMP(6), whose unit is microseconds",
    ),
    (
        r"^The dates that can be represented as nanoseconds|converted value exceeds the representable i64 range$",
        "a time does not fit nanoseconds, which hold 1677 to 2262",
        "write TIMESTAMP(6), whose unit is microseconds",
    ),
    (
        r"^(?:Date|TIMESTAMP|Timestamp) (?:arithmetic overflow|out of range)",
        "a time is beyond what its type holds",
        "correct the interval",
    ),
    (
        r"^(?:Arithmetic overflow: )?Overflow happened on:? (.*)|^Signed integer overflow in (.*)",
        "$1$2 does not fit its type",
        "cast an operand to a wider type, such as CAST(... AS DOUBLE)",
    ),
    // Functions.
    (
        r"^Function '(.*?)' requires (\w+), but received (\w+)",
        "$1 takes $2, and not $3",
        "cast the argument",
    ),
    (
        r"^Function '(.*?)' (?:expects|requires) (.*?) arguments?,? but received (.*?)$",
        "$1 takes another number of arguments: $2, and not $3",
        "",
    ),
    (
        r"^The function '(.*?)' expected zero argument but received",
        "$1 takes no arguments",
        "leave the brackets empty",
    ),
    (r"^'(.*?)' does not support zero arguments", "$1 needs arguments", ""),
    (
        r"^Function '(.*?)' user-defined coercion failed with: .*Unsupported argument types",
        "$1 cannot take these arguments",
        "cast them to types that it takes",
    ),
    (
        r"^Function '(.*?)' user-defined coercion failed with: (.*)",
        "$1: $2",
        "cast the arguments to one type",
    ),
    (r"^(\w+) does not support type (.*)", "$1 cannot take $2", "cast it"),
    (
        r"^FILTER clause can only be used with aggregate window functions\. Found in '(\w+)",
        "FILTER cannot stand behind $1",
        "write CASE WHEN ... THEN close END as its input",
    ),
    (
        r"^Aggregate function calls cannot be nested: '(.*)' is nested inside",
        "$1 stands inside another aggregate",
        "compute it in a WITH query",
    ),
    (
        r"^Cannot access field at argument \d+: type (.*) is not Struct",
        "$1 has no fields",
        "a dot stands between a table and its column",
    ),
    (
        r"^unnest\(\) can only be applied|^Unnest should be rewritten",
        "unnest takes a list, and stands alone in SELECT or FROM",
        "",
    ),
    (r"^Argument #(\d+) must be an (.*), got (.*)", "argument $1 is $3, not $2", ""),
    (
        r"Physical plan does not support logical expression (?:Window|Aggregate)Function",
        "two windows or aggregates of the statement compute the same",
        "compute it once in a WITH query, and use it twice",
    ),
    (
        r"Physical plan does not support logical expression",
        "a subquery stands where it cannot be computed for each row",
        "join what it reads, or write it as a condition of WHERE",
    ),
    (
        r"retract_batch",
        "an aggregate of the statement cannot go along a frame that moves",
        "let the frame begin with the group (UNBOUNDED PRECEDING), or write it with sum, min or max",
    ),
    (
        r"^Aggregate functions are not allowed in the WHERE clause",
        "an aggregate stands in WHERE",
        "write a condition on groups in HAVING, and one on a window in QUALIFY",
    ),
    (
        r"^HAVING clause references: (.*?) must appear in the GROUP BY",
        "HAVING reads $1, which is neither grouped nor aggregated",
        "write conditions on rows in WHERE, and outputs of SELECT as they are computed",
    ),
    (
        r#"^Column in SELECT must be in GROUP BY or an aggregate function: While expanding wildcard, column "(.*?)" must"#,
        "$1 is neither in GROUP BY nor in an aggregate",
        "add it to GROUP BY, or write max($1) for example",
    ),
    (
        r"^ANY in LIKE expression",
        "LIKE ANY is not supported",
        "write a LIKE for each pattern, with OR between them",
    ),
    (
        r"^Unsupported ast node in \w+: (?:RLike|Regexp)",
        "RLIKE and REGEXP are not supported",
        "write symbol ~ '^A'",
    ),
    (
        r"^Unsupported ast node in \w+: Collate",
        "COLLATE is not supported",
        "leave it out: text is compared by its bytes",
    ),
    (
        r"^Unsupported INTERVAL Expression",
        "this form of INTERVAL is not supported",
        "write INTERVAL '1 year 2 months'",
    ),
    (r"^MINUS ", "MINUS is not supported", "write EXCEPT"),
    (
        r"^There is only support Literal types for field at idx",
        "an argument of a window function must be a number that is written out",
        "for a shift that differs from row to row, join rows by their row_number()",
    ),
    (
        r"^null_aware anti join only supports single column",
        "NOT IN of a subquery that reads columns of the query around it is not supported",
        "write NOT EXISTS (SELECT ... WHERE ...)",
    ),
    (
        r"subquery can only be used in Projection, Filter",
        "a subquery stands where it cannot be computed for each row",
        "compute it in a WITH query, or write it as a condition of WHERE",
    ),
    (
        r"^LIKE does not support escape_char",
        "LIKE knows no other escape than \\",
        "write \\% for the character itself, and leave ESCAPE out",
    ),
    (
        r"^Unsupported type '(.*?)'\. Must be a supported",
        "unknown type $1 of arrow_cast",
        "write CAST(x AS DOUBLE) for example",
    ),
    (
        r"^There is no registered file format with ext (.*)",
        "COPY does not know the format $1",
        "end the name in .parquet, .csv or .json",
    ),
    (
        r"expr type (.*?) can't cast to (.*?) in SetComparison",
        "$1 and $2 are compared by ANY or ALL",
        "cast one of them",
    ),
    (r"^single expression required", "IN (VALUES ...) is not supported", "write IN (1, 2)"),
    (
        r"^Too many columns! The subquery should only return one column",
        "a subquery gives more than one column",
        "select one; for two keys write EXISTS (SELECT 1 FROM ... WHERE a.symbol = b.symbol AND a.ts = b.ts)",
    ),
    (
        r"^Windows require unique expression names",
        "two windows of the statement differ by a cast only, and are not told apart",
        "compute the cast in a WITH query",
    ),
    (
        r"^A GROUP BY clause in a scalar correlated subquery",
        "GROUP BY stands in a subquery that reads columns of the query around it",
        "leave it out: the condition gives one group",
    ),
    (
        r"undecorrelated Subquery",
        "a subquery stands where it cannot be computed for each row",
        "join what it reads, or compute it in a WITH query",
    ),
    (
        r"^Divide by zero",
        "a whole number is divided by zero",
        "write x / nullif(y, 0), or CAST(y AS DOUBLE)",
    ),
    (
        r"^cannot take square root of a negative number",
        "sqrt of a negative number",
        "write CASE WHEN x >= 0 THEN sqrt(x) END",
    ),
    // Clauses and statements.
    (
        r"^Unsupported (?:ast node|JOIN operator) AsOf",
        "ASOF is not supported",
        "join on the keys and the last time before: ROW_NUMBER() over the matches, or a window over a UNION ALL of both",
    ),
    (
        r"^Unsupported (?:ast node|JOIN operator) Pivot",
        "PIVOT is not supported",
        "write max(CASE WHEN symbol = 'A' THEN close END) for each column, and GROUP BY ts",
    ),
    (
        r"^Unsupported (?:ast node|JOIN operator) Unpivot",
        "UNPIVOT is not supported",
        "write a SELECT for each column, and UNION ALL between them",
    ),
    (
        r"^Unsupported (?:ast node|JOIN operator)(?: in \w+:)? (\w+)",
        "$1 is not supported",
        "write it in another way",
    ),
    (
        r"^Expected (LIMIT|OFFSET) to be an integer or null, but got (.*)",
        "$1 takes a whole number, and not $2",
        "",
    ),
    (r"^(LIMIT|OFFSET) must be >= ?0, '(.*)' was provided", "$1 is $2, and must be 0 or more", ""),
    (
        r"^Invalid window frame: start bound",
        "a frame starts behind its end",
        "write the bounds in one unit: INTERVAL '24 hours' beside INTERVAL '36 hours'",
    ),
    (
        r"^Invalid window frame: frame offsets for ROWS / GROUPS",
        "the distance of a frame by ROWS or GROUPS must be a whole number, 0 or more",
        "write it as one number, such as ROWS 20 PRECEDING",
    ),
    (
        r"^Invalid window frame: frame offsets for RANGE",
        "the distance of a frame by RANGE is neither a number nor an interval",
        "write INTERVAL '7 days' PRECEDING, for example",
    ),
    (
        r"^\w+ operator '(.*?)' is not supported|^Unsupported (?:binary|unary) operator",
        "an operator of this statement is not supported",
        "`windrow sql 'SHOW FUNCTIONS'` lists the functions",
    ),
    (
        r"^Operator (.*?) is not (?:yet )?supported",
        "the operator $1 is not supported",
        "`windrow sql 'SHOW FUNCTIONS'` lists the functions",
    ),
    (
        r"^Unsupported SQL statement: (.{0,60}).*",
        "this statement is not supported: $1",
        "SELECT, EXPLAIN, DESCRIBE, SHOW, CREATE VIEW and COPY are",
    ),
    (
        r"^Unsupported logical plan: Statement\((\w+)",
        "transactions are not supported",
        "each statement stands alone",
    ),
    (
        r"^Insert into not implemented|^Query (?:INSERT|UPDATE|DELETE|MERGE)",
        "INSERT, UPDATE, DELETE and MERGE are not supported",
        "`windrow run` writes a target",
    ),
    (
        r"^(\w+) BY NAME not implemented",
        "$1 BY NAME is not supported",
        "write the columns in one order",
    ),
    (
        r"^Aggregate ORDER BY is not implemented for window functions",
        "ORDER BY in the brackets of a window function is not supported",
        "write it in OVER (ORDER BY ...)",
    ),
    (
        r"^(.*) (?:is )?not (?:yet )?implemented(?: yet)?$",
        "$1 is not supported",
        "write it in another way",
    ),
    (r"^Empty tuple not supported yet", "GROUP BY () is not supported", "leave GROUP BY out"),
    (r"^INTERVAL expression cannot be ", "an INTERVAL is a quoted text", "write INTERVAL '5 days'"),
    (
        r#"^WITH query name "(.*)" specified more than once"#,
        "the name $1 stands for two queries of WITH",
        "give one of them another name",
    ),
    (r"^Savepoints not supported", "transactions are not supported", "each statement stands alone"),
    (
        r#"^Invalid or Unsupported Configuration: could not find config namespace for key "(.*)""#,
        "unknown setting $1",
        "`SHOW ALL` lists them",
    ),
    (
        r#"^Invalid or Unsupported Configuration: Config value "(.*?)" not found"#,
        "unknown setting $1",
        "`SHOW ALL` lists them",
    ),
    (r"^Invalid or Unsupported Configuration: (.*)", "$1", ""),
    (
        r"^EXPLAIN option (\w+) is not supported",
        "EXPLAIN has no option $1",
        "write EXPLAIN or EXPLAIN ANALYZE",
    ),
    (r"^Prepared statement '(.*?)' does not exist", "there is no prepared statement $1", ""),
    (
        r"compatible: Failed due to a difference in schemas",
        "a subquery behind ANY, ALL or SOME cannot stand here",
        "compare with (SELECT max(...)) or (SELECT min(...)), or write EXISTS in WHERE",
    ),
    // Internal errors of DataFusion.
    (
        r"(?s)^(?:Internal error|Plan: \[|Assertion failed).*|(?s).*(?:Optimizer rule|SanityCheckPlan).*",
        "the engine cannot compute this statement",
        "write it in another way, and please report it",
    ),
];

/// Arrow types and their names in SQL. Types of time lose their brackets, such as those of `Timestamp(us,
/// None)`.
const TYPES: &[(&str, &str)] = &[
    ("Utf8View", "TEXT"),
    ("LargeUtf8", "TEXT"),
    ("Utf8", "TEXT"),
    ("String", "text"),
    ("Float64", "DOUBLE"),
    ("Float32", "REAL"),
    ("Int8", "TINYINT"),
    ("Int16", "SMALLINT"),
    ("Int32", "INT"),
    ("Int64", "BIGINT"),
    ("UInt8", "TINYINT UNSIGNED"),
    ("UInt16", "SMALLINT UNSIGNED"),
    ("UInt32", "INT UNSIGNED"),
    ("UInt64", "BIGINT UNSIGNED"),
    ("Boolean", "BOOLEAN"),
    ("Date32", "DATE"),
    ("Date64", "DATE"),
    ("Timestamp", "TIMESTAMP"),
    ("Interval", "INTERVAL"),
    ("Duration", "INTERVAL"),
    ("Time32", "TIME"),
    ("Time64", "TIME"),
    ("Decimal128", "DECIMAL"),
    ("Decimal256", "DECIMAL"),
    ("BinaryView", "BYTEA"),
    ("LargeBinary", "BYTEA"),
    ("Binary", "BYTEA"),
    ("Integer", "a whole number"),
];

static COMPILED: LazyLock<Vec<Regex>> =
    LazyLock::new(|| KINDS.iter().filter_map(|(pattern, ..)| Regex::new(pattern).ok()).collect());
static LITERAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"\b(?:U?Int(?:8|16|32|64)|Float(?:32|64)|Boolean|Utf8|Utf8View|LargeUtf8)\((-?[\w.+-]+|".*?"|NULL)\)"#).ok()
});
static TYPE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    let bracketed = "Timestamp|Interval|Duration|Time32|Time64";
    Regex::new(&format!(r"\b(?:({bracketed})\([^()]*\)|({})\b)", names.join("|")))
        .or_else(|_| Regex::new(r"\b()(\w+)\b"))
        .ok()
});
static LIST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\b(?:Large|FixedSize)?List(?:View)?\((?:non-null )?([^()]*(?:\([^()]*\))?)\)").ok()
});

/// Returns a message with the SQL names of types and with values as a user writes them. Prefixes that only
/// name the part of DataFusion that failed are removed.
pub(super) fn to_sql_wording(message: &str) -> String {
    let mut text = message
        .split(". No function matches the given name")
        .next()
        .unwrap_or(message)
        .trim()
        .to_string();
    if let Some(literal) = LITERAL.as_ref() {
        let value = |found: &Captures<'_>| found[1].replace('"', "'");
        text = literal.replace_all(&text, value).into_owned();
    }
    if let Some(list) = LIST.as_ref() {
        while list.is_match(&text) {
            text = list.replace_all(&text, "$1[]").into_owned();
        }
    }
    if let Some(ty) = TYPE.as_ref() {
        let name = |found: &Captures<'_>| {
            let name = found.get(1).or_else(|| found.get(2)).map_or("", |m| m.as_str());
            let zoned = name == "Timestamp" && found[0].contains('"');
            let sql = TYPES.iter().find(|(arrow, _)| *arrow == name).map_or(name, |(_, sql)| sql);
            if zoned { "TIMESTAMP WITH TIME ZONE".to_string() } else { sql.to_string() }
        };
        text = ty.replace_all(&text, name).into_owned();
    }
    for part in [
        "Parser error: ",
        "Error during planning: ",
        "Execution error: ",
        "Compute error: ",
        "Cast error: ",
        "Invalid argument error: ",
    ] {
        text = text.replace(part, "");
    }
    text
}

/// Returns the sentence for a message of a known kind.
pub(super) fn match_known_message(message: &str) -> Option<Error> {
    let text = to_sql_wording(message);
    let (captures, (_, sentence, way_out)) = COMPILED
        .iter()
        .zip(KINDS)
        .find_map(|(pattern, kind)| Some((pattern.captures(&text)?, kind)))?;
    let mut said = String::new();
    captures.expand(sentence, &mut said);
    let error = Error::query(said.lines().next().unwrap_or_default().trim_end_matches('.'));
    let mut way = String::new();
    captures.expand(way_out, &mut way);
    Some(if way.is_empty() { error } else { error.hint(way) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(COMPILED.len(), KINDS.len());
        assert!(LITERAL.is_some() && TYPE.is_some() && LIST.is_some());
    }

    #[test]
    fn types_and_values_are_those_of_sql() {
        for (theirs, ours) in [
            ("bars.symbol = Utf8(\"A\") is odd", "bars.symbol = 'A' is odd"),
            ("List(Int64) and List(List(Utf8View))", "BIGINT[] and TEXT[][]"),
            ("(Interval(MonthDayNano), Float64)", "(INTERVAL, DOUBLE)"),
        ] {
            assert_eq!(to_sql_wording(theirs), ours);
        }
    }

    #[test]
    fn known_kinds_have_a_way_out() {
        for (theirs, ours) in [
            (
                "Cannot cast string 'x' to value of Float64 type",
                "'x' is no DOUBLE; correct the value, or cast to another type",
            ),
            (
                "Expected LIMIT to be an integer or null, but got Utf8",
                "LIMIT takes a whole number, and not TEXT",
            ),
            (
                "Cannot coerce arithmetic expression Timestamp(µs, \"UTC\") + Int64 to valid types",
                "TIMESTAMP WITH TIME ZONE + BIGINT cannot be computed; a time and an INTERVAL give a time: \
                 ts + INTERVAL '1 day'",
            ),
        ] {
            assert_eq!(match_known_message(theirs).unwrap().to_string(), ours);
        }
        assert!(match_known_message("something else").is_none());
    }
}
