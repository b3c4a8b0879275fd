//! What a long command says while it works, and how fast it stops when it is told to.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rexpect::session::{Options, spawn_with_options};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::{Bars, leftovers, ok, plain_read, run, windrow};

const ROWS: usize = 40 * 9_000;

/// A set that takes a while.
fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(40, 9_000).write(&folder.path().join("bars/all.parquet"));
    let columns: String = (2..80).map(|n| format!("rsi(close, {n}) OVER w AS r{n}, ")).collect();
    let text = format!(
        "SELECT symbol, ts, {columns} close FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)"
    );
    std::fs::write(folder.path().join("slow.sql"), text).unwrap();
    let quick = "SELECT symbol, ts, close FROM bars";
    std::fs::write(folder.path().join("quick.sql"), quick).unwrap();
    folder
}

const SLOW: [&str; 7] = ["run", "slow.sql", "--source", "bars=bars", "--to", "out", "--replace"];
const QUICK: [&str; 6] = ["run", "quick.sql", "--source", "bars=bars", "--to", "out"];

#[test]
fn a_pipe_gets_the_last_line_only() {
    let folder = prepare();
    for mode in [&[][..], &["--progress", "auto"], &["--progress", "none"]] {
        let output = run(folder.path(), &[&SLOW[..], mode].concat());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with("slow: 360,000 rows, ") && told.lines().count() == 1, "{told:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn events_for_programs() {
    let folder = prepare();
    let output = run(folder.path(), &[&SLOW[..], &["--progress", "json", "--json"]].concat());
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["rows"], ROWS);
    let told = String::from_utf8(output.stderr).unwrap();
    let events: Vec<Value> = told
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), told.lines().count() - 1, "the last line is for people: {told}");
    let (first, last) = (&events[0], &events[events.len() - 1]);
    assert_eq!((&first["event"], &first["set"]), (&"started".into(), &"slow".into()));
    assert_eq!((&last["event"], &last["rows"]), (&"finished".into(), &ROWS.into()));
    let between = &events[1..events.len() - 1];
    assert!(!between.is_empty(), "{told}");
    for event in between {
        assert_eq!((&event["event"], &event["set"]), (&"progress".into(), &"slow".into()));
        for key in ["rows", "read", "seconds"] {
            assert!(event[key].is_number(), "{key}: {event}");
        }
        for key in ["total", "rows_per_second", "remaining_seconds"] {
            assert!(event[key].is_number() || event[key].is_null(), "{key}: {event}");
        }
    }
    assert!(between.iter().any(|e| e["total"] == ROWS && e["read"].as_u64() > Some(0)), "{told}");

    std::fs::write(folder.path().join("quick.sql"), "SELECT clos FROM bars").unwrap();
    let output = run(folder.path(), &[&QUICK[..], &["--progress", "json"]].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    let last = told.lines().rfind(|line| line.starts_with('{')).unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["event"], "failed");
    assert!(last["error"].as_str().unwrap().contains("unknown column clos"), "{told}");
}

#[test]
fn a_bar_where_it_is_asked_for() {
    let folder = prepare();
    let output = run(folder.path(), &[&SLOW[..], &["--progress", "bar"]].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(" of 360,000 rows") && told.contains(" rows/s, "), "{told:?}");
    assert!(told.contains(" s left"), "{told:?}");
    let output = run(folder.path(), &[&QUICK[..], &["--progress", "loud"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("auto, bar, json, none"), "{told}");
}

#[test]
fn a_terminal_shows_a_bar() {
    let folder = prepare();
    let mut command = windrow(folder.path());
    command.args(SLOW).env("TERM", "xterm");
    let options = Options::new().timeout_ms(Some(60_000)).strip_ansi_escape_codes(true);
    let mut session = spawn_with_options(command, options).unwrap();
    for text in ["slow [", "] ", " of 360,000 rows", " rows/s, ", " left"] {
        session.exp_string(text).unwrap();
    }
    session.exp_string("slow: 360,000 rows").unwrap();
    session.exp_eof().unwrap();
}

fn interrupt(child: Child) -> (Duration, Option<i32>, String) {
    let asked = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    (asked.elapsed(), output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn start(folder: &Path, args: &[&str], fault: &str) -> Child {
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).unwrap();
    windrow(folder)
        .args(args)
        .env("WINDROW_FAULT", fault)
        .env("TMPDIR", temporary)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_for(what: &str, is: impl Fn() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(30), "never seen: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Generous: the machine that runs the tests may be busy with others.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn interrupted_while_rows_are_written() {
    let folder = prepare();
    let folder = folder.path();
    ok(folder, &QUICK);
    let child = start(folder, &SLOW, "");
    wait_for("a stage", || !leftovers(&folder.join("out")).is_empty());
    std::thread::sleep(Duration::from_millis(300));
    let (took, code, told) = interrupt(child);
    assert!(took < SOON, "{took:?}");
    assert_eq!((code, told.as_str()), (Some(130), "error: interrupted; the target is as it was\n"));
    assert_eq!(leftovers(&folder.join("out")), Vec::<String>::new());
    assert_eq!(plain_read(&folder.join("out")).unwrap().unwrap().num_columns(), 3);
}

#[test]
fn interrupted_while_a_sort_spills() {
    let folder = prepare();
    let folder = folder.path();
    Bars::new(150, 10_000).write(&folder.join("bars/all.parquet"));
    let text = "/*\nlabels: [n]\n*/\nSELECT symbol, ts, open, high, low, close, volume, count(*) OVER (ORDER BY close, ts) AS n FROM bars";
    std::fs::write(folder.join("quick.sql"), text).unwrap();
    let limited = [&QUICK[..], &["--memory-limit", "128MB"]].concat();
    let child = start(folder, &limited, "");
    let spilled = || std::fs::read_dir(folder.join("tmp")).unwrap().count() > 0;
    wait_for("a spill", spilled);
    let (took, code, told) = interrupt(child);
    assert!(took < SOON, "{took:?}");
    assert_eq!((code, told.as_str()), (Some(130), "error: interrupted; the target is as it was\n"));
    assert_eq!(leftovers(&folder.join("out")), Vec::<String>::new());
    assert!(!folder.join("out").exists());
    assert!(!spilled(), "temporary files are left");
}

#[test]
fn interrupted_during_the_commit() {
    let folder = prepare();
    let folder = folder.path();
    for target in ["out", "out.csv"] {
        let path = folder.join(target);
        let words = |set: &'static str| ["run", set, "--source", "bars=bars", "--to", target];
        std::fs::write(folder.join("other.sql"), "SELECT symbol, ts, open, high FROM bars")
            .unwrap();
        ok(folder, &words("quick.sql"));
        let before = ok(
            folder,
            &[
                "sql",
                "SELECT * FROM f ORDER BY symbol, ts LIMIT 1",
                "--source",
                &format!("f={target}"),
            ],
        );
        let other = [&words("other.sql")[..], &["--replace"]].concat();
        let child = start(folder, &other, "wait:before-exchange");
        // The record is the last thing that is written before.
        let record = || {
            let made = if target == "out" { "out/.." } else { "." };
            leftovers(&path).iter().any(|stage| {
                let stage = folder.join(made).join(stage);
                stage.is_file() || stage.join("_windrow/000002.json").exists()
            })
        };
        wait_for("a stage with its record", record);
        std::thread::sleep(Duration::from_millis(400));
        let (took, code, told) = interrupt(child);
        assert!(took < SOON, "{took:?}");
        assert_eq!(code, Some(130), "{told}");
        assert_eq!(leftovers(&path), Vec::<String>::new(), "{target}");
        let after = ok(
            folder,
            &[
                "sql",
                "SELECT * FROM f ORDER BY symbol, ts LIMIT 1",
                "--source",
                &format!("f={target}"),
            ],
        );
        assert_eq!(before, after, "{target}");
    }
}
