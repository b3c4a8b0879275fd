//! The queue: one suite for each driver. Tests step it by a clock of their own, and compare the whole queue as text.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use windrow::error::Error;
use windrow::queue::{
    Batch, BatchBounds, BatchEnd, Enqueued, GroupState, JobFilter, JobName, JobOutcome, JobRequest,
    JobState, NewGroup, NewJob, PgQueue, Priority, Queue, QueueBounds, QueueClock, QueueReads,
    SqliteQueue, SteppedClock, WaitReason, list_queue,
};

use super::servers::Cluster;

/// The time at which tests begin, in microseconds since 1970.
const START: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;
const MANY: BatchBounds = BatchBounds { jobs: 100, cost: u64::MAX };

struct Stage {
    queue: Arc<dyn Queue>,
    clock: Arc<SteppedClock>,
    _folder: Option<tempfile::TempDir>,
}

async fn open_sqlite(path: &Path, clock: &Arc<SteppedClock>, bounds: QueueBounds) -> SqliteQueue {
    let clock = QueueClock::Stepped(Arc::clone(clock));
    SqliteQueue::open(path, bounds, clock).await.unwrap().0
}

async fn sqlite_stage(bounds: QueueBounds) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SteppedClock::new(START, 7));
    let queue = Arc::new(open_sqlite(&folder.path().join("queue.sqlite"), &clock, bounds).await);
    Stage { queue, clock, _folder: Some(folder) }
}

/// A queue in a database of its own; None without a server.
async fn postgres_stage(bounds: QueueBounds) -> Option<Stage> {
    let base = tokio::task::spawn_blocking(|| Some(Cluster::shared()?.base())).await.unwrap()?;
    let clock = Arc::new(SteppedClock::new(START, 7));
    let stepped = QueueClock::Stepped(Arc::clone(&clock));
    let queue = Arc::new(PgQueue::open(&base.database(), bounds, stepped).await.unwrap());
    Some(Stage { queue, clock, _folder: None })
}

/// Runs each test with each driver.
macro_rules! with_each_driver {
    ($($test:ident $bounds:expr;)*) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                super::$test(sqlite_stage($bounds).await).await;
            })*
        }
        mod postgres {
            use super::*;
            $(#[tokio::test]
            async fn $test() {
                if let Some(stage) = postgres_stage($bounds).await {
                    super::$test(stage).await;
                }
            })*
        }
    };
}

with_each_driver! {
    a_batch_from_request_to_end QueueBounds::default();
    a_worker_that_lost_its_lease_changes_nothing QueueBounds::default();
    five_deaths_alone_make_a_job_dead QueueBounds::default();
    transient_errors_are_tried_again_and_others_halve_the_batch QueueBounds::default();
    priorities_age QueueBounds::default();
    a_batch_ends_for_a_reason QueueBounds::default();
    equal_requests_are_one QueueBounds::default();
    cancelled_jobs_end_and_running_ones_are_told QueueBounds::default();
    the_queue_has_bounds QueueBounds { jobs: 4, jobs_per_client: 3, history_jobs: 2, ..Default::default() };
    changes_of_a_group_have_no_gap QueueBounds::default();
    every_job_ends_once QueueBounds::default();
    batches_remember_their_memory QueueBounds::default();
}

fn group(client: &str, priority: Priority, set: &str, symbols: &[&str]) -> NewGroup {
    let job = |symbol: &&str| NewJob { set: set.into(), symbol: symbol.to_string(), cost: 10 };
    let jobs = symbols.iter().map(job).collect();
    NewGroup { client: client.into(), priority, jobs, ..NewGroup::default() }
}

fn everything() -> JobFilter {
    JobFilter { limit: 10_000, ..JobFilter::default() }
}

impl Stage {
    async fn add(&self, new: NewGroup) -> (String, Vec<JobName>) {
        match self.queue.enqueue(new).await.unwrap() {
            Enqueued::Accepted { group, jobs, .. } => (group, jobs),
            refused => panic!("{refused:?}"),
        }
    }

    async fn claim(&self, worker: &str) -> Batch {
        self.queue.claim(worker, MANY).await.unwrap().expect("a batch").0
    }

    async fn finish(&self, batch: &Batch, outcome: &JobOutcome) -> usize {
        let outcomes: BTreeMap<_, _> =
            batch.jobs.iter().map(|job| (job.name.clone(), outcome.clone())).collect();
        self.queue.finish(batch.token, outcomes, None).await.unwrap().len()
    }

    async fn expect(&self, text: &str) {
        let found = list_queue(self.queue.as_ref(), START).await.unwrap();
        let wanted: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        assert_eq!(found.lines().collect::<Vec<_>>(), wanted);
    }
}

fn symbols(batch: &Batch) -> Vec<&str> {
    batch.jobs.iter().map(|job| job.symbol.as_str()).collect()
}

async fn a_batch_from_request_to_end(stage: Stage) {
    let (name, jobs) = stage.add(group("ann", Priority::Normal, "momentum", &["A", "B"])).await;
    stage.add(group("ann", Priority::Normal, "volume", &["A"])).await;
    stage.clock.advance(SECOND);
    let waits = stage.queue.job(&jobs[1]).await.unwrap().unwrap().waits;
    assert_eq!(waits, Some(WaitReason::Behind(1)));
    let (batch, end) = stage.queue.claim("w1", MANY).await.unwrap().unwrap();
    assert_eq!((symbols(&batch), end, batch.retried), (vec!["A", "B"], BatchEnd::NoMore, false));
    stage.clock.advance(10 * SECOND);
    let renewed = stage.queue.renew(batch.token, 0.5).await.unwrap().unwrap();
    assert_eq!(renewed.lease_until, START + 26 * SECOND);
    stage
        .expect(
            "momentum/A ann normal running token 1 w1 until +26.0 progress 50
             momentum/B ann normal running token 1 w1 until +26.0 progress 50
             volume/A ann normal queued",
        )
        .await;
    assert_eq!(stage.queue.rate().await.unwrap(), None);
    assert_eq!(stage.finish(&batch, &JobOutcome::Done).await, 2);
    stage
        .expect(
            "momentum/A ann normal done progress 100 ended +11.0
             momentum/B ann normal done progress 100 ended +11.0
             volume/A ann normal queued",
        )
        .await;
    // Two jobs of a cost of 10 in 10 s.
    assert_eq!(stage.queue.rate().await.unwrap(), Some(2.0));
    let group = stage.queue.group(&name).await.unwrap().unwrap();
    assert_eq!((group.state(), group.done, group.total), (GroupState::Done, 2, 2));
    // A second end changes nothing: the batch is over.
    assert_eq!(stage.finish(&batch, &JobOutcome::Cancelled).await, 0);
}

async fn a_worker_that_lost_its_lease_changes_nothing(stage: Stage) {
    stage.add(group("ann", Priority::Normal, "momentum", &["A", "B", "C", "D"])).await;
    let lost = stage.claim("w1").await;
    stage.clock.advance(16 * SECOND);
    let next = stage.claim("w2").await;
    // The batch of a worker that died is halved, and nobody is charged.
    assert_eq!((symbols(&next), next.token, next.retried), (vec!["A", "B"], 2, true));
    assert_eq!(stage.queue.renew(lost.token, 0.9).await.unwrap(), None);
    assert_eq!(stage.finish(&lost, &JobOutcome::Done).await, 0);
    let error = "[worker: the worker w1 ended without a word (4)]";
    stage
        .expect(&format!(
            "momentum/A ann normal running token 2 w2 until +31.0 batch 2 {error}
             momentum/B ann normal running token 2 w2 until +31.0 batch 2 {error}
             momentum/C ann normal queued batch 2 {error}
             momentum/D ann normal queued batch 2 {error}"
        ))
        .await;
}

async fn five_deaths_alone_make_a_job_dead(stage: Stage) {
    let (name, _) = stage.add(group("ann", Priority::Normal, "momentum", &["A"])).await;
    for worker in ["w1", "w2", "w3", "w4", "w5"] {
        assert_eq!(symbols(&stage.claim(worker).await), ["A"]);
        stage.clock.advance(16 * SECOND);
    }
    assert!(stage.queue.claim("w6", MANY).await.unwrap().is_none());
    let jobs = stage.queue.jobs(JobFilter { limit: 9, ..JobFilter::default() }).await.unwrap();
    assert_eq!((jobs[0].state, jobs[0].deaths, jobs[0].errors.len()), (JobState::Dead, 5, 5));
    let group = stage.queue.group(&name).await.unwrap().unwrap();
    assert_eq!((group.state(), group.failed()), (GroupState::Failed, 1));
}

async fn transient_errors_are_tried_again_and_others_halve_the_batch(stage: Stage) {
    stage.add(group("ann", Priority::Normal, "momentum", &["A", "B"])).await;
    let down = Error::target("the server is down").as_transient();
    for attempt in 1..=3 {
        let batch = stage.claim("w").await;
        assert_eq!(symbols(&batch), ["A", "B"]);
        stage.finish(&batch, &JobOutcome::Failed(down.clone())).await;
        assert!(stage.queue.claim("w", MANY).await.unwrap().is_none(), "{attempt}");
        stage.clock.advance(10 * SECOND);
    }
    let states = |jobs: Vec<windrow::queue::JobRow>| -> Vec<_> {
        jobs.iter().rev().map(|job| (job.symbol.clone(), job.state)).collect()
    };
    let all = || stage.queue.jobs(JobFilter { limit: 9, ..JobFilter::default() });
    let dead = |symbol: &str| (symbol.to_string(), JobState::Dead);
    assert_eq!(states(all().await.unwrap()), [dead("A"), dead("B")]);

    stage.add(group("ann", Priority::Normal, "momentum", &["C", "D", "E"])).await;
    let wrong = Error::query("unknown column clos");
    let mut tried = Vec::new();
    while let Some((batch, _)) = stage.queue.claim("w", MANY).await.unwrap() {
        tried.push(symbols(&batch).join(""));
        let outcome = |symbol: &str| match symbol {
            "D" => JobOutcome::Failed(wrong.clone()),
            _ if batch.jobs.len() > 1 && tried.last().unwrap().contains('D') => {
                JobOutcome::Failed(wrong.clone())
            }
            _ => JobOutcome::Done,
        };
        let outcomes =
            batch.jobs.iter().map(|job| (job.name.clone(), outcome(&job.symbol))).collect();
        stage.queue.finish(batch.token, outcomes, None).await.unwrap();
    }
    assert_eq!(tried, ["CDE", "C", "D", "E"]);
    let ended = states(all().await.unwrap());
    let of = |symbol: &str| ended.iter().find(|(name, _)| name == symbol).unwrap().1;
    assert_eq!([of("C"), of("D"), of("E")], [JobState::Done, JobState::Failed, JobState::Done]);
}

async fn batches_remember_their_memory(stage: Stage) {
    let known = |set: &'static str, peak: Option<u64>| {
        let stage = &stage;
        async move {
            stage.add(group("ann", Priority::Normal, set, &["A", "B"])).await;
            let batch = stage.claim("w").await;
            let done = batch.jobs.iter().map(|job| (job.name.clone(), JobOutcome::Done)).collect();
            stage.queue.finish(batch.token, done, peak).await.unwrap();
            batch.bytes_per_cost
        }
    };
    // Two jobs of cost 10 each. More counts at once, less by and by; another set is another matter.
    assert_eq!(known("momentum", None).await, None);
    assert_eq!(known("momentum", Some(2_000)).await, None);
    assert_eq!(known("momentum", Some(4_000)).await, Some(100.0));
    assert_eq!(known("momentum", Some(2_000)).await, Some(200.0));
    assert_eq!(known("momentum", None).await, Some(190.0));
    assert_eq!(known("volume", None).await, None);
}

async fn priorities_age(stage: Stage) {
    let next = || async {
        let batch = stage.claim("w").await;
        stage.finish(&batch, &JobOutcome::Done).await;
        batch.set
    };
    stage.add(group("ann", Priority::Low, "low", &["A"])).await;
    stage.add(group("ann", Priority::Normal, "normal", &["A"])).await;
    stage.add(group("ann", Priority::High, "high", &["A"])).await;
    assert_eq!([next().await, next().await], ["high", "normal"]);
    // A low job waits ten minutes at most for new ones of high priority.
    stage.clock.advance(9 * 60 * SECOND);
    stage.add(group("ann", Priority::High, "high", &["A"])).await;
    assert_eq!(next().await, "high");
    stage.clock.advance(2 * 60 * SECOND);
    stage.add(group("ann", Priority::High, "high", &["A"])).await;
    assert_eq!([next().await, next().await], ["low", "high"]);
}

async fn a_batch_ends_for_a_reason(stage: Stage) {
    stage.add(group("ann", Priority::Normal, "momentum", &["A", "B", "C"])).await;
    // The same set with other parameters is other work.
    let mut other = group("ann", Priority::Normal, "momentum", &["A"]);
    other.request = JobRequest { from: Some("2024-01-01".into()), ..JobRequest::default() };
    stage.add(other).await;
    let mut ends = Vec::new();
    for bounds in [
        BatchBounds { jobs: 1, cost: 1_000 },
        BatchBounds { jobs: 9, cost: 15 },
        BatchBounds { jobs: 9, cost: 5 },
        MANY,
    ] {
        let (batch, end) = stage.queue.claim("w", bounds).await.unwrap().unwrap();
        ends.push((symbols(&batch).join(""), end, batch.request.from.is_some()));
    }
    let one = |symbol: &str, end| (symbol.to_string(), end, false);
    assert_eq!(
        ends,
        [
            one("A", BatchEnd::Jobs(1)),
            one("B", BatchEnd::Cost(15)),
            one("C", BatchEnd::NoMore),
            ("A".to_string(), BatchEnd::NoMore, true)
        ]
    );
}

async fn equal_requests_are_one(stage: Stage) {
    let keyed = |digest: &str| {
        let mut new = group("ann", Priority::Normal, "momentum", &["A", "B"]);
        new.idempotency = Some(("key".into(), digest.into()));
        new
    };
    let first = stage.add(keyed("x")).await;
    assert_eq!(stage.add(keyed("x")).await, first);
    assert_eq!(stage.queue.enqueue(keyed("y")).await.unwrap(), Enqueued::KeyTaken);
    // The keys of two clients are apart.
    let other = NewGroup { client: "bob".into(), ..keyed("y") };
    assert_ne!(stage.add(other).await.0, first.0);
    // Misses of the cache share a job that has not ended.
    let miss = || {
        let mut new = group("eve", Priority::High, "volume", &["A"]);
        new.shares = true;
        new
    };
    let shared = stage.add(miss()).await;
    for _ in 0..5 {
        assert_eq!(stage.add(miss()).await, shared);
    }
    while let Some((batch, _)) = stage.queue.claim("w", MANY).await.unwrap() {
        stage.finish(&batch, &JobOutcome::Done).await;
    }
    assert_ne!(stage.add(miss()).await, shared);
}

async fn cancelled_jobs_end_and_running_ones_are_told(stage: Stage) {
    let (name, jobs) = stage.add(group("ann", Priority::Normal, "momentum", &["A", "B"])).await;
    let cancelled = stage.queue.cancel(&jobs[0]).await.unwrap().unwrap();
    assert_eq!(cancelled.state, JobState::Cancelled);
    let batch = stage.claim("w").await;
    assert_eq!(symbols(&batch), ["B"]);
    assert_eq!(stage.queue.cancel_group(&name).await.unwrap(), 1);
    let renewed = stage.queue.renew(batch.token, 0.1).await.unwrap().unwrap();
    assert_eq!(renewed.cancels, jobs[1..]);
    // A worker that dies leaves a cancelled job.
    stage.clock.advance(20 * SECOND);
    assert!(stage.queue.claim("w", MANY).await.unwrap().is_none());
    let group = stage.queue.group(&name).await.unwrap().unwrap();
    assert_eq!((group.state(), group.cancelled), (GroupState::Cancelled, 2));
    let nobody = JobName { group: "nobody".into(), number: 0 };
    assert_eq!(stage.queue.cancel(&nobody).await.unwrap(), None);
}

async fn the_queue_has_bounds(stage: Stage) {
    stage.add(group("ann", Priority::Normal, "momentum", &["A", "B"])).await;
    let enqueue = |client: &str, symbols: &[&str]| {
        stage.queue.enqueue(group(client, Priority::Normal, "momentum", symbols))
    };
    let refused = enqueue("ann", &["C", "D"]).await.unwrap();
    assert_eq!(refused, Enqueued::ClientFull { most: 3 });
    let refused = enqueue("bob", &["C", "D", "E"]).await.unwrap();
    assert_eq!(refused, Enqueued::Full { most: 4 });
    for symbol in ["E", "F", "G"] {
        let batch = stage.claim("w").await;
        stage.finish(&batch, &JobOutcome::Done).await;
        stage.clock.advance(SECOND);
        stage.add(group("ann", Priority::Normal, "momentum", &[symbol])).await;
    }
    // Of the history two jobs stay.
    stage
        .expect(
            "momentum/E ann normal done progress 100 ended +1.0
             momentum/F ann normal done progress 100 ended +2.0
             momentum/G ann normal queued",
        )
        .await;
    let depth = stage.queue.depth().await.unwrap();
    assert_eq!(depth.queued[&Priority::Normal], (1, 10));
}

async fn changes_of_a_group_have_no_gap(stage: Stage) {
    let (name, _) = stage.add(group("ann", Priority::Normal, "momentum", &["A", "B", "C"])).await;
    let group = stage.queue.group(&name).await.unwrap().unwrap();
    let mut seen = Vec::new();
    let mut after = 0;
    let one = BatchBounds { jobs: 1, cost: 0 };
    loop {
        let changes = stage.queue.changes(&group, after).await.unwrap();
        for job in &changes {
            seen.push(format!("{} {}", job.symbol, job.state.name()));
            after = after.max(job.change);
        }
        let Some((batch, _)) = stage.queue.claim("w", one).await.unwrap() else { break };
        stage.finish(&batch, &JobOutcome::Done).await;
    }
    assert_eq!(seen, ["A queued", "B queued", "C queued", "A done", "B done", "C done"]);
}

#[tokio::test]
async fn jobs_survive_a_crash_and_batches_wait_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.sqlite");
    let clock = Arc::new(SteppedClock::new(START, 7));
    let bounds = QueueBounds::default;
    let queue = open_sqlite(&path, &clock, bounds()).await;
    queue.enqueue(group("ann", Priority::Normal, "momentum", &["A", "B"])).await.unwrap();
    let (batch, _) = queue.claim("w", MANY).await.unwrap().unwrap();
    // Another process cannot open it meanwhile.
    let second = SqliteQueue::open(&path, bounds(), QueueClock::default()).await;
    let told = second.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(told.starts_with("another process has the queue"), "{told}");
    // A copy of the files is what a crash would leave.
    let copy = folder.path().join("copy.sqlite");
    for ending in ["", "-wal"] {
        let from = format!("{}{ending}", path.display());
        std::fs::copy(from, format!("{}{ending}", copy.display())).unwrap();
    }
    let copied = SqliteQueue::open(&copy, bounds(), QueueClock::Stepped(Arc::clone(&clock))).await;
    let (copied, returned) = copied.unwrap();
    assert_eq!(returned, 1);
    let (again, _) = copied.claim("w2", MANY).await.unwrap().unwrap();
    assert_eq!((symbols(&again), again.token, again.retried), (vec!["A"], batch.token + 1, true));
    drop(queue);
    // The lock is free once the queue is closed.
    let wait = Duration::from_millis(10);
    while SqliteQueue::open(&path, bounds(), QueueClock::default()).await.is_err() {
        tokio::time::sleep(wait).await;
    }
}

#[tokio::test]
async fn files_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.sqlite");
    std::fs::write(&path, "this is no database, but long enough to be one".repeat(50)).unwrap();
    let open = || async {
        let opened = SqliteQueue::open(&path, QueueBounds::default(), QueueClock::default()).await;
        opened.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let told = open().await;
    assert!(told.contains("file is not a database; restore the file from a backup"), "{told}");
    std::fs::remove_file(&path).unwrap();
    let theirs = rusqlite::Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 3;").unwrap();
    drop(theirs);
    assert!(open().await.contains("is a database of another program; name another file"));
}

/// Random steps of workers, with a clock that also jumps back: every job ends once. The stage is used for one seed
/// after the other.
async fn every_job_ends_once(stage: Stage) {
    for seed in 0..4 {
        let before = stage.queue.jobs(everything()).await.unwrap().len();
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut held, mut done): (Vec<Batch>, BTreeMap<JobName, u32>) = Default::default();
        let mut added = 0;
        for step in 0..400 {
            match random.u8(0..10) {
                0 | 1 if step < 200 => {
                    let symbols: Vec<String> =
                        (0..random.usize(1..5)).map(|n| format!("S{added}{n}")).collect();
                    added += symbols.len();
                    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
                    let set = ["momentum", "volume"][random.usize(0..2)];
                    let priority = Priority::ALL[random.usize(0..3)];
                    stage.add(group("ann", priority, set, &symbols)).await;
                }
                0..=4 => {
                    let bounds = BatchBounds { jobs: random.usize(1..6), cost: 1_000 };
                    held.extend(
                        stage.queue.claim("w", bounds).await.unwrap().map(|(batch, _)| batch),
                    );
                }
                5..=7 if !held.is_empty() => {
                    let batch = held.swap_remove(random.usize(0..held.len()));
                    let outcome = match random.u8(0..10) {
                        0 => JobOutcome::Failed(Error::target("down").as_transient()),
                        1 => JobOutcome::Returned,
                        _ => JobOutcome::Done,
                    };
                    let outcomes = batch.jobs.iter().map(|job| (job.name.clone(), outcome.clone()));
                    for job in
                        stage.queue.finish(batch.token, outcomes.collect(), None).await.unwrap()
                    {
                        if job.state == JobState::Done {
                            *done.entry(job.name).or_default() += 1;
                        }
                    }
                }
                // A worker dies.
                8 if !held.is_empty() => drop(held.swap_remove(0)),
                _ => stage.clock.advance(random.i64(-3..12) * SECOND),
            }
        }
        for _ in 0..2_000 {
            stage.clock.advance(20 * SECOND);
            let Some((batch, _)) = stage.queue.claim("w", MANY).await.unwrap() else {
                continue;
            };
            for job in &batch.jobs {
                *done.entry(job.name.clone()).or_default() += 1;
            }
            assert_eq!(stage.finish(&batch, &JobOutcome::Done).await, batch.jobs.len());
        }
        let jobs = stage.queue.jobs(everything()).await.unwrap();
        assert_eq!(jobs.len(), before + added, "{seed}");
        for job in jobs.into_iter().take(added) {
            let times = done.get(&job.name).copied().unwrap_or_default();
            match job.state {
                JobState::Done => assert_eq!(times, 1, "{seed}: {}", job.name),
                JobState::Dead => assert_eq!(times, 0, "{seed}: {}", job.name),
                state => panic!("{seed}: {} is {}", job.name, state.name()),
            }
        }
    }
}

/// Two processes with two workers each, and a server that crashes in between: each job ends once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_share_a_server_that_crashes() {
    let own = tokio::task::spawn_blocking(|| {
        let cluster = Cluster::start_durable()?;
        let url = cluster.base().database();
        Some((Arc::new(cluster), url))
    });
    let Some((cluster, url)) = own.await.unwrap() else { return };
    let open = || PgQueue::open(&url, QueueBounds::default(), QueueClock::default());
    let queues = [Arc::new(open().await.unwrap()), Arc::new(open().await.unwrap())];
    for n in 0..10 {
        let symbols: Vec<String> = (0..20).map(|symbol| format!("S{n}-{symbol}")).collect();
        let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
        let set = ["momentum", "volume"][n % 2];
        queues[0].enqueue(group("ann", Priority::Normal, set, &symbols)).await.unwrap();
    }
    let ended = Arc::new(std::sync::Mutex::new(BTreeMap::<JobName, u32>::new()));
    let mut workers = Vec::new();
    for (number, queue) in queues.iter().chain(&queues).enumerate() {
        let (queue, ended) = (Arc::clone(queue), Arc::clone(&ended));
        workers.push(tokio::spawn(async move {
            let bounds = BatchBounds { jobs: 7, cost: u64::MAX };
            loop {
                match queue.claim(&format!("w{number}"), bounds).await {
                    Ok(Some((batch, _))) => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        let outcome =
                            |job: &windrow::queue::JobRow| (job.name.clone(), JobOutcome::Done);
                        let outcomes: BTreeMap<_, _> = batch.jobs.iter().map(outcome).collect();
                        // An answer that was lost is asked for again; the second one changes nothing.
                        while let Err(error) =
                            queue.finish(batch.token, outcomes.clone(), None).await
                        {
                            assert!(error.is_transient(), "{error}");
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        for job in batch.jobs {
                            *ended.lock().unwrap().entry(job.name).or_default() += 1;
                        }
                    }
                    // A claim whose answer was lost is returned when its lease ends.
                    Ok(None) if queue.depth().await.is_ok_and(|depth| depth.running == 0) => return,
                    Ok(None) => tokio::time::sleep(Duration::from_millis(50)).await,
                    Err(error) => {
                        assert!(error.is_transient(), "{error}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    let crashed = Arc::clone(&cluster);
    tokio::task::spawn_blocking(move || {
        crashed.crash();
        crashed.go_on();
    })
    .await
    .unwrap();
    for worker in workers {
        worker.await.unwrap();
    }
    let jobs = queues[1].jobs(everything()).await.unwrap();
    assert_eq!(jobs.len(), 200);
    assert!(jobs.iter().all(|job| job.state == JobState::Done));
    let ended = ended.lock().unwrap();
    assert!(ended.values().all(|times| *times == 1), "{ended:?}");
    assert_eq!(ended.len(), 200);
}

#[tokio::test]
async fn a_postgres_queue_is_a_database() {
    let open = |url: &'static str| async move {
        let opened = PgQueue::open(url, QueueBounds::default(), QueueClock::default()).await;
        opened.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(
        open("postgres://ann:secret@host/db?table=jobs").await,
        "postgres://ann@host/db?table=jobs: it names more than a database; write postgres://user@host:5432/database"
    );
}
