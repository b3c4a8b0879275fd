//! What was computed, and of what: `export --resume` asks the identity, and nothing else.

use std::path::Path;
use std::process::Command;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;

use super::servers::Cluster;
use super::support::{Bars, ok, run, without, write_parquet};

/// A source in `bars/`, and a set whose target is to be current.
fn prepare(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    Bars::new(3, 60).write(&path.join("bars/all.parquet"));
    std::fs::create_dir(path.join("sets")).unwrap();
    let set = "/*\nparams: {n: 5}\n*/\nSELECT symbol, ts, sma(close, {{ n }}) OVER w AS s FROM bars \
               WINDOW w AS (PARTITION BY symbol ORDER BY ts)";
    std::fs::write(path.join("sets/one.sql"), set).unwrap();
    configure(path, config);
    assert_eq!(resumed(path), "committed");
    assert_eq!(resumed(path), "current");
    folder
}

fn configure(folder: &Path, config: &str) {
    let text = format!("targets: {{one: out}}\nsources: {{bars: {{location: bars{config}}}}}\n");
    std::fs::write(folder.join("windrow.yaml"), text).unwrap();
}

/// What `export --resume` says of the set.
fn resumed(folder: &Path) -> String {
    let done = run(folder, &["export", "sets", "--resume", "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    json["sets"][0]["status"].as_str().unwrap().to_string()
}

#[test]
fn what_a_source_does_with_conflicting_rows_is_part_of_it() {
    let folder = prepare(", duplicates: last");
    configure(folder.path(), ", duplicates: first");
    assert_eq!(resumed(folder.path()), "committed");
    assert_eq!(resumed(folder.path()), "current");
    configure(folder.path(), "");
    assert_eq!(resumed(folder.path()), "committed");
}

#[test]
fn a_file_that_is_restated_in_place_is_another_though_its_length_and_time_are_the_same() {
    let folder = prepare("");
    let file = folder.path().join("bars/all.parquet");
    let meta = std::fs::metadata(&file).unwrap();
    // The same values in other places.
    let bars = Bars::new(3, 60).all();
    let backwards = UInt32Array::from_iter_values((0..bars.num_rows() as u32).rev());
    let close = bars.schema().index_of("close").unwrap();
    let mut columns = bars.columns().to_vec();
    columns[close] = take(&columns[close], &backwards, None).unwrap();
    write_parquet(&file, &RecordBatch::try_new(bars.schema(), columns).unwrap());
    let written = std::fs::File::options().write(true).open(&file).unwrap();
    written.set_modified(meta.modified().unwrap()).unwrap();
    let after = std::fs::metadata(&file).unwrap();
    assert_eq!((after.len(), after.modified().unwrap()), (meta.len(), meta.modified().unwrap()));
    assert_eq!(resumed(folder.path()), "committed");
}

#[test]
fn a_copy_with_its_times_is_another_file_and_its_bytes_tell_that_it_is_the_same() {
    let by_content = ", inputs: content";
    for (config, expected) in [("", "committed"), (by_content, "current")] {
        let folder = prepare(config);
        let bars = folder.path().join("bars");
        let copy = ["-p", "all.parquet", "copy"];
        let copied = Command::new("cp").args(copy).current_dir(&bars).status().unwrap();
        assert!(copied.success());
        std::fs::rename(bars.join("copy"), bars.join("all.parquet")).unwrap();
        assert_eq!(resumed(folder.path()), expected, "{config}");
    }
    // And that it is not.
    let folder = prepare(by_content);
    let file = folder.path().join("bars/all.parquet");
    let time = std::fs::metadata(&file).unwrap().modified().unwrap();
    Bars::new(3, 61).write(&file);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    assert_eq!(resumed(folder.path()), "committed");
}

#[test]
fn every_ingredient_of_the_definition_is_part_of_it_and_how_it_is_written_down_is_not() {
    let folder = prepare("");
    let path = folder.path();
    let fingerprint = || {
        let told = ok(path, &["explain", "sets/one.sql", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["fingerprint"].as_str().unwrap().to_string()
    };
    let set = |text: &str| std::fs::write(path.join("sets/one.sql"), text).unwrap();
    let was = std::fs::read_to_string(path.join("sets/one.sql")).unwrap();
    let first = fingerprint();
    // Written otherwise.
    set(&was.replace("SELECT symbol", "select\n  symbol -- the key\n ").replace("OVER", "over"));
    assert_eq!(fingerprint(), first);
    set(&was.replace("sma(close, {{ n }})", "sma(close, timeperiod => {{ n }})"));
    assert_eq!(fingerprint(), first);
    // Something else.
    let mut seen = std::collections::BTreeSet::from([first]);
    let others = [
        was.replace("n: 5", "n: 6"),
        was.replace("AS s", "AS t"),
        was.replace("n: 5}", "n: 5}\naudits: [s > 0]"),
        was.replace("n: 5}", "n: 5}\naudits: [not_null: [s]]"),
        was.replace("n: 5}", "n: 5}\nlabels: [s]"),
        was.replace("n: 5}", "n: 5}\noutputs: {s: a mean}"),
        was.replace("n: 5}", "n: 5}\ndescription: a mean"),
        was.replace("n: 5}", "n: 5}\npartition_by: [symbol]"),
        was.replace("FROM bars", "FROM base"),
    ];
    let base = |n: u32| {
        let text = format!("SELECT symbol, ts, close * {n} AS close FROM bars");
        std::fs::write(path.join("sets/base.sql"), text).unwrap();
    };
    base(1);
    for text in &others {
        assert_ne!(text, &was);
        set(text);
        assert!(seen.insert(fingerprint()), "{text}");
    }
    // The set that it reads.
    base(2);
    assert!(seen.insert(fingerprint()), "a read set");
    set(&was);
    // The source, and how the target is written.
    for (name, value) in [("WINDROW_COMPRESSION", "lz4"), ("WINDROW_FLOAT32", "true")] {
        let mut command = super::support::windrow(path);
        command.args(["explain", "sets/one.sql", "--json"]).env(name, value);
        let told: serde_json::Value =
            serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        assert!(seen.insert(told["fingerprint"].as_str().unwrap().to_string()), "{name}");
    }
    let bars = Bars::new(3, 60).all();
    let fewer = without(&bars, &["volume"]);
    write_parquet(&path.join("bars/all.parquet"), &fewer);
    assert!(seen.insert(fingerprint()), "the columns of the source");
}

#[test]
fn a_target_as_a_source_is_known_by_its_run() {
    let folder = prepare("");
    let path = folder.path();
    let chained = "targets: {two: out2}\nsources: {bars: out}\n";
    std::fs::write(path.join("windrow.yaml"), chained).unwrap();
    std::fs::write(path.join("sets/two.sql"), "SELECT symbol, ts, s * 2 AS t FROM bars").unwrap();
    std::fs::remove_file(path.join("sets/one.sql")).unwrap();
    assert_eq!(resumed(path), "committed");
    // A link to a file changes what the system says of it, and not what is in it.
    let file = super::support::plain_glob(&path.join("out")).remove(0);
    std::fs::hard_link(&file, path.join("link")).unwrap();
    assert_eq!(resumed(path), "current");
    ok(path, &["compact", "out", "out"]);
    assert_eq!(resumed(path), "committed");
}

#[test]
fn a_record_without_the_state_of_its_inputs_is_read_and_said_to_know_nothing() {
    let folder = prepare("");
    let path = folder.path();
    let record = path.join("out/_windrow/000001.json");
    let text = super::support::last_record(&path.join("out"));
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json.as_object_mut().unwrap().remove("format");
    json["inputs"]["bars"].as_object_mut().unwrap().remove("state");
    std::fs::write(&record, json.to_string()).unwrap();
    let told: serde_json::Value =
        serde_json::from_str(&ok(path, &["runs", "out", "--json"])).unwrap();
    assert_eq!(told["runs"][0]["rows"], 180);
    let done = run(path, &["export", "sets", "--resume"]);
    let words = String::from_utf8(done.stderr).unwrap();
    assert!(words.contains("nobody can tell whether they changed"), "{words}");
    assert!(words.contains("1 committed"), "{words}");
    assert_eq!(resumed(path), "current");
}

#[test]
fn a_table_is_never_what_it_was_unless_its_revision_says_so() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (tempfile::tempdir().unwrap(), cluster.base());
    let path = folder.path();
    base.run("CREATE TABLE bars (symbol text, ts date, close float8, updated_at timestamptz)");
    base.run("INSERT INTO bars VALUES ('A', '2024-01-02', 1, '2024-01-02'), ('A', '2024-01-03', 2, '2024-01-03')");
    std::fs::create_dir(path.join("sets")).unwrap();
    std::fs::write(path.join("sets/one.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    let url = base.url("bars");
    let configure = |revision: &str| {
        let text =
            format!("targets: {{one: out}}\nsources: {{bars: {{location: '{url}'{revision}}}}}\n");
        std::fs::write(path.join("windrow.yaml"), text).unwrap();
    };
    configure("");
    assert_eq!(resumed(path), "committed");
    assert_eq!(resumed(path), "committed");
    configure(", revision: 'SELECT max(updated_at), count(*) FROM bars'");
    assert_eq!(resumed(path), "committed");
    assert_eq!(resumed(path), "current");
    base.run("UPDATE bars SET close = 3, updated_at = '2024-01-04' WHERE ts = '2024-01-02'");
    assert_eq!(resumed(path), "committed");
    assert_eq!(resumed(path), "current");
    configure(", revision: 'SELECT symbol FROM bars'");
    let done = run(path, &["export", "sets", "--resume"]);
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(told.contains("revision gives 2 rows, not one"), "{told}");
}

#[test]
fn history_is_that_of_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let history = |call: &str| {
        let set = format!(
            "SELECT symbol, ts, {call} OVER (PARTITION BY symbol ORDER BY ts) AS x FROM bars"
        );
        std::fs::write(path.join("s.sql"), set).unwrap();
        let told = ok(path, &["explain", "s.sql", "--json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["outputs"][2]["history"].clone()
    };
    for (call, expected) in [
        ("bbands(close, 20, 2, 2)", serde_json::json!(19)),
        ("bbands(close, 20, 2, 2, 'ema')", "all".into()),
        ("stoch(high, low, close)", 8.into()),
        ("stoch(high, low, close, 5, 3, 'ema')", "all".into()),
        ("stoch(high, low, close, slowd_matype => 'kama')", "all".into()),
        ("stochf(high, low, close, 5, 3, 'wma')", 6.into()),
        ("rsi(close, 14)", "all".into()),
    ] {
        assert_eq!(history(call), expected, "{call}");
    }
}

#[test]
fn what_is_read_by_name_is_of_the_one_who_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    Bars::new(2, 10).write(&path.join("bars.parquet"));
    for (team, factor) in [("a", 2), ("b", 3)] {
        std::fs::create_dir(path.join(team)).unwrap();
        let base = format!("SELECT symbol, ts, close * {factor} AS v FROM bars");
        std::fs::write(path.join(team).join("base.sql"), base).unwrap();
        std::fs::write(path.join(team).join("top.sql"), "SELECT symbol, ts, v FROM base").unwrap();
    }
    let config = windrow::config::Config::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bars = path.join("bars.parquet");
    let sums = runtime.block_on(async {
        let mut engine = windrow::Engine::new(config).unwrap();
        engine.add_source("bars", bars.to_str().unwrap()).await.unwrap();
        let engine = &engine;
        let plan = |team: &'static str| async move {
            let set = engine.find_set(path.join(team).join("top.sql").to_str().unwrap()).unwrap();
            engine.plan_set(set, &Default::default()).await.unwrap()
        };
        // Both are planned before one of them runs.
        let (a, b) = (plan("a").await, plan("b").await);
        let again = plan("a").await;
        assert_eq!(engine.list_tables(), ["bars"], "planning leaves nothing behind");
        let shown =
            |planned: &windrow::engine::PlannedSet| planned.plan.display_indent().to_string();
        assert_eq!(shown(&a), shown(&again));
        [shown(&a).contains("(2)"), shown(&b).contains("(3)")]
    });
    assert_eq!(sums, [true, true]);
}

/// The identities of the outputs `a` and `b` of a set over `bars/`, as `explain` says them.
fn of_columns(folder: &Path, sql: &str) -> [String; 2] {
    std::fs::write(folder.join("columns.sql"), sql).unwrap();
    let told = ok(folder, &["explain", "columns.sql", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    [2, 3].map(|i| told["outputs"][i]["identity"].as_str().unwrap().to_string())
}

#[test]
fn a_column_has_an_identity_of_its_own() {
    let folder = prepare("");
    let folder = folder.path();
    let w = "WINDOW w AS (PARTITION BY symbol ORDER BY ts)";
    let base = format!(
        "SELECT symbol, ts, sma(close, 5) OVER w AS a, rsi(close, 14) OVER w AS b FROM bars {w}"
    );
    let [a, b] = of_columns(folder, &base);
    assert_ne!(a, b);
    // The text, the name, and what stands beside do not count.
    let same = [
        format!("-- a remark\n{}", base.replace("SELECT symbol", "select   symbol")),
        base.replace(" AS a", " AS mean"),
        base.replace("FROM bars", "FROM bars AS x"),
        format!(
            "SELECT symbol, ts, s AS a, rsi(close, 14) OVER w AS b \
             FROM (SELECT *, sma(close, 5) OVER w AS s FROM bars {w}) {w}"
        ),
    ];
    for sql in &same {
        assert_eq!(of_columns(folder, sql), [a.clone(), b.clone()], "{sql}");
    }
    // Its own expression counts.
    for other in ["sma(close, 6)", "ema(close, 5)", "sma(open, 5)", "sma(close + 1, 5)"] {
        let found = of_columns(folder, &base.replace("sma(close, 5)", other));
        assert_ne!(found[0], a, "{other}");
        assert_eq!(found[1], b, "{other}");
    }
    // So do the rows, the order and the source.
    let where_ = base.replace("FROM bars", "FROM bars WHERE volume > 0");
    let subquery = base.replace("FROM bars", "FROM bars WHERE close > (SELECT 1.0)");
    let other = subquery.replace("1.0", "2.0");
    let order = base
        .replace("ORDER BY ts", "ORDER BY ts DESC")
        .replace("SELECT", "/*\nlabels: [a, b]\n*/\nSELECT");
    let limit = format!("SELECT * FROM ({}) ORDER BY ts, symbol LIMIT 5", base);
    let limits = [
        limit.clone(),
        limit.replace("ORDER BY ts, symbol LIMIT", "ORDER BY ts DESC, symbol LIMIT"),
    ];
    let tables =
        [3, 4].map(|n| base.replace("FROM bars", &format!("FROM bars, generate_series(1, {n})")));
    let key = base.replace("SELECT symbol", "SELECT symbol || 'z' AS symbol");
    let mut seen = std::collections::BTreeSet::from([a.clone()]);
    for sql in [where_, subquery, other, order, key].into_iter().chain(limits).chain(tables) {
        let found = of_columns(folder, &sql);
        assert!(seen.insert(found[0].clone()), "{sql}");
        assert_ne!(found[1], b, "{sql}");
    }
    configure(folder, ", duplicates: first");
    let found = of_columns(folder, &base);
    assert_ne!(found, [a, b]);
}
