//! Stores that fail: for a moment, for longer, or in what they promise.

use super::*;

#[test]
fn every_request_may_fail_once() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    ok(folder, &["compact", "bars", "s3://bucket/bars"]);
    store.asked();
    let words = |state: usize| {
        let mut words = args(state, TARGET);
        words[3] = "bars=s3://bucket/bars".to_string();
        words
    };
    let run = |state: usize| {
        let words = words(state);
        run_json(folder, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run(1);
    run(1);
    let requests = store.asked().len() / 2;
    assert!(requests > 20, "{requests}");
    let fates =
        [Fate::Cut, Fate::Lost, Fate::Status(503, "SlowDown"), Fate::Status(500, "InternalError")];
    let mut state_now = 1;
    for number in 0..requests + 2 {
        let fate = fates[number % fates.len()].clone();
        let (mut seen, told) = (0, format!("{fate:?} at request {number}"));
        store.judge(move |_, _| {
            seen += 1;
            if seen == number + 1 { fate.clone() } else { Fate::Pass }
        });
        state_now += 1;
        let done = run(state_now);
        let asked = store.asked();
        store.judge(|_, _| Fate::Pass);
        // What is cut before its answer begins, the client itself may send again.
        if number < requests.min(asked.len()) - 4 && told.starts_with("Status") {
            assert!(done["retries"].as_u64() >= Some(1), "{told}: {done}\n{asked:#?}");
        }
        assert_eq!(state(folder), Some(state_now), "{told}");
        store.asked();
        assert_eq!((counts(&store)[0], counts(&store)[2], store.uploads()), (3, 0, 0), "{told}");
    }
}

#[test]
fn a_store_that_asks_to_slow_down_is_asked_less_and_the_run_succeeds() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    store.judge(move |_, _| match counted.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Fate::Pass,
        _ => Fate::Status(503, "SlowDown"),
    });
    let done = windrow(folder).args(args(3, TARGET)).args(["--json"]).output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{told}");
    assert!(
        told.contains("s3://bucket at 127.0.0.1 answers 503 SlowDown (as asked); trying again in"),
        "{told}"
    );
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let failed = seen.load(Ordering::Relaxed) / 3 * 2;
    let retries = json["retries"].as_u64().unwrap() as usize;
    assert!(retries >= 15 && retries <= failed, "{retries} of {failed}");
    store.judge(|_, _| Fate::Pass);
    assert_eq!(state(folder), Some(3));
}

#[test]
fn an_answer_that_does_not_come_is_asked_for_again() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let mut late = 2;
    store.judge(move |method, path| match (method, path.contains("/f/part-")) {
        ("GET", true) if late > 0 => {
            late -= 1;
            Fate::Late(Duration::from_secs(40))
        }
        _ => Fate::Pass,
    });
    let words = ["sql", "SELECT count(*) FROM f", "--source", "f=s3://bucket/f", "--format", "csv"];
    let started = Instant::now();
    let done = run(folder, &words);
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "count(*)\n600\n", "{told}");
    assert!(told.contains("no answer for 20 s; trying again in"), "{told}");
    assert!(started.elapsed() < Duration::from_secs(35), "{:?}", started.elapsed());
}

#[test]
fn what_stays_wrong_is_not_asked_again() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let told = |yaml: String| {
        std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
        store.asked();
        let words = args(1, TARGET);
        let (_, told) = fails(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
        (told, store.asked().len())
    };
    let (secret, asked) = told(store.yaml().replace("SECRET", "WRONG"));
    assert!(secret.contains("403 SignatureDoesNotMatch"), "{secret}");
    assert!(secret.contains("; check the credentials"), "{secret}");
    assert!(asked <= 2, "{asked}");
    assert!(!secret.contains("WRONG"), "{secret}");
    let (http, asked) = told(store.yaml().replace("    allow_http: true\n", ""));
    assert!(http.contains("is not encrypted; write https://, or set allow_http: true"), "{http}");
    assert_eq!(asked, 0);
    let keys = "    access_key_id: KEY\n    secret_access_key: ${NOT_THERE}\n";
    let plain = "    access_key_id: KEY\n    secret_access_key: SECRET\n";
    let (unset, _) = told(store.yaml().replace(plain, keys));
    assert!(unset.contains("the environment variable NOT_THERE is not set"), "{unset}");
    // A bucket that is not there.
    let yaml = store.yaml().replace("s3://bucket", "s3://");
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    let gone = fails(folder, &["sql", "SELECT 1 FROM b", "--source", "b=s3://other/x"]).1;
    assert!(gone.contains("there is no s3://other; correct its name, or create it"), "{gone}");
    // Nobody is there: it is said within the time limit.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = store.yaml().replace(&store.port().to_string(), &closed.port().to_string());
    std::fs::write(folder.join("windrow.yaml"), yaml + "timeout_seconds: 4\n").unwrap();
    let started = Instant::now();
    let (_, down) = fails(folder, &["run", "set.sql", "--source", "bars=bars", "--to", TARGET]);
    assert!(down.contains("cannot connect"), "{down}");
    assert!(
        down.contains("error: the time limit has passed") || down.contains("error: s3://bucket"),
        "{down}"
    );
    assert!((2..15).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[test]
fn a_commit_whose_answers_are_lost_loses_nothing() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let yaml = store.yaml() + "timeout_seconds: 6\n";
    std::fs::write(folder.join("windrow.yaml"), yaml).unwrap();
    // The record arrives, and then nobody answers any more.
    let mut gone = false;
    store.judge(move |method, path| {
        gone |= method == "PUT" && path.ends_with("000002.json");
        match (gone, path.ends_with("000002.json")) {
            (true, true) => Fate::Lost,
            (true, false) => Fate::Cut,
            _ => Fate::Pass,
        }
    });
    let done = windrow(folder).args(args(2, TARGET)).output().unwrap();
    assert!(!done.status.success());
    store.judge(|_, _| Fate::Pass);
    std::fs::write(folder.join("windrow.yaml"), store.yaml()).unwrap();
    assert_eq!(state(folder), Some(2));
    run(folder, &["vacuum", TARGET]);
    assert_eq!(state(folder), Some(2));
    run_state(folder, 3);
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(3), [3, 3, 0], 0));
}

#[test]
fn an_interrupt_while_a_server_does_not_answer_is_quick_and_says_one_line() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    for batch in Bars::new(20, 30).batches() {
        let symbol = symbol_of(&batch);
        write_parquet(&store.bucket().join(format!("bars/symbol={symbol}/x.parquet")), &batch);
    }
    store.judge(|method, path| match (method, path.contains("/bars/symbol")) {
        ("GET", true) => Fate::Late(Duration::from_secs(30)),
        _ => Fate::Pass,
    });
    let mut command = windrow(folder);
    command.args(["sql", "SELECT count(*) FROM b", "--source", "b=s3://bucket/bars"]);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let started = Instant::now();
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(done.stderr).unwrap(), "error: interrupted\n");
    assert_eq!(done.status.code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn a_server_that_ignores_conditions_is_told_of() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    store.judge(|_, _| Fate::Unconditional);
    let done = windrow(folder).args(args(1, TARGET)).output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{told}");
    assert!(told.contains("writes over what is there even where it is asked not to"), "{told}");
    run_state(folder, 2);
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(2), [3, 2, 0], 0));
}
