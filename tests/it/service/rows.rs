//! Rows of features as bits, from targets and from answers, so that equal means equal.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_ipc::reader::StreamReader;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type};
use regex::Regex;

use super::client::Answer;
use crate::support::plain_read;

/// The values of one symbol: by time, by column, as bits.
pub(super) type SymbolRows = BTreeMap<String, BTreeMap<String, Option<u64>>>;
/// The rows of many symbols.
pub(super) type Rows = BTreeMap<String, SymbolRows>;

/// Reads a directory of parquet files; nothing if there is none.
pub(super) fn read_target(target: &Path) -> Rows {
    let mut rows = Rows::new();
    if let Some(batch) = plain_read(target).unwrap() {
        add_rows(&mut rows, &batch, None);
    }
    rows
}

fn add_rows(rows: &mut Rows, batch: &RecordBatch, symbol: Option<&str>) {
    let column = |name: &str, ty: &DataType| {
        batch.column_by_name(name).map(|column| cast(column, ty).unwrap())
    };
    let symbols = column("symbol", &DataType::Utf8);
    let times = column("ts", &DataType::Date32).unwrap();
    let times = times.as_primitive::<Date32Type>();
    let schema = batch.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let names: Vec<&str> = names.filter(|name| !["symbol", "ts"].contains(name)).collect();
    let values: Vec<_> =
        names.iter().map(|name| column(name, &DataType::Float64).unwrap()).collect();
    for at in 0..batch.num_rows() {
        let own = symbols.as_ref().map(|symbols| symbols.as_string::<i32>().value(at));
        let time = times.value_as_date(at).unwrap().to_string();
        let value = |column: &datafusion::arrow::array::ArrayRef| {
            let column = column.as_primitive::<Float64Type>();
            column.is_valid(at).then(|| column.value(at).to_bits())
        };
        let values = values.iter().map(value);
        let row = names.iter().map(|name| name.to_string()).zip(values).collect();
        let symbol = own.or(symbol).unwrap().to_string();
        let before = rows.entry(symbol).or_default().insert(time.clone(), row);
        assert!(before.is_none(), "two rows of {time}");
    }
}

/// The rows of an answer of any media type; `symbol` is theirs if they have none.
pub(super) fn read_answer(answer: &Answer, symbol: Option<&str>) -> Rows {
    let mut rows = Rows::new();
    match answer.header("content-type").unwrap() {
        "application/json" => {
            answer.json(); // It is JSON as a whole.
            add_json_rows(&mut rows, &answer.text(), symbol);
        }
        "text/csv" => add_csv_rows(&mut rows, &answer.text(), symbol),
        "application/vnd.apache.arrow.stream" => {
            for batch in StreamReader::try_new(answer.body.as_slice(), None).unwrap() {
                add_rows(&mut rows, &batch.unwrap(), symbol);
            }
        }
        other => panic!("{other}"),
    }
    rows
}

/// Adds the rows of a JSON text, cell by cell: serde_json may read a float one bit beside.
fn add_json_rows(rows: &mut Rows, text: &str, symbol: Option<&str>) {
    let (_, list) = text.split_once("\"rows\":").unwrap();
    let objects = Regex::new(r"\{[^{}]*\}").unwrap();
    let cells = Regex::new(r#""([^"]+)":(?:"((?:[^"\\]|\\.)*)"|(null)|([-+.0-9eE]+))"#).unwrap();
    for object in objects.find_iter(list) {
        let (mut texts, mut values) = (BTreeMap::new(), BTreeMap::new());
        for cell in cells.captures_iter(object.as_str()) {
            let name = cell[1].to_string();
            match (cell.get(2), cell.get(4)) {
                (Some(text), _) => drop(texts.insert(name, text.as_str().to_string())),
                (None, number) => {
                    let number = number.map(|number| number.as_str().parse::<f64>().unwrap());
                    values.insert(name, number.map(f64::to_bits));
                }
            }
        }
        let own = texts.get("symbol").map(String::as_str).or(symbol).unwrap();
        let before = rows.entry(own.to_string()).or_default().insert(texts["ts"].clone(), values);
        assert!(before.is_none(), "two rows of {}", texts["ts"]);
    }
}

fn add_csv_rows(rows: &mut Rows, text: &str, symbol: Option<&str>) {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_string).collect();
    for record in reader.records() {
        let record = record.unwrap();
        let cells: BTreeMap<&str, &str> =
            names.iter().map(String::as_str).zip(record.iter()).collect();
        let value = |cell: &&str| cell.parse::<f64>().ok().map(f64::to_bits);
        let values = cells.iter().filter(|(name, _)| !["symbol", "ts"].contains(name));
        let values = values.map(|(name, cell)| (name.to_string(), value(cell))).collect();
        let own = cells.get("symbol").copied().or(symbol).unwrap();
        rows.entry(own.to_string()).or_default().insert(cells["ts"].to_string(), values);
    }
}

/// Asserts that rows are equal, and names the first that are not.
pub(super) fn assert_same(found: &Rows, wanted: &Rows, what: &str) {
    let symbols = |rows: &Rows| rows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(symbols(found), symbols(wanted), "{what}");
    for (symbol, rows) in wanted {
        assert_eq!(found[symbol].len(), rows.len(), "{what}: rows of {symbol}");
        for (time, row) in rows {
            assert_eq!(found[symbol].get(time), Some(row), "{what}: {symbol} {time}");
        }
    }
}
