//! The promises of a run: scope, labels, partitions, sets that read sets, records.

use super::support::{Bars, bits, fails, ok, plain_glob, rows, run, run_json, write_parquet};

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(5, 200).write(&folder.path().join("bars/all.parquet"));
    folder
}

const W: &str = "WINDOW w AS (PARTITION BY symbol ORDER BY ts)";

fn set(folder: &std::path::Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[test]
fn a_scope_keeps_the_bits_of_the_whole_run() {
    let folder = prepare();
    let folder = folder.path();
    let text = format!(
        "SELECT symbol, ts, ema(close, 20) OVER w AS ema_20, macd(close) OVER w AS macd, \
         cs_zscore(close) OVER (PARTITION BY ts) AS z FROM bars {W}"
    );
    set(folder, "s.sql", &text);
    ok(folder, &["run", "s.sql", "--source", "bars=bars", "--to", "all"]);
    let scope = ["--symbols", "S001,S003", "--from", "2019-06-01", "--until", "2019-08-01"];
    let words = [&["run", "s.sql", "--source", "bars=bars", "--to", "part"][..], &scope].concat();
    ok(folder, &words);
    for column in ["ema_20", "macd_macdsignal", "z"] {
        let (all, part) = (bits(folder, "all", column), bits(folder, "part", column));
        assert_eq!(part.len(), 2 * 61);
        for (key, value) in &part {
            assert!(key.0 == "S001" || key.0 == "S003");
            assert!("2019-06-01" <= key.1.as_str() && key.1.as_str() < "2019-08-01", "{key:?}");
            assert_eq!(all[key], *value, "{column} {key:?}");
        }
    }
}

#[test]
fn links_are_followed() {
    let folder = prepare();
    let folder = folder.path();
    set(folder, "s.sql", "SELECT symbol, ts, close FROM bars");
    std::fs::create_dir_all(folder.join("real/t")).unwrap();
    std::os::unix::fs::symlink("real/t", folder.join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("dangling")).unwrap();
    for target in ["link", "link/", "real/t", "real/../link"] {
        ok(folder, &["run", "s.sql", "--source", "bars=bars", "--to", target]);
        assert!(folder.join("link").is_symlink());
    }
    assert_eq!(std::fs::read_dir(folder.join("real/t/_windrow")).unwrap().count(), 4);
    let (code, told) =
        fails(folder, &["run", "s.sql", "--source", "bars=bars", "--to", "dangling"]);
    assert_eq!(code, 1);
    assert!(told.contains("dangling is a link to nothing"), "{told}");
}

#[test]
fn the_target_is_sorted_flat_and_described() {
    let folder = prepare();
    let folder = folder.path();
    let text = format!(
        "/*\noutputs: {{c: the close}}\nlabels: [next]\n*/\n\
         SELECT symbol, ts, close AS c, bbands(close) OVER w AS bb, lead(close, 1) OVER w AS next FROM bars {W}"
    );
    set(folder, "s.sql", &text);
    let told = run_json(
        folder,
        &["run", "s.sql", "--source", "bars=bars", "--to", "out", "--threads", "3"],
    );
    assert_eq!((told["rows"].as_u64(), told["symbols"].as_u64()), (Some(1000), Some(5)));
    assert_eq!(told["first"], "2019-04-14");
    for path in plain_glob(&folder.join("out")) {
        let file = std::fs::File::open(&path).unwrap();
        let reader =
            datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(
                file,
            )
            .unwrap();
        let schema = reader.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(
            names,
            ["symbol", "ts", "c", "bb_upperband", "bb_middleband", "bb_lowerband", "next"]
        );
        assert_eq!(schema.field(2).metadata()["description"], "the close");
        assert_eq!(schema.field(6).metadata()["windrow.role"], "label");
        assert!(reader.metadata().row_group(0).sorting_columns().is_some());
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        let text = |c: usize, r: usize| {
            datafusion::arrow::util::display::array_value_to_string(batch.column(c), r).unwrap()
        };
        let keys: Vec<_> = (0..batch.num_rows()).map(|r| (text(0, r), text(1, r))).collect();
        assert!(keys.is_sorted(), "{}", path.display());
    }
    let records: Vec<_> = std::fs::read_dir(folder.join("out/_windrow")).unwrap().collect();
    assert_eq!(records.len(), 1);
    ok(folder, &["run", "s.sql", "--source", "bars=bars", "--to", "out"]);
    assert_eq!(std::fs::read_dir(folder.join("out/_windrow")).unwrap().count(), 2, "records stay");
}

#[test]
fn partition_by_becomes_directories() {
    let folder = prepare();
    let folder = folder.path();
    let text = "/*\npartition_by: [year, symbol]\n*/\n\
        SELECT symbol, ts, close, CAST(date_part('year', ts) AS INT) AS year FROM bars";
    set(folder, "s.sql", text);
    ok(folder, &["run", "s.sql", "--source", "bars=bars", "--to", "out"]);
    let paths = plain_glob(&folder.join("out"));
    assert_eq!(paths.len(), 5);
    assert!(paths[0].to_string_lossy().contains("out/year=2019/symbol=S000/"), "{paths:?}");
    assert_eq!(rows(folder, "SELECT count(*), min(year) FROM f", &["f=out"]), ["1000,2019"]);
}

#[test]
fn sets_read_each_other_by_name() {
    let folder = prepare();
    let folder = folder.path();
    set(
        folder,
        "base.sql",
        &format!(
            "/*\nparams: {{n: 5}}\n*/\nSELECT symbol, ts, close, macd(close) OVER w AS m, sma(close, {{{{ n }}}}) OVER w AS s FROM bars {W}"
        ),
    );
    set(
        folder,
        "top.sql",
        &format!("SELECT symbol, ts, sma(m_macd, 3) OVER w AS x, s FROM base {W}"),
    );
    ok(folder, &["run", "top.sql", "--source", "bars=bars", "--to", "out"]);
    let direct = format!(
        "SELECT symbol, ts, sma(macd(close) OVER w['macd'], 3) OVER w AS x, sma(close, 5) OVER w AS s FROM bars {W}"
    );
    set(folder, "direct.sql", &direct);
    ok(folder, &["run", "direct.sql", "--source", "bars=bars", "--to", "direct"]);
    assert_eq!(bits(folder, "out", "x"), bits(folder, "direct", "x"));
}

#[test]
fn parameters() {
    let folder = prepare();
    let folder = folder.path();
    set(
        folder,
        "s.sql",
        &format!(
            "/*\nparams: {{n: 3}}\n*/\nSELECT symbol, ts, {{% for k in [n, n * 2] %}}sma(close, {{{{ k }}}}) OVER w AS sma_{{{{ k }}}}, {{% endfor %}}close FROM bars {W}"
        ),
    );
    let columns = |args: &[&str]| {
        let words = [&["run", "s.sql", "--source", "bars=bars", "--to", "out"][..], args].concat();
        run_json(folder, &words)["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(columns(&[]), ["symbol", "ts", "sma_3", "sma_6", "close"]);
    assert_eq!(columns(&["--set", "n=10"]), ["symbol", "ts", "sma_10", "sma_20", "close"]);
}

#[test]
fn keep_going_names_what_it_leaves_out() {
    let folder = prepare();
    let folder = folder.path();
    let bars = Bars::new(4, 100);
    for (symbol, batch) in bars.symbols.iter().zip(bars.batches()) {
        write_parquet(&folder.join(format!("files/{symbol}.parquet")), &batch);
    }
    let path = folder.join("files/S002.parquet");
    let whole = std::fs::read(&path).unwrap();
    // Truncated: found when the footer is read. Flipped: found when the pages are decoded.
    let mut flipped = whole.clone();
    flipped[4..30].iter_mut().for_each(|b| *b ^= 0xFF);
    for broken in [whole[..2000].to_vec(), flipped] {
        std::fs::write(&path, broken).unwrap();
        set(folder, "s.sql", "SELECT symbol, ts, open, high, low, close, volume FROM bars");
        let words = ["run", "s.sql", "--source", "bars=files", "--to", "out"];
        let (code, told) = fails(folder, &words);
        assert_eq!(code, 1);
        assert!(told.starts_with("error: files/S002.parquet is truncated or corrupt"), "{told}");
        assert!(!folder.join("out").exists());
        let output = run(folder, &[&words[..], &["--keep-going", "--json"]].concat());
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with("left out: files/S002.parquet: "), "{told}");
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (summary["rows"].as_u64(), &summary["left_out"][0]["what"]),
            (Some(300), &"files/S002.parquet".into())
        );
        std::fs::remove_dir_all(folder.join("out")).unwrap();
    }
}

#[test]
fn interrupted_runs_leave_nothing() {
    let folder = prepare();
    let folder = folder.path();
    let slow = "SELECT b.symbol, b.ts, count(*) OVER (PARTITION BY b.symbol ORDER BY b.ts) AS n FROM bars b CROSS JOIN bars c CROSS JOIN bars d";
    set(folder, "s.sql", slow);
    let child = super::support::windrow(folder)
        .args(["run", "s.sql", "--source", "bars=bars", "--to", "out"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let asked = std::time::Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: interrupted"));
    assert!(!folder.join("out").exists());
}

#[test]
fn a_target_holds_nothing_but_data_to_those_who_read_every_file() {
    let folder = prepare();
    let folder = folder.path();
    set(
        folder,
        "s.sql",
        "/*\nlabels: [x]\n*/\nSELECT symbol, ts, lead(close) OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars",
    );
    let words = ["run", "s.sql", "--source", "bars=bars", "--to", "out"];
    ok(folder, &words);
    // An earlier build wrote the text of a record into the target.
    let text = super::support::last_record(&folder.join("out"));
    std::fs::write(folder.join("out/_windrow/000001.json"), text).unwrap();
    std::fs::remove_dir_all(folder.join(".out.windrow-records")).unwrap();
    ok(folder, &words);
    for number in ["000001", "000002"] {
        let record = folder.join(format!("out/_windrow/{number}.json"));
        assert_eq!(std::fs::metadata(record).unwrap().len(), 0);
    }
    let runs = run_json(folder, &["runs", "out"]);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2);
    // What a run left that died before its commit goes with the next one.
    std::fs::write(folder.join(".out.windrow-records/000003.json"), "{").unwrap();
    ok(folder, &words);
    assert_eq!(std::fs::read_dir(folder.join(".out.windrow-records")).unwrap().count(), 3);
    // A copy without the records is data still, whose labels stay labels, and no target.
    std::fs::rename(folder.join("out"), folder.join("moved")).unwrap();
    let found = rows(folder, "SELECT count(*) > 0 FROM m", &["m=moved"]);
    assert_eq!(found, ["true"]);
    set(folder, "t.sql", "SELECT symbol, ts, x AS y FROM m");
    let (_, told) = fails(folder, &["run", "t.sql", "--source", "m=moved", "--to", "t"]);
    assert!(told.contains("looks ahead"), "{told}");
    let (_, told) = fails(folder, &["run", "s.sql", "--source", "bars=bars", "--to", "moved"]);
    assert!(
        told.contains("was moved or copied without it; move the directory of records along"),
        "{told}"
    );
}
