//! The end of a service: by SIGTERM, by a second one, and what is left for the next process.

use rustix::process::Signal;
use serde_json::json;

use super::process::wait_until;
use super::rows::{assert_same, read_target};
use super::stage::{Stage, batch, job_ids, slow_batch};
use crate::support::fails;

const ENDLESS: u32 = 2_000_000_000;

#[test]
fn a_service_that_rests_ends_at_once() {
    let stage = Stage::new(2, 20, "");
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = stage.serve(&[]);
        server.get("/ready").expect(200);
        server.process.signal(signal);
        assert_eq!(server.process.end(), Some(0));
        assert!(server.try_send("GET", "/live", &[], b"").is_err());
    }
}

#[test]
fn running_jobs_end_within_the_grace_time() {
    let stage = Stage::new(3, 20, "workers: 1");
    let mut server = stage.serve(&["--grace", "100s"]);
    let running = server.queue(&slow_batch(&["S000"], 6_000));
    server.wait_for_job(&job_ids(&running)[0], &["running"]);
    let waiting = server.queue(&batch("quick", &["S001"]));
    server.process.signal(Signal::TERM);
    wait_until("the end of readiness", || {
        let ready = server.try_send("GET", "/ready", &[], b"");
        (!ready.is_ok_and(|answer| answer.status == 200)).then_some(())
    });
    assert_eq!(server.process.end(), Some(0));
    let server = stage.serve(&["--workers", "0"]);
    let state = |id: &str| server.get(&format!("/jobs/{id}")).json()["state"].clone();
    assert_eq!(state(&job_ids(&running)[0]), "done");
    assert_eq!(state(&job_ids(&waiting)[0]), "queued");
}

#[test]
fn jobs_that_do_not_end_go_back_to_the_queue() {
    let stage = Stage::new(3, 20, "workers: 1");
    let mut server = stage.serve(&["--grace", "200ms"]);
    let accepted = server.queue(&slow_batch(&["S000", "S001"], ENDLESS));
    let id = &job_ids(&accepted)[0];
    server.wait_for_job(id, &["running"]);
    server.process.signal(Signal::TERM);
    assert_eq!(server.process.end(), Some(0));
    let server = stage.serve(&["--workers", "0"]);
    let job = server.get(&format!("/jobs/{id}")).json();
    assert_eq!((&job["state"], &job["attempts"]), (&json!("queued"), &json!(0)), "{job:#}");
    assert_eq!(job["errors"], json!([]), "{job:#}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let stage = Stage::new(3, 20, "workers: 1");
    let mut server = stage.serve(&["--grace", "1000s"]);
    let accepted = server.queue(&slow_batch(&["S000"], ENDLESS));
    let id = &job_ids(&accepted)[0];
    server.wait_for_job(id, &["running"]);
    server.process.signal(Signal::TERM);
    let ending = "a second signal ends at once";
    wait_until("the first signal", || server.process.log().contains(ending).then_some(()));
    server.process.signal(Signal::TERM);
    let code = server.process.end();
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    // The next process has the job back at once: it needs no lease to end.
    let server = stage.serve(&["--workers", "0"]);
    assert_eq!(server.get(&format!("/jobs/{id}")).json()["state"], "queued");
}

#[test]
fn a_queue_in_sqlite_has_one_process() {
    let stage = Stage::new(2, 20, "");
    let server = stage.serve(&[]);
    let (code, told) = fails(stage.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(code != 0 && told.contains("queue.sqlite"), "{code} {told}");
    let (code, told) = fails(stage.path(), &["worker"]);
    assert!(code != 0 && told.contains("queue.sqlite"), "{code} {told}");
    let listen = server.address.to_string();
    let other = ["serve", "--listen", &listen, "--queue", "sqlite:other.sqlite"];
    let (code, told) = fails(stage.path(), &other);
    assert!(code == 2 && told.contains("cannot listen"), "{code} {told}");
    server.get("/ready").expect(200);
    for queue in ["mysql://host/db", "sqlite:", "/tmp/x"] {
        let (code, told) =
            fails(stage.path(), &["serve", "--listen", "127.0.0.1:0", "--queue", queue]);
        assert!(code == 2 && told.contains("sqlite:PATH"), "{queue}: {code} {told}");
    }
}

/// A process whose clock is an hour beside serves the same queue.
#[test]
fn clocks_may_jump() {
    let stage = Stage::new(4, 20, "");
    let wanted = stage.computed("quick", &[]);
    let mut body = json!({"symbols": null, "feature_types": ["quick"], "target": "out"});
    body["priority"] = json!("low");
    for clock in ["0", "3600", "-3600", "31536000", "0"] {
        let mut command = stage.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("WINDROW_CLOCK", clock);
        let process = super::process::Process::start(command, stage.path());
        let mut server = super::process::Server::new(process);
        server.compute(&body);
        let queued = server.queue(&slow_batch(&["S000"], 10));
        server.process.kill();
        let server = stage.serve(&[]);
        server.wait_for_group(&queued);
        server.get("/health").expect(200);
    }
    assert_same(&read_target(&stage.path().join("out")), &wanted, "target");
}

/// A disk that is full keeps what was accepted, and takes nothing new.
#[test]
fn a_full_disk_takes_nothing_new() {
    let stage = Stage::new(4, 20, "workers: 0");
    let Some(disk) = SmallDisk::mount(&stage.path().join("disk")) else { return };
    let queue = format!("sqlite:{}/queue.sqlite", disk.path);
    let server = stage.serve(&["--queue", &queue]);
    let accepted = server.queue(&batch("quick", &["S000"]));
    disk.fill();
    let refused = wait_until("a full disk", || {
        let all = json!({"symbols": null, "feature_types": ["quick"]});
        let answer = server.post("/compute/batch", &all);
        (answer.status != 202).then_some(answer)
    });
    let problem = refused.problem(507);
    assert!(!problem["message"].as_str().unwrap().contains("panicked"), "{problem}");
    let path = format!("/jobs/{}", job_ids(&accepted)[0]);
    assert_eq!(server.get(&path).expect(200).json()["state"], "queued");
    disk.free();
    wait_until("room again", || {
        (server.post("/compute/batch", &batch("quick", &["S001"])).status == 202).then_some(())
    });
    drop(server);
    let server = stage.serve(&["--queue", &queue, "--workers", "1"]);
    assert_eq!(server.wait_for_group(&accepted)["state"], "done");
}

/// A file system of 2 MB in memory.
struct SmallDisk {
    path: String,
}

impl SmallDisk {
    /// None where this process may not mount.
    fn mount(place: &std::path::Path) -> Option<Self> {
        std::fs::create_dir_all(place).unwrap();
        let path = place.to_str().unwrap().to_string();
        let words = ["-t", "tmpfs", "-o", "size=2m", "tmpfs", &path];
        let mounted = std::process::Command::new("mount").args(words).output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: only root may mount");
            return None;
        }
        Some(Self { path })
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(format!("{}/filler", self.path)).unwrap();
        let block = [0; 1024];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(format!("{}/filler", self.path)).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").args(["-l", &self.path]).status();
    }
}
