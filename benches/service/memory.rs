//! The memory of the service: idle, and under a mixed load that fills its cache again and again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::bars::Bars;
use crate::client::{ARROW, Answer, JSON, Pace, Script, get_request, play_script, post_request};
use crate::compute::{SETS, finish};
use crate::figures::{Bound, Figure, Meter, median, print_figure};
use crate::hits::zipf_order;
use crate::{Bench, Outcome};

/// The connections of the mixed load.
const CLIENTS: usize = 8;
/// The requests per second of all of them together.
const RATE: f64 = 150.0;
/// The samples of memory: one every 10 s of 10 minutes.
const SAMPLES: usize = 60;
/// The samples before the memory must be flat: those of 3 minutes.
const FIRST_SAMPLES: usize = 18;
/// The times that new bars arrive.
const ARRIVALS: usize = 10;

/// The memory of a service that does nothing, and of one with work of all kinds.
pub(crate) async fn measure_memory(bench: &Bench) -> Outcome<()> {
    let bars = bench.write_bars("memory", 500, 1_260)?;
    let server = bench.serve("memory", &bars, "  cache_memory: 64MB\n", &[]).await?;
    tokio::time::sleep(Duration::from_secs(if bench.quick { 1 } else { 10 })).await;
    print_figure(&Figure {
        what: "memory, idle",
        values: vec![megabytes(server.resident_bytes()?)],
        unit: "MB",
        bound: Bound::AtMost(80.0),
        theirs: "",
        beside: String::new(),
    });
    let length = Duration::from_secs_f64(bench.minutes * 60.0);
    let requests = (length.as_secs_f64() * RATE) as usize;
    let script = Arc::new(MixedLoad::new(&bars, requests));
    let ended = Arc::new(AtomicBool::new(false));
    let meter = Meter::start(Some(&server))?;
    let arrivals = tokio::spawn(let_bars_arrive(bars, length, Arc::clone(&ended)));
    let pace = Pace { connections: CLIENTS, count: u64::MAX, time: length, rate: Some(RATE) };
    let load = play_script(server.address, &script, &pace);
    let sampling = async {
        let began = Instant::now();
        let mut samples = Vec::new();
        for number in 1..=SAMPLES {
            let at = began + length * number as u32 / SAMPLES as u32;
            tokio::time::sleep(at.saturating_duration_since(Instant::now())).await;
            samples.push(megabytes(server.resident_bytes()?));
        }
        Ok::<_, crate::Failure>(samples)
    };
    let (taken, samples) = tokio::try_join!(load, sampling)?;
    ended.store(true, Ordering::Relaxed);
    arrivals.await??;
    let spent = meter.stop(Some(&server))?;
    let refused = script.refused.load(Ordering::Relaxed);
    let served = format!("{:.0} requests/s, {refused} refused; {}", taken.rate(), spent.tell());
    print_samples(bench, &samples, served);
    finish(server).await?;
    let wrong = script.wrong.lock().unwrap_or_else(PoisonError::into_inner);
    match wrong.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} answers were wrong, first {first}", wrong.len()).into()),
    }
}

fn print_samples(bench: &Bench, samples: &[f64], served: String) {
    let minutes = bench.minutes;
    let all: Vec<String> = samples.iter().map(|sample| format!("{sample:.0}")).collect();
    eprintln!("memory in MB, {SAMPLES} samples of {minutes} minutes: {}", all.join(" "));
    let later = &samples[FIRST_SAMPLES..];
    let mut sorted = later.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return };
    let part = later.len() / 3;
    let middle = |part: &[f64]| {
        let mut part = part.to_vec();
        part.sort_by(f64::total_cmp);
        median(&part)
    };
    let (first, last) = (middle(&later[..part]), middle(&later[later.len() - part..]));
    let what = format!("memory, {minutes} minutes of mixed load, 64 MB of cache");
    print_figure(&Figure {
        what: &what,
        values: sorted.clone(),
        unit: "MB",
        bound: Bound::None,
        theirs: "",
        beside: served,
    });
    let first_minute = minutes * FIRST_SAMPLES as f64 / SAMPLES as f64;
    print_figure(&Figure {
        what: &format!("its largest value over its least, from minute {first_minute:.1} on"),
        values: vec![100.0 * (most / least - 1.0)],
        unit: "%",
        bound: Bound::AtMost(10.0),
        theirs: "",
        beside: format!("medians of the first and the last third: {first:.0} and {last:.0} MB"),
    });
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Lets bars arrive at equal distances of time.
async fn let_bars_arrive(mut bars: Bars, length: Duration, ended: Arc<AtomicBool>) -> Outcome<()> {
    let began = Instant::now();
    for number in 1..=ARRIVALS {
        let at = began + length.mul_f64((number as f64 - 0.5) / ARRIVALS as f64);
        tokio::time::sleep(at.saturating_duration_since(Instant::now())).await;
        if ended.load(Ordering::Relaxed) {
            return Ok(());
        }
        bars = tokio::task::spawn_blocking(move || bars.arrive().map(|()| bars)).await??;
    }
    Ok(())
}

/// Requests of all kinds.
struct MixedLoad {
    symbols: Vec<String>,
    order: Vec<u16>,
    from: String,
    /// Answers that told to come again later.
    refused: AtomicUsize,
    /// Other answers that should not have been, shortened.
    wrong: Mutex<Vec<String>>,
}

impl MixedLoad {
    fn new(bars: &Bars, requests: usize) -> Self {
        Self {
            symbols: bars.symbols.clone(),
            order: zipf_order(bars.symbols.len(), requests.max(1)),
            from: bars.day(bars.count - 60),
            refused: AtomicUsize::new(0),
            wrong: Mutex::default(),
        }
    }

    /// Returns the symbol of a request, or one some places behind it.
    fn symbol(&self, number: usize, behind: usize) -> &str {
        let symbol = usize::from(self.order[number % self.order.len()]);
        &self.symbols[(symbol + behind) % self.symbols.len()]
    }
}

impl Script for MixedLoad {
    fn request(&self, number: u64) -> impl AsRef<[u8]> + Send {
        let number = number as usize;
        let symbol = |behind| self.symbol(number, behind);
        let set = SETS[number / 3 % 3];
        match number % 100 {
            0 => get_request("/health", JSON),
            1 => get_request("/metrics", "*/*"),
            2 => get_request("/jobs?limit=50", JSON),
            3 => get_request("/sets", JSON),
            4..=7 => {
                let symbols: Vec<&str> = (0..5).map(symbol).collect();
                let set = SETS[number % SETS.len()];
                let body = json!({"symbols": symbols, "feature_types": [set], "priority": "low"});
                post_request("/compute/batch", &body.to_string())
            }
            8 => {
                let symbols: Vec<&str> = (0..10).map(symbol).collect();
                let symbols = symbols.join(",");
                let path = format!("/features/{set}?symbols={symbols}&limit=60&wait=5");
                get_request(&path, ARROW)
            }
            9..=29 => get_request(&format!("/features/{}/{set}?wait=5", symbol(0)), ARROW),
            _ => {
                let from = &self.from;
                get_request(&format!("/features/{}/{set}?wait=5&from={from}", symbol(0)), JSON)
            }
        }
    }

    fn check(&self, _: u64, _: Instant, answer: &Answer<'_>) -> Outcome<()> {
        match answer.status {
            200 | 202 => Ok(()),
            429 | 503 => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            _ => {
                // The load goes on, so that memory is measured all the same.
                let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
                wrong.push(answer.excerpt());
                Ok(())
            }
        }
    }
}
