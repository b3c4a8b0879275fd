//! `GET /features`: the values of the engine, bit for bit, in every form, scope and number of symbols.

use serde_json::json;

use super::client::{Answer, Client};
use super::process::wait_until;
use super::rows::{Rows, assert_same, read_answer};
use super::stage::{Stage, batch};
use crate::support::Bars;

const MEDIA: [&str; 3] = ["application/json", "text/csv", "application/vnd.apache.arrow.stream"];

/// Symbols as vendors have them.
const ODD: [&str; 9] =
    ["BRK/B", "^GSPC", "A B", "Ä-ÖÜ", "日本", "100%", "a+b", "..", "x'; DROP TABLE jobs;--"];

fn encoded(symbol: &str) -> String {
    let all = percent_encoding::NON_ALPHANUMERIC;
    percent_encoding::utf8_percent_encode(symbol, all).to_string()
}

fn ask(client: &Client, path: &str, accept: &str) -> Answer {
    client.send("GET", path, &[("Accept", accept)], b"")
}

/// The rows of one symbol of a table.
fn only(rows: &Rows, symbol: &str) -> Rows {
    [(symbol.to_string(), rows[symbol].clone())].into()
}

#[test]
fn rows_are_those_of_a_run_in_every_form() {
    let stage = Stage::new(3, 60, "");
    let server = stage.serve(&[]);
    let wanted = stage.computed("quick", &[]);
    let miss = server.get("/features/S001/quick").expect(202);
    let job = miss.json();
    let id = job["job_id"].as_str().unwrap();
    assert_eq!(miss.header("location"), Some(format!("/jobs/{id}").as_str()));
    assert!(miss.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(miss.header("cache-control"), Some("no-store"));
    server.wait_for_job(id, &["done"]);
    let mut tags = Vec::new();
    for media in MEDIA {
        let answer = ask(&server, "/features/S001/quick?wait=60", media).expect(200);
        assert_eq!(answer.header("content-type"), Some(media));
        assert_same(&read_answer(&answer, Some("S001")), &only(&wanted, "S001"), media);
        let tag = answer.header("etag").unwrap().to_string();
        let same = |tag: &str| {
            let headers = [("Accept", media), ("If-None-Match", tag)];
            server.send("GET", "/features/S001/quick", &headers, b"")
        };
        let unchanged = same(&tag).expect(304);
        assert_eq!((unchanged.body.len(), unchanged.header("etag")), (0, Some(tag.as_str())));
        same(&format!("\"other\", W/{tag}")).expect(304);
        same("\"other\"").expect(200);
        tags.push(tag);
    }
    tags.dedup();
    assert_eq!(tags.len(), 3, "{tags:?}");
    let json = server.get("/features/S001/quick").json();
    assert_eq!((&json["set"], &json["symbol"]), (&json!("quick"), &json!("S001")));
    assert!(tags[0].contains(json["identity"].as_str().unwrap()));
    let head = server.send("HEAD", "/features/S001/quick", &[], b"");
    assert_eq!((head.status, head.header("etag")), (200, Some(tags[0].as_str())));
}

#[test]
fn a_choice_of_rows_and_columns_is_part_of_all_rows() {
    let stage = Stage::new(3, 60, "");
    let server = stage.serve(&[]);
    let scope = ["--from", "2019-05-01", "--until", "2019-05-11"];
    let wanted = stage.computed("quick", &scope);
    assert_eq!(wanted["S001"].len(), 10);
    let range = "from=2019-05-01&until=2019-05-11&wait=60";
    // Once as a miss of the scope, once out of all rows.
    for media in MEDIA {
        let answer = ask(&server, &format!("/features/S001/quick?{range}"), media).expect(200);
        assert_same(&read_answer(&answer, Some("S001")), &only(&wanted, "S001"), media);
    }
    server.compute(&batch("quick", &["S001"]));
    for media in MEDIA {
        let path = format!("/features/S001/quick?{range}&columns=rsi&limit=3");
        let answer = ask(&server, &path, media).expect(200);
        let mut few = only(&wanted, "S001");
        let rows = few.get_mut("S001").unwrap();
        *rows = std::mem::take(rows).into_iter().take(3).collect();
        rows.values_mut().for_each(|row| row.retain(|name, _| name == "rsi"));
        assert_same(&read_answer(&answer, Some("S001")), &few, media);
    }
    for none in ["limit=0", "from=2050-01-01", "from=2019-05-01&until=2019-05-01"] {
        for media in MEDIA {
            let answer = ask(&server, &format!("/features/S001/quick?wait=60&{none}"), media);
            assert_same(&read_answer(&answer.expect(200), Some("S001")), &Rows::new(), none);
        }
    }
    let zoned = "from=2019-05-01T00:00:00Z&until=2019-05-11T00:00:00%2B00:00&wait=60";
    let answer = server.get(&format!("/features/S001/quick?{zoned}")).expect(200);
    assert_same(&read_answer(&answer, Some("S001")), &only(&wanted, "S001"), zoned);
}

#[test]
fn many_symbols_are_one_stream() {
    let stage = Stage::new(20, 60, "");
    let server = stage.serve(&[]);
    let wanted = stage.computed("quick", &[]);
    let pending = server.get("/features/quick").expect(202);
    let group = pending.json()["group_id"].as_str().unwrap().to_string();
    assert_eq!(pending.header("location"), Some(format!("/groups/{group}").as_str()));
    for media in MEDIA {
        let answer = ask(&server, "/features/quick?wait=60", media).expect(200);
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_same(&read_answer(&answer, None), &wanted, media);
        let some = ask(&server, "/features/quick?symbols=S003,S001&limit=2", media).expect(200);
        let mut few = wanted.clone();
        few.retain(|symbol, _| ["S001", "S003"].contains(&symbol.as_str()));
        for rows in few.values_mut() {
            *rows = std::mem::take(rows).into_iter().take(2).collect();
        }
        assert_same(&read_answer(&some, None), &few, media);
    }
    let tag = server.get("/features/quick").header("etag").unwrap().to_string();
    server.send("GET", "/features/quick", &[("If-None-Match", &tag)], b"").expect(304);
}

#[test]
fn symbols_may_have_any_name() {
    let bars = Bars { symbols: ODD.map(str::to_string).to_vec(), days: 30 };
    let stage = Stage::with_bars(&bars, "");
    let server = stage.serve(&[]);
    let wanted = stage.computed("quick", &[]);
    server.compute(&batch("quick", &ODD[..4]));
    for symbol in ODD {
        for media in MEDIA {
            let path = format!("/features/{}/quick?wait=60", encoded(symbol));
            let answer = ask(&server, &path, media).expect(200);
            assert_same(&read_answer(&answer, Some(symbol)), &only(&wanted, symbol), symbol);
        }
        let jobs = server.get(&format!("/jobs?symbol={}", encoded(symbol))).expect(200).json();
        assert_eq!(jobs["jobs"][0]["symbol"], symbol);
    }
    let unknown = server.get("/features/BRK%2FA/quick").problem(404);
    assert!(unknown["hint"].as_str().unwrap().contains("BRK/B"), "{unknown}");
    let mut body = batch("quick", &ODD);
    body["target"] = json!("out");
    server.compute(&body);
    assert_same(&super::rows::read_target(&stage.path().join("out")), &wanted, "target");
}

#[test]
fn equal_misses_start_one_job() {
    let stage = Stage::new(2, 60, "");
    let server = stage.serve(&["--workers", "0"]);
    let jobs: Vec<String> = std::thread::scope(|scope| {
        let ask = || {
            let each = (0..125).map(|_| server.get("/features/S000/quick").expect(202).json());
            each.map(|pending| pending["job_id"].as_str().unwrap().to_string()).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(jobs.len(), 1_000);
    assert!(jobs.iter().all(|job| *job == jobs[0]));
    assert_eq!(server.get("/jobs").json()["jobs"].as_array().unwrap().len(), 1);
    // Another scope is another job.
    let other = server.get("/features/S000/quick?from=2019-05-01").expect(202).json();
    assert_ne!(other["job_id"], jobs[0].as_str());
}

/// Answers at once when the rows are there, with 202 after the wait when they are not.
#[test]
fn a_wait_ends_in_time() {
    let stage = Stage::new(2, 60, "workers: 0");
    let server = stage.serve(&[]);
    let begun = std::time::Instant::now();
    server.get("/features/S000/quick?wait=1").expect(202);
    assert!(begun.elapsed().as_secs_f64() >= 1.0);
    drop(server);
    let server = stage.serve(&["--workers", "1"]);
    // The job of the first process is still there.
    wait_until("rows", || (server.get("/features/S000/quick").status == 200).then_some(()));
    server.get("/features/S000/quick?wait=60").expect(200);
    assert_eq!(server.get("/jobs").json()["jobs"].as_array().unwrap().len(), 1);
}

/// Where a target has committed rows of the present inputs, they are read from there.
#[test]
fn committed_rows_are_not_computed_again() {
    let stage = Stage::new(3, 60, "");
    let server = stage.serve(&[]);
    let mut body = batch("quick", &["S000", "S001", "S002"]);
    body["target"] = json!("out");
    server.compute(&body);
    let wanted = stage.computed("quick", &[]);
    let answer = server.get("/features/S001/quick").expect(200);
    assert_same(&read_answer(&answer, Some("S001")), &only(&wanted, "S001"), "target");
    assert_eq!(server.get("/jobs").json()["jobs"].as_array().unwrap().len(), 3);
}
