//! The versions of a queue in PostgreSQL, where programs of two versions may meet.

use windrow::queue::{
    BatchBounds, Enqueued, NewGroup, NewJob, PgQueue, Queue, QueueBounds, QueueClock, QueueReads,
};

use super::servers::{Base, Cluster};

const MANY: BatchBounds = BatchBounds { jobs: 100, cost: u64::MAX };

/// Takes away the additions of version 2.
const BACK_TO_VERSION_1: &str = "DROP TABLE windrow_queue.measured; \
    ALTER TABLE windrow_queue.groups DROP COLUMN request_id; \
    UPDATE windrow_queue.numbers SET value = 1 WHERE name = 'format'; \
    DELETE FROM windrow_queue.numbers WHERE name = 'least_format'";

async fn open(url: &str) -> windrow::error::Result<PgQueue> {
    PgQueue::open(url, QueueBounds::default(), QueueClock::default()).await
}

async fn add(queue: &PgQueue, symbol: &str) {
    let job = NewJob { set: "trend".into(), symbol: symbol.into(), cost: 10 };
    let request_id = Some("request-7".to_string());
    let group = NewGroup { jobs: vec![job], request_id, ..NewGroup::default() };
    let added = queue.enqueue(group).await.unwrap();
    assert!(matches!(added, Enqueued::Accepted { .. }), "{added:?}");
}

/// Runs statements of somebody else in the database.
fn run(base: &Base<'_>, sql: &str) {
    tokio::task::block_in_place(|| base.run(sql));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_upgraded_in_place_and_older_programs_are_told_to_go() {
    let base = tokio::task::spawn_blocking(|| Some(Cluster::shared()?.base())).await.unwrap();
    let Some(base) = base else { return };
    let url = base.database();
    let first = open(&url).await.unwrap();
    add(&first, "A").await;
    drop(first);
    run(&base, BACK_TO_VERSION_1);
    // Several processes start at the same time.
    let [one, two, three] = [open(&url), open(&url), open(&url)];
    let (one, two, three) = tokio::join!(one, two, three);
    let queue = one.unwrap();
    two.unwrap();
    three.unwrap();
    add(&queue, "B").await;
    let (batch, _) = queue.claim("w", MANY).await.unwrap().unwrap();
    let symbols: Vec<&str> = batch.jobs.iter().map(|job| job.symbol.as_str()).collect();
    assert_eq!((symbols, batch.request_id), (vec!["A", "B"], None));
    // A newer program adds to the tables, and says that this one may go on.
    run(&base, "UPDATE windrow_queue.numbers SET value = 3 WHERE name = 'format'");
    assert!(queue.renew(batch.token, 0.5).await.unwrap().is_some());
    let beside = open(&url).await.unwrap();
    add(&beside, "C").await;
    // A still newer one changes them: this one writes nothing any more, but reads.
    let newer =
        "UPDATE windrow_queue.numbers SET value = 4 WHERE name IN ('format', 'least_format')";
    run(&base, newer);
    let told = queue.claim("w", MANY).await.unwrap_err();
    assert_eq!(told.kind(), windrow::error::Kind::Usage);
    let told = told.to_string();
    assert!(told.contains("was upgraded for format 4, and this program writes format 2"), "{told}");
    assert_eq!(queue.depth().await.unwrap().running, 2);
    let told = open(&url).await.err().unwrap().to_string();
    assert!(told.contains("start the windrow that upgraded it"), "{told}");
}
