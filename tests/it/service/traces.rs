//! Traces: one from a request to its commit, through the queue and through processes; and a collector that is down.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::collector::{Collector, SentSpan};
use super::process::{Process, Server, wait_until};
use super::stage::{Stage, batch, job_ids};
use crate::servers::Cluster;
use crate::support::fails;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// Sends a request of a trace.
fn send_traced(server: &Server, trace: &str, flags: &str, body: &Value) -> Value {
    let parent = format!("00-{trace}-{SPAN}-{flags}");
    let headers = [
        ("traceparent", parent.as_str()),
        ("X-Request-Id", "asked-7"),
        ("Content-Type", "application/json"),
    ];
    let body = body.to_string();
    server.send("POST", "/compute/batch", &headers, body.as_bytes()).expect(202).json()
}

fn stop(server: &mut Server) {
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.end(), Some(0));
}

/// The only span of a name.
fn one<'s>(spans: &'s [SentSpan], name: &str) -> &'s SentSpan {
    let found: Vec<&SentSpan> = spans.iter().filter(|span| span.name == name).collect();
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(found.len(), 1, "{name} among {names:?}");
    found[0]
}

/// Checks that the spans of a trace are one tree below the span of the caller.
fn check_tree(spans: &[SentSpan]) {
    for span in spans {
        assert_eq!(span.trace, TRACE, "{span:#?}");
        assert!(span.start <= span.end && span.start > 1_600_000_000_000_000_000, "{span:#?}");
        let mut at = span;
        for _ in 0..spans.len() {
            match spans.iter().find(|other| other.id == at.parent) {
                Some(parent) => at = parent,
                None => break,
            }
        }
        assert_eq!((at.parent.as_str(), at.name.as_str()), (SPAN, "POST /compute/batch"));
    }
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len());
}

#[test]
fn a_request_is_one_trace_to_its_commit() {
    let collector = Collector::start();
    let serve = format!("traces: {{endpoint: '{}/', service_name: desk}}", collector.url());
    let stage = Stage::new(3, 20, &serve);
    let mut server = stage.serve(&[]);
    let mut body = batch("quick", &["S000", "S001"]);
    body["target"] = json!("out");
    server.wait_for_group(&send_traced(&server, TRACE, "01", &body));
    server.get("/live").expect(200);
    stop(&mut server);
    let spans: Vec<SentSpan> =
        collector.spans().into_iter().filter(|span| span.trace == TRACE).collect();
    check_tree(&spans);
    let request = one(&spans, "POST /compute/batch");
    let wanted = [
        ("http.request.method", "POST"),
        ("http.route", "/compute/batch"),
        ("http.response.status_code", "202"),
        ("windrow.request_id", "asked-7"),
    ];
    for (key, value) in wanted {
        assert_eq!(request.attributes.get(key).map(String::as_str), Some(value), "{request:#?}");
    }
    assert_eq!((request.kind, request.resource["service.name"].as_str()), (2, "desk"));
    let enqueue = one(&spans, "enqueue");
    assert_eq!((enqueue.kind, &enqueue.parent), (4, &request.id));
    let wait = one(&spans, "queue wait");
    assert_eq!(wait.parent, enqueue.id);
    let job = one(&spans, "batch");
    assert_eq!((job.kind, &job.parent, job.failed), (5, &enqueue.id, false));
    assert_eq!(job.attributes["windrow.set"], "quick");
    assert_eq!(job.attributes["windrow.symbols"], "2");
    assert!(wait.end <= job.start + 50_000_000, "{wait:#?} {job:#?}");
    for step in ["prepare", "execute", "commit"] {
        let step = one(&spans, step);
        assert_eq!(step.parent, job.id);
        assert!(step.start >= job.start && step.end <= job.end, "{step:#?}");
    }
    assert!(one(&spans, "commit").start >= one(&spans, "execute").end);
    // The set was planned for the request, which names its symbols.
    assert!(spans.iter().any(|span| span.name == "plan" && span.parent == request.id));
    // Probes are in no trace; what has no caller's trace begins one.
    let others = collector.spans().into_iter().filter(|span| span.trace != TRACE);
    let others: Vec<SentSpan> = others.filter(|span| span.parent.is_empty()).collect();
    assert!(!others.is_empty() && others.iter().all(|span| span.name == "GET /groups/{id}"));
}

#[test]
fn a_trace_has_no_secret_and_no_sql() {
    let collector = Collector::start();
    let stage = Stage::new(3, 20, &format!("traces: {{endpoint: '{}'}}", collector.url()));
    let token = stage.token("desk", "compute");
    let token = token.lines().last().unwrap().trim();
    let mut command = stage.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret-of-the-collector");
    let mut server = Server::new(Process::start(command, stage.path()));
    let caller = server.with_token(token);
    let group = caller.wait_for_group(&caller.queue(&batch("failing", &["S000", "S001"])));
    assert_eq!(group["state"], "done", "{group:#}");
    caller.get("/features/S000/quick?wait=30").expect(200);
    server.get("/jobs").problem(401);
    stop(&mut server);
    let spans = collector.spans();
    let request = spans.iter().find(|span| span.name == "GET /jobs").unwrap();
    assert_eq!(request.attributes["http.response.status_code"], "401");
    // The rows in the cache were written there in the trace of their request.
    let writes: Vec<&SentSpan> = spans.iter().filter(|span| span.name == "cache write").collect();
    assert_eq!(writes.len(), 2);
    for write in writes {
        let names = spans.iter().filter(|span| span.trace == write.trace).map(|span| &span.name);
        let names: BTreeSet<&String> = names.collect();
        assert!(names.iter().any(|name| name.starts_with("POST ") || name.starts_with("GET ")));
    }
    let sent = collector.text();
    assert!(sent.contains("x-key: secret-of-the-collector"), "the header of the variable");
    for secret in [token, "Bearer", "SELECT", "rsi(close"] {
        assert!(!sent.contains(secret), "{secret}");
    }
    assert!(!server.process.log().contains("secret-of-the-collector"));
}

/// A batch of jobs of two requests goes on with the trace of one, and is linked with that of the other. The log names
/// the groups and the jobs of all.
#[test]
fn a_batch_of_two_requests_is_linked_with_both() {
    let collector = Collector::start();
    let stage = Stage::new(4, 20, &format!("traces: {{endpoint: '{}'}}", collector.url()));
    let other = "c0ffee00000000000000000000000001";
    let mut server = stage.serve(&["--workers", "0"]);
    let first = send_traced(&server, TRACE, "01", &batch("failing", &["S003"]));
    let second = send_traced(&server, other, "01", &batch("failing", &["S000", "S001"]));
    let line = server.process.log();
    let line = line.lines().find(|line| line.contains("queued")).unwrap();
    assert!(line.contains("asked-7") && line.contains(first["group_id"].as_str().unwrap()));
    stop(&mut server);
    let mut server = stage.serve(&["--workers", "1"]);
    assert_eq!(server.wait_for_group(&first)["state"], "failed");
    assert_eq!(server.wait_for_group(&second)["state"], "done");
    stop(&mut server);
    let spans = collector.spans();
    let enqueue = |trace: &str| {
        spans.iter().find(|span| span.name == "enqueue" && span.trace == trace).unwrap()
    };
    let mut batches: Vec<&SentSpan> = spans.iter().filter(|span| span.name == "batch").collect();
    batches.sort_by_key(|span| span.start);
    let all = batches[0];
    assert_eq!((&all.trace, &all.parent), (&TRACE.to_string(), &enqueue(TRACE).id));
    assert_eq!(all.links, [(other.to_string(), enqueue(other).id.clone())]);
    assert!(all.failed && all.attributes.contains_key("error.type"), "{all:#?}");
    let wait = spans.iter().find(|span| span.name == "queue wait" && span.trace == other).unwrap();
    assert_eq!(wait.parent, enqueue(other).id);
    assert_eq!(wait.links, [(all.trace.clone(), all.id.clone())]);
    assert!(wait.end > wait.start, "{wait:#?}");
    // The halves that were computed again are in the traces of their own requests.
    assert!(batches.iter().any(|span| span.trace == other && !span.failed), "{batches:#?}");
    let log = server.process.log();
    let failed = log.lines().find(|line| line.contains("failed:")).unwrap();
    assert!(failed.contains("request=\"asked-7 and 1 more\""), "{failed}");
    for id in [&first, &second].into_iter().flat_map(job_ids) {
        assert!(failed.contains(&id) && failed.contains(id.split('-').next().unwrap()), "{failed}");
    }
}

#[test]
fn the_caller_decides_which_traces_are_kept() {
    let collector = Collector::start();
    let stage = Stage::new(3, 20, "traces: {sample_ratio: 0}");
    let mut command = stage.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let mut server = Server::new(Process::start(command, stage.path()));
    server.compute(&batch("quick", &["S000"]));
    server.wait_for_group(&send_traced(&server, TRACE, "00", &batch("quick", &["S001"])));
    server.wait_for_group(&send_traced(&server, TRACE, "01", &batch("series", &["S002"])));
    stop(&mut server);
    let spans = collector.spans();
    check_tree(&spans);
    let sets: Vec<&String> =
        spans.iter().filter_map(|span| span.attributes.get("windrow.set")).collect();
    assert_eq!(sets, ["series"]);
    assert_eq!(spans[0].resource["service.name"], "windrow");
    // A text that is no trace counts as none.
    assert_eq!(one(&spans, "POST /compute/batch").parent, SPAN);
}

#[test]
fn a_trace_goes_on_in_another_process() {
    let Some(cluster) = Cluster::shared() else { return };
    let base = cluster.base();
    let (collector, url) = (Collector::start(), base.database());
    let traces = format!("traces: {{endpoint: '{}'}}", collector.url());
    let stage = Stage::new(3, 20, &format!("queue: '{url}', cache: '{url}', {traces}"));
    let mut server = stage.serve(&["--workers", "0"]);
    let words = ["worker", "--workers", "1", "--listen", "127.0.0.1:0"];
    let mut command = stage.command(&words);
    command.env("WINDROW_LOG", "windrow=debug");
    let mut worker = Server::new(Process::start(command, stage.path()));
    let accepted = send_traced(&server, TRACE, "01", &batch("quick", &["S000", "S002"]));
    assert_eq!(server.wait_for_group(&accepted)["state"], "done");
    stop(&mut worker);
    stop(&mut server);
    let spans: Vec<SentSpan> =
        collector.spans().into_iter().filter(|span| span.trace == TRACE).collect();
    check_tree(&spans);
    let log = worker.process.log();
    let line = log.lines().find(|line| line.contains("claimed 2 jobs")).unwrap();
    assert!(line.contains("batch{request=\"asked-7\""), "{line}");
    let instance = |name: &str| one(&spans, name).resource["service.instance.id"].clone();
    assert_eq!(instance("POST /compute/batch"), instance("enqueue"));
    for name in ["queue wait", "batch", "execute", "cache write"] {
        assert_eq!(instance(name), instance("batch"), "{name}");
        assert_ne!(instance(name), instance("enqueue"), "{name}");
    }
}

/// Requests and the end of the service do not wait for a collector that is gone, refuses, or never answers.
#[test]
fn a_collector_that_is_down_costs_nothing() {
    let silent = Collector::answering(None);
    let refusing =
        Collector::answering(Some("HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n"));
    let gone = "http://127.0.0.1:1".to_string();
    let cases = [
        (gone, "was not reached"),
        (refusing.url(), "answered 503"),
        (silent.url(), "did not take them"),
    ];
    for (url, reason) in cases {
        let stage = Stage::new(3, 20, &format!("grace: 3s, traces: {{endpoint: '{url}'}}"));
        let mut server = stage.serve(&[]);
        let started = Instant::now();
        server.compute(&batch("quick", &["S000", "S001"]));
        for _ in 0..50 {
            server.get("/features/S000/quick").expect(200);
        }
        let seconds = started.elapsed();
        assert!(seconds < Duration::from_secs(20), "{url}: {seconds:?}");
        let told = || server.process.log().matches("of traces: ").count();
        if !reason.contains("take") {
            wait_until("a line about lost spans", || (told() > 0).then_some(()));
            std::thread::sleep(Duration::from_secs(3)); // It is told once in a while.
            server.get("/sets").expect(200);
            assert_eq!(told(), 1, "{}", server.process.log());
        }
        let ended = Instant::now();
        stop(&mut server);
        let seconds = ended.elapsed();
        assert!(seconds < Duration::from_secs(8), "{url}: {seconds:?}");
        let log = server.process.log();
        assert!(log.contains(reason), "{url}: {log}");
    }
}

#[test]
fn a_wrong_variable_stops_the_start() {
    let stage = Stage::new(2, 20, "");
    let words = ["serve", "--listen", "127.0.0.1:0"];
    for (name, value, told) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://me:hunter2@host:4318",
            "***@host:4318, expected http",
        ),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "host:4318", "is host:4318, expected http"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "is 2, expected a number from 0 to 1"),
    ] {
        let mut command = stage.command(&words);
        let output = command.env(name, value).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(name) && text.contains(told) && !text.contains("hunter2"), "{text}");
    }
    stage.configure("traces: {endpoint: 'localhost:4318'}");
    let (code, told) = fails(stage.path(), &words);
    assert!(code == 2 && told.contains("serve.traces.endpoint is localhost:4318"), "{told}");
}
