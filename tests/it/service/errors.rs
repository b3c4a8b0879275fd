//! One table of requests and of what comes back: status, media type, kind, and the words that a caller needs.

use serde_json::{Value, json};

use super::process::Server;
use super::stage::{Stage, batch};

/// A request by GET, and the status, kind and words of its problem.
type Refused<'a> = (&'a str, u16, &'a str, &'a str);

const READS: [Refused<'static>; 30] = [
    ("/nothing", 404, "usage", "there is nothing at /nothing"),
    ("/features/S000/quik", 404, "query", "did you mean quick?"),
    ("/features/S00/quick", 404, "data", "quick has no symbol S00"),
    ("/features/S0011/quick", 404, "data", "did you mean S001?"),
    ("/features/S000/", 404, "usage", "nothing at"),
    ("/features/quik", 404, "query", "did you mean quick?"),
    ("/features/quick?symbols=S000,S9999", 404, "data", "S9999"),
    ("/features/S000/quick?limit=-1", 400, "usage", "limit"),
    ("/features/S000/quick?limit=1.5", 400, "usage", "limit"),
    ("/features/S000/quick?limit=99999999999999999999", 400, "usage", "limit"),
    ("/features/S000/quick?wait=-1", 400, "usage", "expected 0 to 60"),
    ("/features/S000/quick?wait=61", 400, "usage", "expected 0 to 60"),
    ("/features/S000/quick?wait=NaN", 400, "usage", "expected 0 to 60"),
    ("/features/S000/quick?wait=soon", 400, "usage", "wait"),
    ("/features/S000/quick?from=yesterday", 400, "usage", "yesterday is no date or time"),
    ("/features/S000/quick?until=2024-13-01", 400, "usage", "2024-13-01 is no date or time"),
    ("/features/S000/quick?columns=rsj", 400, "usage", "did you mean rsi?"),
    ("/features/S000/quick?colums=rsi", 400, "usage", "unknown field"),
    ("/features/S000/quick?limit=1&limit=2", 400, "usage", "limit"),
    ("/features/%FF/quick", 400, "usage", "UTF-8"),
    ("/jobs/%FF", 400, "usage", "UTF-8"),
    ("/groups/%C3%28", 400, "usage", "UTF-8"),
    ("/sets/%FF", 400, "usage", "UTF-8"),
    ("/sets/quik", 404, "query", "did you mean quick?"),
    ("/jobs/nobody", 404, "usage", "no job nobody"),
    ("/jobs/06617c6184155540eeb7c2-0", 404, "usage", "no job"),
    ("/groups/nobody", 404, "usage", "no group nobody"),
    ("/jobs?limit=0", 400, "usage", "expected 1 to 1000"),
    ("/jobs?limit=1001", 400, "usage", "expected 1 to 1000"),
    ("/jobs?state=asleep", 400, "usage", "asleep"),
];

fn check(what: &str, problem: &Value, kind: &str, words: &str) {
    assert_eq!(problem["kind"], kind, "{what}: {problem:#}");
    let told = format!("{} {}", problem["message"], problem["hint"]);
    assert!(told.contains(words), "{what}: {words:?} is not in {problem:#}");
}

/// The requests of a body, and the status, kind and words of their problems.
fn refused_bodies() -> Vec<(Value, u16, &'static str, &'static str)> {
    let many: Vec<String> = (0..101).map(|n| format!("S{n:03}")).collect();
    let with = |key: &str, value: Value| {
        let mut body = batch("quick", &["S000"]);
        body[key] = value;
        body
    };
    vec![
        (json!([]), 400, "usage", "the body is wrong"),
        (json!("text"), 400, "usage", "the body is wrong"),
        (json!({"symbols": ["S000"]}), 400, "usage", "feature_types"),
        (with("symbols", json!(many)), 400, "usage", "101 symbols, and 100 are allowed"),
        (with("symbols", json!([])), 400, "usage", "symbols is empty"),
        (with("symbols", json!("S000")), 400, "usage", "the body is wrong"),
        (with("symbols", json!([1])), 400, "usage", "the body is wrong"),
        (with("feature_types", json!([])), 400, "usage", "0 feature types"),
        (with("feature_types", json!(null)), 400, "usage", "the body is wrong"),
        (with("priority", json!("urgent")), 400, "usage", "urgent"),
        (with("priorty", json!("low")), 400, "usage", "unknown field"),
        (with("from", json!("x")), 400, "usage", "x is no date or time"),
        (with("until", json!(5)), 400, "usage", "the body is wrong"),
        (with("params", json!({"days": null})), 400, "usage", "days"),
        (with("params", json!({"days": {"a": 1}})), 400, "usage", "days"),
        (with("params", json!({"dys": 3})), 422, "usage", "unknown parameter dys"),
        (with("symbols", json!(["S00x"])), 422, "data", "did you mean"),
        (with("feature_types", json!(["quik"])), 422, "query", "did you mean quick?"),
        (with("feature_types", json!(["../quick"])), 422, "query", "no feature set"),
        (with("feature_types", json!(["quick.sql"])), 422, "query", "no feature set"),
        (with("target", json!("outt")), 422, "usage", "did you mean out?"),
        (with("target", json!("/tmp/anywhere")), 422, "usage", "there is no target"),
        (with("target", json!("s3://bucket/x/")), 422, "usage", "there is no target"),
        (with("target", json!("file")), 422, "usage", "CSV file"),
    ]
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let stage = Stage::new(4, 30, "");
    let server = stage.serve(&[]);
    for (path, status, kind, words) in READS {
        let answer = server.get(path);
        check(path, &answer.problem(status), kind, words);
    }
    for (body, status, kind, words) in refused_bodies() {
        let problem = server.post("/compute/batch", &body).problem(status);
        check(&body.to_string(), &problem, kind, words);
    }
    refuses_wrong_methods_and_media(&server);
    refuses_wrong_heads(&server);
    // Nothing of this became a job.
    assert_eq!(server.get("/jobs").json()["jobs"], json!([]));
    assert_eq!(server.get("/health").expect(200).json()["queue_depth"], 0);
}

fn refuses_wrong_methods_and_media(server: &Server) {
    for (method, path) in [
        ("DELETE", "/sets"),
        ("POST", "/jobs"),
        ("PUT", "/compute/batch"),
        ("GET", "/compute/batch"),
        ("PATCH", "/jobs/x"),
        ("GET", "/admin/reload"),
    ] {
        let answer = server.send(method, path, &[], b"");
        check(path, &answer.problem(405), "usage", method);
        assert!(answer.header("allow").is_some(), "{method} {path}");
    }
    for accept in ["image/png", "application/json;q=0", "text/html, image/*"] {
        let answer = server.send("GET", "/features/S000/quick", &[("Accept", accept)], b"");
        check(accept, &answer.problem(406), "usage", "expected one of application/json");
    }
    let body = batch("quick", &["S000"]).to_string();
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/xml", "\u{e9}"] {
        let headers = [("Content-Type", media)];
        let answer = server.send("POST", "/compute/batch", &headers, body.as_bytes());
        check(media, &answer.problem(415), "usage", "Content-Type: application/json");
    }
    for wrong in ["", "{", "{\"symbols\": [\"S000\"]", "\u{0}", "nonsense", "{\"a\":\"\\ud800\"}"] {
        let headers = [("Content-Type", "application/json; charset=utf-8")];
        let answer = server.send("POST", "/compute/batch", &headers, wrong.as_bytes());
        check(wrong, &answer.problem(400), "usage", "the body is wrong");
    }
    let deep = "[".repeat(100_000);
    let answer = server.send("POST", "/compute/batch", &[], deep.as_bytes());
    check("deep", &answer.problem(400), "usage", "the body is wrong");
}

fn refuses_wrong_heads(server: &Server) {
    // A body of 2 MiB is read, so that the caller reads the answer; one of 100 MB is cut off.
    let long = vec![b' '; 2 << 20];
    let headers = [("Content-Type", "application/json")];
    let answer = server.send("POST", "/compute/batch", &headers, &long);
    check("2 MiB", &answer.problem(413), "usage", "1,048,576 bytes");
    let key = "k".repeat(1_000);
    for key in ["", "\u{1}\u{2}", &key] {
        let headers = [("Idempotency-Key", key)];
        let body = batch("quick", &["S000"]);
        match server.try_send("POST", "/compute/batch", &headers, body.to_string().as_bytes()) {
            Ok(answer) => assert_eq!(answer.status, 400, "{key:?}: {}", answer.text()),
            Err(error) => panic!("{key:?}: {error}"),
        }
    }
    let head =
        format!("GET /live HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let answer = server.open_bytes(head.as_bytes()).map(|reply| reply.status);
    // The head is longer than what the sockets hold, so the answer may be lost with the connection.
    assert!(answer.is_err() || answer.is_ok_and(|status| status == 431));
    for wrong in ["nonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{0}\u{1}\r\n\r\n"]
    {
        let answer = server.open_bytes(wrong.as_bytes()).map(|reply| reply.status);
        assert!(answer.as_ref().is_err() || answer.as_ref().is_ok_and(|s| *s == 400), "{answer:?}");
    }
    server.get("/live").expect(200);
}
