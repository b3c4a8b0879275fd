//! Checks of untrusted bytes, one function for each kind of input. `tests/it/fuzzed.rs` runs them on the seeds and on
//! mutations of the seeds, and `fuzz/run` runs them for a given time.
//!
//! For any bytes: nothing panics, and no panic hides in an error; a message is useful to a person; the check ends
//! within [`LIMIT`], and memory grows by less than [`MOST`]. The checks use the library as a program does. Engines
//! and threads are created once, since they take longer than most inputs.
#![allow(dead_code)] // A binary of fuzz/targets calls one of these.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use windrow::Engine;
use windrow::commit::Target;
use windrow::config::{Config, Duplicates, SourceConfig, parse_size};
use windrow::engine::{RunOptions, Scope, executor};
use windrow::error::{Error, Kind, Result};
use windrow::feature_set::FeatureSet;
use windrow::host;
use windrow::render::{Format, Limit, Printer};
use windrow::sql::parse;
use windrow::stop::Stopper;
use windrow::store::{
    Location, ObjectUrl, PgLocation, RECORD_DIR, Record, anywhere, password, withheld,
    without_secrets,
};

/// A check of some bytes.
pub(crate) type Check = fn(&[u8]);

/// Every kind of input by its name, which is also the name of its binary and of its folder in fuzz/seeds.
pub(crate) const KINDS: [(&str, Check); 8] = [
    ("config", config),
    ("csv", csv),
    ("header", header),
    ("location", location),
    ("parquet", parquet),
    ("record", record),
    ("sql", sql),
    ("template", template),
];

/// The time limit of a query or a run, as `timeout_seconds` sets it.
const TIME: Duration = Duration::from_secs(5);

/// The time limit of one input: a query and a check up to their limits, and work that has no time limit of its own.
const LIMIT: Duration = Duration::from_secs(60);

/// The memory limit of an engine, and the most by which the process may grow over one input.
const MEMORY: u64 = 256 << 20;
const MOST: u64 = 3 * MEMORY;

/// The interval at which time and memory are checked.
const LOOK: Duration = Duration::from_millis(20);

/// The rows of a query after which reading stops.
const ROWS: usize = 20_000;

/// Texts that no message may contain: signs of a panic, of a bug of ours, of a value as Rust prints it.
const RAW: [&str; 7] =
    ["panicked", "bug in windrow", "nternal error", "RUST_BACKTRACE", "Some(", "Ident {", "Ident("];

/// Calls that create values of any size while a statement is planned. The command ends when it outgrows its limit;
/// the library leaves that to its caller.
const UNBOUNDED: [&str; 6] = ["repeat", "lpad", "rpad", "_resize", "generate_series", "range("];

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| executor::compute(2).expect("threads"));

/// An engine with a small source, shared by all inputs.
static BARS: LazyLock<Engine> = LazyLock::new(bars);

/// Engines whose sources come from the inputs.
static PARQUET: LazyLock<Mutex<Engine>> = LazyLock::new(without_sources);
static CSV: LazyLock<Mutex<Engine>> = LazyLock::new(without_sources);
static TARGETS: LazyLock<Mutex<Engine>> = LazyLock::new(without_sources);

/// A committed run, for records that refer to it.
static COMMITTED: LazyLock<Committed> = LazyLock::new(Committed::new);

// Kinds

/// Checks that a statement runs or is refused, as a query and as a feature set.
pub(crate) fn sql(bytes: &[u8]) {
    hold(bytes, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if is_unbounded(text) {
            return;
        }
        // A statement that changes its session gets its own engine, so that every input finds the same session.
        let changes = parse(text).is_ok_and(|sql| sql.query().is_none());
        let own = changes.then(bars);
        let engine: &Engine = match &own {
            Some(own) => own,
            None => &BARS,
        };
        if let Some(done) = limited(rows(bytes, engine, text)) {
            told(bytes, done);
        }
        if !changes && let Ok(set) = FeatureSet::parse("fuzzed", "fuzzed.sql", text) {
            check(bytes, set);
        }
    });
}

/// Checks that the file of a feature set is read or refused, and compares its header with its query.
pub(crate) fn header(bytes: &[u8]) {
    hold(bytes, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            let folder = folder();
            let path = folder.path().join("fuzzed.sql");
            std::fs::write(&path, bytes).expect("a file");
            return worded(bytes, &FeatureSet::read(&path).expect_err("no UTF-8"));
        };
        match FeatureSet::parse("fuzzed", "fuzzed.sql", text) {
            Err(error) => worded(bytes, &error),
            Ok(set) => {
                FeatureSet::of_text(&set.to_text()).expect("the same set");
                check(bytes, set);
            }
        }
    });
}

/// Checks that a template renders or is refused, and that positions in its result map to positions in the file. Lines
/// before `====` set parameters, each `name=value`.
pub(crate) fn template(bytes: &[u8]) {
    hold(bytes, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let (params, file) = text.split_once("\n====\n").unwrap_or(("", text));
        let set = match FeatureSet::parse("fuzzed", "fuzzed.sql", file) {
            Ok(set) => set,
            Err(error) => return worded(bytes, &error),
        };
        let params = params.lines().filter_map(|line| line.split_once('='));
        let params = params.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let rendered = match set.render(&params, &|column: &str| column.len().is_multiple_of(2)) {
            Ok(rendered) => rendered,
            Err(error) => return worded(bytes, &error),
        };
        let length = rendered.sql.len();
        let offsets = [0, length / 3, length / 2, length, length + 9];
        let counted = [(0, 0), (1, 1), (2, 7), (usize::MAX, usize::MAX)];
        let places = offsets.map(|at| rendered.place(at)).into_iter();
        for place in places.chain(counted.map(|(line, column)| rendered.place_of(line, column))) {
            assert!(place.line <= file.matches('\n').count() + 1, "{place} is not in the file");
        }
        told(bytes, parse(&rendered.sql));
    });
}

/// Checks that a parquet file, as a plain table and cleaned, is read or named with its fault. Files of a megabyte and
/// more in queries with conditions are left out: DataFusion reads those, and allocates what a page claims, up to
/// 2 GiB.
pub(crate) fn parquet(bytes: &[u8]) {
    hold(bytes, |bytes| {
        read_file(bytes, &PARQUET, ("bars.parquet", bytes), &[STORED, CLEANED]);
    });
}

/// Checks that a CSV file, as a plain table and cleaned, is read or named with its fault.
pub(crate) fn csv(bytes: &[u8]) {
    hold(bytes, |bytes| {
        read_file(bytes, &CSV, ("bars.csv", bytes), &[STORED, CLEANED]);
    });
}

/// Checks that a record is read or refused, and that a target with it has no effect outside of its folder.
pub(crate) fn record(bytes: &[u8]) {
    hold(bytes, |bytes| {
        let (known, outer) = (&*COMMITTED, folder());
        let bytes = match std::str::from_utf8(bytes) {
            Ok(text) => text.replace("@fingerprint", &known.fingerprint).into_bytes(),
            Err(_) => bytes.to_vec(),
        };
        let record = Record::parse("000001.json", &bytes);
        match &record {
            Err(error) => worded(&bytes, error),
            Ok(record) => {
                let text = record.to_json().expect("what was read can be written");
                Record::parse("again", text.as_bytes()).expect("what was written can be read");
            }
        }
        let place = outer.path().join("place");
        let target = place.join("target");
        let records = target.join(RECORD_DIR);
        std::fs::create_dir_all(&records).expect("a folder");
        let others = [outer.path().join("other"), place.join("other")];
        std::fs::write(records.join("000001.json"), &bytes).expect("a file");
        std::fs::write(target.join("part.parquet"), &known.file).expect("a file");
        for other in &others {
            std::fs::write(other, "of somebody else").expect("a file");
        }
        let faults = limited(use_target(known, &TARGETS, &target, record.as_ref().ok()));
        // An interrupted run leaves its stage for the next run to remove.
        let Some(faults) = faults else { return };
        faults.iter().for_each(|error| worded(&bytes, error));
        let lock_and_texts = [".target.windrow-lock", ".target.windrow-records"];
        assert_eq!(names(outer.path()), ["other", "place"]);
        let mut beside = names(&place);
        beside.retain(|name| !lock_and_texts.contains(&name.as_str()));
        assert_eq!(beside, ["other", "target"]);
        for other in &others {
            let text = std::fs::read_to_string(other).expect("a file");
            assert_eq!(text, "of somebody else", "{}", other.display());
        }
    });
}

/// Checks that a location is read or refused, as a source and as a target, and that texts about a server have no
/// password.
pub(crate) fn location(bytes: &[u8]) {
    hold(bytes, |bytes| {
        let text = &*String::from_utf8_lossy(bytes);
        told(bytes, Location::parse(text).map(|location| location.to_string()));
        match Target::parse(text) {
            Err(error) => worded(bytes, &error),
            Ok(target) => use_place(bytes, target),
        }
        match ObjectUrl::parse(text) {
            Err(error) => worded(bytes, &error),
            Ok(None) => {}
            Ok(Some(url)) => use_url(bytes, &url),
        }
        let _ = (without_secrets(text), anywhere(text), withheld(text));
        let secret = password(text).map(|found| &text[found]);
        if PgLocation::is(text) {
            let shown = use_server(bytes, PgLocation::parse(text));
            // A short password may occur there by chance.
            let once = |secret: &&str| secret.len() > 5 && text.matches(*secret).count() == 1;
            let seen = secret.filter(once).filter(|secret| shown.contains(*secret));
            assert_eq!(seen, None, "a password is shown: {shown}");
        }
    });
}

/// Checks that a `windrow.yaml` is read or refused, and so are its lines as environment variables.
pub(crate) fn config(bytes: &[u8]) {
    hold(bytes, |bytes| {
        let folder = folder();
        std::fs::write(folder.path().join("windrow.yaml"), bytes).expect("a file");
        let env = |name: &str| (name == "SECRET").then(|| "s3cr@t/?%".to_string());
        match Config::load(folder.path(), &env) {
            Err(error) => worded(bytes, &error),
            Ok(config) => use_config(bytes, &config),
        }
        let text = String::from_utf8_lossy(bytes);
        for (key, value) in text.lines().take(40).filter_map(|line| line.split_once(':')) {
            told(bytes, Config::default().set_key(key, value, "WINDROW_KEY"));
            told(bytes, parse_size(value));
        }
    });
}

// Checks of every kind

/// Runs one input on a thread with the stack size of the program's own, and watches its time and memory.
fn hold(bytes: &[u8], work: fn(&[u8])) {
    let bytes = bytes.to_vec();
    let (done, end) = mpsc::channel::<()>();
    let (started, before) = (Instant::now(), host::resident_memory());
    let thread = std::thread::Builder::new()
        .name("input".to_string())
        .stack_size(windrow::limits::PLAN_STACK);
    let thread = thread.spawn(move || {
        let _until_the_end = done;
        work(&bytes);
    });
    let thread = thread.expect("a thread");
    while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(LOOK) {
        assert!(started.elapsed() < LIMIT, "it takes longer than {} s", LIMIT.as_secs());
        let grown = host::resident_memory().saturating_sub(before);
        if grown > MOST {
            // The thread cannot be stopped, and the machine would soon run out of memory.
            eprintln!("an input takes {} MB of memory", grown >> 20);
            std::process::abort();
        }
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Returns the result of some work within the time limit; None after it, when the work is dropped as in the program.
fn limited<T>(work: impl Future<Output = T>) -> Option<T> {
    RUNTIME.block_on(async { tokio::time::timeout(TIME, work).await.ok() })
}

/// Checks the message of a failure for [`RAW`].
fn told<T>(input: &[u8], done: Result<T>) {
    if let Err(error) = done {
        worded(input, &error);
    }
}

/// Checks a message for [`RAW`]. Texts of the input may occur in a message about it.
fn worded(input: &[u8], error: &Error) {
    let told = error.to_string();
    assert!(error.kind() != Kind::Internal, "a bug of ours: {told}");
    let said = String::from_utf8_lossy(input).to_lowercase();
    let raw = RAW.iter().find(|raw| told.contains(**raw) && !said.contains(&raw.to_lowercase()));
    assert!(raw.is_none(), "a message with {}: {told}", raw.unwrap_or(&""));
    assert!(!holds_dump(&told) || said.contains(" { "), "a message with a dump: {told}");
    assert!(error.message().len() > 5, "a message that says nothing: {told}");
}

/// Returns whether a text contains a struct as Rust prints it: `Name { field: `.
fn holds_dump(text: &str) -> bool {
    text.match_indices(" { ").any(|(at, open)| {
        let is_named = text[..at].ends_with(char::is_alphanumeric);
        let field = text[at + open.len()..].split_once(':').map_or("", |(field, _)| field);
        is_named && !field.is_empty() && field.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    })
}

fn is_unbounded(text: &str) -> bool {
    let text = text.to_lowercase();
    UNBOUNDED.iter().any(|call| text.contains(call))
}

// Engines

fn settings() -> Config {
    let raw = SourceConfig { duplicates: Duplicates::All, ..SourceConfig::new("raw") };
    Config {
        sources: BTreeMap::from([("raw".to_string(), raw)]),
        batch_size: 1024,
        parallel_workers: 2,
        timeout: Some(TIME),
        memory_limit: Some(MEMORY),
        ..Config::default()
    }
}

fn without_sources() -> Mutex<Engine> {
    Mutex::new(Engine::new(settings()).expect("an engine"))
}

fn bars() -> Engine {
    // Two crates include this file.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = [root.join("bars.csv"), root.join("fuzz/bars.csv")].into_iter().find(|f| f.exists());
    let file = file.expect("fuzz/bars.csv").to_string_lossy().into_owned();
    let mut engine = Engine::new(settings()).expect("an engine");
    RUNTIME.block_on(engine.add_source("bars", &file)).expect("bars");
    engine
}

/// Creates a folder for one input, in memory if the system has `/dev/shm` and TMPDIR is not set.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("windrow-");
    let made = match std::env::var_os("TMPDIR") {
        None if memory.is_dir() => builder.tempdir_in(memory).or_else(|_| builder.tempdir()),
        _ => builder.tempdir(),
    };
    made.expect("a folder")
}

/// Returns the names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> =
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Runs a statement to its end, or to [`ROWS`], and prints the first rows in every format.
async fn rows(input: &[u8], engine: &Engine, sql: &str) -> Result<()> {
    let query = engine.query(sql).await?;
    let first = Limit::Rows { max_rows: 20, max_width: 120 };
    let mut printers =
        Format::ALL.map(|format| Printer::new(format, &query.schema(), io::sink(), first));
    let mut stream = query.stream()?;
    let mut rows = 0;
    while let Some(batch) = stream.try_next().await.map_err(|error| query.explain_error(&error))? {
        for printer in &mut printers {
            told(input, printer.batch(&batch));
        }
        rows += batch.num_rows();
        if rows > ROWS {
            return Ok(());
        }
    }
    for printer in printers {
        told(input, printer.finish());
    }
    Ok(())
}

/// Checks a feature set as `windrow check` does.
fn check(input: &[u8], set: FeatureSet) {
    if is_unbounded(&set.to_text().text) {
        return;
    }
    let found = limited(BARS.check_set(set, &BTreeMap::new()));
    found.iter().flatten().for_each(|error| worded(input, error));
}

/// A source and a query of it: all rows as they are stored, or cleaned rows from some time on, in order.
type Read = (&'static str, &'static str);
const STORED: Read = ("raw", "SELECT * FROM raw");
const CLEANED: Read = (
    "bars",
    "SELECT *, row_number() OVER (PARTITION BY symbol ORDER BY ts) AS place \
     FROM bars WHERE ts >= TIMESTAMP '2024-01-03 00:00:00'",
);

/// Reads all columns of a source that is one file.
fn read_file(input: &[u8], reader: &Mutex<Engine>, (name, bytes): (&str, &[u8]), reads: &[Read]) {
    // The path is new each time, since an engine remembers files.
    let folder = folder();
    std::fs::write(folder.path().join(name), bytes).expect("a file");
    let location = folder.path().to_string_lossy().into_owned();
    limited(async {
        let mut engine = reader.lock().await;
        for (source, sql) in reads {
            let done = match engine.add_source(source, &location).await {
                Ok(()) => rows(input, &engine, sql).await,
                Err(error) => Err(error),
            };
            told(input, done);
        }
    });
}

// Targets, places, settings

/// The result of a run that was committed.
struct Committed {
    engine: Engine,
    fingerprint: String,
    /// The bytes of a file that it wrote.
    file: Vec<u8>,
}

impl Committed {
    fn new() -> Self {
        let (engine, folder) = (bars(), folder());
        let target = folder.path().join("target");
        let options = options(Target::Directory(target.clone()), Scope::default(), false);
        let outcome = RUNTIME.block_on(engine.run(set(), &options)).expect("a run");
        let written = outcome.record.files.first().expect("a file");
        let file = std::fs::read(target.join(&written.path)).expect("its bytes");
        Self { engine, fingerprint: outcome.record.fingerprint, file }
    }
}

/// Returns the feature set of the records in fuzz/seeds.
fn set() -> FeatureSet {
    let text = "SELECT symbol, ts, close, volume FROM bars";
    FeatureSet::parse("fuzzed", "fuzzed.sql", text).expect("a set")
}

fn options(target: Target, scope: Scope, merge: bool) -> RunOptions {
    let (_, stop) = Stopper::new();
    RunOptions { scope, merge, ..RunOptions::new(target, stop) }
}

/// Runs everything that reads the record of a target: its history, a source, runs that keep rows of it or replace it.
async fn use_target(
    known: &Committed,
    reader: &Mutex<Engine>,
    target: &Path,
    record: Option<&Record>,
) -> Vec<Error> {
    let place = Target::Directory(target.to_path_buf());
    let commit = known.engine.commit(&place);
    let mut faults: Vec<Error> = Vec::new();
    faults.extend(commit.latest().await.err());
    faults.extend(commit.history().await.err());
    let mut reader = reader.lock().await;
    match reader.add_source("features", &target.to_string_lossy()).await {
        Ok(()) => faults.extend(rows(&[], &reader, "SELECT * FROM features").await.err()),
        Err(error) => faults.push(error),
    }
    let Some(record) = record else { return faults };
    faults.extend(commit.is_there(record).await.err());
    faults.extend(commit.notes(record).await.err());
    let one = Scope { symbols: Some(vec!["A".to_string()]), ..Scope::default() };
    for (scope, merge) in [(one, true), (Scope::default(), false)] {
        let options = options(place.clone(), scope, merge);
        faults.extend(known.engine.run(set(), &options).await.err());
    }
    faults.extend(commit.history().await.err());
    faults
}

/// Uses a target as a run does, except for writing to it.
fn use_place(input: &[u8], target: Target) {
    let _ = (target.contents(), target.location(), target.to_string());
    told(input, target.check_elsewhere());
    told(input, target.resolved());
}

/// Returns the text about a table of a server, or the error of a URL that names none.
fn use_server(input: &[u8], place: Result<PgLocation>) -> String {
    let place = match place {
        Ok(place) => place,
        Err(error) => {
            worded(input, &error);
            return error.to_string();
        }
    };
    assert!(place.table().is_some() != place.query().is_some(), "{place}");
    assert!(place.table().is_none() || place.is_same_table(&place), "{place}");
    let _ = (place.server(), place.option("layout"));
    place.to_string()
}

/// Uses a URL of an object store as sources and targets do, except for requests to its server.
fn use_url(input: &[u8], url: &ObjectUrl) {
    told(input, url.path());
    told(input, url.matcher().map(|matches| [url.key(), "a/b.parquet", ""].map(matches)));
    let _ = (url.fixed(), url.is_glob());
    assert!(url.meets(url) && url.meets(&url.below("a")), "{url}");
    // The part of a web address after the question mark is not shown.
    if !url.is_web() {
        let again = ObjectUrl::parse(&url.to_string()).expect("a URL");
        assert_eq!(again.as_ref(), Some(url));
    }
}

/// Uses the locations that a configuration names as commands do.
fn use_config(input: &[u8], config: &Config) {
    for source in config.sources.values() {
        match PgLocation::is(&source.location) {
            true => told(input, PgLocation::parse(&source.location)),
            false => told(input, Location::parse(&source.location)),
        }
    }
    for name in config.targets.keys() {
        for set in [None, Some("momentum")] {
            told(
                input,
                config.resolve_set_target(name, set).and_then(|place| Target::parse(&place)),
            );
        }
    }
}
