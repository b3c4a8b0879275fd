//! Jobs that become durable while nobody works: the rate of the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Answer, JSON, Pace, Script, play_script, post_request};
use crate::compute::finish;
use crate::figures::{Bound, Figure, Meter, print_figure};
use crate::server::Server;
use crate::{Bench, Outcome};

/// The connections that send jobs.
const SENDERS: usize = 32;

/// The queue takes as many jobs as come in these seconds.
const SETTINGS: &str = "  max_queued: 100000000\n  max_queued_per_client: 100000000\n";

/// Jobs per second that are queued and flushed to the disk, one or a hundred per request. Then the service is killed,
/// and must find every job that it accepted.
pub(crate) async fn measure_queueing(bench: &Bench) -> Outcome<()> {
    let bars = bench.write_bars("queued", 500, 252)?;
    let server = bench.serve("queued", &bars, SETTINGS, &["--workers", "0"]).await?;
    let mut accepted = 0;
    for (jobs, connections, least) in [(1, SENDERS, 1_000.0), (100, 8, 20_000.0)] {
        let jobs: usize = jobs;
        let requests = bars.symbols.chunks(jobs).map(|symbols| {
            let body = json!({"symbols": symbols, "feature_types": ["momentum"]});
            post_request("/compute/batch", &body.to_string())
        });
        let requests: Vec<_> = requests.collect();
        let jobs = jobs.min(bars.symbols.len());
        let script = Arc::new(Enqueues { requests, accepted: AtomicU64::new(0) });
        let (mut rates, mut ends) = (Vec::new(), Vec::new());
        let meter = Meter::start(Some(&server))?;
        for _ in 0..bench.rounds.min(3) {
            let pace = Pace::time(connections, Duration::from_secs_f64(bench.seconds));
            let taken = play_script(server.address, &script, &pace).await?;
            rates.push(taken.rate() * jobs as f64);
            ends.push(taken.quantile(0.99));
        }
        let spent = meter.stop(Some(&server))?;
        accepted += script.accepted.load(Ordering::Relaxed) * jobs as u64;
        let end = ends.iter().copied().fold(0.0, f64::max);
        print_figure(&Figure {
            what: &format!("jobs durably queued, {jobs} per request, {connections} connections"),
            values: rates,
            unit: "/s",
            bound: Bound::AtLeast(least),
            theirs: "",
            beside: format!("p99 of a request {end:.1} ms; {}", spent.tell()),
        });
    }
    check_depth(&server, accepted).await?;
    server.kill()?;
    let server = bench.serve("queued", &bars, SETTINGS, &["--workers", "0"]).await?;
    check_depth(&server, accepted).await?;
    finish(server).await
}

/// Fails unless the queue has exactly these jobs.
async fn check_depth(server: &Server, accepted: u64) -> Outcome<()> {
    let mut connection = server.connect().await?;
    let health = connection.get("/health", JSON).await?.json()?;
    match health["queue_depth"].as_u64() {
        Some(depth) if depth == accepted => Ok(()),
        depth => {
            let depth = depth.unwrap_or_default();
            Err(format!("{accepted} jobs were accepted, and the queue has {depth}").into())
        }
    }
}

struct Enqueues {
    requests: Vec<Vec<u8>>,
    accepted: AtomicU64,
}

impl Script for Enqueues {
    fn request(&self, number: u64) -> impl AsRef<[u8]> + Send {
        self.requests[number as usize % self.requests.len()].as_slice()
    }

    fn check(&self, _: u64, _: Instant, answer: &Answer<'_>) -> Outcome<()> {
        answer.expect(202)?;
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
