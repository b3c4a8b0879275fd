//! Tests of headers and their errors.

use super::*;

const FULL: &str = "/*
description: Momentum and volatility: daily bars
entity: ticker
time: day
params: {fast: 12, names: [a, b], map: {x: 1.5}}
labels: [fwd_ret_5]
outputs:
  rsi_14: relative strength
  macd: 'trend: fast'
requires: [close]
optional: [sector, factor]
partition_by: [year]
audits:
  - rsi_14 BETWEEN 0 AND 100
  - unique: [ticker, day]
  - not_null: [close]
  - \"name <> 'a: b'\"
*/
SELECT 1";

fn place(line: usize, column: usize) -> TextPlace {
    TextPlace { file: "f.sql".into(), line, column }
}

#[test]
fn every_key() {
    let text = FULL
        .replace("Momentum and volatility:", "'Momentum and volatility:")
        .replace("bars", "bars'");
    let (header, body) = parse_header("f.sql", &text).unwrap();
    assert_eq!(&text[body..], "\nSELECT 1");
    assert_eq!(header.description.as_deref(), Some("Momentum and volatility: daily bars"));
    assert_eq!((header.entity.as_str(), header.time.as_str()), ("ticker", "day"));
    let params: Vec<String> =
        header.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(params.join(" "), r#"fast=12 map={"x": 1.5} names=["a", "b"]"#.replace('"', "'"));
    assert_eq!(header.labels, ["fwd_ret_5"]);
    assert_eq!(header.outputs[0], ("rsi_14".into(), "relative strength".into()));
    assert_eq!(header.outputs[1], ("macd".into(), "trend: fast".into()));
    assert_eq!(header.requires, ["close"]);
    assert_eq!(header.optional, ["sector", "factor"]);
    assert_eq!(header.partition_by, ["year"]);
    let audits = [
        DeclaredAudit::Condition { text: "rsi_14 BETWEEN 0 AND 100".into(), place: place(14, 5) },
        DeclaredAudit::Unique { columns: vec!["ticker".into(), "day".into()], place: place(15, 5) },
        DeclaredAudit::NotNull { columns: vec!["close".into()], place: place(16, 5) },
        DeclaredAudit::Condition { text: "name <> 'a: b'".into(), place: place(17, 5) },
    ];
    assert_eq!(header.audits, audits);
    assert_eq!(header.place_of_key("labels"), Some(place(6, 1)));
    assert_eq!(header.place_of_key("nothing"), None);
    assert_eq!(header.place_of_entry("labels", "fwd_ret_5"), Some(place(6, 10)));
    assert_eq!(header.place_of_entry("outputs", "macd"), Some(place(9, 3)));
    assert_eq!(header.place_of_entry("params", "names"), Some(place(5, 20)));
}

#[test]
fn without_a_header() {
    for text in [
        "SELECT 1",
        "\u{feff}SELECT 1",
        "-- note\nSELECT /* x */ 1",
        "/**/SELECT 1",
        "/* */ SELECT 1",
    ] {
        let (header, body) = parse_header("f.sql", text).unwrap();
        assert_eq!((header.entity.as_str(), header.time.as_str()), ("symbol", "ts"), "{text}");
        assert!(text[body..].contains("SELECT"), "{text}");
    }
}

#[test]
fn where_a_header_may_stand() {
    let cases = [
        "/* time: t */SELECT 1",
        "\u{feff}  \n/*time: t*/SELECT 1",
        "-- licence\r\n-- more\r\n/*\r\n  time: t\r\n*/SELECT 1",
        "/* time: t\n   entity: e */SELECT 1",
        "/*\n\n   time: t\n   entity: e\n*/SELECT 1",
    ];
    for text in cases {
        let (header, body) = parse_header("f.sql", text).unwrap();
        assert_eq!((header.time.as_str(), &text[body..]), ("t", "SELECT 1"), "{text}");
    }
}

const QUOTES: &str = "; put text that contains `: `, ` #`, quotes or brackets in double quotes";
const NO_HEADER: &str = "the first comment is the header, and this one is not `key: value` lines; start other comments with --, or put them below a header";

const ERRORS: &[(&str, &str)] = &[
    (
        "/* time: t",
        "1:1: the header's comment is not closed; end the comment with */ above the SELECT",
    ),
    ("\n /* Copyright 2024 Somebody */", "2:2: {NO_HEADER}"),
    ("/* Copyright: all rights */", "1:1: {NO_HEADER}"),
    ("/*********/", "1:1: {NO_HEADER}"),
    ("/* [a, b] */", "1:1: {NO_HEADER}"),
    ("/*\nlables: [a]\n*/", "2:1: unknown key lables in the header; did you mean labels?"),
    (
        "/* time: t\n   colour: red */",
        "2:4: unknown key colour in the header; keys: description, entity, time, params, labels, outputs, requires, optional, available, partition_by, audits",
    ),
    ("/* Time: t */", "1:4: unknown key Time in the header; did you mean time?"),
    ("/*\ntime: a\ntime: b\n*/", "3:1: time is given twice; the first one is in line 2"),
    ("/*\nparams: {a: 1, a: 2}\n*/", "2:16: a is given twice; the first one is in line 2"),
    ("/*\navailable: {bars: known}\n*/", "2:1: available is not supported yet; remove the key"),
    ("/*\ntime:\n*/", "2:5: time is empty, expected text"),
    ("/*\ntime: ''\n*/", "2:7: time is empty, expected text"),
    ("/*\nentity: 12\n*/", "2:9: entity is a number, expected text; put it in quotes"),
    ("/*\ntime: true\n*/", "2:7: time is true or false, expected text; put it in quotes"),
    ("/*\ndescription: [a]\n*/", "2:14: description is a list, expected text"),
    (
        "/*\ndescription: a: b\n*/",
        "2:15: not valid YAML: a second `: ` in one value, or a wrong indentation{QUOTES}",
    ),
    (
        "/*\ndescription: 'x\n*/",
        "3:1: not valid YAML: a quoted value is not closed; close the quotes",
    ),
    ("/*\nlabels: [a\n*/", "2:9: not valid YAML: unclosed bracket '['{QUOTES}"),
    (
        "/*\nlabels:\n  - a\n - b\n*/",
        "4:2: not valid YAML: wrong indentation; indent with blanks, and all entries of one list or mapping alike",
    ),
    ("/*\ntime: @x\n*/", "2:7: not valid YAML: unexpected character: `@'{QUOTES}"),
    (
        "/*\ntime: t\n---\ntime: u\n*/",
        "4:1: not valid YAML: a second document starts here; remove the line `---`",
    ),
    ("/*\nlabels: fwd\n*/", "2:9: labels is text, expected a list such as [a, b]"),
    (
        "/*\nlabels: [a, 5]\n*/",
        "2:13: an entry of labels is a number, expected text; put it in quotes",
    ),
    ("/*\nlabels: [a, a]\n*/", "2:13: labels names a twice"),
    ("/*\nparams: [a]\n*/", "2:9: params is a list, expected a mapping such as name: value"),
    (
        "/*\nparams: {fast-ma: 1}\n*/",
        "2:10: parameter fast-ma is not a name; use letters, digits and _, and start with a letter",
    ),
    (
        "/*\nparams: {range: 1}\n*/",
        "2:10: range is a word of the template language; choose another name for the parameter",
    ),
    (
        "/*\noutputs: {a: 1}\n*/",
        "2:14: the text of output a is a number, expected text; put it in quotes",
    ),
    ("/*\noutputs: [a]\n*/", "2:10: outputs is a list, expected a mapping such as name: value"),
    (
        "/*\nrequires: [a]\noptional: [b, a]\n*/",
        "3:15: a is in requires and in optional; remove it from one of them",
    ),
    ("/*\naudits: x > 0\n*/", "2:9: audits is text, expected a list; start each audit with `- `"),
    (
        "/*\naudits:\n  - [a]\n*/",
        "3:5: an audit is a list, expected a condition; write it as `- rsi BETWEEN 0 AND 100` or `- unique: [symbol, ts]`",
    ),
    ("/*\naudits:\n  - uniqe: [a]\n*/", "3:5: unknown audit uniqe; did you mean unique?"),
    (
        "/*\naudits:\n  - x = 'a: b'\n*/",
        "3:5: unknown audit x = 'a, expected unique, not_null or a condition; put a condition that contains `: ` in double quotes",
    ),
    ("/*\naudits:\n  - unique: []\n*/", "3:13: unique names no column"),
    (
        "/*\naudits:\n  - unique: [a]\n    not_null: [b]\n*/",
        "3:5: an audit has two keys, expected one; start each audit with `- `",
    ),
    (
        "/*\naudits:\n  - \"a\" > 0\n*/",
        "3:9: not valid YAML: invalid trailing content after double-quoted scalar{QUOTES}",
    ),
];

#[test]
fn every_error_has_its_place_and_way_out() {
    for (text, expected) in ERRORS {
        let expected = expected.replace("{QUOTES}", QUOTES).replace("{NO_HEADER}", NO_HEADER);
        let error = parse_header("f.sql", text).unwrap_err();
        assert_eq!(error.to_string(), format!("f.sql:{expected}"), "{text}");
        assert_eq!(error.exit_code(), 1);
    }
}
