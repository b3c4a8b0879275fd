//! The cache while bars arrive: the share of hits, and whether an answer is ever older than it may be.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bars::Bars;
use crate::client::{Answer, JSON, Pace, Script, get_request, play_script};
use crate::compute::{INPUTS_CHECK, compute, finish};
use crate::figures::{Bound, Figure, Meter, print_figure};
use crate::{Bench, Outcome};

/// The times that new bars arrive.
const ARRIVALS: u64 = 5;
/// The connections that read.
const READERS: usize = 32;

/// Asks for one set of many symbols while bars of all of them arrive five times.
pub(crate) async fn measure_hits(bench: &Bench) -> Outcome<()> {
    let bars = bench.write_bars("hits", 500, 252)?;
    let server = bench.serve("hits", &bars, "", &[]).await?;
    compute(&server, &json!({"symbols": null, "feature_types": ["momentum"]})).await?;
    let requests = bench.scale(100_000);
    let names = ["hits", "misses"].map(|what| format!("windrow_feature_cache_{what}_total"));
    let [hits, misses] = &names;
    let before = (server.metric(hits).await?, server.metric(misses).await?);
    let script = Arc::new(Readings::new(&bars, requests));
    let meter = Meter::start(Some(&server))?;
    let arrivals = tokio::spawn(let_bars_arrive(bars, Arc::clone(&script)));
    let taken = play_script(server.address, &script, &Pace::count(READERS, requests)).await?;
    arrivals.await??;
    let spent = meter.stop(Some(&server))?;
    let hits = server.metric(hits).await? - before.0;
    let misses = server.metric(misses).await? - before.1;
    let asked = format!("{requests} requests, {} symbols", script.symbols.len());
    print_figure(&Figure {
        what: &format!("cache hits, {asked} (Zipf), bars arrive {ARRIVALS} times"),
        values: vec![100.0 * hits / (hits + misses)],
        unit: "%",
        bound: Bound::AtLeast(95.0),
        theirs: "80 %",
        beside: format!(
            "{misses:.0} misses; {:.0} requests/s, p99 {:.1} ms; {}",
            taken.rate(),
            taken.quantile(0.99),
            spent.tell()
        ),
    });
    let fresh = script.fresh.load(Ordering::Relaxed);
    print_figure(&Figure {
        what: "stale answers among them",
        values: vec![script.stale.load(Ordering::Relaxed) as f64],
        unit: "",
        bound: Bound::AtMost(0.0),
        theirs: "",
        beside: format!("{fresh} answers had to show bars that arrived"),
    });
    if (hits + misses) as usize != requests {
        return Err(format!("{hits} hits and {misses} misses of {requests} requests").into());
    }
    finish(server).await
}

/// Bars that have arrived: their last day, and what the answers must say of it.
struct Arrival {
    /// When the last file was there.
    at: Instant,
    day: String,
    /// The change of the last close of each symbol, in percent.
    changes: Vec<f64>,
}

/// Requests for the last rows of symbols, a few of which are asked for most.
struct Readings {
    symbols: Vec<String>,
    requests: Vec<Vec<u8>>,
    /// The symbol of each request.
    order: Vec<u16>,
    arrivals: Mutex<Vec<Arrival>>,
    answered: AtomicU64,
    stale: AtomicUsize,
    /// The answers that were asked for when bars had arrived long enough ago.
    fresh: AtomicUsize,
}

impl Readings {
    fn new(bars: &Bars, requests: usize) -> Self {
        let from = bars.day(bars.count - 21);
        let request = |symbol: &String| {
            let columns = format!("from={from}&columns=roc_1&wait=30");
            get_request(&format!("/features/{symbol}/momentum?{columns}"), JSON)
        };
        Self {
            symbols: bars.symbols.clone(),
            requests: bars.symbols.iter().map(request).collect(),
            order: zipf_order(bars.symbols.len(), requests),
            arrivals: Mutex::new(vec![Arrival::of(bars)]),
            answered: AtomicU64::new(0),
            stale: AtomicUsize::new(0),
            fresh: AtomicUsize::new(0),
        }
    }

    fn symbol(&self, number: u64) -> usize {
        usize::from(self.order[number as usize % self.order.len()])
    }
}

impl Arrival {
    fn of(bars: &Bars) -> Self {
        let day = bars.day(bars.count - 1);
        Self { at: Instant::now(), day, changes: bars.last_changes() }
    }
}

impl Script for Readings {
    fn request(&self, number: u64) -> impl AsRef<[u8]> + Send {
        self.requests[self.symbol(number)].as_slice()
    }

    fn check(&self, number: u64, sent: Instant, answer: &Answer<'_>) -> Outcome<()> {
        self.answered.fetch_add(1, Ordering::Relaxed);
        answer.expect(200)?;
        let (day, change) = read_last_row(answer)?;
        let symbol = self.symbol(number);
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let due = arrivals.iter().rposition(|arrival| sent >= arrival.at + INPUTS_CHECK);
        let due = due.unwrap_or(0);
        self.fresh.fetch_add(usize::from(due > 0), Ordering::Relaxed);
        if arrivals[..due].iter().any(|arrival| arrival.day == day) {
            self.stale.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        // Files are there a moment before their arrival is noted.
        let Some(shown) = arrivals.iter().find(|arrival| arrival.day == day) else { return Ok(()) };
        let expected = shown.changes[symbol];
        match (change - expected).abs() <= 1e-9 * expected.abs().max(1.0) {
            true => Ok(()),
            false => {
                let name = &self.symbols[symbol];
                Err(format!("{name} changed by {change} % on {day}, expected {expected} %").into())
            }
        }
    }
}

/// Returns the day and the value of the last row.
fn read_last_row(answer: &Answer<'_>) -> Outcome<(String, f64)> {
    let text = std::str::from_utf8(answer.body)?;
    let row = text.rfind("{\"ts\"").and_then(|at| text.get(at..text.len().saturating_sub(2)));
    let row: serde_json::Value = serde_json::from_str(row.ok_or("an answer has no rows")?)?;
    let day = row["ts"].as_str().and_then(|ts| ts.get(..10)).ok_or("a row has no time")?;
    Ok((day.to_string(), row["roc_1"].as_f64().ok_or("a row has no value")?))
}

/// Lets bars arrive at equal distances of the requests.
async fn let_bars_arrive(mut bars: Bars, script: Arc<Readings>) -> Outcome<()> {
    let apart = script.order.len() as u64 / (ARRIVALS + 1);
    for number in 1..=ARRIVALS {
        while script.answered.load(Ordering::Relaxed) < number * apart {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bars = tokio::task::spawn_blocking(move || bars.arrive().map(|()| bars)).await??;
        let arrival = Arrival::of(&bars);
        script.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
    }
    Ok(())
}

/// Returns the numbers of symbols in a random order in which the n-th symbol comes 1/n times as often as the first.
pub(crate) fn zipf_order(symbols: usize, length: usize) -> Vec<u16> {
    let mut sums = Vec::with_capacity(symbols);
    let mut sum = 0.0;
    for number in 1..=symbols {
        sum += 1.0 / number as f64;
        sums.push(sum);
    }
    let mut random = fastrand::Rng::with_seed(19);
    let mut pick = || {
        let place = random.f64() * sum;
        sums.partition_point(|upper| *upper < place).min(symbols - 1) as u16
    };
    (0..length).map(|_| pick()).collect()
}
