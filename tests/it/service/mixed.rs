//! Many requests of all kinds at the same time, among them wrong, long, slow and broken ones.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::json;

use super::client::Client;
use super::process::wait_until;
use super::stage::{Stage, batch};
use super::{random, rounds};

const SYMBOLS: [&str; 6] = ["S000", "S001", "S002", "S003", "nobody", "%00"];
const SETS: [&str; 4] = ["quick", "failing", "returns", "nothing"];
const PARTS: [&str; 12] = [
    "limit=3",
    "limit=x",
    "wait=0.2",
    "wait=1e9",
    "from=2019-05-01",
    "from=%FF",
    "columns=close",
    "columns=x,y",
    "until=2019-06-01T00:00:00Z",
    "=",
    "&&&",
    "limit=18446744073709551615",
];
const MEDIA: [&str; 5] =
    ["application/json", "text/csv", "application/vnd.apache.arrow.stream", "x/y", "*/*;q=0.1"];

/// One random request that is whole; the statuses that may come back.
fn send_whole(client: &Client, random: &mut fastrand::Rng) {
    let symbol = SYMBOLS[random.usize(0..6)];
    let set = SETS[random.usize(0..4)];
    let query = PARTS[random.usize(0..12)];
    let accept = [("Accept", MEDIA[random.usize(0..5)])];
    let (path, allowed): (String, &[u16]) = match random.u8(0..8) {
        0 => (format!("/features/{set}?{query}"), &[200, 202, 400, 404, 406, 422]),
        1 => ("/jobs?limit=5".to_string(), &[200]),
        2 => (format!("/jobs/{symbol}"), &[400, 404]),
        3 => {
            (["/metrics", "/health", "/live", "/sets"][random.usize(0..4)].to_string(), &[200, 503])
        }
        4 => (format!("/{symbol}/{set}/x/y"), &[404]),
        _ => (format!("/features/{symbol}/{set}?{query}"), &[200, 202, 400, 404, 406, 422]),
    };
    let answer = client.send("GET", &path, &accept, b"");
    assert!(allowed.contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
}

/// One random body.
fn send_body(client: &Client, random: &mut fastrand::Rng) {
    let mut body = batch(SETS[random.usize(0..4)], &[SYMBOLS[random.usize(0..4)]]);
    if random.u8(0..3) == 0 {
        body["target"] = json!(["out", "nowhere"][random.usize(0..2)]);
    }
    let mut bytes = body.to_string().into_bytes();
    match random.u8(0..6) {
        0 => bytes.truncate(random.usize(0..bytes.len())),
        1 => {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
        }
        2 => bytes.resize(random.usize((1 << 20)..(3 << 20)), b' '),
        _ => {}
    }
    let answer = client.send("POST", "/compute/batch", &[], &bytes);
    let allowed = [202, 400, 413, 422];
    assert!(allowed.contains(&answer.status), "{} {}", answer.status, answer.text());
}

/// One caller that goes away, is slow or sends nonsense.
fn send_broken(client: &Client, random: &mut fastrand::Rng) {
    let mut stream = client.connect().unwrap();
    let body = batch("quick", &["S000"]).to_string();
    let request = match random.bool() {
        true => client.request("POST", "/compute/batch", &[], body.as_bytes()),
        false => client.request("GET", "/features/quick?wait=5", &[], b""),
    };
    match random.u8(0..4) {
        0 => {
            let cut = random.usize(0..request.len());
            let _ = stream.write_all(&request[..cut]);
        }
        1 => {
            let nonsense: Vec<u8> = (0..random.usize(1..2_000)).map(|_| random.u8(..)).collect();
            let _ = stream.write_all(&nonsense);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 100]);
        }
        2 => {
            let _ = stream.write_all(&request); // The answer is not awaited.
        }
        _ => {
            for part in request.chunks(request.len() / 5 + 1) {
                let _ = stream.write_all(part);
                std::thread::sleep(Duration::from_millis(3));
            }
            let _ = stream.read(&mut [0; 100]);
        }
    }
}

fn send_many(client: &Client, seed: u64, count: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..count {
        match random.u8(0..10) {
            0..6 => send_whole(client, &mut random),
            6..8 => send_body(client, &mut random),
            _ => send_broken(client, &mut random),
        }
    }
}

#[test]
fn mixed_requests_leave_nothing_behind() {
    let stage = Stage::new(6, 30, "workers: 1");
    let server = stage.serve(&[]);
    let mut random = random();
    let mut run = |count: usize| {
        let seeds = [random.u64(..), random.u64(..), random.u64(..), random.u64(..)];
        std::thread::scope(|scope| {
            for seed in seeds {
                let client = &server.client;
                scope.spawn(move || send_many(client, seed, count / 4));
            }
        });
        wait_until("the end of all jobs", || {
            let health = server.get("/health").expect(200).json();
            let busy = health["checks"]["workers"]["detail"].to_string();
            (health["queue_depth"] == 0 && busy.contains("\"0 batches run")).then_some(())
        });
    };
    run(rounds(200, 2_000));
    let (files, memory) = (server.process.open_files(), server.process.memory());
    run(rounds(300, 8_000));
    wait_until("files as before", || (server.process.open_files() <= files + 3).then_some(()));
    let now = server.process.memory();
    assert!(now < memory + memory / 4 + (32 << 20), "{memory} bytes became {now}");
    server.get("/ready").expect(200);
}
