//! Sources are opened when a statement reads them, and what was read of their files is kept.

use std::path::Path;

use futures::TryStreamExt;
use windrow::Engine;
use windrow::config::Config;

use super::store::Store;
use super::support::{Bars, fails, ok, run, windrow};

/// A good source and broken ones, each with a target.
fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    Bars::new(3, 40).write(&path.join("bars/all.parquet"));
    std::fs::create_dir(path.join("corrupt")).unwrap();
    std::fs::write(path.join("corrupt/x.parquet"), "no parquet").unwrap();
    std::fs::create_dir(path.join("sets")).unwrap();
    let set = |name: &str, from: &str| {
        let text = format!("SELECT symbol, ts, close FROM {from}");
        std::fs::write(path.join(format!("sets/{name}.sql")), text).unwrap();
    };
    set("good", "bars");
    set("bad", "broken");
    set("none", "missing");
    // Nobody listens at this port.
    let text = "sources:\n  bars: bars\n  broken: corrupt\n  missing: nowhere/*.parquet\n  \
                server: postgres://u@127.0.0.1:1/d?table=t\n  out: features/good\n\
                targets:\n  export: features/{set}\n";
    std::fs::write(path.join("windrow.yaml"), text).unwrap();
    folder
}

#[test]
fn a_broken_source_stops_only_those_that_read_it() {
    let folder = prepare();
    let folder = folder.path();
    for words in [
        &["run", "sets/good.sql", "--to", "one"][..],
        &["explain", "sets/good.sql"],
        &["check", "sets/good.sql"],
        &["sql", "SELECT count(*) FROM bars"],
    ] {
        ok(folder, words);
    }
    for (words, expected) in [
        (["run", "sets/bad.sql", "--to", "two"], "x.parquet is truncated or corrupt"),
        (["run", "sets/none.sql", "--to", "two"], "nowhere"),
    ] {
        let (_, told) = fails(folder, &words);
        assert!(told.contains(expected), "{told}");
    }
    // A statement that reads the server says that it is not there.
    let mut slow = windrow(folder);
    slow.args(["sql", "SELECT count(*) FROM server"]).env("WINDROW_TIMEOUT_SECONDS", "3");
    let told = String::from_utf8(slow.output().unwrap().stderr).unwrap();
    assert!(told.contains("127.0.0.1:1"), "{told}");
}

#[test]
fn an_export_goes_on_with_sets_whose_sources_are_there() {
    let folder = prepare();
    let folder = folder.path();
    let done = run(folder, &["export", "sets", "--json"]);
    assert_eq!(done.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let status = |name: &str| {
        let sets = told["sets"].as_array().unwrap();
        let set = sets.iter().find(|set| set["set"] == name).unwrap();
        set["status"].as_str().unwrap().to_string()
    };
    assert_eq!(["good", "bad", "none"].map(status), ["committed", "failed", "failed"]);
    // Its target is a source of others, which it does not read.
    let done = run(folder, &["export", "sets/good.sql", "--resume", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(told["sets"][0]["status"], "current");
    ok(folder, &["sql", "SELECT count(*) FROM out"]);
    // A set that reads what it writes is refused.
    std::fs::write(folder.join("sets/good.sql"), "SELECT symbol, ts, close FROM out").unwrap();
    let (_, told) = fails(folder, &["export", "sets/good.sql"]);
    assert!(told.contains("holds the source out"), "{told}");
}

/// How often the server was asked for bytes of data files, and for lists.
fn asked(store: &Store) -> (usize, usize) {
    let asked = store.asked();
    let count = |is: &dyn Fn(&String) -> bool| asked.iter().filter(|request| is(request)).count();
    (
        count(&|request| request.starts_with("GET") && request.contains(".parquet")),
        count(&|request| request.contains("list-type")),
    )
}

fn write(store: &Store, file: &str, days: usize) {
    Bars::new(2, days).write(&store.bucket().join("bars").join(file));
}

async fn engine(folder: &Path) -> Engine {
    let mut engine = Engine::new(Config::load(folder, &|_| None).unwrap()).unwrap();
    engine.add_configured_sources();
    engine
}

#[test]
fn footers_are_read_once_for_all_jobs_of_an_engine() {
    let store = Store::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for file in ["a.parquet", "b.parquet", "c.parquet"] {
        write(&store, file, 30);
    }
    let yaml = format!("sources: {{bars: 's3://bucket/bars'}}\n{}", store.yaml());
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    std::fs::write(folder.join("s.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    runtime.block_on(async {
        let engine = engine(folder).await;
        let set = engine.find_set(folder.join("s.sql").to_str().unwrap()).unwrap();
        assert_eq!(asked(&store), (0, 0), "nothing is asked before it is used");
        engine.open_set_sources(&set).await.unwrap();
        let (footers, lists) = asked(&store);
        assert!(footers >= 3 && lists >= 1, "{footers} {lists}");
        // Opened again, as a session of its own does for what may change: files that are what they were
        // are not asked for.
        engine.reopen_sources().await.unwrap();
        let (footers, lists) = asked(&store);
        assert!(footers == 0 && lists >= 1, "{footers} {lists}");
        write(&store, "b.parquet", 31);
        engine.reopen_sources().await.unwrap();
        let rows = engine.sources()["bars"].row_count();
        assert_eq!(rows, Some(2 * (30 + 31 + 30)));
        let (footers, _) = asked(&store);
        assert!((1..=2).contains(&footers), "{footers}: of one file only");
    });
}

#[test]
fn an_export_opens_a_source_once_for_all_sets() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(&store, "a.parquet", 30);
    let yaml = format!(
        "sources: {{bars: 's3://bucket/bars'}}\ntargets: {{export: 'out/{{set}}'}}\n{}",
        store.yaml()
    );
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    std::fs::create_dir(folder.join("sets")).unwrap();
    let lists = |sets: usize| {
        for set in 0..sets {
            let text = format!("SELECT symbol, ts, close + {set} AS x FROM bars");
            std::fs::write(folder.join(format!("sets/s{set}.sql")), text).unwrap();
        }
        store.asked();
        ok(folder, &["export", "sets"]);
        asked(&store).1
    };
    assert_eq!(lists(1), lists(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_replaced_while_it_is_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bars/all.parquet");
    Bars::new(60, 2_000).write(&file);
    assert!(
        std::fs::metadata(&file).unwrap().len() > 2 << 20,
        "DataFusion reads larger files only"
    );
    let aside = folder.path().join("aside.parquet");
    for days in [2_000, 1_900, 2_100] {
        for text in [
            "SELECT sum(close) FROM bars",
            "SELECT sum(close) FROM bars WHERE symbol = 'S007'",
            "SELECT count(*) FROM bars WHERE ts >= '2019-01-01'",
        ] {
            let mut engine = Engine::new(Config::default()).unwrap();
            let bars = folder.path().join("bars");
            engine.add_source("bars", &bars.to_string_lossy()).await.unwrap();
            let query = engine.query(text).await.unwrap();
            Bars::new(60, days).write(&aside);
            std::fs::rename(&aside, &file).unwrap();
            let failed = query.stream().unwrap().try_collect::<Vec<_>>().await.unwrap_err();
            let failed = query.explain_error(&failed);
            let told = failed.to_string();
            assert!(told.contains("all.parquet changed while it was read"), "{text}: {told}");
            assert!(failed.is_transient(), "{text}: {told}");
        }
    }
}
