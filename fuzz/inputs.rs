//! What must hold of bytes that somebody else wrote, one function for each kind of them. `tests/it/fuzzed.rs` holds
//! it for the seeds and for mutations of them, `fuzz/run` for as long as it is told.
//!
//! Whatever the bytes are: nothing panics, and no panic hides in an error; a message tells a person something; the
//! end comes within [`LIMIT`], and memory grows by less than [`CLAIMED_SIZE_LIMIT`]. The library is used as a program uses it.
//! Engines and threads are made once, for they take longer than most inputs.
#![allow(dead_code)] // A binary of fuzz/targets calls one of these.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, LazyLock};
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
use windrow::write::Progress;

/// Holds what must hold of some bytes.
pub(crate) type Check = fn(&[u8]);

/// Every kind by its name, which is that of its binary and of its folder in fuzz/seeds.
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

/// What one input may take in all: a query and a check up to their limit, and what does not look at the clock.
const LIMIT: Duration = Duration::from_secs(60);

/// The memory limit of an engine, and by how much the process may grow over one input.
const MEMORY: u64 = 256 << 20;
const MOST: u64 = 3 * MEMORY;

/// How often time and memory are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The rows of a query after which nobody reads on.
const ROWS: usize = 20_000;

/// What no message may hold: signs of a panic, of a bug of ours, of a value as Rust prints it.
const RAW: [&str; 7] =
    ["panicked", "bug in windrow", "nternal error", "RUST_BACKTRACE", "Some(", "Ident {", "Ident("];

/// Calls that make values of any size while a statement is planned. The command ends when it has outgrown its limit;
/// the library leaves that to whoever uses it.
const UNBOUNDED: [&str; 6] = ["repeat", "lpad", "rpad", "_resize", "generate_series", "range("];

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| executor::compute(2).expect("threads"));

/// An engine with a small source, which inputs share.
static BARS: LazyLock<Engine> = LazyLock::new(bars);

/// Engines whose sources each input gives.
static PARQUET: LazyLock<Mutex<Engine>> = LazyLock::new(without_sources);
static CSV: LazyLock<Mutex<Engine>> = LazyLock::new(without_sources);
static TARGETS: LazyLock<Mutex<Engine>> = LazyLock::new(without_sources);

/// A run that was committed, for records that speak of it.
static COMMITTED: LazyLock<Committed> = LazyLock::new(Committed::new);

// Kinds

/// A statement runs or is refused, as a query and as a feature set.
pub(crate) fn sql(bytes: &[u8]) {
    hold(bytes, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if is_unbounded(text) {
            return;
        }
        // What changes its session gets one of its own: each input finds the session as it was.
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

/// A file of a feature set is read or refused, and what its header declares is held against its query.
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

/// A template renders or is refused, and places in what it renders are places of the file. Lines before `====` set
/// parameters, each `name=value`.
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

/// A parquet file is read or named with what is wrong with it: as a plain table, and cleaned. Files of a megabyte and
/// more with conditions are left out: DataFusion reads those, and takes the memory that a page claims, up to 2 GiB.
pub(crate) fn parquet(bytes: &[u8]) {
    hold(bytes, |bytes| {
        read_file(bytes, &PARQUET, ("bars.parquet", bytes), &[STORED, CLEANED]);
    });
}

/// A CSV file is read or named with what is wrong with it: as a plain table, and cleaned.
pub(crate) fn csv(bytes: &[u8]) {
    hold(bytes, |bytes| {
        read_file(bytes, &CSV, ("bars.csv", bytes), &[STORED, CLEANED]);
    });
}

/// A record is read or refused, and no target with it has an effect outside of its folder.
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
        // A run that is cut off leaves its stage to the next one.
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

/// A location is read or refused, as a source and as a target; what is said of a server has no password.
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
            // A short one may stand there for something else.
            let once = |secret: &&str| secret.len() > 5 && text.matches(*secret).count() == 1;
            let seen = secret.filter(once).filter(|secret| shown.contains(*secret));
            assert_eq!(seen, None, "a password is shown: {shown}");
        }
    });
}

/// A `windrow.yaml` is read or refused, and so are the lines of it as variables of the environment.
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

// What holds for all

/// Runs one input on a thread with the stack of the program's own, and looks at its time and memory meanwhile.
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
            // Nobody can stop the thread, and the machine would be out of memory soon.
            eprintln!("an input takes {} MB of memory", grown >> 20);
            std::process::abort();
        }
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// What some work gives within the time limit; None past it, as the program drops it then.
fn limited<T>(work: impl Future<Output = T>) -> Option<T> {
    RUNTIME.block_on(async { tokio::time::timeout(TIME, work).await.ok() })
}

/// Holds the message of what failed against [`RAW`].
fn told<T>(input: &[u8], done: Result<T>) {
    if let Err(error) = done {
        worded(input, &error);
    }
}

/// Holds a message against [`RAW`]. What the input says may stand in a message about it.
fn worded(input: &[u8], error: &Error) {
    let told = error.to_string();
    assert!(error.kind() != Kind::Internal, "a bug of ours: {told}");
    let said = String::from_utf8_lossy(input).to_lowercase();
    let raw = RAW.iter().find(|raw| told.contains(**raw) && !said.contains(&raw.to_lowercase()));
    assert!(raw.is_none(), "a message with {}: {told}", raw.unwrap_or(&""));
    assert!(!holds_dump(&told) || said.contains(" { "), "a message with a dump: {told}");
    assert!(error.message().len() > 5, "a message that says nothing: {told}");
}

/// Whether a text holds a struct as Rust prints it: `Name { field: `.
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
    // This file is a part of two crates.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = [root.join("bars.csv"), root.join("fuzz/bars.csv")].into_iter().find(|f| f.exists());
    let file = file.expect("fuzz/bars.csv").to_string_lossy().into_owned();
    let mut engine = Engine::new(settings()).expect("an engine");
    RUNTIME.block_on(engine.add_source("bars", &file)).expect("bars");
    engine
}

/// A folder for one input, in memory where the system has such a place and nobody named another.
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

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> =
        entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Runs a statement to its end, or to [`PAGE_ROWS`], and prints the first rows in every form.
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

/// Checks a set as `windrow check` does.
fn check(input: &[u8], set: FeatureSet) {
    if is_unbounded(&set.to_text().text) {
        return;
    }
    let found = limited(BARS.check_set(set, &BTreeMap::new()));
    found.iter().flatten().for_each(|error| worded(input, error));
}

/// A source and a query of it: of all rows as they are stored; of cleaned ones from some time on, in order.
type Read = (&'static str, &'static str);
const STORED: Read = ("raw", "SELECT * FROM raw");
const CLEANED: Read = (
    "bars",
    "SELECT *, row_number() OVER (PARTITION BY symbol ORDER BY ts) AS place \
     FROM bars WHERE ts >= TIMESTAMP '2024-01-03 00:00:00'",
);

/// Reads all columns of a source that is one file.
fn read_file(input: &[u8], reader: &Mutex<Engine>, (name, bytes): (&str, &[u8]), reads: &[Read]) {
    // Its name is new each time: an engine remembers what it knows of a file.
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

/// What a run left behind.
struct Committed {
    engine: Engine,
    fingerprint: String,
    /// A file that it wrote.
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

/// The set of the records in fuzz/seeds.
fn set() -> FeatureSet {
    let text = "SELECT symbol, ts, close, volume FROM bars";
    FeatureSet::parse("fuzzed", "fuzzed.sql", text).expect("a set")
}

fn options(target: Target, scope: Scope, merge: bool) -> RunOptions {
    let (_, stop) = Stopper::new();
    RunOptions {
        target,
        scope,
        params: BTreeMap::new(),
        replace: false,
        merge,
        keep_going: false,
        progress: Arc::new(Progress::default()),
        stop,
    }
}

/// Everything that reads the record of a target: its history, a source, runs that keep rows of it or replace it.
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

/// A target as a run takes it, short of writing there.
fn use_place(input: &[u8], target: Target) {
    let _ = (target.contents(), target.location(), target.to_string());
    told(input, target.check_elsewhere());
    told(input, target.resolved());
}

/// What is said of a table of a server, or of what keeps a URL from naming one.
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

/// A place in an object store as sources and targets take it, short of asking its server.
fn use_url(input: &[u8], url: &ObjectUrl) {
    told(input, url.path());
    told(input, url.matcher().map(|matches| [url.key(), "a/b.parquet", ""].map(matches)));
    let _ = (url.fixed(), url.is_glob());
    assert!(url.meets(url) && url.meets(&url.below("a")), "{url}");
    // What stands behind the question mark of a web address is not shown.
    if !url.is_web() {
        let again = ObjectUrl::parse(&url.to_string()).expect("a URL");
        assert_eq!(again.as_ref(), Some(url));
    }
}

/// The places that a configuration names, as commands take them.
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
