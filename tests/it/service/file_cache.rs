//! Files of remote sources, which are fetched once while their ETag stays.

use std::path::{Path, PathBuf};

use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;

use super::observed::numbers;
use super::process::{Server, wait_until};
use super::rows::{assert_same, read_answer};
use super::stage::{Stage, batch};
use crate::store::{Fate, Store, Web};
use crate::support::{Bars, write_parquet};

/// The days of each symbol: a file of eight symbols has more than a megabyte, and is read in pieces.
const DAYS: usize = 8_000;

/// A store whose lists have ETags.
fn tagged_store() -> Store {
    let store = Store::start();
    store.judge(|method, path| match method == "GET" && path.contains("list-type=2") {
        true => Fate::Tagged,
        false => Fate::Pass,
    });
    store
}

/// Writes a file with a row group for each symbol.
fn write_large(path: &Path, seed: u64) {
    write_groups(path, seed, DAYS);
}

fn write_groups(path: &Path, seed: u64, days: usize) {
    let bars = Bars::new(8, days);
    let groups = WriterProperties::builder().set_max_row_group_row_count(Some(days)).build();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, bars.all().schema(), Some(groups)).unwrap();
    for symbol in &bars.symbols {
        writer.write(&bars.batch(symbol, seed)).unwrap();
    }
    writer.close().unwrap();
}

/// A stage whose bars are remote.
fn remote_stage(source: &str, stores: &str, serve: &str) -> Stage {
    let stage = Stage::new(1, 1, "");
    configure(&stage, source, stores, serve);
    stage
}

fn configure(stage: &Stage, source: &str, stores: &str, serve: &str) {
    let text = format!("sources: {{bars: '{source}'}}\n{stores}serve: {{{serve}}}\n");
    std::fs::write(stage.path().join("windrow.yaml"), text).unwrap();
}

const SOURCE: &str = "s3://bucket/bars/";

/// The requests for bytes of the bars since the last time.
fn gets(store: &Store) -> usize {
    store.asked().iter().filter(|asked| asked.starts_with("GET /bucket/bars/")).count()
}

/// A number of the file cache.
fn number(server: &Server, name: &str) -> u64 {
    let metrics = server.get("/metrics").expect(200).text();
    numbers(&metrics, &format!("windrow_file_cache_{name}")).iter().sum::<f64>() as u64
}

/// Starts a service that has computed nothing yet.
fn fresh(stage: &Stage) -> Server {
    for place in [".windrow/cache", ".windrow/queue.sqlite", "other"] {
        let place = stage.path().join(place);
        let _ = std::fs::remove_dir_all(&place).or_else(|_| std::fs::remove_file(&place));
    }
    stage.serve(&[])
}

/// Computes symbols, whose rows must be those that `windrow run` computes from the source.
fn check_rows(stage: &Stage, server: &Server, symbols: &[&str]) {
    for symbol in symbols {
        let path = format!("/features/{symbol}/quick?wait=60");
        let answer = wait_until(&path, || {
            let answer = server.get(&path);
            (answer.status != 202).then_some(answer)
        });
        let found = read_answer(&answer.expect(200), Some(symbol));
        assert_same(&found, &stage.computed("quick", &["--symbols", symbol]), symbol);
    }
}

/// The segments of the cache of a stage.
fn segments(stage: &Stage) -> Vec<PathBuf> {
    let all = stage.path().join(".windrow/files/v1/*/*");
    glob::glob(all.to_str().unwrap()).unwrap().map(Result::unwrap).collect()
}

#[test]
fn an_unchanged_file_is_fetched_once() {
    let store = tagged_store();
    let path = store.bucket().join("bars/all.parquet");
    // A row group has more than what is read ahead.
    write_groups(&path, 1, 3 * DAYS);
    let size = std::fs::metadata(&path).unwrap().len();
    let stage = remote_stage(SOURCE, &store.yaml(), "");
    let mut server = fresh(&stage);
    server.compute(&batch("quick", &["S003"]));
    let first = (gets(&store), number(&server, "miss_bytes_total"));
    assert!(first.0 >= 2 && first.1 < size, "{first:?} of {size}");
    server.process.kill();
    let mut server = fresh(&stage);
    server.compute(&batch("quick", &["S003"]));
    let second = (gets(&store), number(&server, "miss_bytes_total"));
    let read = (number(&server, "hits_total"), number(&server, "hit_bytes_total"));
    eprintln!("requests, bytes: first {first:?}, second {second:?}; hits, bytes: {read:?}");
    assert_eq!(second, (0, 0));
    assert!(read.0 >= 2 && read.1 >= first.1, "{read:?}");
    assert_eq!(number(&server, "misses_total") + number(&server, "errors_total"), 0);
    assert!(number(&server, "bytes") >= first.1);
    // Another symbol has a row group of its own, and nothing else is fetched.
    server.compute(&batch("quick", &["S006"]));
    let (third, bytes) = (gets(&store), number(&server, "miss_bytes_total"));
    eprintln!("requests, bytes of another symbol: ({third}, {bytes}) of {size}");
    assert!(third >= 1 && third < first.0 && bytes < size / 4, "{third} {bytes} of {size}");
    check_rows(&stage, &server, &["S006"]);
    server.process.kill();
    // Without a bound there is no cache.
    configure(&stage, SOURCE, &store.yaml(), "file_cache_bytes: 0");
    gets(&store);
    let server = fresh(&stage);
    server.compute(&batch("quick", &["S003"]));
    let without = gets(&store);
    eprintln!("requests without the cache: {without}");
    assert!(without >= first.0 && number(&server, "hits_total") == 0);
}

#[test]
fn a_changed_file_is_read_anew() {
    let store = tagged_store();
    let path = store.bucket().join("bars/all.parquet");
    let stage = remote_stage(SOURCE, &store.yaml(), "inputs_check: 0s");
    write_large(&path, 1);
    let server = fresh(&stage);
    check_rows(&stage, &server, &["S001", "S002"]);
    for seed in 2..5 {
        write_large(&path, seed);
        check_rows(&stage, &server, &["S001", "S002"]);
    }
    // Bytes of the old files are not kept.
    let kept: u64 = segments(&stage).iter().map(|s| std::fs::metadata(s).unwrap().len()).sum();
    assert!(kept < 2 * std::fs::metadata(&path).unwrap().len(), "{kept}");
    assert_eq!(number(&server, "errors_total"), 0);
}

#[test]
fn small_files_of_many_symbols_are_fetched_once() {
    let store = tagged_store();
    let bars = Bars::new(12, 300);
    for batch in bars.batches() {
        let symbol = crate::support::symbol_of(&batch);
        write_parquet(&store.bucket().join(format!("bars/symbol={symbol}/x.parquet")), &batch);
    }
    let stage = remote_stage(SOURCE, &store.yaml(), "");
    let all: Vec<&str> = bars.symbols.iter().map(String::as_str).collect();
    let mut server = fresh(&stage);
    server.compute(&batch("quick", &all));
    let first = gets(&store);
    server.process.kill();
    let server = fresh(&stage);
    server.compute(&batch("quick", &all));
    eprintln!("requests of 12 small files: first {first}, second {}", {
        let second = gets(&store);
        assert_eq!(second, 0);
        second
    });
    assert!(first >= 12, "{first}");
    check_rows(&stage, &server, &["S000", "S011"]);
}

#[test]
fn two_services_share_a_directory() {
    let store = tagged_store();
    write_large(&store.bucket().join("bars/all.parquet"), 1);
    let shared = tempfile::tempdir().unwrap();
    let serve = format!("file_cache: '{}'", shared.path().join("files").display());
    let stages = [(); 2].map(|()| remote_stage(SOURCE, &store.yaml(), &serve));
    let servers = stages.each_ref().map(fresh);
    servers[0].compute(&batch("quick", &["S003", "S004"]));
    assert!(gets(&store) > 0);
    servers[1].compute(&batch("quick", &["S003", "S004"]));
    assert_eq!(gets(&store), 0);
    // Both at once.
    let symbols = ["S000", "S001", "S002", "S005", "S006", "S007"];
    let groups = servers.each_ref().map(|server| server.queue(&batch("quick", &symbols)));
    for (server, group) in servers.iter().zip(&groups) {
        assert_eq!(server.wait_for_group(group)["state"], "done");
        assert_eq!(number(server, "errors_total"), 0);
    }
    check_rows(&stages[0], &servers[0], &["S000", "S007"]);
    check_rows(&stages[1], &servers[1], &["S000", "S007"]);
}

#[test]
fn a_service_that_is_killed_while_it_writes_leaves_nothing_wrong() {
    let store = tagged_store();
    write_large(&store.bucket().join("bars/all.parquet"), 1);
    let stage = remote_stage(SOURCE, &store.yaml(), "");
    let mut command = stage.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("WINDROW_FAULT", "file-cache-writing");
    let mut server = Server::new(super::process::Process::start(command, stage.path()));
    // The answer is lost with the service.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.get("/features/S003/quick?wait=10");
    }));
    assert_eq!(server.process.end(), None, "a signal ended it");
    let left = segments(&stage);
    let is_half = |path: &PathBuf| path.extension().is_some_and(|end| end == "writing");
    assert!(left.len() == 1 && left.iter().all(is_half), "{left:?}");
    for expected in [true, false] {
        gets(&store);
        let mut server = fresh(&stage);
        server.compute(&batch("quick", &["S003"]));
        assert_eq!(gets(&store) > 0, expected);
        check_rows(&stage, &server, &["S003"]);
        server.process.kill();
    }
}

#[test]
fn damaged_files_are_fetched_again() {
    let store = tagged_store();
    write_large(&store.bucket().join("bars/all.parquet"), 1);
    let stage = remote_stage(SOURCE, &store.yaml(), "");
    let mut server = fresh(&stage);
    server.compute(&batch("quick", &["S003"]));
    server.process.kill();
    for (number_of, path) in segments(&stage).iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        let last = bytes.len() - 1;
        match number_of % 2 {
            0 => bytes[last] ^= 1,
            _ => bytes.truncate(last / 2),
        }
        std::fs::write(path, bytes).unwrap();
    }
    gets(&store);
    let server = fresh(&stage);
    server.compute(&batch("quick", &["S003"]));
    assert!(gets(&store) > 0 && number(&server, "errors_total") > 0);
    assert!(server.process.log().contains("a damaged segment is removed"));
    check_rows(&stage, &server, &["S003"]);
}

#[test]
fn a_directory_that_cannot_be_used_costs_requests_only() {
    let store = tagged_store();
    write_large(&store.bucket().join("bars/all.parquet"), 1);
    let stage = remote_stage(SOURCE, &store.yaml(), "file_cache: 'a file/files'");
    std::fs::write(stage.path().join("a file"), "").unwrap();
    let server = fresh(&stage);
    check_rows(&stage, &server, &["S003", "S004", "S005"]);
    assert!(number(&server, "errors_total") > 0 && number(&server, "hits_total") == 0);
    let log = server.process.log();
    assert_eq!(log.matches("cannot be used").count(), 1, "{log}");
    assert_eq!(server.get("/health").expect(200).json()["status"], "healthy");
}

#[test]
fn files_of_web_servers_are_fetched_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let web = Web::start(folder.path().to_path_buf(), false);
    let source = format!("http://127.0.0.1:{}/a.parquet?signature=sesame", web.port);
    let asked = || {
        let asked = std::mem::take(&mut *web.asked.lock().unwrap());
        asked.iter().filter(|asked| !asked.ends_with("Some((0, 0))")).count()
    };
    let old = "Tue, 06 Jan 2026 02:15:00 GMT";
    // An ETag and a time, one of them, and a tag that does not promise the same bytes.
    let marks =
        [("\"1\"", old, true), ("\"2\"", "", true), ("", old, true), ("W/\"3\"", "", false)];
    for (number, (tag, date, is_kept)) in marks.into_iter().enumerate() {
        write_large(&path, number as u64);
        std::fs::write(folder.path().join("a.parquet.etag"), tag).unwrap();
        std::fs::write(folder.path().join("a.parquet.date"), date).unwrap();
        let stage = remote_stage(&source, "", "");
        let mut server = fresh(&stage);
        server.compute(&batch("quick", &["S003"]));
        assert!(asked() > 0, "{tag} {date}");
        server.process.kill();
        let server = fresh(&stage);
        server.compute(&batch("quick", &["S003"]));
        assert_eq!(asked() == 0, is_kept, "{tag} {date}");
        check_rows(&stage, &server, &["S003"]);
        asked();
        assert!(!server.process.log().contains("sesame"));
        let names: Vec<String> =
            segments(&stage).iter().map(|path| path.display().to_string()).collect();
        assert!(names.iter().all(|name| !name.contains("parquet")), "{names:?}");
    }
}
