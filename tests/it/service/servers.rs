//! Several processes on one PostgreSQL queue: killed, stopped, and with a server that goes away.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::crashes::{Load, recorded_jobs};
use super::process::{Process, Server, wait_until};
use super::stage::{Stage, batch, job_ids, slow_batch};
use crate::servers::{Base, Cluster};
use crate::support::fails;

/// A folder whose queue and cache are in a database.
fn shared_stage(base: &Base<'_>, more: &str) -> Stage {
    let url = base.database();
    Stage::new(12, 40, &format!("queue: '{url}', cache: '{url}', {more}"))
}

fn worker(stage: &Stage) -> Server {
    let words = ["worker", "--workers", "1", "--listen", "127.0.0.1:0"];
    let worker = Server::new(stage.process(&words));
    worker.get("/ready").expect(200);
    worker
}

fn api(stage: &Stage) -> Server {
    stage.serve(&["--workers", "0"])
}

#[test]
fn processes_that_share_a_queue_must_share_the_cache() {
    let Some(cluster) = Cluster::shared() else { return };
    let base = cluster.base();
    let stage = Stage::new(2, 20, "");
    let url = base.database();
    for cache in [None, Some("cache: .windrow/cache")] {
        stage.configure(cache.unwrap_or_default());
        let words = ["serve", "--listen", "127.0.0.1:0", "--queue", &url];
        let (code, told) = fails(stage.path(), &words);
        assert!(code == 2 && told.contains("all processes share"), "{code} {told}");
    }
    let gone = url.replace("127.0.0.1:", "127.0.0.1:1");
    let secret = gone.replace("postgres@", "postgres:hunter2@");
    let (code, told) = fails(stage.path(), &["worker", "--queue", &secret]);
    assert!(code != 0 && !told.contains("hunter2"), "{code} {told}");
}

#[test]
fn a_worker_that_is_killed_is_followed_by_others() {
    let Some(cluster) = Cluster::shared() else { return };
    let base = cluster.base();
    let stage = shared_stage(&base, "");
    let server = api(&stage);
    let mut workers = [worker(&stage), worker(&stage), worker(&stage)];
    let load = Load::new(12);
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| load.send(&server, 3, 40));
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            workers[0].process.kill();
            workers[0] = worker(&stage);
        }
        workers[1].process.kill();
        sent.join().unwrap();
    });
    load.check(&stage, &server);
    // What one process has computed another one reads.
    server.compute(&batch("quick", &["S003"]));
    let answer = api(&stage).get("/features/S003/quick").expect(200);
    assert_eq!(answer.header("etag"), server.get("/features/S003/quick").header("etag"));
    for mut worker in workers {
        if worker.process.is_running() {
            worker.process.signal(Signal::TERM);
            assert_eq!(worker.process.end(), Some(0));
        }
    }
}

/// A worker is stopped past its lease. Another one does its jobs; when it wakes, it commits nothing.
#[test]
fn a_worker_that_lost_its_lease_commits_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    let base = cluster.base();
    let stage = shared_stage(&base, "");
    let server = api(&stage);
    let stopped = worker(&stage);
    let cached = server.queue(&slow_batch(&["S000"], 30_000));
    server.wait_for_job(&job_ids(&cached)[0], &["running"]);
    stopped.process.signal(Signal::STOP);
    let _other = worker(&stage);
    let group = server.wait_for_group(&cached);
    assert_eq!(group["state"], "done", "{group:#}");
    let ended = group["jobs"][0]["finished"].clone();
    stopped.process.signal(Signal::CONT);
    let mut body = json!({"symbols": null, "feature_types": ["quick"], "target": "out"});
    body["priority"] = json!("high");
    let ids: Vec<String> = (0..3).flat_map(|_| job_ids(&server.queue(&body))).collect();
    for id in &ids {
        server.wait_for_job(id, &["done"]);
    }
    wait_until("the lost lease", || {
        let metrics = stopped.get("/metrics").expect(200).text();
        metrics.contains("windrow_leases_lost_total 1").then_some(())
    });
    let job = server.get(&format!("/jobs/{}", job_ids(&cached)[0])).json();
    assert_eq!(job["finished"], ended, "{job:#}");
    let recorded = recorded_jobs(&stage.path().join("out"));
    assert_eq!(recorded.len(), ids.len());
    assert!(recorded.values().all(|count| *count == 1), "{recorded:?}");
}

/// A worker is stopped while it has a target to itself. Its jobs are done in the end, once.
#[test]
fn a_worker_that_stops_in_a_target_makes_no_job_dead() {
    let Some(cluster) = Cluster::shared() else { return };
    let base = cluster.base();
    let stage = shared_stage(&base, "");
    let server = api(&stage);
    let mut command = stage.command(&["worker", "--workers", "1", "--listen", "127.0.0.1:0"]);
    command.env("WINDROW_FAULT", "wait:rows-written");
    let stopped = Process::start(command, stage.path());
    let body = json!({"symbols": ["S000", "S001"], "feature_types": ["quick"], "target": "out"});
    let accepted = server.queue(&body);
    wait_until("the stage of a run", || {
        let names = std::fs::read_dir(stage.path()).unwrap().flatten();
        let mut names = names.map(|name| name.file_name().to_string_lossy().into_owned());
        names.any(|name| name.contains("windrow-stage")).then_some(())
    });
    stopped.signal(Signal::STOP);
    let _other = worker(&stage);
    let begun = Instant::now();
    // Long enough for the lease to end, and for the other to find the target taken.
    wait_until("another owner", || {
        let job = server.get(&format!("/jobs/{}", job_ids(&accepted)[0])).json();
        (begun.elapsed() > Duration::from_secs(20) || job["state"] == "done").then_some(())
    });
    stopped.signal(Signal::CONT);
    let group = server.wait_for_group(&accepted);
    assert_eq!(group["state"], "done", "{group:#}");
    let recorded = recorded_jobs(&stage.path().join("out"));
    assert!(recorded.len() == 2 && recorded.values().all(|count| *count == 1), "{recorded:?}");
}

/// The server of the queue crashes and comes back: requests are refused quickly meanwhile, and nothing is lost.
#[test]
fn the_server_of_the_queue_may_restart() {
    let Some(cluster) = Cluster::start_durable() else { return };
    let base = cluster.base();
    let stage = shared_stage(&base, "");
    let server = api(&stage);
    let _worker = worker(&stage);
    let load = Load::new(12);
    load.send(&server, 5, 5);
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| load.send(&server, 9, 60));
        std::thread::sleep(Duration::from_millis(300));
        cluster.crash();
        // Connections that broke are noticed by the first requests.
        let down = wait_until("a refusal", || {
            let answer = server.get("/jobs");
            (answer.status == 503).then_some(answer)
        });
        down.problem(503);
        assert!(down.header("retry-after").is_some());
        let health = server.get("/health").expect(503).json();
        assert_eq!(health["checks"]["queue"]["state"], "down", "{health:#}");
        server.get("/ready").problem(503);
        server.get("/live").expect(200);
        cluster.go_on();
        sent.join().unwrap();
    });
    wait_until("readiness", || (server.get("/ready").status == 200).then_some(()));
    load.check(&stage, &server);
}
