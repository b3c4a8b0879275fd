//! SIGKILL at random moments under load: every accepted job ends once, none is lost, none is done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::process::wait_until;
use super::rows::{assert_same, read_target};
use super::stage::{Stage, batch, job_ids};
use super::{random, rounds};

/// The jobs that the records of a target name, each with the number of its records.
pub(super) fn recorded_jobs(target: &Path) -> BTreeMap<String, usize> {
    let name = target.file_name().unwrap().to_str().unwrap();
    let records = target.with_file_name(format!(".{name}.windrow-records"));
    let mut jobs = BTreeMap::new();
    for record in std::fs::read_dir(records).unwrap() {
        let text = std::fs::read_to_string(record.unwrap().path()).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        for job in record["jobs"].as_array().into_iter().flatten() {
            *jobs.entry(job.as_str().unwrap().to_string()).or_insert(0) += 1;
        }
    }
    jobs
}

/// Requests with their keys, and what was accepted of them.
pub(super) struct Load {
    symbols: usize,
    next: AtomicUsize,
    /// The requests whose answer did not come: they are sent again.
    unanswered: Mutex<Vec<(usize, Value)>>,
    accepted: Mutex<BTreeMap<usize, (Value, Value)>>,
}

impl Load {
    pub(super) fn new(symbols: usize) -> Self {
        let next = AtomicUsize::new(0);
        Self { symbols, next, unanswered: Mutex::default(), accepted: Mutex::default() }
    }

    fn make_request(&self, random: &mut fastrand::Rng) -> (usize, Value) {
        if let Some(again) = self.unanswered.lock().unwrap().pop() {
            return again;
        }
        let names: Vec<String> = (0..self.symbols).map(|n| format!("S{n:03}")).collect();
        let some =
            random.choose_multiple(names.iter().map(String::as_str), random.clone().usize(1..5));
        let mut body = batch("quick", &some);
        match random.u8(0..4) {
            0 => {}
            1 => body["target"] = json!("other"),
            _ => body["target"] = json!("out"),
        }
        body["priority"] = json!(["high", "normal", "low"][random.usize(0..3)]);
        (self.next.fetch_add(1, Ordering::SeqCst), body)
    }

    /// Sends requests until one gets no answer, or so many were sent.
    pub(super) fn send(&self, client: &Client, seed: u64, most: usize) {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..most {
            let (number, body) = self.make_request(&mut random);
            let key = format!("key-{number}");
            let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key.as_str())];
            let text = body.to_string();
            match client.try_send("POST", "/compute/batch", &headers, text.as_bytes()) {
                Ok(answer) if answer.status == 202 => {
                    let known = self.accepted.lock().unwrap().insert(number, (body, answer.json()));
                    assert!(known.is_none(), "request {number} was accepted before");
                }
                Ok(answer) if answer.status == 503 => {
                    self.unanswered.lock().unwrap().push((number, body));
                    std::thread::sleep(Duration::from_millis(100));
                }
                Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
                Err(_) => return self.unanswered.lock().unwrap().push((number, body)),
            }
        }
    }

    /// Waits until everything has ended, and checks that each job was done, once, and by the right rows.
    pub(super) fn check(&self, stage: &Stage, client: &Client) {
        // What was not answered is sent once more, and is then accepted.
        while !self.unanswered.lock().unwrap().is_empty() {
            self.send(client, 1, 1);
        }
        let wanted = stage.computed("quick", &[]);
        let mut jobs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let mut symbols: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        let accepted = self.accepted.lock().unwrap();
        for (body, answer) in accepted.values() {
            let group = client.wait_for_group(answer);
            assert_eq!(group["state"], "done", "{group:#}");
            let named = body["symbols"].as_array().unwrap().iter();
            let named: Vec<String> = named.map(|s| s.as_str().unwrap().to_string()).collect();
            let ids = job_ids(answer);
            assert_eq!(ids.len(), named.len());
            if let Some(target) = body["target"].as_str() {
                jobs.entry(target).or_default().extend(ids);
                symbols.entry(target).or_default().extend(named);
            }
        }
        for (target, jobs) in jobs {
            let path = stage.path().join(target);
            let recorded = recorded_jobs(&path);
            let twice: Vec<_> = recorded.iter().filter(|(_, count)| **count > 1).collect();
            assert!(twice.is_empty(), "{target}: done twice: {twice:?}");
            assert_eq!(recorded.into_keys().collect::<BTreeSet<_>>(), jobs, "{target}");
            let mut rows = wanted.clone();
            rows.retain(|symbol, _| symbols[target].contains(symbol));
            assert_same(&read_target(&path), &rows, target);
        }
        let health = client.get("/health").expect(200).json();
        assert_eq!((&health["status"], &health["queue_depth"]), (&json!("healthy"), &json!(0)));
    }
}

/// Waits until no job waits or runs.
fn wait_for_rest(client: &Client) {
    wait_until("a queue at rest", || {
        let open = ["queued", "running"].iter().filter(|state| {
            let jobs = client.get(&format!("/jobs?limit=1&state={state}")).expect(200).json();
            jobs["jobs"] != json!([])
        });
        (open.count() == 0).then_some(())
    });
}

#[test]
fn every_accepted_job_ends_once_however_often_the_process_is_killed() {
    let stage = Stage::new(12, 40, "workers: 2");
    let load = Load::new(12);
    let mut random = random();
    for round in 0..rounds(6, 100) {
        let mut server = stage.serve(&[]);
        let client = server.client.clone();
        if round % 4 == 3 {
            // Five deaths would make a job dead that is computed alone.
            wait_for_rest(&client);
        }
        let life = Duration::from_millis(random.u64(0..1_500));
        let seeds = [random.u64(..), random.u64(..)];
        std::thread::scope(|scope| {
            for seed in seeds {
                let (load, client) = (&load, &client);
                scope.spawn(move || load.send(client, seed, 25));
            }
            std::thread::sleep(life);
            server.process.kill();
        });
        let accepted = load.accepted.lock().unwrap().len();
        eprintln!("round {round}: killed after {life:?}, {accepted} accepted");
    }
    let server = stage.serve(&[]);
    load.send(&server, 7, 10);
    load.check(&stage, &server);
}

/// Kills the process at each step of its commit: the next one does what is left, and only that.
#[test]
fn a_process_that_dies_while_it_commits_is_followed_up() {
    use windrow::outside::FailPoint;
    let stage = Stage::new(4, 30, "workers: 1");
    let wanted = stage.computed("quick", &[]);
    let body = json!({"symbols": null, "feature_types": ["quick"], "target": "out"});
    let mut ids = BTreeSet::new();
    for point in FailPoint::OF_DIRECTORY {
        let mut command = stage.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("WINDROW_FAULT", point.name());
        let process = super::process::Process::start(command, stage.path());
        let mut server = super::process::Server::new(process);
        let accepted = server.queue(&body);
        ids.extend(job_ids(&accepted));
        assert_eq!(server.process.end(), None, "{point:?}: it was not killed");
        let server = stage.serve(&[]);
        let group = server.wait_for_group(&accepted);
        assert_eq!(group["state"], "done", "{point:?}: {group:#}");
        assert_same(&read_target(&stage.path().join("out")), &wanted, point.name());
        let recorded = recorded_jobs(&stage.path().join("out"));
        assert!(recorded.values().all(|count| *count == 1), "{point:?}: {recorded:?}");
        assert_eq!(recorded.into_keys().collect::<BTreeSet<_>>(), ids, "{point:?}");
    }
}
