//! Jobs from the request to their end: into targets and into the cache, cancelled, failed, and sent twice.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::client::Client;
use super::process::wait_until;
use super::rows::{assert_same, read_answer, read_target};
use super::stage::{Stage, batch, job_ids, slow_batch};
use crate::support::Bars;

/// A request for one set and a target.
fn into_target(set: &str, symbols: Value, target: &str) -> Value {
    json!({"symbols": symbols, "feature_types": [set], "target": target})
}

#[test]
fn a_target_keeps_the_rows_of_other_symbols() {
    let stage = Stage::new(6, 60, "inputs_check: 0s");
    let server = stage.serve(&[]);
    let out = stage.path().join("out");
    let all = server.compute(&into_target("quick", Value::Null, "out"));
    assert_eq!((&all["total"], &all["done"]), (&json!(6), &json!(6)));
    let before = stage.computed("quick", &[]);
    assert_same(&read_target(&out), &before, "all symbols");
    // All symbols have other bars now, and two are computed again.
    let mut bars = Bars::new(6, 60);
    bars.symbols.rotate_left(1);
    bars.write(&stage.path().join("bars/all.parquet"));
    let now = stage.computed("quick", &[]);
    server.compute(&into_target("quick", json!(["S001", "S004"]), "out"));
    let mut wanted = before;
    for symbol in ["S001", "S004"] {
        assert_ne!(wanted[symbol], now[symbol]);
        wanted.insert(symbol.to_string(), now[symbol].clone());
    }
    assert_same(&read_target(&out), &wanted, "two symbols");
    // A range of times replaces the rows of these times.
    let mut body = into_target("quick", json!(["S000"]), "out");
    (body["from"], body["until"]) = (json!("2019-05-01"), json!("2019-05-11"));
    server.compute(&body);
    for (time, row) in &now["S000"] {
        if ("2019-05-01".."2019-05-11").contains(&time.as_str()) {
            wanted.get_mut("S000").unwrap().insert(time.clone(), row.clone());
        }
    }
    assert_same(&read_target(&out), &wanted, "ten days");
}

#[test]
fn parameters_and_several_sets_are_computed_as_by_a_run() {
    let stage = Stage::new(3, 60, "");
    let server = stage.serve(&[]);
    let mut body = into_target("quick", Value::Null, "out");
    body["params"] = json!({"days": 3});
    server.compute(&body);
    let wanted = stage.computed("quick", &["--set", "days=3"]);
    assert_same(&read_target(&stage.path().join("out")), &wanted, "days=3");
    let sets =
        json!({"symbols": ["S000", "S002"], "feature_types": ["quick", "returns", "series"]});
    let group = server.compute(&sets);
    assert_eq!(group["total"], 6);
    for set in ["quick", "returns", "series"] {
        let answer = server.get(&format!("/features/S002/{set}")).expect(200);
        let mut wanted = stage.computed(set, &[]);
        wanted.retain(|symbol, _| symbol == "S002");
        assert_same(&read_answer(&answer, Some("S002")), &wanted, set);
    }
}

/// The keys and values that other programs rely on.
#[test]
fn a_job_tells_what_became_of_it() {
    let stage = Stage::new(3, 60, "");
    let server = stage.serve(&[]);
    let accepted = server.post("/compute/batch", &batch("quick", &["S000", "S001"])).expect(202);
    let group = accepted.json();
    let name = group["group_id"].as_str().unwrap();
    assert_eq!(accepted.header("location"), Some(format!("/groups/{name}").as_str()));
    assert_eq!(group["estimated_completion_time"], Value::Null);
    server.wait_for_group(&group);
    let job = server.get(&format!("/jobs/{}", job_ids(&group)[1])).expect(200).json();
    let text = |key: &str| job[key].as_str().unwrap();
    assert_eq!((text("symbol"), text("set"), text("state")), ("S001", "quick", "done"));
    assert_eq!((text("group_id"), text("priority")), (name, "normal"));
    assert_eq!((&job["attempts"], &job["progress"]), (&json!(0), &json!(1.0)));
    assert!(job.get("error").is_none() && job["seconds"].as_f64().unwrap() > 0.0, "{job:#}");
    let times = ["created", "started", "finished"].map(|key| {
        assert!(text(key).ends_with('Z'), "{job:#}");
        chrono::DateTime::parse_from_rfc3339(text(key)).unwrap()
    });
    assert!(times.is_sorted(), "{job:#}");
    // Now something was measured.
    let more = server.queue(&batch("quick", &["S002"]));
    assert!(more["estimated_completion_time"].as_f64().is_some_and(|s| s >= 0.0), "{more:#}");
    server.wait_for_group(&more);
    let listed = |query: &str| server.get(&format!("/jobs?{query}")).expect(200).json();
    assert_eq!(listed("symbol=S002&state=done")["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(listed("set=slow")["jobs"], json!([]));
    let first = listed("limit=2");
    assert_eq!(first["jobs"].as_array().unwrap().len(), 2);
    let next = listed(&format!("limit=2&after={}", first["next"]));
    assert_eq!(next["jobs"][0]["symbol"], "S000");
    assert!(next.get("next").is_none(), "{next:#}");
}

#[test]
fn a_repeated_request_starts_nothing_new() {
    let stage = Stage::new(3, 30, "");
    let server = stage.serve(&["--workers", "0"]);
    let send = |server: &Client, key: &str, symbol: &str| {
        server.post_with("/compute/batch", &[("Idempotency-Key", key)], &batch("quick", &[symbol]))
    };
    let first = send(&server, "one", "S000").expect(202).json();
    assert_eq!(send(&server, "one", "S000").expect(202).json()["job_ids"], first["job_ids"]);
    let problem = send(&server, "one", "S001").problem(409);
    assert!(problem["message"].as_str().unwrap().contains("Idempotency-Key"), "{problem}");
    assert_ne!(send(&server, "two", "S000").expect(202).json()["job_ids"], first["job_ids"]);
    // Twenty at the same time, and again after a restart.
    let ids = std::thread::scope(|scope| {
        let sent = || send(&server, "three", "S002").expect(202).json()["group_id"].to_string();
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(sent)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<BTreeSet<_>>()
    });
    assert_eq!(ids.len(), 1);
    drop(server);
    let server = stage.serve(&[]);
    assert_eq!(send(&server, "one", "S000").expect(202).json()["job_ids"], first["job_ids"]);
    let again = send(&server, "three", "S002").expect(202).json()["group_id"].to_string();
    assert_eq!(ids, [again].into());
    assert_eq!(server.get("/jobs").json()["jobs"].as_array().unwrap().len(), 3);
}

#[test]
fn queued_and_running_jobs_are_cancelled() {
    let stage = Stage::new(3, 30, "workers: 1");
    let server = stage.serve(&[]);
    let running = server.queue(&slow_batch(&["S000", "S001"], 2_000_000_000));
    let running_ids = job_ids(&running);
    server.wait_for_job(&running_ids[0], &["running"]);
    let queued = server.queue(&batch("quick", &["S000", "S001"]));
    let queued_ids = job_ids(&queued);
    let waits = server.get(&format!("/jobs/{}", queued_ids[0])).json();
    assert!(waits["waits"].as_str().is_some_and(|why| !why.is_empty()), "{waits:#}");
    let cancel = |id: &str| server.send("DELETE", &format!("/jobs/{id}"), &[], b"").expect(200);
    assert_eq!(cancel(&queued_ids[0]).json()["state"], "cancelled");
    assert_eq!(cancel(&queued_ids[0]).json()["state"], "cancelled");
    // One of a batch that runs: the other goes on.
    cancel(&running_ids[0]);
    server.wait_for_job(&running_ids[0], &["cancelled"]);
    server.wait_for_job(&running_ids[1], &["running", "queued"]);
    let path = format!("/groups/{}", running["group_id"].as_str().unwrap());
    server.send("DELETE", &path, &[], b"").expect(200);
    let group = server.wait_for_group(&running);
    assert_eq!((&group["state"], &group["failed"]), (&json!("cancelled"), &json!(2)), "{group:#}");
    // The worker is free for what was not cancelled.
    let group = server.wait_for_group(&queued);
    assert_eq!((&group["done"], &group["failed"]), (&json!(1), &json!(1)));
    let done = server.get(&format!("/jobs/{}", queued_ids[1])).json();
    assert_eq!(done["state"], "done");
    assert_eq!(cancel(&queued_ids[1]).json()["state"], "done");
    server.send("DELETE", "/jobs/nobody-0", &[], b"").problem(404);
}

#[test]
fn a_batch_that_fails_is_halved_until_the_culprit_is_alone() {
    let stage = Stage::new(8, 30, "workers: 1");
    let server = stage.serve(&[]);
    let accepted = server.queue(&json!({"symbols": null, "feature_types": ["failing"]}));
    let group = server.wait_for_group(&accepted);
    let counts = [&group["state"], &group["total"], &group["done"], &group["failed"]];
    assert_eq!(counts, [&json!("failed"), &json!(8), &json!(7), &json!(1)], "{group:#}");
    let job = server.get(&format!("/jobs/{}", job_ids(&accepted)[3])).json();
    assert_eq!((&job["symbol"], &job["state"]), (&json!("S003"), &json!("failed")));
    assert!(job["error"]["message"].as_str().unwrap().to_lowercase().contains("zero"), "{job:#}");
    let together: Vec<u64> =
        job["errors"].as_array().unwrap().iter().map(|e| e["jobs"].as_u64().unwrap()).collect();
    assert_eq!(together, [8, 4, 2, 1], "{job:#}");
    server.get("/features/S002/failing").expect(200);
    // Who asks for it is told, and a failure a moment ago is not tried again.
    let problem = server.get("/features/S003/failing?wait=60").problem(422);
    assert!(problem["message"].as_str().unwrap().contains("failed"), "{problem}");
    let count = || server.get("/jobs?symbol=S003").json()["jobs"].as_array().unwrap().len();
    let jobs = count();
    for _ in 0..5 {
        server.get("/features/S003/failing?wait=60").problem(422);
    }
    assert!(count() <= jobs + 1, "{} jobs after {jobs}", count());
    let depth = || server.get("/health").json()["queue_depth"] == 0;
    wait_until("an empty queue", || depth().then_some(()));
}

/// Each job names its record, so that a crash between the commit and the end of the job is no second commit.
#[test]
fn records_name_their_jobs() {
    let stage = Stage::new(3, 30, "");
    let server = stage.serve(&[]);
    let accepted = server.queue(&into_target("quick", Value::Null, "out"));
    server.wait_for_group(&accepted);
    let record = crate::support::last_record(&stage.path().join("out"));
    let record: Value = serde_json::from_str(&record).unwrap();
    let named: BTreeSet<&str> =
        record["jobs"].as_array().unwrap().iter().map(|job| job.as_str().unwrap()).collect();
    let ids = job_ids(&accepted);
    assert_eq!(named, ids.iter().map(String::as_str).collect());
}
