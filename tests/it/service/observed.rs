//! What the service tells of itself: sets, functions, health, metrics, the log, and the jobs as a table.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::process::wait_until;
use super::stage::{Stage, batch};
use crate::support::{ok, windrow};

#[test]
fn sets_and_functions_are_those_of_the_command_line() {
    let stage = Stage::new(3, 20, "");
    let server = stage.serve(&["--workers", "0"]);
    let sets = server.get("/sets").expect(200).json();
    let sets = sets["sets"].as_array().unwrap();
    let names: BTreeSet<&str> = sets.iter().map(|set| set["name"].as_str().unwrap()).collect();
    for name in ["quick", "slow", "failing", "momentum", "returns", "volume"] {
        assert!(names.contains(name), "{names:?}");
    }
    let quick = sets.iter().find(|set| set["name"] == "quick").unwrap();
    assert_eq!(quick["description"], "A set that is computed in no time");
    let output = |set: &Value, name: &str| {
        set["outputs"].as_array().unwrap().iter().find(|o| o["name"] == name).unwrap().clone()
    };
    let rsi = output(quick, "rsi");
    assert_eq!((&rsi["type"], &rsi["label"]), (&json!("Float64"), &json!(false)), "{rsi:#}");
    assert_eq!(rsi["description"], "relative strength index");
    assert_eq!(output(quick, "mean")["lookback"], 4);
    let slow = sets.iter().find(|set| set["name"] == "slow").unwrap();
    assert_eq!(output(slow, "n")["label"], true);
    let one = server.get("/sets/quick").expect(200).json();
    assert_eq!(one["outputs"], quick["outputs"]);
    assert!(one["sql"].as_str().unwrap().contains("rsi(close"), "{one:#}");
    let functions: Value =
        serde_json::from_str(&ok(stage.path(), &["functions", "--json"])).unwrap();
    assert_eq!(server.get("/functions").expect(200).json(), functions);
}

#[test]
fn every_address_is_described() {
    let stage = Stage::new(2, 20, "");
    let server = stage.serve(&["--workers", "0"]);
    let document = server.get("/openapi.json").expect(200).json();
    let paths: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in [
        "/compute/batch",
        "/jobs",
        "/jobs/{id}",
        "/groups/{id}",
        "/groups/{id}/events",
        "/features/{symbol}/{set}",
        "/features/{set}",
        "/sets",
        "/sets/{name}",
        "/functions",
        "/health",
        "/live",
        "/ready",
        "/metrics",
        "/admin/reload",
    ] {
        assert!(paths.contains(path), "{path} is not in {paths:?}");
    }
    let problems = document["paths"]["/jobs"]["get"]["responses"]["4XX"]["content"].clone();
    assert!(problems.get("application/problem+json").is_some(), "{problems:#}");
}

/// The numbers of a metric.
pub(super) fn numbers(metrics: &str, name: &str) -> Vec<f64> {
    numbers_with(metrics, name, "")
}

/// The numbers of a metric whose labels have a word.
fn numbers_with(metrics: &str, name: &str, label: &str) -> Vec<f64> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let split = lines.filter_map(|line| line.rsplit_once(' '));
    let found = split.filter(|(key, _)| key.split('{').next() == Some(name));
    let found = found.filter(|(key, _)| key.contains(label));
    found.map(|(_, value)| value.parse().unwrap()).collect()
}

#[test]
fn metrics_count_what_happened() {
    let stage = Stage::new(4, 20, "");
    let server = stage.serve(&[]);
    server.compute(&batch("quick", &["S000", "S001", "S002"]));
    server.wait_for_group(&server.queue(&batch("failing", &["S003"])));
    server.get("/features/S000/quick").expect(200);
    server.get("/features/S003/quick?wait=60").expect(200);
    // The rows are there a moment before the queue knows it.
    let metrics = wait_until("the end of the last job", || {
        let metrics = server.get("/metrics").expect(200);
        assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
        let done = numbers(&metrics.text(), "windrow_symbols_processed_total") == [4.0];
        done.then(|| metrics.text())
    });
    let sum = |name: &str, label: &str| numbers_with(&metrics, name, label).iter().sum::<f64>();
    assert_eq!(sum("windrow_feature_jobs_total", "status=\"done\""), 4.0);
    assert_eq!(sum("windrow_feature_jobs_total", "status=\"failed\""), 1.0);
    assert_eq!(sum("windrow_feature_cache_hits_total", "set=\"quick\""), 1.0);
    assert_eq!(sum("windrow_feature_cache_misses_total", "set=\"quick\""), 1.0);
    assert_eq!(sum("windrow_symbols_processed_total", ""), 4.0);
    assert!(sum("windrow_feature_compute_duration_seconds_count", "set=\"quick\"") >= 2.0);
    assert!(sum("windrow_http_request_duration_seconds_count", "status=\"202\"") >= 2.0);
    assert_eq!(numbers(&metrics, "windrow_feature_queue_size").len(), 3);
    assert!(sum("windrow_memory_bytes", "") > 1e6 && sum("process_open_fds", "") > 3.0);
    let labels = regex::Regex::new(r#"([a-z_]+)=""#).unwrap();
    let ours = metrics.lines().filter(|line| line.starts_with("windrow_"));
    let used: BTreeSet<&str> = ours
        .flat_map(|line| labels.captures_iter(line).map(|found| found.extract::<1>().1[0]))
        .collect();
    let allowed = ["endpoint", "le", "priority", "set", "status"];
    assert!(used.iter().all(|label| allowed.contains(label)), "{used:?}");
    // Whoever asks for nothing that is there makes no label.
    for path in ["/a/b/c", "/features/x/nothing", "/jobs/nobody"] {
        server.get(path).expect(404);
    }
    let metrics = server.get("/metrics").expect(200).text();
    assert!(!metrics.contains("/a/b") && !metrics.contains("nothing"), "{metrics}");
}

#[test]
fn health_names_every_part() {
    let stage = Stage::new(4, 20, "");
    let server = stage.serve(&[]);
    server.compute(&batch("quick", &["S000"]));
    let health = server.get("/health").expect(200).json();
    let keys: Vec<&str> =
        health["checks"].as_object().unwrap().keys().map(String::as_str).collect();
    for part in ["queue", "cache", "workers", "source:bars", "target:out", "target:other"] {
        assert!(keys.contains(&part), "{keys:?}");
        let check = &health["checks"][part];
        assert!(["up", "unknown"].contains(&check["state"].as_str().unwrap()), "{check}");
        assert!(check.get("latency_ms").is_some() && check["detail"].is_string(), "{check}");
    }
    assert_eq!((&health["status"], &health["queue_depth"]), (&json!("healthy"), &json!(0)));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    // A source that is gone is told, and comes back.
    let (bars, gone) = (stage.path().join("bars"), stage.path().join("gone"));
    std::fs::rename(&bars, &gone).unwrap();
    wait_until("an error", || (server.get("/features/S001/quick").status >= 400).then_some(()));
    server.get("/live").expect(200);
    std::fs::rename(&gone, &bars).unwrap();
    wait_until("rows", || (server.get("/features/S001/quick?wait=5").status == 200).then_some(()));
    wait_until("health", || (server.get("/health").status == 200).then_some(()));
}

#[test]
fn the_log_and_the_answer_share_an_id() {
    let stage = Stage::new(2, 20, "");
    let mut command = stage.command(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    command.arg("--workers").arg("0");
    let process = super::process::Process::start(command, stage.path());
    let server = super::process::Server::new(process);
    let answer = server.post("/compute/batch", &batch("quick", &["S000"])).expect(202);
    let id = answer.header("x-request-id").unwrap().to_string();
    let lines = wait_until("lines of the log", || {
        let log = server.process.log();
        let lines = log.lines().filter(|line| line.starts_with('{'));
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ours: Vec<Value> = lines.filter(|line| line.to_string().contains(&id)).collect();
        (ours.len() >= 2).then_some(ours)
    });
    let audit = lines.iter().find(|line| line.to_string().contains("\"audit\":true"));
    let audit = audit.unwrap_or_else(|| panic!("no audit line in {lines:#?}")).to_string();
    for part in ["POST", "/compute/batch", "202", "127.0.0.1"] {
        assert!(audit.contains(part), "{part}: {audit}");
    }
}

#[test]
fn jobs_are_a_table() {
    let stage = Stage::new(4, 20, "");
    let server = stage.serve(&[]);
    server.wait_for_group(&server.queue(&json!({"symbols": null, "feature_types": ["failing"]})));
    let queue = format!("sqlite:{}", stage.path().join(".windrow/queue.sqlite").display());
    let sql = "SELECT symbol, \"set\", state FROM windrow.jobs ORDER BY symbol";
    let rows = ok(stage.path(), &["sql", sql, "--queue", &queue, "--format", "csv"]);
    let rows: Vec<&str> = rows.lines().skip(1).collect();
    let wanted = ["S000,failing,done", "S001,failing,done", "S002,failing,done"];
    assert_eq!((&rows[..3], rows[3]), (wanted.as_slice(), "S003,failing,failed"));
    // The service goes on.
    server.compute(&batch("quick", &["S000"]));
    let wrong = windrow(stage.path())
        .args(["sql", "DELETE FROM windrow.jobs", "--queue", &queue])
        .output()
        .unwrap();
    assert!(!wrong.status.success());
}

#[test]
fn pages_of_configured_origins_may_ask() {
    let stage = Stage::new(2, 20, "cors: ['https://desk.example']");
    let server = stage.serve(&["--workers", "0"]);
    let ask = |method: &str, origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type,idempotency-key"),
        ];
        server.send(method, if method == "GET" { "/jobs" } else { "/compute/batch" }, &headers, b"")
    };
    let allowed = |answer: &super::client::Answer| {
        answer.header("access-control-allow-origin").map(str::to_string)
    };
    assert_eq!(allowed(&ask("GET", "https://desk.example")), Some("https://desk.example".into()));
    let preflight = ask("OPTIONS", "https://desk.example");
    assert_eq!(allowed(&preflight), Some("https://desk.example".into()));
    for origin in ["https://evil.example", "http://desk.example", "null"] {
        assert_eq!(allowed(&ask("GET", origin)), None, "{origin}");
        assert_eq!(allowed(&ask("OPTIONS", origin)), None, "{origin}");
    }
}

#[test]
fn what_is_to_be_warm_is_computed_at_the_start() {
    let serve = "warm_up: [{sets: [quick], symbols: [S000, S002]}, {sets: [returns]}]";
    let stage = Stage::new(3, 20, serve);
    let server = stage.serve(&[]);
    let done = || server.get("/jobs?state=done").json()["jobs"].as_array().unwrap().len();
    wait_until("warm features", || (done() == 5).then_some(()));
    for path in ["S000/quick", "S002/quick", "S000/returns", "S001/returns", "S002/returns"] {
        server.get(&format!("/features/{path}")).expect(200);
    }
    server.get("/features/S001/quick").expect(202);
    // A wrong line stops the start.
    stage.configure("warm_up: [{sets: [quick], cron: 'now and then'}]");
    let (code, told) = crate::support::fails(stage.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(code == 2 && told.contains("now and then"), "{code} {told}");
}
