use super::*;
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int64Array, ListArray,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int32Type, Schema};
use std::sync::Arc;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn bars() -> RecordBatch {
    batch(vec![
        ("symbol", Arc::new(StringArray::from(vec![Some("AAPL"), Some("B|C"), None]))),
        ("ts", Arc::new(Date32Array::from(vec![19724, 19725, 19726]))),
        ("close", Arc::new(Float64Array::from(vec![Some(1.5), Some(100.0 / 3.0), None]))),
        ("volume", Arc::new(Int64Array::from(vec![Some(1_000), None, Some(-3)]))),
    ])
}

fn print(format: Format, batches: &[RecordBatch], limit: Limit) -> (String, PrintSummary) {
    let mut out = Vec::new();
    let schema = batches[0].schema();
    let mut printer = Printer::new(format, &schema, &mut out, limit);
    for batch in batches {
        printer.batch(batch).unwrap();
    }
    let printed = printer.finish().unwrap();
    (String::from_utf8(out).unwrap(), printed)
}

fn rows(max_rows: usize) -> Limit {
    Limit::Rows { max_rows, max_width: 80 }
}

#[test]
fn one_result_in_every_format() {
    let cases = [
        (
            Format::Table,
            "\
┌────────┬────────────┬───────────┬────────┐
│ symbol │     ts     │   close   │ volume │
├────────┼────────────┼───────────┼────────┤
│ AAPL   │ 2024-01-02 │       1.5 │   1000 │
│ B|C    │ 2024-01-03 │ 33.333333 │   NULL │
│ NULL   │ 2024-01-04 │      NULL │     -3 │
└────────┴────────────┴───────────┴────────┘
(3 rows)
",
        ),
        (
            Format::Csv,
            "\
symbol,ts,close,volume
AAPL,2024-01-02,1.5,1000
B|C,2024-01-03,33.333333333333336,
,2024-01-04,,-3
",
        ),
        (
            Format::Json,
            r#"[
{"symbol":"AAPL","ts":"2024-01-02","close":1.5,"volume":1000},
{"symbol":"B|C","ts":"2024-01-03","close":33.333333333333336,"volume":null},
{"symbol":null,"ts":"2024-01-04","close":null,"volume":-3}
]
"#,
        ),
        (
            Format::Markdown,
            "\
| symbol | ts         |     close | volume |
|--------|------------|----------:|-------:|
| AAPL   | 2024-01-02 |       1.5 |   1000 |
| B\\|C   | 2024-01-03 | 33.333333 |   NULL |
| NULL   | 2024-01-04 |      NULL |     -3 |
",
        ),
    ];
    for (format, expected) in cases {
        let (text, printed) = print(format, &[bars()], Limit::All);
        assert_eq!(text, expected, "{format}");
        assert_eq!(printed, PrintSummary { rows: 3, shown: 3 }, "{format}");
        // The result is the same from several batches, some of them empty.
        let parts =
            [bars().slice(0, 0), bars().slice(0, 1), bars().slice(1, 0), bars().slice(1, 2)];
        assert_eq!(print(format, &parts, Limit::All).0, expected, "{format} in parts");
    }
}

#[test]
fn no_rows_are_valid_too() {
    let none = bars().slice(0, 0);
    let cases = [
        (Format::Csv, "symbol,ts,close,volume\n"),
        (Format::Json, "[]\n"),
        (Format::Markdown, "| symbol | ts | close | volume |\n|--------|----|------:|-------:|\n"),
        (
            Format::Table,
            "\
┌────────┬────┬───────┬────────┐
│ symbol │ ts │ close │ volume │
├────────┼────┼───────┼────────┤
└────────┴────┴───────┴────────┘
(0 rows)
",
        ),
    ];
    for (format, expected) in cases {
        assert_eq!(print(format, std::slice::from_ref(&none), Limit::All).0, expected, "{format}");
        let mut out = Vec::new();
        Printer::new(format, &none.schema(), &mut out, rows(5)).finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{format} without a batch");
    }
}

fn numbers(from: i64, to: i64) -> RecordBatch {
    batch(vec![("n", Arc::new(Int64Array::from_iter_values(from..to)))])
}

#[test]
fn a_cut_table_has_head_tail_and_count() {
    let batches: Vec<RecordBatch> = (0..100).map(|i| numbers(i * 13, (i + 1) * 13)).collect();
    let (text, printed) = print(Format::Table, &batches, rows(5));
    let expected = "\
┌──────┐
│  n   │
├──────┤
│    0 │
│    1 │
│    2 │
│    … │
│ 1298 │
│ 1299 │
└──────┘
(1,300 rows, 5 shown)
";
    assert_eq!(text, expected);
    assert_eq!(printed, PrintSummary { rows: 1300, shown: 5 });
}

#[test]
fn every_cut_shows_the_right_rows() {
    for total in 0..12 {
        for size in [1, 2, 5, 12] {
            for max in [1, 2, 3, 4, 7] {
                let batches: Vec<RecordBatch> = (0..=total / size)
                    .map(|i| numbers(i * size, total.min((i + 1) * size)))
                    .collect();
                let (text, printed) = print(Format::Markdown, &batches, rows(max));
                let total = total as usize;
                let shown: Vec<usize> = text
                    .lines()
                    .skip(2)
                    .filter_map(|line| line.trim_matches(['|', ' ']).parse().ok())
                    .collect();
                let expected: Vec<usize> = (0..total)
                    .filter(|n| total <= max || *n < max.div_ceil(2) || *n >= total - max / 2)
                    .collect();
                assert_eq!(shown, expected, "{total} rows by {size}, {max} shown");
                assert_eq!(printed, PrintSummary { rows: total, shown: expected.len() });
            }
        }
    }
}

#[test]
fn a_cut_stream_stays_valid() {
    let batches = [numbers(0, 3), numbers(3, 9)];
    let (json, printed) = print(Format::Json, &batches, rows(4));
    assert_eq!(json, "[\n{\"n\":0},\n{\"n\":1},\n{\"n\":2},\n{\"n\":3}\n]\n");
    assert_eq!(printed, PrintSummary { rows: 9, shown: 4 });
    assert_eq!(print(Format::Csv, &batches, rows(4)).0, "n\n0\n1\n2\n3\n");
}

#[test]
fn too_many_columns_lose_the_middle() {
    let columns: Vec<(String, ArrayRef)> = (0..30)
        .map(|i| {
            (format!("feature_{i}"), Arc::new(Float64Array::from(vec![f64::from(i)])) as ArrayRef)
        })
        .collect();
    let wide = batch(columns.iter().map(|(n, c)| (n.as_str(), Arc::clone(c))).collect());
    let expected = "\
┌───────────┬───────────┬───────────┬───────────┬───┬────────────┬────────────┐
│ feature_0 │ feature_1 │ feature_2 │ feature_3 │ … │ feature_28 │ feature_29 │
├───────────┼───────────┼───────────┼───────────┼───┼────────────┼────────────┤
│       0.0 │       1.0 │       2.0 │       3.0 │ … │       28.0 │       29.0 │
└───────────┴───────────┴───────────┴───────────┴───┴────────────┴────────────┘
(1 row; 30 columns, 6 shown)
";
    assert_eq!(print(Format::Table, &[wide], rows(5)).0, expected);
}

fn nested() -> RecordBatch {
    let fields = Fields::from(vec![
        Field::new("macd", DataType::Float64, true),
        Field::new("macdsignal", DataType::Float64, true),
    ]);
    let values: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![Some(0.1), Some(7.0)])),
        Arc::new(Float64Array::from(vec![None, Some(7.0)])),
    ];
    let nulls = Some(vec![true, false].into());
    let list =
        ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(0.25), None]), None]);
    let tags: DictionaryArray<Int32Type> = vec![Some("x"), None].into_iter().collect();
    let stamps =
        TimestampMicrosecondArray::from(vec![1_704_204_000_000_000, 1_704_204_000_250_000]);
    batch(vec![
        ("macd", Arc::new(StructArray::new(fields, values, nulls))),
        ("list", Arc::new(list)),
        ("tag", Arc::new(tags)),
        ("ok", Arc::new(BooleanArray::from(vec![true, false]))),
        ("ts", Arc::new(stamps.with_timezone("UTC"))),
    ])
}

#[test]
fn nested_values_and_time_stamps() {
    let cases = [
        (
            Format::Json,
            r#"[
{"macd":{"macd":0.1,"macdsignal":null},"list":[0.25,null],"tag":"x","ok":true,"ts":"2024-01-02T14:00:00Z"},
{"macd":null,"list":null,"tag":null,"ok":false,"ts":"2024-01-02T14:00:00.250Z"}
]
"#,
        ),
        (
            Format::Csv,
            "\
macd_macd,macd_macdsignal,list,tag,ok,ts
0.1,,\"[0.25,null]\",x,true,2024-01-02T14:00:00Z
,,,,false,2024-01-02T14:00:00.250Z
",
        ),
        (
            Format::Table,
            "\
┌───────────────────────────────┬──────────────┬──────┬───────┬───────────────────────────────┐
│             macd              │     list     │ tag  │  ok   │              ts               │
├───────────────────────────────┼──────────────┼──────┼───────┼───────────────────────────────┤
│ {macd: 0.1, macdsignal: NULL} │ [0.25, NULL] │ x    │ true  │ 2024-01-02 14:00:00+00:00     │
│ NULL                          │ NULL         │ NULL │ false │ 2024-01-02 14:00:00.250+00:00 │
└───────────────────────────────┴──────────────┴──────┴───────┴───────────────────────────────┘
(2 rows)
",
        ),
    ];
    for (format, expected) in cases {
        assert_eq!(print(format, &[nested()], Limit::All).0, expected, "{format}");
    }
}

#[test]
fn floats_read_back_to_the_same_bits() {
    let values = [0.1 + 0.2, 1.0 / 3.0, 1e-300, 1.7976931348623157e308, 5e-324, 123456.789, -0.0];
    let floats = batch(vec![("x", Arc::new(Float64Array::from(values.to_vec())))]);
    let csv = print(Format::Csv, std::slice::from_ref(&floats), Limit::All).0;
    let read: Vec<f64> = csv.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!(read.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), values.map(f64::to_bits));
    let json = print(Format::Json, &[floats], Limit::All).0;
    for (line, value) in json.lines().skip(1).zip(values) {
        let text = line.trim_end_matches(',').trim_start_matches("{\"x\":").trim_end_matches('}');
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{line}");
    }
    let odd = batch(vec![("x", Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY])))]);
    let json = print(Format::Json, &[odd], Limit::All).0;
    assert_eq!(json, "[\n{\"x\":null},\n{\"x\":null}\n]\n");
}

#[test]
fn formats_are_words() {
    for format in Format::ALL {
        assert_eq!(format.name().parse::<Format>().unwrap(), format);
    }
    let error = "xml".parse::<Format>().unwrap_err();
    assert_eq!(error.to_string(), "unknown format xml, expected table, csv, json, markdown");
}

#[test]
fn a_closed_output_is_told_apart() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in Format::ALL {
        let mut printer = Printer::new(format, &bars().schema(), Closed, Limit::All);
        let result = printer.batch(&bars()).and_then(|()| printer.finish().map(|_| ()));
        assert!(output_closed(&result.unwrap_err()), "{format}");
    }
}

#[test]
fn no_columns_at_all() {
    let schema = Arc::new(Schema::empty());
    let mut out = Vec::new();
    Printer::new(Format::Table, &schema, &mut out, Limit::All).finish().unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "(0 rows)\n");
}
