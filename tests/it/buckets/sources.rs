//! Buckets and web servers as sources.

use super::*;

#[test]
fn every_layout_is_read_as_from_the_disk() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let bars = Bars::new(6, 90);
    // One object with row groups of its own, one per symbol, one per day, CSV.
    bars.write(&store.bucket().join("one/all.parquet"));
    for batch in bars.batches() {
        let symbol = symbol_of(&batch);
        write_parquet(&store.bucket().join(format!("symbols/symbol={symbol}/x.parquet")), &batch);
    }
    ok(folder, &["compact", "bars", "s3://bucket/compacted"]);
    std::fs::create_dir_all(folder.join("queries")).unwrap();
    std::fs::write(
        folder.join("days.sql"),
        "/*\npartition_by: [day]\n*/\nSELECT *, CAST(ts AS VARCHAR) AS day FROM bars",
    )
    .unwrap();
    let one = "bars=s3://bucket/one";
    ok(folder, &["run", "days.sql", "--source", one, "--to", "s3://bucket/days"]);
    assert!(store.keys("days").len() > 90, "a file for each day, and the record");
    let text = ok(folder, &["sql", "SELECT * FROM bars", "--source", one, "--format", "csv"]);
    std::fs::create_dir(store.bucket().join("csv")).unwrap();
    std::fs::write(store.bucket().join("csv/all.csv"), text).unwrap();
    let sql = "SELECT symbol, ts, close, rsi(close, 14) OVER (PARTITION BY symbol ORDER BY ts) AS r \
               FROM bars ORDER BY symbol, ts";
    let expected = rows(folder, sql, &["bars=s3://bucket/one/all.parquet"]);
    assert_eq!(expected.len(), 540);
    for place in ["one", "symbols", "days", "csv", "*/all.parquet", "days/day=*", "csv/*.csv"] {
        let source = format!("bars=s3://bucket/{place}");
        assert_eq!(rows(folder, sql, &[&source]), expected, "{place}");
        // Filters leave out what they can.
        let few = "SELECT symbol, ts, close FROM bars WHERE symbol = 'S004' AND ts >= DATE '2019-05-01' ORDER BY ts";
        let found = rows(folder, few, &[&source]);
        assert_eq!(found.len(), 73, "{place}");
    }
    let none = fails(folder, &["sql", "SELECT 1 FROM b", "--source", "b=s3://bucket/nothing"]).1;
    assert!(none.contains("s3://bucket/nothing holds no parquet or CSV file"), "{none}");
    // A file that is no parquet is named.
    std::fs::write(store.bucket().join("one/broken.parquet"), "no parquet at all").unwrap();
    let broken = fails(folder, &["sql", "SELECT * FROM b", "--source", "b=s3://bucket/one"]).1;
    assert!(broken.contains("s3://bucket/one/broken.parquet is truncated or corrupt"), "{broken}");
}

#[test]
fn only_the_row_groups_that_are_asked_for_are_fetched() {
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::file::properties::WriterProperties;
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    // Eight symbols in row groups of their own; beyond a megabyte a file is read in pieces.
    let bars = Bars::new(8, 8_000);
    std::fs::create_dir_all(store.bucket().join("big")).unwrap();
    let path = store.bucket().join("big/all.parquet");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(8_000)).build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, bars.all().schema(), Some(properties)).unwrap();
    bars.batches().iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    let source = ["bars=s3://bucket/big"];
    let all = rows(folder, "SELECT count(*), sum(close) FROM bars", &source);
    assert!(all[0].starts_with("64000,"), "{all:?}");
    let gets =
        || store.asked().iter().filter(|asked| asked.starts_with("GET /bucket/big/")).count();
    gets();
    let sql = "SELECT count(*), sum(close) FROM bars WHERE symbol = 'S005'";
    assert!(rows(folder, sql, &source)[0].starts_with("8000,"));
    let few = gets();
    rows(folder, "SELECT count(*), sum(close) FROM bars", &source);
    let many = gets();
    assert!(few + 6 <= many, "{few} requests for one symbol, {many} for eight");
}

#[test]
fn what_footers_say_of_other_columns_leaves_out_no_rows() {
    use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array};
    use datafusion::arrow::record_batch::RecordBatch;
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::file::properties::WriterProperties;
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    // The directory says what the symbol is, the file says something else.
    let named = Bars { symbols: vec!["aapl".to_string()], days: 50 };
    for root in [folder.to_path_buf(), store.bucket()] {
        named.write(&root.join("hive/symbol=AAPL/x.parquet"));
    }
    // Numbers are text where they are symbols, and sorted otherwise.
    let rows_of = 60;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("symbol", Arc::new(Int64Array::from_iter_values((0..rows_of).map(|i| 1 + i / 3)))),
        (
            "ts",
            Arc::new(Date32Array::from_iter_values((0..rows_of).map(|i| 18_000 + i as i32 % 3))),
        ),
        ("close", Arc::new(Float64Array::from_iter_values((0..rows_of).map(|i| i as f64)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    for root in [folder.to_path_buf(), store.bucket()] {
        std::fs::create_dir_all(root.join("ints")).unwrap();
        let groups = WriterProperties::builder().set_max_row_group_row_count(Some(15)).build();
        let file = std::fs::File::create(root.join("ints/x.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(groups)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    for root in ["", "s3://bucket/"] {
        let source = format!("f={root}hive");
        let sql = "SELECT count(*) FROM f WHERE symbol = 'AAPL'";
        let (_, told) = super::super::support::fails(folder, &["sql", sql, "--source", &source]);
        assert!(told.contains("symbol is aapl") && told.contains("directory says AAPL"), "{told}");
    }
    let cases = [
        ("hive", "symbol = 'aapl'", "0"),
        ("ints", "symbol = '9'", "3"),
        ("ints", "symbol = '10'", "3"),
        ("ints", "symbol < '105'", "6"),
    ];
    for (place, filter, count) in cases {
        for root in ["", "s3://bucket/"] {
            let sql = format!("SELECT count(*) FROM f WHERE {filter}");
            let source = format!("f={root}{place}");
            assert_eq!(rows(folder, &sql, &[&source]), [count], "{source} {filter}");
        }
    }
}

#[test]
fn files_of_web_servers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bars = Bars::new(4, 9_000);
    bars.write(&folder.join("web/all bars.parquet"));
    let halves = bars.batches();
    write_parquet(&folder.join("web/a.parquet"), &halves[0]);
    write_parquet(&folder.join("web/b.parquet"), &halves[1]);
    let sql = "SELECT symbol, count(*), sum(close) FROM bars GROUP BY symbol ORDER BY symbol";
    let expected = rows(folder, sql, &["bars=web/all bars.parquet"]);
    for plain in [false, true] {
        let web = Web::start(folder.join("web"), plain);
        let url = format!("http://127.0.0.1:{}", web.port);
        let source = format!("bars={url}/all%20bars.parquet?signature=sesame");
        assert_eq!(rows(folder, sql, &[&source]), expected, "plain: {plain}");
        let list = format!("bars={url}/a.parquet,{url}/b.parquet");
        assert_eq!(rows(folder, sql, &[&list]), expected[..2], "plain: {plain}");
        // Those of the configuration, too.
        let yaml = format!("sources:\n  bars: ['{url}/a.parquet', '{url}/b.parquet']\n");
        std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
        assert_eq!(rows(folder, sql, &[]), expected[..2], "plain: {plain}");
        std::fs::remove_file(folder.join("windrow.yaml")).unwrap();
        // What stands behind a question mark is a secret.
        std::fs::write(folder.join("set.sql"), SET).unwrap();
        let mut run = windrow(folder);
        run.args(["run", "set.sql", "--source", &source, "--to", "out"])
            .env("WINDROW_LOG", "trace");
        let done = run.output().unwrap();
        let told = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success() && !told.contains("sesame"), "{told}");
        let record = super::super::support::last_record(&folder.join("out"));
        assert!(record.contains("all%20bars.parquet") && !record.contains("sesame"), "{record}");
        std::fs::remove_dir_all(folder.join("out")).unwrap();
        let sent =
            web.asked.lock().unwrap().iter().filter(|a| a.contains("?signature=sesame")).count();
        assert!(sent > 1);
        // An empty file, one that changes while it is read, and one that is not there.
        std::fs::write(folder.join("web/empty.csv"), "").unwrap();
        let empty = format!("bars={url}/empty.csv?signature=sesame");
        let told = fails(folder, &["sql", sql, "--source", &empty]).1;
        assert!(told.contains("empty.csv") && !told.contains("sesame"), "{told}");
        let gone = format!("bars={url}/none.parquet?signature=sesame");
        let told = fails(folder, &["sql", sql, "--source", &gone]).1;
        assert!(
            told.contains("/none.parquet does not exist") && !told.contains("sesame"),
            "{told}"
        );
    }
    let told = fails(folder, &["sql", sql, "--source", "bars=https://host/bars/"]).1;
    assert!(told.contains("a web server has no listing"), "{told}");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_no_mixture() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bars = Bars::new(8, 60_000);
    let properties = datafusion::parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(20_000))
        .build();
    std::fs::create_dir(folder.join("web")).unwrap();
    let path = folder.join("web/a.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let schema = bars.batches()[0].schema();
    let mut writer =
        datafusion::parquet::arrow::ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
    bars.batches().iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    let date = folder.join("web/a.parquet.date");
    std::fs::write(&date, "Tue, 06 Jan 2026 02:15:00 GMT").unwrap();
    let web = Web::start(folder.join("web"), false);
    let source = format!("b=http://127.0.0.1:{}/a.parquet", web.port);
    let words = ["sql", "SELECT sum(close), count(*) FROM b", "--source", &source];
    assert!(run(folder, &words).status.success());
    // The same bytes of another time may be others.
    let asked = web.asked.lock().unwrap().len();
    web.asked.lock().unwrap().clear();
    let child = windrow(folder).args(words).stderr(Stdio::piped()).spawn().unwrap();
    while web.asked.lock().unwrap().len() < asked / 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::write(&date, "Tue, 06 Jan 2026 02:16:00 GMT").unwrap();
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(
        !done.status.success() && told.contains("a.parquet changed while it was read"),
        "{told}"
    );
}
