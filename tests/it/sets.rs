//! Every shipped feature set runs: on bars with and without the optional columns.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};

use super::support::{Bars, ok, run, run_json, write_parquet};

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir("queries")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sql"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_shipped_sets_are_there() {
    let names = names();
    for set in
        ["returns", "trend", "momentum", "volatility", "volume", "price_action", "cross_section"]
    {
        assert!(names.iter().any(|name| name == set), "{set}");
    }
}

#[test]
fn every_set_runs_and_documents_its_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bars = Bars::new(6, 320);
    bars.write(&folder.join("plain/all.parquet"));
    let all = bars.all();
    let mut columns: Vec<(String, ArrayRef)> = all
        .schema()
        .fields()
        .iter()
        .zip(all.columns())
        .map(|(f, c)| (f.name().clone(), Arc::clone(c)))
        .collect();
    let n = all.num_rows();
    columns.push(("factor".into(), Arc::new(Float64Array::from(vec![0.5; n]))));
    let sectors: Vec<&str> = (0..n).map(|i| ["energy", "health"][i / 320 % 2]).collect();
    columns.push(("sector".into(), Arc::new(StringArray::from(sectors))));
    write_parquet(&folder.join("full/all.parquet"), &RecordBatch::try_from_iter(columns).unwrap());
    for name in names() {
        for (source, threads) in [("plain", "1"), ("full", "3")] {
            let target = format!("{source}_{name}");
            let bars = format!("bars={source}");
            let words = ["run", &name, "--source", &bars, "--to", &target, "--threads", threads];
            let told = run_json(folder, &words);
            assert_eq!(told["rows"].as_u64(), Some(6 * 320), "{name} on {source}");
            let text = std::fs::read_to_string(format!("queries/{name}.sql")).unwrap();
            for column in told["columns"].as_array().unwrap() {
                let column = column["name"].as_str().unwrap();
                if column == "symbol" || column == "ts" {
                    continue;
                }
                let key = format!("{column}:");
                let header = text.split("*/").next().unwrap();
                let documented = header.contains(&key) || documented_struct(header, column);
                assert!(documented, "{name}: output {column} is not documented in the header");
            }
        }
    }
}

/// `macd:` documents `macd_macd`; a templated family is documented with its template.
fn documented_struct(header: &str, column: &str) -> bool {
    column.match_indices('_').any(|(at, _)| header.contains(&format!("{}:", &column[..at])))
}

#[test]
fn the_shipped_sets_have_no_finding() {
    let here = std::path::Path::new(".");
    let output = run(here, &["check", "queries"]);
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{found}");
}

#[test]
fn demo_runs_and_says_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let told = ok(folder, &["demo", "--dir", "d"]);
    for name in names() {
        assert!(told.contains(&format!("-> d/features/{name}")), "{told}");
    }
    for word in ["sample bars: 6", "rows/s", "BOLT", "rsi_14", "windrow repl --source bars=d/bars"]
    {
        assert!(told.contains(word), "{word} not in\n{told}");
    }
    // The split does not show in what is computed from adjusted prices.
    let sql = "SELECT min(ret_1) FROM r WHERE symbol = 'BOLT'";
    let least = ok(folder, &["sql", sql, "--source", "r=d/features/returns", "--format", "csv"]);
    let least: f64 = least.lines().nth(1).unwrap().parse().unwrap();
    assert!(least > -0.3, "{least}");
    ok(folder, &["demo", "--dir", "d"]);
}

#[test]
fn functions_are_listed_from_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let listed = ok(folder.path(), &["functions", "--json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.len(), windrow_udfs::all_functions().count());
    let text = ok(folder.path(), &["functions"]);
    for entry in windrow_udfs::all_functions() {
        assert!(text.contains(&format!("  {}", entry.spec.name)), "{}", entry.spec.name);
        ok(folder.path(), &["functions", entry.spec.name]);
    }
}
