//! Bounds that callers meet: of the queue, of rates, and of the time that a connection may take.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Answer, Client};
use super::process::wait_until;
use super::rounds;
use super::stage::{Stage, batch};

fn check_refused(answer: &Answer, words: &str) {
    let problem = answer.problem(429);
    assert!(problem["message"].as_str().unwrap().contains(words), "{problem}");
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_again() {
    let stage = Stage::new(8, 20, "max_queued: 6, max_queued_per_client: 4, max_symbols: 5");
    let (ann, bob) = (stage.token("ann", "compute"), stage.token("bob", "compute"));
    let server = stage.serve(&["--workers", "0"]);
    let (ann, bob) = (server.with_token(&ann), server.with_token(&bob));
    let send =
        |client: &Client, symbols: &[&str]| client.post("/compute/batch", &batch("quick", symbols));
    send(&ann, &["S000", "S001", "S002"]).expect(202);
    check_refused(&send(&ann, &["S003", "S004"]), "a client may have 4 jobs");
    check_refused(&ann.get("/features/quick"), "the queue holds 6 jobs");
    send(&bob, &["S003", "S004"]).expect(202);
    check_refused(&send(&bob, &["S005", "S006"]), "the queue holds 6 jobs");
    // Nothing of a refused request is there, and what is there stays.
    assert_eq!(ann.get("/health").json()["queue_depth"], 5);
    // A request of its own for `null` is not bounded by max_symbols, and by the queue all the same.
    let all = json!({"symbols": null, "feature_types": ["quick"]});
    check_refused(&bob.post("/compute/batch", &all), "jobs");
    let six = ["S000", "S001", "S002", "S003", "S004", "S005"];
    let problem = send(&bob, &six).problem(400);
    assert!(problem["message"].as_str().unwrap().contains("5 are allowed"), "{problem}");
    // Room comes back with the end of jobs.
    let jobs = ann.get("/jobs").json();
    for job in jobs["jobs"].as_array().unwrap() {
        let path = format!("/jobs/{}", job["job_id"].as_str().unwrap());
        ann.send("DELETE", &path, &[], b"").expect(200);
    }
    send(&ann, &["S003", "S004"]).expect(202);
}

#[test]
fn rates_are_bounded_for_each_client_and_for_all() {
    let stage = Stage::new(2, 20, "max_requests: 60, max_requests_per_client: 5");
    let (ann, bob) = (stage.token("ann", "read"), stage.token("bob", "read"));
    let server = stage.serve(&["--workers", "0"]);
    let (ann, bob) = (server.with_token(&ann), server.with_token(&bob));
    let count = |client: &Client, requests: usize| {
        let answers: Vec<Answer> = (0..requests).map(|_| client.get("/jobs")).collect();
        let refused: Vec<&Answer> = answers.iter().filter(|a| a.status == 429).collect();
        assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status)));
        refused.iter().for_each(|answer| check_refused(answer, "requests a second"));
        refused.len()
    };
    // However slow the machine is, 200 requests take less than 40 s.
    assert!(count(&ann, 200) > 0);
    // The other client has a rate of its own.
    wait_until("a place for the other", || (bob.get("/jobs").status == 200).then_some(()));
    // Probes have none.
    for path in ["/live", "/ready", "/metrics"] {
        for _ in 0..50 {
            server.get(path).expect(200);
        }
    }
    let message = wait_until("the rate of all", || {
        let many: Vec<Answer> = std::thread::scope(|scope| {
            let send = |client: &Client| (0..40).map(|_| client.get("/jobs")).collect::<Vec<_>>();
            let threads = [&ann, &bob].map(|client| scope.spawn(move || send(client)));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        many.iter().find(|answer| answer.status == 429).map(Answer::text)
    });
    assert!(message.contains("requests a second"), "{message}");
}

/// Waits until the other side has closed; the bytes that came before.
fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes); // A reset is an end, too.
    bytes
}

/// Connections that send a byte now and then keep nobody out, and are closed.
#[test]
fn slow_heads_are_closed_and_keep_nobody_out() {
    let stage = Stage::new(2, 20, "");
    let server = stage.serve(&["--workers", "0"]);
    let files = server.process.open_files();
    let mut slow: Vec<TcpStream> = (0..100).map(|_| server.connect().unwrap()).collect();
    let idle = server.connect().unwrap();
    let begun = Instant::now();
    let head = b"GET /live HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let mut sent = 0;
    // The bound is 10 s; a loaded machine may take longer to close them.
    wait_until("the end of slow connections", || {
        let byte = [head.get(sent).copied().unwrap_or(b'x')];
        sent += 1;
        slow.retain_mut(|stream| stream.write_all(&byte).is_ok());
        server.get("/live").expect(200);
        std::thread::sleep(Duration::from_millis(250));
        (slow.is_empty()).then_some(())
    });
    assert!(begun.elapsed() >= Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(read_to_end(&idle), b"");
    wait_until("files as before", || (server.process.open_files() <= files + 2).then_some(()));
}

/// A body that does not come is 408, and a caller that goes away leaves nothing.
#[test]
fn bodies_that_do_not_come_are_given_up() {
    let stage = Stage::new(2, 20, "");
    let server = stage.serve(&["--workers", "0"]);
    let head = "POST /compute/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{";
    let files = server.process.open_files();
    for _ in 0..50 {
        let mut stream = server.connect().unwrap();
        stream.write_all(head.as_bytes()).unwrap();
    }
    wait_until("files as before", || (server.process.open_files() <= files + 2).then_some(()));
    if rounds(0, 1) == 1 {
        let answer = server.open_bytes(head.as_bytes()).unwrap().finish().unwrap();
        answer.problem(408);
    }
    assert_eq!(server.get("/jobs").json()["jobs"], json!([]));
}

/// More callers than connections may be open wait, and all are answered.
#[test]
fn more_callers_than_connections_are_answered_in_turn() {
    let stage = Stage::new(2, 20, "");
    let server = stage.serve(&["--workers", "0"]);
    // Connections that stay silent are closed after 10 s; until then, others wait.
    let idle: Vec<_> = (0..1_100).map_while(|_| server.connect().ok()).collect();
    assert!(idle.len() > 1_000, "{} connections", idle.len());
    server.get("/live").expect(200);
    drop(idle);
    server.get("/ready").expect(200);
}
