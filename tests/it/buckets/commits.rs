//! What a bucket holds when runs die, sleep or meet.

use super::*;

use windrow::outside::FailPoint;

/// True if a run that was killed at the step has committed.
fn is_committed_at(point: FailPoint) -> bool {
    matches!(point, FailPoint::RecordWritten | FailPoint::OldRemoved)
}

#[test]
fn killed_at_every_step() {
    for exists in [false, true] {
        for point in FailPoint::OF_BUCKET {
            let committed = is_committed_at(point);
            let store = Store::start();
            let folder = prepare(&store);
            let folder = folder.path();
            if exists {
                run_state(folder, 1);
            }
            let mut killed = windrow(folder);
            killed.args(args(2, TARGET)).env("WINDROW_FAULT", point.name()).stderr(Stdio::null());
            assert_eq!(killed.status().unwrap().code(), None, "{point:?}: it was not killed");
            let expected = if committed { Some(2) } else { exists.then_some(1) };
            assert_eq!(state(folder), expected, "{point:?}, target existed: {exists}");
            let told = run(folder, &["runs", TARGET]);
            let told = String::from_utf8(told.stderr).unwrap();
            assert!(
                told.contains("left by a run that died: the uploads of the run"),
                "{point:?}: {told}"
            );
            run_state(folder, 3);
            assert_eq!(state(folder), Some(3), "{point:?}");
            let records = 1 + usize::from(exists) + usize::from(committed);
            assert_eq!((counts(&store), store.uploads()), ([3, records, 0], 0), "{point:?}");
        }
    }
}

#[test]
fn vacuum_removes_what_a_run_left_that_died() {
    for point in ["rows-written", "uploads-complete", "record-written"] {
        let store = Store::start();
        let folder = prepare(&store);
        let folder = folder.path();
        run_state(folder, 1);
        let mut killed = windrow(folder);
        killed.args(args(2, TARGET)).env("WINDROW_FAULT", point).stderr(Stdio::null());
        assert_eq!(killed.status().unwrap().code(), None);
        let before = state(folder);
        assert!(counts(&store)[2] == 1 && store.uploads() + counts(&store)[0] > 3, "{point}");
        let told = run(folder, &["vacuum", TARGET]);
        let told = String::from_utf8(told.stderr).unwrap();
        assert!(told.contains("removed the uploads of the run"), "{point}: {told}");
        assert_eq!(told.contains("removed part-"), point != "rows-written", "{point}: {told}");
        assert_eq!((counts(&store)[0], counts(&store)[2], store.uploads()), (3, 0, 0), "{point}");
        assert_eq!(state(folder), before, "{point}");
        let told = run(folder, &["vacuum", TARGET]);
        assert!(String::from_utf8(told.stderr).unwrap().contains("nothing to remove"), "{point}");
    }
}

#[test]
fn killed_at_random_moments() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let whole = Instant::now();
    run_state(folder, 2);
    let whole = whole.elapsed();
    let (mut before, mut seed) = (2, 42u64);
    for next in 3..53 {
        let mut child =
            windrow(folder).args(args(next, TARGET)).stderr(Stdio::null()).spawn().unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let share = (seed >> 33) as f64 / (1u64 << 31) as f64;
        std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * 1.1 * share));
        let _ = child.kill();
        child.wait().unwrap();
        let found = state(folder);
        assert!(found == Some(before) || found == Some(next), "{found:?}, not {before} or {next}");
        before = found.unwrap();
    }
    run_state(folder, 99);
    assert_eq!(state(folder), Some(99));
    assert_eq!((counts(&store)[0], counts(&store)[2]), (3, 0));
    // An upload whose id never reached anybody is nobody's to end; the server drops it in time.
    assert!(store.uploads() <= 2, "{}", store.uploads());
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let mut command = windrow(folder);
    command.args(args(2, TARGET)).env("WINDROW_FAULT", "wait:file-closed").stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let done = child.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(130), "{told}");
    run_state(folder, 3);
    assert_eq!(state(folder), Some(3));
    assert_eq!((counts(&store), store.uploads()), ([3, 2, 0], 0));
}

#[test]
fn two_runs_at_once() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    for round in 0..4 {
        let start = |state: usize| {
            windrow(folder).args(args(state, TARGET)).stderr(Stdio::piped()).spawn().unwrap()
        };
        let runs = [start(10 + 2 * round), start(11 + 2 * round)];
        let ends = runs.map(|run| run.wait_with_output().unwrap());
        let won = ends.iter().filter(|end| end.status.success()).count();
        for end in ends.iter().filter(|end| !end.status.success()) {
            let told = String::from_utf8_lossy(&end.stderr);
            let said = told.contains("another run is writing s3://bucket/f")
                || told.contains("another run committed into s3://bucket/f meanwhile");
            assert!(said, "{told}");
        }
        assert!(won >= 1);
        let found = state(folder).unwrap();
        assert!(found == 10 + 2 * round || found == 11 + 2 * round, "{found}");
    }
    run_state(folder, 99);
    assert_eq!((state(folder), counts(&store)[0], counts(&store)[2]), (Some(99), 3, 0));
    assert_eq!(store.uploads(), 0);
}

/// A run that stops at a point, as a machine does that sleeps.
struct Asleep(std::process::Child);

impl Asleep {
    fn at(folder: &Path, point: &str, reached: impl Fn() -> bool) -> Self {
        let mut command = windrow(folder);
        command.args(args(2, TARGET)).env("WINDROW_FAULT", format!("wait:{point}"));
        let asleep = Self(command.stderr(Stdio::piped()).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        while !reached() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(500));
        asleep.send(rustix::process::Signal::STOP);
        asleep
    }

    fn send(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.0.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Goes on; whether it ends well, and what it says.
    fn wakes(self) -> (bool, String) {
        self.send(rustix::process::Signal::CONT);
        let done = self.0.wait_with_output().unwrap();
        (done.status.success(), String::from_utf8(done.stderr).unwrap())
    }
}

#[test]
fn a_run_that_was_taken_for_dead_commits_nothing() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    // Behind its last row, with all uploads there.
    let asleep = Asleep::at(folder, "rows-written", || store.uploads() >= 3);
    // The process is there, so that the next run watches its lease.
    let started = Instant::now();
    let told = run(folder, &args(3, TARGET).iter().map(String::as_str).collect::<Vec<_>>());
    let said = String::from_utf8(told.stderr).unwrap();
    assert!(told.status.success(), "{said}");
    assert!(said.contains("looking for up to 30 s whether that run lives"), "{said}");
    assert!(started.elapsed() > Duration::from_secs(28), "{:?}", started.elapsed());
    let (fine, told) = asleep.wakes();
    assert!(!fine && told.contains("another run took s3://bucket/f over"), "{told}");
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(3), [3, 2, 0], 0));
}

#[test]
fn a_run_that_sleeps_behind_its_commit_removes_nothing_of_the_next_one() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let asleep = Asleep::at(folder, "record-written", || counts(&store)[1] == 2);
    run_state(folder, 3);
    let (fine, told) = asleep.wakes();
    assert!(fine, "it was committed: {told}");
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(3), [3, 3, 0], 0));
}

#[test]
fn vacuum_leaves_what_a_sleeping_run_may_still_commit() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let asleep = Asleep::at(folder, "before-record", || counts(&store)[0] == 6);
    let told = String::from_utf8(run(folder, &["vacuum", TARGET]).stderr).unwrap();
    assert!(told.contains("3 files in s3://bucket/f stay"), "{told}");
    assert_eq!(state(folder), Some(1));
    let (fine, told) = asleep.wakes();
    assert!(fine, "{told}");
    assert_eq!(state(folder), Some(2));
    run_state(folder, 3);
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(3), [3, 3, 0], 0));
}

#[test]
fn a_commit_on_top_of_another_state_than_was_seen_fails() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let asleep = Asleep::at(folder, "before-record", || counts(&store)[0] == 6);
    // The next run takes the target over; before it commits, the sleeper wakes and does.
    let mut next = windrow(folder);
    next.args(args(3, TARGET)).env("WINDROW_FAULT", "wait:rows-written").stderr(Stdio::piped());
    let next = next.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while store.uploads() < 3 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (fine, told) = asleep.wakes();
    assert!(fine, "{told}");
    let done = next.wait_with_output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success(), "{told}");
    assert!(told.contains("another run committed into s3://bucket/f meanwhile"), "{told}");
    // Who has no lease any more removes nothing; the next run does.
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(2), [6, 2, 0], 0));
    run_state(folder, 4);
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(4), [3, 3, 0], 0));
}

#[test]
fn around_a_target_only_what_is_committed_is_data() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    std::fs::write(
        folder.join("parted.sql"),
        "/*\nparams: {state: 1}\npartition_by: [half]\n*/\nSELECT symbol, ts, close, symbol > 'S002' AS half FROM bars",
    )
    .unwrap();
    let words = ["run", "parted.sql", "--source", "bars=bars", "--to", TARGET];
    ok(folder, &words);
    let mut killed = windrow(folder);
    killed.args(words).env("WINDROW_FAULT", "uploads-complete").stderr(Stdio::null());
    assert_eq!(killed.status().unwrap().code(), None);
    for (place, count) in [
        ("f", "600"),
        ("f/half=true", "240"),
        ("f/*/*.parquet", "600"),
        ("f/half=*", "600"),
        ("*/half=false/*", "360"),
        ("", "600"),
    ] {
        let source = format!("f=s3://bucket/{place}");
        assert_eq!(rows(folder, "SELECT count(*) FROM f", &[&source]), [count], "{place}");
    }
}

/// How long a thread that computes does not yield: twice what makes others take a run for dead.
const BUSY: Duration = Duration::from_secs(60);

#[test]
fn a_lease_is_kept_however_busy_the_thread_is_that_computes() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    run_state(folder, 1);
    let config = windrow::config::Config::load(folder, &|_| None).unwrap();
    let engine = windrow::Engine::new(config).unwrap();
    let target = windrow::commit::Target::parse(TARGET).unwrap();
    // One thread for everything, as in a container with one processor.
    let compute = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = compute.block_on(engine.commit(&target).acquire_target(1)).unwrap();
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| compute.block_on(async { std::thread::sleep(BUSY) }));
        // Others see that it lives: at once, and long after a lease without a beat is dead.
        for after in [1, 35] {
            std::thread::sleep(Duration::from_secs(after).saturating_sub(started.elapsed()));
            let words = args(2, TARGET);
            let (_, told) = fails(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
            assert!(told.contains("another run is writing s3://bucket/f"), "{after}: {told}");
            assert!(!told.contains("which died"), "{after}: {told}");
        }
    });
    assert!(started.elapsed() >= BUSY);
    compute.block_on(open.release());
    run_state(folder, 2);
    assert_eq!((state(folder), counts(&store), store.uploads()), (Some(2), [3, 2, 0], 0));
}

#[test]
fn a_merge_completes_what_is_new_and_keeps_what_is_not() {
    let store = Store::start();
    let folder = prepare(&store);
    let folder = folder.path();
    let set = "/*\npartition_by: [symbol]\n*/\nSELECT symbol, ts, close FROM bars";
    std::fs::write(folder.join("m.sql"), set).unwrap();
    let words = ["run", "m.sql", "--source", "bars=bars", "--to", TARGET];
    ok(folder, &words);
    let before = all(folder, "s3://bucket/f");
    let files = |symbol: &str| store.keys(&format!("f/symbol={symbol}"));
    let [one, two] = ["S001", "S002"].map(files);
    let merge = ["--symbols", "S001", "--until", "2019-06-01", "--merge"];
    ok(folder, &[&words[..], &merge].concat());
    assert_eq!(all(folder, "s3://bucket/f"), before);
    assert_eq!((files("S001").len(), files("S002")), (2, two));
    assert!(files("S001").iter().all(|file| !one.contains(file)));
    assert_eq!((counts(&store), store.uploads()), ([6, 2, 0], 0));
}
