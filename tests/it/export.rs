//! Many feature sets into their targets, as a nightly job does it.

use std::path::Path;

use serde_json::Value;

use super::servers::Cluster;
use super::support::{Bars, fails, ok, plain_glob, run, windrow};

fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    Bars::new(5, 120).write(&path.join("bars/all.parquet"));
    let set = |name: &str, text: &str| {
        std::fs::create_dir_all(path.join("queries")).unwrap();
        std::fs::write(path.join("queries").join(name), text).unwrap();
    };
    set(
        "base.sql",
        "SELECT symbol, ts, sma(close, 5) OVER w AS s FROM bars WINDOW w AS (PARTITION BY symbol ORDER BY ts)",
    );
    // It comes first by its name, and reads one that comes later.
    set("above.sql", "SELECT symbol, ts, s * 2 AS t FROM base");
    set("other.sql", "/*\naudits: [r > 0]\n*/\nSELECT symbol, ts, close AS r FROM bars");
    let yaml = "sources: {bars: bars}\ntargets:\n  export: features/{set}\n  other: other.csv\n";
    std::fs::write(path.join("windrow.yaml"), yaml).unwrap();
    folder
}

/// Status by set, in the order of the sets.
fn statuses(folder: &Path, args: &[&str], code: i32) -> Vec<(String, String)> {
    let words = [&["export", "queries", "--json"], args].concat();
    let done = run(folder, &words);
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(code), "{told}");
    let json: Value = serde_json::from_slice(&done.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let sets = json["sets"].as_array().unwrap();
    sets.iter().map(|set| (text(&set["set"]), text(&set["status"]))).collect()
}

fn are(found: &[(String, String)], expected: [&str; 3]) {
    let found: Vec<String> = found.iter().map(|(set, status)| format!("{set} {status}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn sets_go_to_their_targets_and_one_that_fails_stops_only_its_readers() {
    let folder = prepare();
    let folder = folder.path();
    are(&statuses(folder, &[], 0), ["above committed", "base committed", "other committed"]);
    let count = |target: &str| {
        let source = format!("f={target}");
        ok(folder, &["sql", "SELECT count(*) AS n FROM f", "--source", &source, "--format", "csv"])
    };
    for target in ["features/above", "features/base", "other.csv"] {
        assert_eq!(count(target), "n\n600\n", "{target}");
    }
    let base = std::fs::read_to_string(folder.join("queries/base.sql")).unwrap();
    std::fs::write(folder.join("queries/base.sql"), base.replace("close", "clsoe")).unwrap();
    are(&statuses(folder, &[], 1), ["above left_out", "base failed", "other committed"]);
    // The failing ones are as they were; only they are done when they are mended.
    assert_eq!(count("features/base"), "n\n600\n");
    std::fs::write(folder.join("queries/base.sql"), base.replace("close, 5", "close, 6")).unwrap();
    are(
        &statuses(folder, &["--resume"], 0),
        ["above committed", "base committed", "other current"],
    );
    are(&statuses(folder, &["--resume"], 0), ["above current", "base current", "other current"]);
    // What is gone is not up to date.
    std::fs::remove_file(&plain_glob(&folder.join("features/base"))[0]).unwrap();
    std::fs::write(folder.join("other.csv"), "x").unwrap();
    are(
        &statuses(folder, &["--resume"], 0),
        ["above current", "base committed", "other committed"],
    );
    // Other bars, and everything is to be done.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    Bars::new(6, 120).write(&folder.join("bars/all.parquet"));
    are(
        &statuses(folder, &["--resume"], 0),
        ["above committed", "base committed", "other committed"],
    );
}

#[test]
fn a_target_for_each_set_is_that_of_the_set_for_one_run_too() {
    let folder = prepare();
    let folder = folder.path();
    ok(folder, &["run", "queries/base.sql", "--to", "export"]);
    assert!(!plain_glob(&folder.join("features/base")).is_empty());
    assert!(!folder.join("features/{set}").exists());
}

#[test]
fn a_killed_export_goes_on_where_it_was() {
    let folder = prepare();
    let folder = folder.path();
    let killed = windrow(folder)
        .args(["export", "queries", "--threads", "1"])
        .env("WINDROW_FAULT", "rows-written")
        .status();
    assert!(!killed.unwrap().success());
    ok(folder, &["export", "queries/base.sql"]);
    are(
        &statuses(folder, &["--resume"], 0),
        ["above committed", "base current", "other committed"],
    );
}

#[test]
fn into_a_table_and_on_from_there() {
    let Some(cluster) = Cluster::shared() else { return };
    let (folder, base) = (prepare(), cluster.base());
    let folder = folder.path();
    let url = base.url("features_{set}");
    let yaml = format!("sources: {{bars: bars}}\ntargets:\n  export: '{url}'\n");
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    are(&statuses(folder, &[], 0), ["above committed", "base committed", "other committed"]);
    are(&statuses(folder, &["--resume"], 0), ["above current", "base current", "other current"]);
    assert_eq!(base.text("SELECT count(*)::text FROM features_above"), ["600"]);
    base.run("DROP TABLE features_base; DELETE FROM features_other WHERE symbol = 'S001'");
    are(
        &statuses(folder, &["--resume"], 0),
        ["above current", "base committed", "other committed"],
    );
}

#[test]
fn the_examples_are_commands_that_exist() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/nightly");
    let read = |name: &str| std::fs::read_to_string(examples.join(name)).unwrap();
    let mut commands: Vec<Vec<String>> = Vec::new();
    let words = |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
    for line in read("crontab").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert!(
            fields[..5].iter().all(|f| f.chars().all(|c| "0123456789*-,/".contains(c))),
            "{line}"
        );
        let command = line.split("&& windrow ").nth(1).unwrap().split(" 2>>").next().unwrap();
        commands.push(words(command));
    }
    let service = read("windrow-export.service");
    for section in ["[Unit]", "[Service]"] {
        assert!(service.contains(section));
    }
    let start = service.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    commands.push(words(start.split_once("windrow ").unwrap().1));
    assert!(read("windrow-export.timer").contains("OnCalendar="));
    let manifest: Value = serde_yaml::from_str(&read("cronjob.yaml")).unwrap();
    assert_eq!(
        (&manifest["apiVersion"], &manifest["kind"]),
        (&"batch/v1".into(), &"CronJob".into())
    );
    let spec = &manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(spec["restartPolicy"], "Never");
    let container = &spec["containers"][0];
    assert_eq!(container["command"], serde_json::json!(["windrow"]));
    let args = container["args"].as_array().unwrap();
    commands.push(args.iter().map(|word| word.as_str().unwrap().to_string()).collect());
    let mounts = container["volumeMounts"].as_array().unwrap();
    for mount in mounts {
        let volumes = spec["volumes"].as_array().unwrap();
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]));
    }
    assert_eq!(commands.len(), 4);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(examples.join("windrow.yaml"), folder.path().join("windrow.yaml")).unwrap();
    for command in commands {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        words.push("--help");
        assert!(ok(folder.path(), &words).contains("Usage: windrow export"), "{command:?}");
        // The configuration is read: what is missing are the sets, and then the variable.
        words.pop();
        let (_, told) = fails(folder.path(), &words);
        assert!(told.contains("queries"), "{told}");
    }
    std::fs::create_dir(folder.path().join("queries")).unwrap();
    std::fs::write(folder.path().join("queries/momentum.sql"), "SELECT symbol, ts FROM bars")
        .unwrap();
    let (code, told) = fails(folder.path(), &["export", "queries"]);
    assert!(
        code == 2 && told.contains("the environment variable DB_PASSWORD is not set"),
        "{told}"
    );
}
