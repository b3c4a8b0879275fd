//! Object stores as sources and as targets, against an S3 server that is made to fail.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::kill::{SET, args};
use super::store::{Fate, Store, Web};
use super::support::{Bars, fails, ok, rows, run, run_json, windrow, write_parquet};

const TARGET: &str = "s3://bucket/f/";

fn prepare(store: &Store) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(5, 120).write(&folder.path().join("bars/all.parquet"));
    std::fs::write(folder.path().join("set.sql"), SET).unwrap();
    std::fs::write(folder.path().join("windrow.yaml"), store.yaml()).unwrap();
    folder
}

fn run_state(folder: &Path, state: usize) {
    let args = args(state, TARGET);
    ok(folder, &args.iter().map(String::as_str).collect::<Vec<_>>());
}

/// All rows of a source, in order.
fn all(folder: &Path, location: &str) -> Vec<String> {
    let source = format!("f={location}");
    rows(folder, "SELECT * FROM f ORDER BY symbol, ts", &[&source])
}

/// The state that the target holds, if it is whole; None if there is none.
fn state(folder: &Path) -> Option<usize> {
    let words = ["sql", "SELECT state, count(*) FROM f GROUP BY state", "--source"];
    let done = run(folder, &[&words[..], &["f=s3://bucket/f/", "--format", "csv"]].concat());
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    if told.contains("holds no parquet") {
        return None;
    }
    assert!(done.status.success(), "{told}");
    let text = String::from_utf8(done.stdout).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (state, count) = lines[0].split_once(',').unwrap();
    assert_eq!(count, "600", "a part of a state");
    Some(state.parse::<f64>().unwrap() as usize)
}

/// Data files, records and whatever else there is below the target.
fn counts(store: &Store) -> [usize; 3] {
    let keys = store.keys("f");
    let count = |is: &dyn Fn(&String) -> bool| keys.iter().filter(|key| is(key)).count();
    let data = count(&|key| key.ends_with(".parquet"));
    let records = count(&|key| key.starts_with("f/_windrow/") && key.ends_with(".json"));
    // The first one marks the target.
    [data, records.saturating_sub(1), keys.len() - data - records]
}

#[test]
fn a_run_into_a_bucket_is_what_it_is_in_a_directory() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    ok(folder, &["run", "set.sql", "--source", "bars=bars", "--to", "local"]);
    let told = run_json(folder, &["run", "set.sql", "--source", "bars=bars", "--to", TARGET]);
    assert_eq!((told["rows"].as_u64(), told["retries"].as_u64()), (Some(600), Some(0)));
    assert_eq!(all(folder, "s3://bucket/f"), all(folder, "local"));
    assert_eq!((counts(&store), store.uploads()), ([3, 1, 0], 0));
    // The next one takes its place.
    run_state(folder, 7);
    assert_eq!(state(folder), Some(7));
    assert_eq!((counts(&store), store.uploads()), ([3, 2, 0], 0));
    let table = ok(folder, &["runs", TARGET]);
    assert_eq!(table.matches("600").count(), 2, "{table}");
    // A scope that leaves rows out, and an empty one.
    let words = ["run", "set.sql", "--source", "bars=bars", "--to", TARGET, "--symbols"];
    let (_, told) = fails(folder, &[&words[..], &["S001"]].concat());
    assert!(told.contains("s3://bucket/f holds rows outside the scope of this run"), "{told}");
    let (_, told) = fails(folder, &[&words[..], &["NONE"]].concat());
    assert!(told.contains("s3://bucket/f holds rows outside"), "{told}");
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(7), [3, 2, 0], 0));
    // An audit that fails leaves nothing.
    let set = SET.replace("params", "audits: [rsi_14 < 60]\nparams");
    std::fs::write(folder.join("audited.sql"), set).unwrap();
    let (_, told) = fails(folder, &["run", "audited.sql", "--source", "bars=bars", "--to", TARGET]);
    assert!(told.contains("audit failed"), "{told}");
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(7), [3, 2, 0], 0));
}

#[test]
fn what_is_no_target() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    Bars::new(2, 10).write(&store.bucket().join("theirs/bars.parquet"));
    let told = |target: &str| {
        fails(folder, &["run", "set.sql", "--source", "bars=bars", "--to", target]).1
    };
    let theirs = told("s3://bucket/theirs");
    assert!(
        theirs.contains("holds files that windrow did not write, such as bars.parquet"),
        "{theirs}"
    );
    assert!(told("s3://bucket").contains("s3://bucket/ is a whole bucket; name a prefix"));
    assert!(told("s3://bucket/x.parquet").contains("is one file"));
    assert!(told("https://host/x.csv").contains("is on a web server, which takes no files"));
    assert!(
        told("s3://nobody/x").contains("no credentials")
            || told("s3://nobody/x").contains("nobody")
    );
    // No run may remove or double what it reads.
    ok(folder, &["compact", "bars", "s3://bucket/bars"]);
    for target in ["s3://bucket/bars", "s3://bucket/bars/below"] {
        let words = ["run", "set.sql", "--source", "bars=s3://bucket/bars", "--to", target];
        let (_, told) = fails(folder, &words);
        assert!(told.contains("lies in the source bars"), "{told}");
    }
    assert_eq!(store.keys("bars").len(), 5);
}

#[test]
fn every_layout_is_read_as_from_the_disk() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let bars = Bars::new(6, 90);
    // One object with row groups of its own, one per symbol, one per day, CSV.
    bars.write(&store.bucket().join("one/all.parquet"));
    for batch in bars.batches() {
        let symbol = rows_symbol(&batch);
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

fn rows_symbol(batch: &datafusion::arrow::array::RecordBatch) -> String {
    use datafusion::arrow::array::AsArray;
    batch.column_by_name("symbol").unwrap().as_string::<i32>().value(0).to_string()
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
fn every_request_may_fail_once() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    ok(folder, &["compact", "bars", "s3://bucket/bars"]);
    store.asked();
    let words = |state: usize| {
        let mut words = args(state, TARGET);
        words[3] = "bars=s3://bucket/bars".to_string();
        words
    };
    let run = |state: usize| {
        let words = words(state);
        run_json(folder, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run(1);
    run(1);
    let requests = store.asked().len() / 2;
    assert!(requests > 20, "{requests}");
    let fates =
        [Fate::Cut, Fate::Lost, Fate::Status(503, "SlowDown"), Fate::Status(500, "InternalError")];
    let mut state_now = 1;
    for number in 0..requests + 2 {
        let fate = fates[number % fates.len()].clone();
        let (mut seen, told) = (0, format!("{fate:?} at request {number}"));
        store.judge(move |_, _| {
            seen += 1;
            if seen == number + 1 { fate.clone() } else { Fate::Pass }
        });
        state_now += 1;
        let done = run(state_now);
        let asked = store.asked();
        store.judge(|_, _| Fate::Pass);
        // What is cut before its answer begins, the client itself may send again.
        if number < requests.min(asked.len()) - 4 && told.starts_with("Status") {
            assert!(done["retries"].as_u64() >= Some(1), "{told}: {done}\n{asked:#?}");
        }
        assert_eq!(state(folder), Some(state_now), "{told}");
        store.asked();
        assert_eq!((counts(&store)[0], counts(&store)[2], store.uploads()), (3, 0, 0), "{told}");
    }
}

#[test]
fn a_store_that_asks_to_slow_down_is_asked_less_and_the_run_succeeds() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    store.judge(move |_, _| match counted.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Fate::Pass,
        _ => Fate::Status(503, "SlowDown"),
    });
    let done = windrow(folder).args(args(3, TARGET)).args(["--json"]).output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{told}");
    assert!(
        told.contains("s3://bucket at 127.0.0.1 answers 503 SlowDown (as asked); trying again in"),
        "{told}"
    );
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let failed = seen.load(Ordering::Relaxed) / 3 * 2;
    let retries = json["retries"].as_u64().unwrap() as usize;
    assert!(retries >= 15 && retries <= failed, "{retries} of {failed}");
    store.judge(|_, _| Fate::Pass);
    assert_eq!(state(folder), Some(3));
}

#[test]
fn an_answer_that_does_not_come_is_asked_for_again() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let mut late = 2;
    store.judge(move |method, path| match (method, path.contains("/f/part-")) {
        ("GET", true) if late > 0 => {
            late -= 1;
            Fate::Late(Duration::from_secs(40))
        }
        _ => Fate::Pass,
    });
    let words = ["sql", "SELECT count(*) FROM f", "--source", "f=s3://bucket/f", "--format", "csv"];
    let started = Instant::now();
    let done = run(folder, &words);
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "count(*)\n600\n", "{told}");
    assert!(told.contains("no answer for 20 s; trying again in"), "{told}");
    assert!(started.elapsed() < Duration::from_secs(35), "{:?}", started.elapsed());
}

#[test]
fn what_stays_wrong_is_not_asked_again() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let told = |yaml: String| {
        std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
        store.asked();
        let words = args(1, TARGET);
        let (_, told) = fails(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
        (told, store.asked().len())
    };
    let (secret, asked) = told(store.yaml().replace("SECRET", "WRONG"));
    assert!(secret.contains("403 SignatureDoesNotMatch"), "{secret}");
    assert!(secret.contains("; check the credentials"), "{secret}");
    assert!(asked <= 2, "{asked}");
    assert!(!secret.contains("WRONG"), "{secret}");
    let (http, asked) = told(store.yaml().replace("    allow_http: true\n", ""));
    assert!(http.contains("is not encrypted; write https://, or set allow_http: true"), "{http}");
    assert_eq!(asked, 0);
    let keys = "    access_key_id: KEY\n    secret_access_key: ${NOT_THERE}\n";
    let plain = "    access_key_id: KEY\n    secret_access_key: SECRET\n";
    let (unset, _) = told(store.yaml().replace(plain, keys));
    assert!(unset.contains("the environment variable NOT_THERE is not set"), "{unset}");
    // A bucket that is not there.
    let yaml = store.yaml().replace("s3://bucket", "s3://");
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    let gone = fails(folder, &["sql", "SELECT 1 FROM b", "--source", "b=s3://other/x"]).1;
    assert!(gone.contains("there is no s3://other; correct its name, or create it"), "{gone}");
    // Nobody is there: it is said within the time limit.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = store.yaml().replace(&store.port().to_string(), &closed.port().to_string());
    std::fs::write(folder.join("windrow.yaml"), yaml + "timeout_seconds: 4\n").unwrap();
    let started = Instant::now();
    let (_, down) = fails(folder, &["run", "set.sql", "--source", "bars=bars", "--to", TARGET]);
    assert!(down.contains("cannot connect"), "{down}");
    assert!(
        down.contains("error: the time limit has passed") || down.contains("error: s3://bucket"),
        "{down}"
    );
    assert!((2..15).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[test]
fn credentials_come_from_the_environment_and_from_profiles() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    std::fs::remove_file(folder.join("windrow.yaml")).unwrap();
    let endpoint = format!("http://127.0.0.1:{}", store.port());
    let aws = folder.join("home/.aws");
    std::fs::create_dir_all(&aws).unwrap();
    let config = format!(
        "[profile research]\nregion = eu-north-1\nendpoint_url = {endpoint}\n[default]\nregion = x\n"
    );
    std::fs::write(aws.join("config"), config).unwrap();
    std::fs::write(
        aws.join("credentials"),
        "[research]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\n[empty]\nsso_start_url = x\n",
    )
    .unwrap();
    let with = |env: &[(&str, &str)]| {
        let mut command = windrow(folder);
        command
            .args(args(1, TARGET))
            .env("HOME", folder.join("home"))
            .env("AWS_ALLOW_HTTP", "true");
        command.envs(env.iter().copied()).env("AWS_EC2_METADATA_DISABLED", "true");
        let done = command.output().unwrap();
        (done.status.success(), String::from_utf8(done.stderr).unwrap())
    };
    let plain = [
        ("AWS_ACCESS_KEY_ID", "KEY"),
        ("AWS_SECRET_ACCESS_KEY", "SECRET"),
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
    ];
    let (fine, told) = with(&plain);
    assert!(fine, "{told}");
    let (fine, told) = with(&[("AWS_PROFILE", "research")]);
    assert!(fine, "{told}");
    let (fine, told) = with(&[("AWS_PROFILE", "empty")]);
    assert!(
        !fine && told.contains("the profile empty signs in at a web page, which is not supported"),
        "{told}"
    );
    let (fine, told) = with(&[("AWS_PROFILE", "nobody")]);
    assert!(!fine && told.contains("there is no profile nobody in ~/.aws"), "{told}");
}

/// Where `target/` lets itself be killed on its way into a bucket, and whether the run is committed.
const POINTS: [(&str, bool); 6] = [
    ("lease-taken", false),
    ("file-closed", false),
    ("rows-written", false),
    ("uploads-complete", false),
    ("record-written", true),
    ("old-removed", true),
];

#[test]
fn killed_at_every_step() {
    for exists in [false, true] {
        for (point, committed) in POINTS {
            let store = Store::start();
            let folder = prepare(&store);
            let folder = folder.path();
            if exists {
                run_state(folder, 1);
            }
            let mut killed = windrow(folder);
            killed.args(args(2, TARGET)).env("WINDROW_FAULT", point).stderr(Stdio::null());
            assert_eq!(killed.status().unwrap().code(), None, "{point}: it was not killed");
            let expected = if committed { Some(2) } else { exists.then_some(1) };
            assert_eq!(state(folder), expected, "{point}, target existed: {exists}");
            let told = run(folder, &["runs", TARGET]);
            let told = String::from_utf8(told.stderr).unwrap();
            assert!(
                told.contains("left by a run that died: the uploads of the run"),
                "{point}: {told}"
            );
            run_state(folder, 3);
            assert_eq!(state(folder), Some(3), "{point}");
            let records = 1 + usize::from(exists) + usize::from(committed);
            assert_eq!((counts(&store), store.uploads()), ([3, records, 0], 0), "{point}");
        }
    }
}

#[test]
fn vacuum_removes_what_a_run_left_that_died() {
    for point in ["rows-written", "uploads-complete", "record-written"] {
        let store = Store::start();
        let folder = prepare(&store);
        let folder = folder.path();
        run_state(folder, 1);
        let mut killed = windrow(folder);
        killed.args(args(2, TARGET)).env("WINDROW_FAULT", point).stderr(Stdio::null());
        assert_eq!(killed.status().unwrap().code(), None);
        let before = state(folder);
        assert!(counts(&store)[2] == 1 && store.uploads() + counts(&store)[0] > 3, "{point}");
        let told = run(folder, &["vacuum", TARGET]);
        let told = String::from_utf8(told.stderr).unwrap();
        assert!(told.contains("removed the uploads of the run"), "{point}: {told}");
        assert_eq!(told.contains("removed part-"), point != "rows-written", "{point}: {told}");
        assert_eq!((counts(&store)[0], counts(&store)[2], store.uploads()), (3, 0, 0), "{point}");
        assert_eq!(state(folder), before, "{point}");
        let told = run(folder, &["vacuum", TARGET]);
        assert!(String::from_utf8(told.stderr).unwrap().contains("nothing to remove"), "{point}");
    }
}

#[test]
fn killed_at_random_moments() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let whole = Instant::now();
    run_state(folder, 2);
    let whole = whole.elapsed();
    let (mut before, mut seed) = (2, 42u64);
    for next in 3..53 {
        let mut child =
            windrow(folder).args(args(next, TARGET)).stderr(Stdio::null()).spawn().unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let share = (seed >> 33) as f64 / (1u64 << 31) as f64;
        std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * 1.1 * share));
        let _ = child.kill();
        child.wait().unwrap();
        let found = state(folder);
        assert!(found == Some(before) || found == Some(next), "{found:?}, not {before} or {next}");
        before = found.unwrap();
    }
    run_state(folder, 99);
    assert_eq!(state(folder), Some(99));
    assert_eq!((counts(&store)[0], counts(&store)[2]), (3, 0));
    // An upload whose id never reached anybody is nobody's to end; the server drops it in time.
    assert!(store.uploads() <= 2, "{}", store.uploads());
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let mut command = windrow(folder);
    command.args(args(2, TARGET)).env("WINDROW_FAULT", "wait:file-closed").stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(130), "{told}");
    run_state(folder, 3);
    assert_eq!(state(folder), Some(3));
    assert_eq!((counts(&store), store.uploads()), ([3, 2, 0], 0));
}

#[test]
fn two_runs_at_once() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    for round in 0..4 {
        let start = |state: usize| {
            windrow(folder).args(args(state, TARGET)).stderr(Stdio::piped()).spawn().unwrap()
        };
        let runs = [start(10 + 2 * round), start(11 + 2 * round)];
        let ends = runs.map(|run| run.wait_with_output().unwrap());
        let won = ends.iter().filter(|end| end.status.success()).count();
        for end in ends.iter().filter(|end| !end.status.success()) {
            let told = String::from_utf8_lossy(&end.stderr);
            let said = told.contains("another run is writing s3://bucket/f")
                || told.contains("another run committed into s3://bucket/f meanwhile");
            assert!(said, "{told}");
        }
        assert!(won >= 1);
        let found = state(folder).unwrap();
        assert!(found == 10 + 2 * round || found == 11 + 2 * round, "{found}");
    }
    run_state(folder, 99);
    assert_eq!((state(folder), counts(&store)[0], counts(&store)[2]), (Some(99), 3, 0));
    assert_eq!(store.uploads(), 0);
}

/// A run that stops at a point, as a machine does that sleeps.
struct Asleep(std::process::Child);

impl Asleep {
    fn at(folder: &Path, point: &str, reached: impl Fn() -> bool) -> Self {
        let mut command = windrow(folder);
        command.args(args(2, TARGET)).env("WINDROW_FAULT", format!("wait:{point}"));
        let asleep = Self(command.stderr(Stdio::piped()).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(20);
        while !reached() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(500));
        asleep.send(rustix::process::Signal::STOP);
        asleep
    }

    fn send(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.0.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Goes on; whether it ends well, and what it says.
    fn wakes(self) -> (bool, String) {
        self.send(rustix::process::Signal::CONT);
        let done = self.0.wait_with_output().unwrap();
        (done.status.success(), String::from_utf8(done.stderr).unwrap())
    }
}

#[test]
fn a_run_that_was_taken_for_dead_commits_nothing() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    // Behind its last row, with all uploads there.
    let asleep = Asleep::at(folder, "rows-written", || store.uploads() >= 3);
    // The process is there, so that the next run watches its lease.
    let started = Instant::now();
    let told = run(folder, &args(3, TARGET).iter().map(String::as_str).collect::<Vec<_>>());
    let said = String::from_utf8(told.stderr).unwrap();
    assert!(told.status.success(), "{said}");
    assert!(said.contains("looking for up to 30 s whether that run lives"), "{said}");
    assert!(started.elapsed() > Duration::from_secs(28), "{:?}", started.elapsed());
    let (fine, told) = asleep.wakes();
    assert!(!fine && told.contains("another run took s3://bucket/f over"), "{told}");
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(3), [3, 2, 0], 0));
}

#[test]
fn a_run_that_sleeps_behind_its_commit_removes_nothing_of_the_next_one() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let asleep = Asleep::at(folder, "record-written", || counts(&store)[1] == 2);
    run_state(folder, 3);
    let (fine, told) = asleep.wakes();
    assert!(fine, "it was committed: {told}");
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(3), [3, 3, 0], 0));
}

#[test]
fn vacuum_leaves_what_a_sleeping_run_may_still_commit() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let asleep = Asleep::at(folder, "before-record", || counts(&store)[0] == 6);
    let told = String::from_utf8(run(folder, &["vacuum", TARGET]).stderr).unwrap();
    assert!(told.contains("3 files in s3://bucket/f stay"), "{told}");
    assert_eq!(state(folder), Some(1));
    let (fine, told) = asleep.wakes();
    assert!(fine, "{told}");
    assert_eq!(state(folder), Some(2));
    run_state(folder, 3);
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(3), [3, 3, 0], 0));
}

#[test]
fn a_commit_on_top_of_another_state_than_was_seen_fails() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let asleep = Asleep::at(folder, "before-record", || counts(&store)[0] == 6);
    // The next run takes the target over; before it commits, the sleeper wakes and does.
    let mut next = windrow(folder);
    next.args(args(3, TARGET)).env("WINDROW_FAULT", "wait:rows-written").stderr(Stdio::piped());
    let next = next.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while store.uploads() < 3 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (fine, told) = asleep.wakes();
    assert!(fine, "{told}");
    let done = next.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success(), "{told}");
    assert!(told.contains("another run committed into s3://bucket/f meanwhile"), "{told}");
    // Who has no lease any more removes nothing; the next run does.
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(2), [6, 2, 0], 0));
    run_state(folder, 4);
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(4), [3, 3, 0], 0));
}

#[test]
fn around_a_target_only_what_is_committed_is_data() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    std::fs::write(
        folder.join("parted.sql"),
        "/*\nparams: {state: 1}\npartition_by: [half]\n*/\nSELECT symbol, ts, close, symbol > 'S002' AS half FROM bars",
    )
    .unwrap();
    let words = ["run", "parted.sql", "--source", "bars=bars", "--to", TARGET];
    ok(folder, &words);
    let mut killed = windrow(folder);
    killed.args(words).env("WINDROW_FAULT", "uploads-complete").stderr(Stdio::null());
    assert_eq!(killed.status().unwrap().code(), None);
    for (place, count) in [
        ("f", "600"),
        ("f/half=true", "240"),
        ("f/*/*.parquet", "600"),
        ("f/half=*", "600"),
        ("*/half=false/*", "360"),
        ("", "600"),
    ] {
        let source = format!("f=s3://bucket/{place}");
        assert_eq!(rows(folder, "SELECT count(*) FROM f", &[&source]), [count], "{place}");
    }
}

#[test]
fn a_dot_is_a_part_of_a_name() {
    use datafusion::arrow::record_batch::RecordBatch;
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let bars = Bars::new(3, 50).all();
    let schema = bars.schema();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "close" => ("bid.px".to_string(), Arc::clone(bars.column_by_name("close").unwrap())),
        name => (name.to_string(), Arc::clone(bars.column_by_name(name).unwrap())),
    });
    let batch = RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap();
    write_parquet(&folder.join("dots/x.parquet"), &batch);
    write_parquet(&store.bucket().join("dots/x.parquet"), &batch);
    for source in ["f=dots", "f=s3://bucket/dots"] {
        let sql = r#"SELECT count("bid.px"), count(*) FROM f WHERE ts >= DATE '2000-01-01'"#;
        assert_eq!(rows(folder, sql, &[source]), ["150,150"], "{source}");
        assert_eq!(
            rows(folder, r#"SELECT count("bid.px") FROM f"#, &[source]),
            ["150"],
            "{source}"
        );
    }
}

#[test]
fn a_commit_whose_answers_are_lost_loses_nothing() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let yaml = store.yaml() + "timeout_seconds: 6\n";
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    // The record arrives, and then nobody answers any more.
    let mut gone = false;
    store.judge(move |method, path| {
        gone |= method == "PUT" && path.ends_with("000002.json");
        match (gone, path.ends_with("000002.json")) {
            (true, true) => Fate::Lost,
            (true, false) => Fate::Cut,
            _ => Fate::Pass,
        }
    });
    let done = windrow(folder).args(args(2, TARGET)).output().unwrap();
    assert!(!done.status.success());
    store.judge(|_, _| Fate::Pass);
    std::fs::write(folder.join("windrow.yaml"), store.yaml()).unwrap();
    assert_eq!(state(folder), Some(2));
    run(folder, &["vacuum", TARGET]);
    assert_eq!(state(folder), Some(2));
    run_state(folder, 3);
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(3), [3, 3, 0], 0));
}

#[test]
fn targets_do_not_lie_within_each_other() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let told = |target: &str| {
        fails(folder, &["run", "set.sql", "--source", "bars=bars", "--to", target]).1
    };
    let inner = told("s3://bucket/f/sub");
    assert!(inner.contains("s3://bucket/f/sub lies within the target f"), "{inner}");
    ok(folder, &["run", "set.sql", "--source", "bars=bars", "--to", "s3://bucket/g/h/i"]);
    let outer = told("s3://bucket/g");
    assert!(outer.contains("s3://bucket/g has the target h/i in it"), "{outer}");
    assert!(told("s3://bucket/st*r").contains("is a glob; name a prefix without"));
    // Features would be read back as bars.
    for glob in ["s3://bucket/raw/*/*.parquet", "s3://bucket/raw/*", "s3://bucket/*/x/*.parquet"] {
        Bars::new(3, 20).write(&store.bucket().join("raw/x/bars.parquet"));
        let source = format!("bars={glob}");
        let to = "s3://bucket/raw/x";
        let told = fails(folder, &["run", "set.sql", "--source", &source, "--to", to]).1;
        assert!(told.contains("lies in the source bars"), "{glob}: {told}");
    }
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
    let cases = [
        ("hive", "symbol = 'AAPL'", "50"),
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
fn settings_that_are_wrong_are_said_to_be_so() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let words: Vec<String> = args(1, TARGET);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let told = |yaml: &str| {
        std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
        fails(folder, &words)
    };
    let address = format!("http://127.0.0.1:{}", store.port());
    for wrong in ["127.0.0.1:9000", "localhost", "http://", "ftp://x"] {
        let (code, said) = told(&store.yaml().replace(&address, &format!("'{wrong}'")));
        assert!(
            code == 2 && said.contains(&format!("its endpoint {wrong} is no web address")),
            "{said}"
        );
    }
    let (code, said) = told(&store.yaml().replace("    secret_access_key: SECRET\n", ""));
    assert!(
        code == 2 && said.contains("access_key_id and secret_access_key belong together"),
        "{said}"
    );
    let (code, said) = told(&store.yaml().replace("endpoint", "endpiont"));
    assert!(
        code == 2 && said.contains("unknown key endpiont of s3://bucket; did you mean endpoint?"),
        "{said}"
    );
    let (code, said) = told("stores:\n  bucket: {}\n");
    assert!(code == 2 && said.contains("bucket is no object store; write s3://BUCKET"), "{said}");
    // What is said of all buckets holds beside what is said of one.
    let yaml =
        store.yaml().replace("s3://bucket", "'s3://'") + "  s3://bucket: {region: eu-west-1}\n";
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    ok(folder, &words);
    // A key with a line break at its end, and one with a break in it.
    std::fs::remove_file(folder.join("windrow.yaml")).unwrap();
    let with = |id: &str, token: &str| {
        let mut command = windrow(folder);
        command.args(&words).env("AWS_ALLOW_HTTP", "true").env("AWS_ENDPOINT_URL", &address);
        command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", "SECRET\n");
        let done = command.env("AWS_SESSION_TOKEN", token).output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, said) = with("KEY\n", "");
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = with("K\nEY", "");
    assert!(
        code == Some(2) && said.contains("AWS_ACCESS_KEY_ID has an odd character in it"),
        "{said}"
    );
}

#[test]
fn an_interrupt_while_a_server_does_not_answer_is_quick_and_says_one_line() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    for batch in Bars::new(20, 30).batches() {
        let symbol = rows_symbol(&batch);
        write_parquet(&store.bucket().join(format!("bars/symbol={symbol}/x.parquet")), &batch);
    }
    store.judge(|method, path| match (method, path.contains("/bars/symbol")) {
        ("GET", true) => Fate::Late(Duration::from_secs(30)),
        _ => Fate::Pass,
    });
    let mut command = windrow(folder);
    command.args(["sql", "SELECT count(*) FROM b", "--source", "b=s3://bucket/bars"]);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let started = Instant::now();
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(done.stderr).unwrap(), "error: interrupted\n");
    assert_eq!(done.status.code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_server_that_ignores_conditions_is_told_of() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    store.judge(|_, _| Fate::Unconditional);
    let done = windrow(folder).args(args(1, TARGET)).output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{told}");
    assert!(told.contains("writes over what is there even where it is asked not to"), "{told}");
    run_state(folder, 2);
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(2), [3, 2, 0], 0));
}

#[test]
fn compact_writes_adds_and_writes_anew_in_a_bucket() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    ok(folder, &["compact", "bars", "s3://bucket/c"]);
    assert_eq!(all(folder, "s3://bucket/c"), all(folder, "bars"));
    Bars::new(7, 150).write(&folder.join("more/all.parquet"));
    let told = run(folder, &["compact", "more", "s3://bucket/c", "--append"]);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("600 rows left out because s3://bucket/c holds their symbol"), "{told}");
    assert_eq!(all(folder, "s3://bucket/c"), all(folder, "more"));
    let files = store.keys("c").len();
    ok(folder, &["compact", "s3://bucket/c", "s3://bucket/c"]);
    assert_eq!(all(folder, "s3://bucket/c"), all(folder, "more"));
    assert!(store.keys("c").len() < files + 1, "{:?}", store.keys("c"));
}

#[test]
fn export_goes_to_a_bucket_and_does_only_what_is_missing() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    std::fs::create_dir(folder.join("queries")).unwrap();
    std::fs::rename(folder.join("set.sql"), folder.join("queries/one.sql")).unwrap();
    std::fs::write(folder.join("queries/two.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    ok(folder, &["compact", "bars", "s3://bucket/bars"]);
    let yaml = store.yaml()
        + "sources: {bars: 's3://bucket/bars'}\ntargets: {export: 's3://bucket/out/{set}'}\n";
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    let export = |args: &[&str]| {
        let done = run(folder, &[&["export", "queries"], args].concat());
        assert!(done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    assert!(export(&[]).contains("export: 2 committed, 0 up to date"));
    assert!(export(&["--resume"]).contains("export: 0 committed, 2 up to date"));
    let gone = store.keys("out/two").into_iter().find(|key| key.ends_with("parquet")).unwrap();
    std::fs::remove_file(store.bucket().join(gone)).unwrap();
    assert!(export(&["--resume"]).contains("export: 1 committed, 1 up to date"));
    assert_eq!(all(folder, "s3://bucket/out/two").len(), 600);
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
        let record = std::fs::read_to_string(folder.join("out/_windrow/000001.json")).unwrap();
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
fn the_script_of_the_examples_exports_into_a_bucket() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    std::fs::remove_file(folder.join("windrow.yaml")).unwrap();
    std::fs::create_dir(folder.join("queries")).unwrap();
    std::fs::rename(folder.join("set.sql"), folder.join("queries/one.sql")).unwrap();
    std::fs::write(folder.join("queries/two.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    Bars::new(5, 120).write(&store.bucket().join("bars/all.parquet"));
    let program = Path::new(env!("CARGO_BIN_EXE_windrow")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nightly/s3-export.sh");
    let export = || {
        let mut command = std::process::Command::new(&script);
        command.args(["s3://bucket/bars/", "s3://bucket/features"]).current_dir(folder);
        command.env("PATH", &path).env("AWS_ACCESS_KEY_ID", "KEY");
        command.env("AWS_SECRET_ACCESS_KEY", "SECRET").env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", store.port()));
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, told) = export();
    assert!(code == Some(0) && told.contains("export: 2 committed, 0 up to date"), "{told}");
    let (code, told) = export();
    assert!(code == Some(0) && told.contains("export: 0 committed, 2 up to date"), "{told}");
    std::fs::write(folder.join("queries/two.sql"), "SELECT symbol, ts, clsoe FROM bars").unwrap();
    let (code, told) = export();
    assert!(code == Some(1) && told.contains("unknown column clsoe"), "{told}");
    let mut keys = store.keys("features");
    keys.retain(|key| key.ends_with(".parquet"));
    assert_eq!(keys.len(), 6, "{keys:?}");
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
