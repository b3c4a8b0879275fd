//! A run is killed at every step of its commit, and at random moments. What a stranger reads is
//! the old state or the new one, whole; the next run succeeds with nothing cleaned by hand.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Field, Float64Type};
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use windrow::outside::FailPoint;

use super::support::{Bars, fails, leftovers, ok, plain_read, windrow};

/// The steps at which a run into a directory or a CSV file is killed.
fn points_of(target: &str) -> &'static [FailPoint] {
    if target == "out.csv" { &FailPoint::OF_CSV_FILE } else { &FailPoint::OF_DIRECTORY }
}

/// True if a run that was killed at the step has committed.
pub(crate) fn is_committed_at(point: FailPoint) -> bool {
    use FailPoint::{AfterCleaning, AfterExchange, BeforeCleaning};
    matches!(point, AfterExchange | BeforeCleaning | AfterCleaning)
}

pub(crate) const SET: &str = "/*\nparams: {state: 1}\n*/\nSELECT symbol, ts, {{ state }}.0 AS state, \
    rsi(close, 14) OVER (PARTITION BY symbol ORDER BY ts) AS rsi_14 FROM bars";

const ROWS: usize = 8 * 300;

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(8, 300).write(&folder.path().join("bars/all.parquet"));
    std::fs::write(folder.path().join("set.sql"), SET).unwrap();
    folder
}

pub(crate) fn args(state: usize, target: &str) -> Vec<String> {
    let set = format!("state={state}");
    ["run", "set.sql", "--source", "bars=bars", "--to", target, "--set", &set, "--threads", "2"]
        .map(str::to_string)
        .to_vec()
}

fn run(folder: &Path, state: usize, target: &str) {
    let args = args(state, target);
    ok(folder, &args.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The state that a target holds, if it is whole; None if there is none.
fn state(batch: Option<RecordBatch>) -> Option<usize> {
    let batch = batch?;
    let states = batch.column_by_name("state").unwrap().as_primitive::<Float64Type>();
    assert_eq!(batch.num_rows(), ROWS, "a part of a state");
    let first = states.value(0);
    assert!(states.values().iter().all(|s| *s == first), "two states at once");
    Some(first as usize)
}

fn csv_state(path: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(path).ok()?;
    let states: Vec<&str> = text.lines().skip(1).map(|l| l.split(',').nth(2).unwrap()).collect();
    assert_eq!(states.len(), ROWS, "a part of a state");
    assert!(states.iter().all(|s| *s == states[0]), "two states at once");
    Some(states[0].parse::<f64>().unwrap() as usize)
}

fn read(folder: &Path, target: &str) -> Option<usize> {
    let path = folder.join(target);
    if target.ends_with(".csv") { csv_state(&path) } else { state(plain_read(&path).unwrap()) }
}

#[test]
fn killed_at_every_step() {
    for target in ["out", "out.csv"] {
        for exists in [false, true] {
            for point in points_of(target).iter().copied() {
                let folder = prepare();
                let folder = folder.path();
                if exists {
                    run(folder, 1, target);
                }
                let killed = windrow(folder)
                    .args(args(2, target))
                    .env("WINDROW_FAULT", point.name())
                    .stderr(Stdio::null())
                    .status()
                    .unwrap();
                assert_eq!(killed.code(), None, "{target} {point:?}: it was not killed");
                let found = read(folder, target);
                let expected = if is_committed_at(point) { Some(2) } else { exists.then_some(1) };
                assert_eq!(found, expected, "{target} {point:?}, target existed: {exists}");
                run(folder, 3, target);
                assert_eq!(read(folder, target), Some(3), "{target} {point:?}");
                assert_eq!(
                    leftovers(&folder.join(target)),
                    Vec::<String>::new(),
                    "{target} {point:?}"
                );
            }
        }
    }
}

/// Writes a set with a folder for each state, and runs it once.
fn run_by_state(folder: &Path) -> String {
    let by_state = SET.replacen("/*", "/*\npartition_by: [version]", 1);
    let by_state = by_state.replace("AS state,", "AS state, 'v{{ state }}' AS version,");
    std::fs::write(folder.join("set.sql"), &by_state).unwrap();
    run(folder, 1, "out");
    by_state
}

/// Waits until a run has created the folder `out/version=v2`.
fn wait_for_folder(folder: &Path, child: &mut Child) {
    while !folder.join("out/version=v2").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended without the folder");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A run into folders, then one that adds a folder and that `end` ends before its commit.
fn ended_after_its_folders(end: impl FnOnce(&Path, Vec<String>)) {
    let folder = prepare();
    let folder = folder.path();
    run_by_state(folder);
    let entries = || -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder.join("out"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let before = entries();
    end(folder, args(2, "out"));
    if entries() != before {
        assert_eq!(entries(), ["_windrow", "version=v1", "version=v2"]);
        let told = super::support::run(folder, &["runs", "out"]).stderr;
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("left by a run that died: out/version=v2/part-"), "{told}");
        ok(folder, &["vacuum", "out"]);
    }
    assert_eq!(entries(), before);
    assert_eq!(read(folder, "out"), Some(1));
    assert_eq!(super::support::run(folder, &["runs", "out"]).stderr, b"");
}

#[test]
fn folders_that_a_killed_run_has_added_are_left_and_go() {
    ended_after_its_folders(|folder, words| {
        let mut killed = windrow(folder);
        killed
            .args(words)
            .env("WINDROW_FAULT", FailPoint::FoldersMade.name())
            .stderr(Stdio::null());
        assert_eq!(killed.status().unwrap().code(), None);
        assert!(folder.join("out/version=v2").exists());
    });
}

#[test]
fn a_run_that_is_asked_to_stop_takes_its_folders_back() {
    ended_after_its_folders(|folder, words| {
        let mut child = windrow(folder).args(words).stderr(Stdio::null()).spawn().unwrap();
        wait_for_folder(folder, &mut child);
        let asked = std::process::Command::new("kill").arg(child.id().to_string()).status();
        assert!(asked.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(!folder.join("out/version=v2").exists());
    });
}

/// Until the commit, other readers find the announced file among those of the old state.
#[test]
fn an_added_folder_has_the_columns_of_the_old_state() {
    let folder = prepare();
    let folder = folder.path();
    let set = run_by_state(folder);
    let other = set.replace("AS state,", "AS state, 'text' AS added,");
    assert_ne!(set, other);
    std::fs::write(folder.join("set.sql"), other).unwrap();
    let mut killed = windrow(folder);
    killed.args(args(2, "out")).env("WINDROW_FAULT", FailPoint::FoldersMade.name());
    assert_eq!(killed.stderr(Stdio::null()).status().unwrap().code(), None);
    let columns = |state: &str| {
        let files: Vec<_> = std::fs::read_dir(folder.join("out").join(state)).unwrap().collect();
        let file = files[0].as_ref().unwrap();
        let opened = std::fs::File::open(file.path()).unwrap();
        let meta = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new()).unwrap();
        let named = |field: &Arc<Field>| (field.name().clone(), field.data_type().clone());
        meta.schema().fields().iter().map(named).collect::<Vec<_>>()
    };
    assert_eq!(columns("version=v2"), columns("version=v1"));
}

#[test]
fn a_file_of_somebody_else_stays_though_it_came_during_the_run() {
    let folder = prepare();
    let folder = folder.path();
    run_by_state(folder);
    let mut child = windrow(folder).args(args(2, "out")).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_folder(folder, &mut child);
    let theirs = folder.join("out/theirs.parquet");
    std::fs::write(&theirs, "theirs").unwrap();
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(
        told.contains("out holds files that windrow did not write, such as out/theirs.parquet"),
        "{told}"
    );
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "theirs");
    assert!(!folder.join("out/version=v2").exists());
    std::fs::remove_file(theirs).unwrap();
    assert_eq!(read(folder, "out"), Some(1));
}

/// Kills by `WINDROW_KILLS` (100) runs in turn into a directory, one with folders and a CSV file: every other one at a
/// call to files, the others at a moment, both chosen by `WINDROW_SEED` (1).
#[test]
fn killed_at_random_moments() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("WINDROW_KILLS").unwrap_or(100) as usize;
    let seed = number("WINDROW_SEED").unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = prepare();
    let folder = folder.path();
    let by_symbol = SET.replacen("/*", "/*\npartition_by: [symbol]", 1);
    std::fs::write(folder.join("folders.sql"), by_symbol).unwrap();
    let words = |state: usize, target: &str| {
        let mut words = args(state, target);
        if target == "folders" {
            words[1] = "folders.sql".to_string();
        }
        words
    };
    let whole = |state: usize, target: &str| {
        let words = words(state, target);
        ok(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let targets = ["out", "folders", "out.csv"];
    targets.iter().for_each(|target| whole(1, target));
    let took = std::time::Instant::now();
    targets.iter().for_each(|target| whole(2, target));
    let took = took.elapsed() / 3;
    let mut held = [2; 3];
    for kill in 0..kills {
        let (of, state) = (kill % targets.len(), 3 + kill);
        let target = targets[of];
        let mut child = windrow(folder);
        child.args(words(state, target)).stderr(Stdio::null());
        let at = match kill % 2 {
            0 => format!("call {}", random.u64(1..=200)),
            _ => format!("{:.4} s", took.as_secs_f64() * 1.1 * random.f64()),
        };
        if let Some(call) = at.strip_prefix("call ") {
            let _ = child.env("WINDROW_FAULT", format!("kill:{call}")).status().unwrap();
        } else {
            let mut child = child.spawn().unwrap();
            let seconds = at.trim_end_matches(" s").parse().unwrap();
            std::thread::sleep(Duration::from_secs_f64(seconds));
            let _ = child.kill();
            child.wait().unwrap();
        }
        let found = read(folder, target).unwrap();
        let told = format!("seed {seed}, kill {kill} of {target} at {at}");
        assert!(
            found == held[of] || found == state,
            "{told}: {found}, not {} or {state}",
            held[of]
        );
        held[of] = found;
        if kill % 10 == 9 {
            whole(state, target);
            held[of] = state;
            let mut left = leftovers(&folder.join(target));
            left.retain(|name| name.starts_with(&format!(".{target}.windrow")));
            assert_eq!(left, Vec::<String>::new(), "{told}");
        }
    }
    for target in targets {
        whole(99, target);
        assert_eq!(read(folder, target), Some(99), "{target}");
    }
    assert_eq!(leftovers(&folder.join("out")), Vec::<String>::new());
}

#[test]
fn readers_see_one_state_at_every_moment() {
    let folder = prepare();
    let path = folder.path().to_path_buf();
    run(&path, 1, "out");
    let (done, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let reader = {
        let (path, done, looks) = (path.clone(), Arc::clone(&done), Arc::clone(&looks));
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                // A commit between listing and opening takes the files away: the reader lists
                // again. What it never gets is rows of both, or a part.
                if let Ok(batch) = plain_read(&path.join("out")) {
                    assert!(state(batch).is_some(), "there was no state at all");
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    for state in 2..12 {
        run(&path, state, "out");
    }
    done.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    assert!(looks.load(Ordering::Relaxed) > 10, "the reader hardly looked");
}

#[test]
fn two_runs_into_one_target() {
    let folder = prepare();
    let folder = folder.path();
    let children: Vec<_> = (1..5)
        .map(|state| {
            let child = windrow(folder).args(args(state, "out")).stderr(Stdio::piped()).spawn();
            (state, child.unwrap())
        })
        .collect();
    let mut won = Vec::new();
    for (state, child) in children {
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        if output.status.success() {
            won.push(state);
        } else {
            assert!(told.contains("another run is writing out"), "{told}");
        }
    }
    assert!(!won.is_empty());
    assert!(won.contains(&read(folder, "out").unwrap()));
    // The same while one surely holds it: the lock is this process's.
    let lock = std::fs::File::open(folder.join(".out.windrow-lock")).unwrap();
    lock.lock().unwrap();
    let words = args(9, "out");
    let (code, told) = fails(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(code, 1);
    assert!(told.starts_with("error: another run is writing out (run "), "{told}");
    assert!(told.ends_with("wait for it, or write to another target\n"), "{told}");
    assert!(won.contains(&read(folder, "out").unwrap()));
}

/// A file system of one megabyte, where this user may mount one.
#[test]
fn a_full_disk_leaves_the_target_as_it_was() {
    let folder = prepare();
    let folder = folder.path();
    let small = folder.join("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=192k", "tmpfs"])
        .arg(&small)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a small file system");
        eprintln!("skipped: this user cannot mount a small file system");
        return;
    }
    struct Unmount<'a>(&'a Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(self.0).status();
        }
    }
    let _unmount = Unmount(&small);
    for target in ["small/out", "small/out.csv"] {
        let small_set = "SELECT symbol, ts, 1.0 AS state FROM bars";
        std::fs::write(folder.join("small.sql"), small_set).unwrap();
        let few = ["run", "small.sql", "--source", "bars=bars", "--to", target];
        if target.ends_with(".csv") {
            let only = "/**/SELECT symbol, ts, 1.0 AS state FROM bars WHERE symbol = 'S001'";
            std::fs::write(folder.join("small.sql"), only).unwrap();
        }
        ok(folder, &few);
        let before = std::fs::read_dir(&small).unwrap().count();
        let wide: String = (2..40).map(|n| format!(", ln(close) * {n} AS x{n}")).collect();
        let many = format!("SELECT symbol, ts, 2.0 AS state {wide} FROM bars");
        std::fs::write(folder.join("small.sql"), many).unwrap();
        let (code, told) = fails(folder, &few);
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("No space left on device"), "{told}");
        assert!(told.contains("free some space and run again"), "{told}");
        assert_eq!(
            std::fs::read_dir(&small).unwrap().count(),
            before,
            "{target}: something is left"
        );
        if target.ends_with(".csv") {
            let text = std::fs::read_to_string(small.join("out.csv")).unwrap();
            assert!(text.lines().skip(1).all(|line| line.ends_with(",1.0")), "{text}");
        } else {
            assert_eq!(state(plain_read(&folder.join(target)).unwrap()), Some(1));
        }
    }
}

/// The name of the last run that a target tells of; None if it tells of none.
fn last_run(folder: &Path, target: &str) -> Option<String> {
    let told = super::support::run(folder, &["runs", target, "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).ok()?;
    Some(told["runs"].as_array()?.last()?["run"].as_str()?.to_string())
}

#[test]
fn a_record_is_that_of_the_rows_wherever_a_run_dies() {
    for target in ["out", "out.csv"] {
        for point in points_of(target).iter().copied() {
            let folder = prepare();
            let folder = folder.path();
            run(folder, 1, target);
            let before = last_run(folder, target);
            let mut killed = windrow(folder);
            killed.args(args(2, target)).env("WINDROW_FAULT", point.name()).stderr(Stdio::null());
            assert_eq!(killed.status().unwrap().code(), None, "{target} {point:?}");
            let committed = read(folder, target) == Some(2);
            let after = last_run(folder, target);
            assert!(after.is_some(), "{target} {point:?}");
            assert_eq!(after != before, committed, "{target} {point:?}");
            // Also once somebody has put things in order.
            ok(folder, &["vacuum", target]);
            assert_eq!(last_run(folder, target), after, "{target} {point:?}");
            run(folder, 3, target);
            assert!(![before, after].contains(&last_run(folder, target)), "{target} {point:?}");
        }
    }
}

#[test]
fn a_csv_file_whose_commit_is_interrupted_keeps_its_record() {
    let folder = prepare();
    let folder = folder.path();
    run(folder, 1, "out.csv");
    let before = last_run(folder, "out.csv");
    let mut child = windrow(folder)
        .args(args(2, "out.csv"))
        .env("WINDROW_FAULT", "wait:before-exchange")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pending = || {
        let names = std::fs::read_dir(folder).unwrap().flatten();
        names.filter(|name| name.file_name().to_string_lossy().contains(".windrow.json.")).count()
    };
    while pending() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(read(folder, "out.csv"), Some(1));
    assert_eq!(last_run(folder, "out.csv"), before);
    run(folder, 3, "out.csv");
    assert_eq!((read(folder, "out.csv"), pending()), (Some(3), 0));
}
