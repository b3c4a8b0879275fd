//! Groups and their events: every change once, also for a caller that comes back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, Reply};
use super::process::wait_until;
use super::stage::{Stage, batch, job_ids, slow_batch};

/// The id of an event, which grows.
type EventId = (i64, u32);

/// An event: name, id and data.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    name: String,
    /// The number of the change, and that of the job.
    id: Option<EventId>,
    data: Value,
}

/// The events of one connection.
struct Events {
    reply: Reply,
    text: String,
    /// The time at which waiting is given up: a stream is kept alive for ever.
    until: Instant,
}

impl Events {
    fn open(client: &Client, group: &str, last: Option<EventId>) -> Self {
        let path = format!("/groups/{group}/events");
        let last = last.map(|(change, job)| format!("{change}.{job}"));
        let headers: Vec<(&str, &str)> =
            last.iter().map(|last| ("Last-Event-ID", last.as_str())).collect();
        let reply = client.open("GET", &path, &headers, b"").unwrap();
        assert_eq!(reply.status, 200);
        let media = reply.headers.iter().find(|(name, _)| name == "content-type").unwrap();
        assert!(media.1.starts_with("text/event-stream"), "{media:?}");
        Self { reply, text: String::new(), until: Instant::now() + Duration::from_secs(60) }
    }

    /// The next event; None at the end.
    fn next(&mut self) -> Option<Event> {
        loop {
            assert!(Instant::now() < self.until, "the events of a group do not end");
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_string(), rest.to_string());
                self.text = rest;
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.split_once(':'));
                    lines.filter(|(key, _)| *key == name).map(|(_, value)| value.trim()).next()
                };
                let Some(name) = field("event") else { continue }; // A comment.
                return Some(Event {
                    name: name.to_string(),
                    id: field("id").map(parse_id),
                    data: serde_json::from_str(field("data").unwrap()).unwrap(),
                });
            }
            let part = self.reply.next_part().unwrap()?;
            self.text += &String::from_utf8(part).unwrap();
        }
    }
}

fn parse_id(id: &str) -> EventId {
    let (change, job) = id.split_once('.').unwrap();
    (change.parse().unwrap(), job.parse().unwrap())
}

fn symbols(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("S{n:03}")).collect()
}

#[test]
fn events_resume_where_they_were_left() {
    let stage = Stage::new(40, 20, "");
    let server = stage.serve(&["--workers", "0"]);
    let names = symbols(40);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let accepted = server.queue(&batch("quick", &names));
    let group = accepted["group_id"].as_str().unwrap();
    let mut seen = Vec::new();
    while seen.len() < 40 {
        let last = seen.last().copied();
        let mut events = Events::open(&server, group, last);
        let mut few = 0;
        while few < 7 && seen.len() < 40 {
            let event = events.next().unwrap();
            if event.name == "job" {
                assert_eq!(event.data["state"], "queued");
                seen.push(event.id.unwrap());
                few += 1;
            }
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    for wrong in ["x", "1.x", "1.2.3", ""] {
        let headers = [("Last-Event-ID", wrong)];
        let answer = server.send("GET", &format!("/groups/{group}/events"), &headers, b"");
        answer.problem(400);
    }
    server.get("/groups/nobody/events").problem(404);
}

/// Follows a group to its end by connections that break after a few events each.
fn follow(client: &Client, group: &str, each: usize) -> Vec<Event> {
    let mut all: Vec<Event> = Vec::new();
    loop {
        let last = all.iter().rev().find_map(|event| event.id);
        let mut events = Events::open(client, group, last);
        let mut read = 0;
        while read < each {
            let Some(event) = events.next() else { return all };
            read += usize::from(event.name == "job");
            all.push(event);
        }
    }
}

#[test]
fn no_change_is_missed_and_none_comes_twice() {
    let stage = Stage::new(30, 20, "workers: 2");
    let server = stage.serve(&[]);
    let names = symbols(30);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let body = json!({"symbols": names, "feature_types": ["quick", "failing"]});
    let accepted = server.queue(&body);
    let group = accepted["group_id"].as_str().unwrap();
    let told = std::thread::scope(|scope| {
        let client = &server.client;
        let each = [usize::MAX, 1, 3, 8];
        let threads = each.map(|each| scope.spawn(move || follow(client, group, each)));
        threads.map(|thread| thread.join().unwrap())
    });
    let wanted: BTreeMap<String, String> = server.get(&format!("/groups/{group}")).json()["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["job_id"].to_string(), job["state"].to_string()))
        .collect();
    for events in told {
        let jobs: Vec<&Event> = events.iter().filter(|event| event.name == "job").collect();
        let ids: Vec<EventId> = jobs.iter().map(|event| event.id.unwrap()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let last: BTreeMap<String, String> = jobs
            .iter()
            .map(|event| (event.data["job_id"].to_string(), event.data["state"].to_string()))
            .collect();
        assert_eq!(last, wanted);
        let end = events.iter().rev().find(|event| event.name == "group").unwrap();
        assert_eq!((&end.data["done"], &end.data["failed"]), (&json!(59), &json!(1)));
    }
}

/// A group runs until its last job has ended; then it says how.
#[test]
fn groups_have_states() {
    let stage = Stage::new(4, 20, "");
    let server = stage.serve(&["--workers", "1"]);
    let done = server.compute(&batch("quick", &["S000", "S001"]));
    assert_eq!((&done["total"], &done["done"], &done["failed"]), (&json!(2), &json!(2), &json!(0)));
    assert_eq!(done["jobs"].as_array().unwrap().len(), 2);
    let accepted = server.queue(&batch("failing", &["S003"]));
    assert_eq!(server.wait_for_group(&accepted)["state"], "failed");
    let accepted = server.queue(&slow_batch(&["S000"], 8_000));
    let path = format!("/groups/{}", accepted["group_id"].as_str().unwrap());
    server.wait_for_job(&job_ids(&accepted)[0], &["running"]);
    assert_eq!(server.get(&path).json()["state"], "running");
    let progress = |job: &Value| job["progress"].as_f64().unwrap();
    let job = server.get(&format!("/jobs/{}", job_ids(&accepted)[0])).json();
    assert!((0.0..=1.0).contains(&progress(&job)) && job["finished"].is_null(), "{job:#}");
    let group = server.wait_for_group(&accepted);
    assert_eq!((&group["state"], progress(&group["jobs"][0])), (&json!("done"), 1.0));
}

/// Progress is told while a job runs, and never falls.
#[test]
fn progress_grows() {
    let stage = Stage::new(1, 200_000, "workers: 1");
    let server = stage.serve(&[]);
    let mut body = batch("momentum", &["S000"]);
    body["target"] = json!("out");
    let accepted = server.queue(&body);
    let id = &job_ids(&accepted)[0];
    let mut seen = vec![0.0];
    wait_until("the end of a job", || {
        let job = server.get(&format!("/jobs/{id}")).json();
        seen.push(job["progress"].as_f64().unwrap());
        (job["state"] == "done").then_some(())
    });
    assert!(seen.is_sorted() && seen.last() == Some(&1.0), "{seen:?}");
    assert!(seen.iter().any(|share| (0.01..0.999).contains(share)), "{seen:?}");
}
