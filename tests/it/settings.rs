//! Each setting does what it says, wherever it is said.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use windrow::Engine;
use windrow::config::Config;

use super::support::{Bars, fails, ok, windrow};

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Bars::new(8, 2000).write(&folder.path().join("bars/all.parquet"));
    folder
}

fn plan(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> String {
    let sql = "EXPLAIN SELECT volume, sum(close) FROM bars GROUP BY volume";
    let output = windrow(folder)
        .args(["sql", sql, "--source", "bars=bars", "--format", "csv"])
        .args(args)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn parallel_workers_by_flag_environment_and_file() {
    let folder = prepare();
    let folder = folder.path();
    let workers = |args: &[&str], env: &[(&str, &str)]| {
        let plan = plan(folder, args, env);
        let at = plan.find("partitioning=Hash([volume@0], ").expect("a repartition by volume");
        plan[at + 30..].chars().take_while(char::is_ascii_digit).collect::<String>()
    };
    std::fs::write(folder.join("windrow.yaml"), "parallel_workers: 3\n").unwrap();
    assert_eq!(workers(&[], &[]), "3");
    assert_eq!(workers(&[], &[("WINDROW_PARALLEL_WORKERS", "5")]), "5", "environment over file");
    let env = [("WINDROW_PARALLEL_WORKERS", "5")];
    assert_eq!(workers(&["--threads", "7"], &env), "7", "flags over environment");
    // Found upwards.
    let below = folder.join("deep/er");
    std::fs::create_dir_all(&below).unwrap();
    let yaml = "parallel_workers: 6\nsources: {bars: bars}\n";
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    let sql = "EXPLAIN SELECT volume, sum(close) FROM bars GROUP BY volume";
    let found = ok(&below, &["sql", sql, "--format", "csv"]);
    assert!(found.contains("partitioning=Hash([volume@0], 6)"), "{found}");
}

#[tokio::test]
async fn batch_size_is_the_size_of_batches() {
    let folder = prepare();
    for batch_size in [1024, 2048] {
        let config = Config { batch_size, parallel_workers: 1, ..Config::default() };
        let mut engine = Engine::new(config).unwrap();
        engine.add_source("bars", &folder.path().join("bars").to_string_lossy()).await.unwrap();
        let query = engine.query("SELECT symbol, ts, close FROM bars").await.unwrap();
        let batches: Vec<_> = query.stream().unwrap().try_collect().await.unwrap();
        let largest = batches.iter().map(|b| b.num_rows()).max().unwrap();
        assert_eq!(largest, batch_size);
        assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), 16_000);
    }
}

#[test]
fn timeout_ends_the_whole_command() {
    let folder = prepare();
    let folder = folder.path();
    std::fs::write(folder.join("windrow.yaml"), "timeout_seconds: 0.7\n").unwrap();
    let slow = "SELECT b.symbol, b.ts, count(*) OVER (PARTITION BY b.symbol ORDER BY b.ts) AS n FROM bars b CROSS JOIN bars c";
    std::fs::write(folder.join("s.sql"), slow).unwrap();
    let runs: [&[&str]; 2] = [
        &["run", "s.sql", "--source", "bars=bars", "--to", "out"],
        &[
            "sql",
            "SELECT sum(b.close * c.close * d.close) FROM bars b CROSS JOIN bars c CROSS JOIN bars d",
            "--source",
            "bars=bars",
        ],
    ];
    for words in runs {
        let started = Instant::now();
        let (code, told) = fails(folder, words);
        assert!(started.elapsed() < Duration::from_secs(8), "{words:?} {:?}", started.elapsed());
        assert_eq!(code, 1);
        assert!(
            told.starts_with("error: the time limit has passed; raise timeout_seconds"),
            "{told}"
        );
        assert!(!folder.join("out").exists());
    }
    std::fs::write(folder.join("windrow.yaml"), "timeout_seconds: 60\n").unwrap();
    ok(folder, &["sql", "SELECT count(*) FROM bars", "--source", "bars=bars"]);
}

#[test]
fn memory_limit_makes_sorts_spill() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Out of order, so that one worker sorts in one partition, and nothing waits for a merge.
    let mut bars = Bars::new(150, 10_000);
    bars.symbols.reverse();
    bars.write(&folder.join("bars/all.parquet"));
    let sql = "EXPLAIN ANALYZE SELECT * FROM bars ORDER BY close";
    let spills = |args: &[&str]| {
        let words =
            [&["sql", sql, "--source", "bars=bars", "--threads", "1", "--format", "csv"], args]
                .concat();
        let text = ok(folder, &words);
        let counts = text.split("spill_count=").skip(1);
        counts
            .map(|t| {
                t.chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>()
                    .parse::<u64>()
                    .unwrap()
            })
            .sum::<u64>()
    };
    assert_eq!(spills(&[]), 0);
    assert!(spills(&["--memory-limit", "128MB"]) > 0);
}

/// Tokio panics where the system gives it no thread, and whoever waits for its workers would wait forever.
#[test]
fn without_threads_a_command_ends_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Bars::new(2, 20).write(&folder.join("bars/all.parquet"));
    let few = format!("ulimit -v 500000; exec {} \"$@\"", env!("CARGO_BIN_EXE_windrow"));
    let words = ["-c", &few, "sh", "sql", "SELECT count(*) FROM bars", "--source", "bars=bars"];
    let ended = std::process::Command::new("sh")
        .args(words)
        .args(["--threads", "32"])
        .current_dir(folder)
        .output()
        .unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.starts_with("error: cannot start threads: "), "{told}");
    assert!(told.ends_with("or lower --threads\n"), "{told}");
}
