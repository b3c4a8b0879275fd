//! Who is let in: addresses, tokens, TLS, host names, and that secrets stay secret.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use super::process::{Server, wait_until};
use super::stage::{Stage, batch};
use crate::support::{fails, ok};

#[test]
fn tokens_have_scopes() {
    let stage = Stage::new(2, 20, "");
    let tokens = ["read", "compute", "admin"].map(|scope| stage.token(scope, scope));
    let server = stage.serve(&["--workers", "0"]);
    let body = batch("quick", &["S000"]).to_string();
    let ask = |method: &str, path: &str, token: Option<&str>| {
        let client = token.map_or(server.client.clone(), |token| server.with_token(token));
        client.send(method, path, &[], if path == "/compute/batch" { body.as_bytes() } else { b"" })
    };
    let rights = [
        ("GET", "/jobs", [200, 200, 200]),
        ("GET", "/features/S000/quick", [202, 202, 202]),
        ("GET", "/sets", [200, 200, 200]),
        ("GET", "/health", [200, 200, 200]),
        ("POST", "/compute/batch", [403, 202, 202]),
        ("DELETE", "/jobs/nobody-0", [403, 404, 404]),
        ("DELETE", "/groups/nobody", [403, 404, 404]),
        ("POST", "/admin/reload", [403, 403, 200]),
    ];
    for (method, path, statuses) in rights {
        for (token, status) in tokens.iter().zip(statuses) {
            assert_eq!(ask(method, path, Some(token)).status, status, "{method} {path} {token}");
        }
        let without = ask(method, path, None);
        without.problem(401);
        assert_eq!(without.header("www-authenticate"), Some("Bearer realm=\"windrow\""));
        let id = tokens[0].split('_').nth(1).unwrap();
        for wrong in ["wr_", "x", &tokens[0][..tokens[0].len() - 1], &format!("wr_{id}_0")] {
            ask(method, path, Some(wrong)).problem(401);
        }
    }
    for open in ["/", "/live", "/ready", "/metrics", "/openapi.json", "/page/app.js"] {
        assert!([200, 404].contains(&ask("GET", open, None).status), "{open}");
    }
    for scheme in ["bearer", "BEARER"] {
        let value = format!("{scheme} {}", tokens[0]);
        let answer = server.send("GET", "/jobs", &[("Authorization", &value)], b"");
        assert_eq!(answer.status, 200, "{scheme}");
    }
    check_secrets(&stage, &server, &tokens);
}

/// No secret is in the log, in an answer, or in a file.
fn check_secrets(stage: &Stage, server: &Server, tokens: &[String]) {
    let admin = server.with_token(&tokens[2]);
    let answers = ["/health", "/metrics", "/jobs", "/sets", "/targets", "/openapi.json"];
    let answers = answers.map(|path| admin.get(path).text()).join("\n");
    let files = std::fs::read_to_string(stage.path().join(".windrow/tokens.json")).unwrap();
    let listed = ok(stage.path(), &["token", "list"]);
    for token in tokens {
        let secret = token.rsplit('_').next().unwrap();
        for text in [&answers, &files, &listed, &server.process.log()] {
            assert!(!text.contains(secret), "a secret is in {text}");
        }
    }
}

#[test]
fn a_revoked_token_ends() {
    let stage = Stage::new(2, 20, "");
    let (ann, bob) = (stage.token("ann", "read"), stage.token("bob", "read"));
    let server = stage.serve(&["--workers", "0"]);
    let (ann, bob) = (server.with_token(&ann), server.with_token(&bob));
    ann.get("/jobs").expect(200);
    ok(stage.path(), &["token", "revoke", "ann"]);
    wait_until("401", || (ann.get("/jobs").status == 401).then_some(()));
    bob.get("/jobs").expect(200);
    // A token that is made meanwhile is let in.
    let eve = server.with_token(&stage.token("eve", "read"));
    wait_until("200", || (eve.get("/jobs").status == 200).then_some(()));
    // The end of the last token does not open the door.
    ok(stage.path(), &["token", "revoke", "bob"]);
    ok(stage.path(), &["token", "revoke", "eve"]);
    wait_until("401", || (eve.get("/jobs").status == 401).then_some(()));
    server.get("/jobs").problem(401);
}

#[test]
fn off_loopback_it_starts_with_tokens_and_tls_only() {
    let stage = Stage::new(2, 20, "");
    let open = ["serve", "--listen", "0.0.0.0:0", "--workers", "0"];
    let (code, told) = fails(stage.path(), &open);
    assert!(code == 2 && told.contains("there is no token"), "{code} {told}");
    stage.token("ann", "read");
    let (code, told) = fails(stage.path(), &open);
    assert!(code == 2 && told.contains("there is no TLS"), "{code} {told}");
    let mut insecure = open.to_vec();
    insecure.push("--insecure");
    let server = Server::new(stage.process(&insecure));
    let port = server.address.port();
    let here = super::client::Client::new(([127, 0, 0, 1], port).into());
    here.get("/live").expect(200);
    here.get("/jobs").problem(401);
}

/// A certificate for localhost, which a client then trusts.
fn certificate(stage: &Stage) {
    let words = "req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
                 -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
                 -keyout tls.key -out tls.crt";
    let made = std::process::Command::new("openssl")
        .args(words.split_whitespace())
        .current_dir(stage.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// The answer to a request over TLS.
fn ask_over_tls(stage: &Stage, server: &Server, request: &[u8]) -> std::io::Result<String> {
    let pem = std::fs::read(stage.path().join("tls.crt")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let address = ([127, 0, 0, 1], server.address.port()).into();
    let stream = super::client::Client::new(address).connect()?;
    let mut stream = StreamOwned::new(session, stream);
    stream.write_all(request)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

#[test]
fn tls_is_served_with_a_certificate_that_may_change() {
    let stage = Stage::new(2, 20, "tls: {cert: tls.crt, key: tls.key}");
    certificate(&stage);
    let token = stage.token("ann", "read");
    let words = ["serve", "--listen", "0.0.0.0:0", "--workers", "0"];
    let server = Server::new(stage.process(&words));
    assert!(server.process.log().contains("windrow serves https://"));
    let request = server.with_token(&token).request("GET", "/jobs", &[], b"");
    let answer = ask_over_tls(&stage, &server, &request).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let without = server.request("GET", "/jobs", &[], b"");
    let answer = ask_over_tls(&stage, &server, &without).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    // Whoever speaks no TLS is closed.
    let plain = super::client::Client::new(([127, 0, 0, 1], server.address.port()).into());
    assert!(plain.try_send("GET", "/live", &[], b"").is_err());
    // Another certificate is taken over.
    certificate(&stage);
    wait_until("the new certificate", || {
        ask_over_tls(&stage, &server, &request).ok().filter(|answer| answer.contains("200 OK"))
    });
    // A broken one is not.
    std::fs::write(stage.path().join("tls.key"), "nonsense").unwrap();
    let (code, told) = fails(stage.path(), &words);
    assert!(code == 2 && told.contains("tls.key"), "{code} {told}");
    ask_over_tls(&stage, &server, &request).unwrap();
}

/// A page elsewhere that points its name at this machine is refused, and so is what it could send.
#[test]
fn strangers_are_refused_by_their_host_names() {
    let stage = Stage::new(2, 20, "");
    let server = stage.serve(&["--workers", "0"]);
    let body = batch("quick", &["S000"]).to_string();
    for host in ["evil.example", "evil.example:8686", "127.0.0.1.evil.example", "192.168.0.1"] {
        let headers = [("Host", host), ("Content-Type", "application/json")];
        server.send("POST", "/compute/batch", &headers, body.as_bytes()).problem(403);
        server.send("GET", "/jobs", &headers, b"").problem(403);
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8686", "127.8.8.8"] {
        server.send("GET", "/jobs", &[("Host", host)], b"").expect(200);
    }
    // A form of another origin cannot say that it is JSON; and no answer may be read by it.
    let form = [("Content-Type", "text/plain"), ("Origin", "http://evil.example")];
    let answer = server.send("POST", "/compute/batch", &form, body.as_bytes());
    answer.problem(403);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let page = server.get("/");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'self'"));
    let id = server.send("GET", "/live", &[("X-Request-Id", "abc-1")], b"");
    assert_eq!(id.header("x-request-id"), Some("abc-1"));
    assert_eq!(server.get("/jobs").json()["jobs"], json!([]));
}

/// A cross-origin POST without a Content-Type is a simple request of browsers: it must not start anything.
#[test]
fn a_request_of_another_origin_starts_nothing() {
    let stage = Stage::new(2, 20, "");
    let server = stage.serve(&["--workers", "0"]);
    let body = batch("quick", &["S000"]).to_string();
    let headers = [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")];
    let answer = server.send("POST", "/compute/batch", &headers, body.as_bytes());
    assert!([403, 415].contains(&answer.status), "{} {}", answer.status, answer.text());
    assert_eq!(server.get("/jobs").json()["jobs"], json!([]));
}

#[test]
fn a_reload_takes_over_sets_and_limits() {
    let stage = Stage::new(4, 20, "");
    let server = stage.serve(&["--workers", "0"]);
    let reload = || server.send("POST", "/admin/reload", &[], b"");
    assert_eq!(reload().expect(200).json()["needs_restart"], json!([]));
    server.get("/sets/newest").problem(404);
    std::fs::write(stage.path().join("newest.sql"), "SELECT symbol, ts, close FROM bars").unwrap();
    stage.configure("max_symbols: 2, max_queued: 9");
    assert_eq!(reload().expect(200).json()["needs_restart"], json!(["max_queued"]));
    server.get("/sets/newest").expect(200);
    let three = batch("quick", &["S000", "S001", "S002"]);
    server.post("/compute/batch", &three).problem(400);
    stage.configure("max_symbols: 3");
    server.process.signal(rustix::process::Signal::HUP);
    wait_until("the reload", || {
        (server.post("/compute/batch", &three).status == 202).then_some(())
    });
    // A wrong file changes nothing.
    stage.configure("max_symbols: many");
    let problem = reload().problem(400);
    assert!(problem["message"].as_str().unwrap().contains("max_symbols"), "{problem}");
    server.process.signal(rustix::process::Signal::HUP);
    server.post("/compute/batch", &three).expect(202);
    wait_until("a line in the log", || {
        server.process.log().contains("nothing was reloaded").then_some(())
    });
}
