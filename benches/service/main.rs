//! What `windrow serve` takes, measured over real HTTP on this machine.
//!
//! usage: ./bench service [--quick] [--rounds N] [--seconds S] [--minutes M] [LINE...]
//!
//! batch     100 symbols with a warm engine, from the request to the last job done
//! wait      one symbol that is not cached, while the caller waits
//! cached    rows from the cache over 32 connections
//! queued    jobs that become durable while nobody works; the service is killed, and must have all of them
//! universe  2,000 symbols and six sets through the queue, and the processors meanwhile
//! hits      the cache while bars arrive: the share of hits, and stale answers
//! memory    the memory of the service: idle, and under 10 minutes of mixed load
//!
//! Each line starts the service anew, over bars of its own, in a folder that is removed. Figures are medians of rounds.
//! Exit code 1: an answer was wrong, stale or missing. A figure that misses its bound is marked, and no error.
//! --quick does a tenth of the work, to see that everything runs. N rounds of S seconds, or M minutes of mixed load.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bars;
mod client;
mod compute;
mod figures;
mod hits;
mod memory;
mod queue;
mod reads;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;

use bars::Bars;
use figures::Meter;
use server::Server;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Outcome<T> = Result<T, Failure>;

const USAGE: &str =
    "usage: load PROGRAM [--quick] [--rounds N] [--seconds S] [--minutes M] [LINE...]
lines: batch wait cached queued universe hits memory";

/// The lines, in the order of the table.
const LINES: [&str; 7] = ["batch", "wait", "cached", "queued", "universe", "hits", "memory"];

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What all lines share.
pub(crate) struct Bench {
    program: PathBuf,
    /// A folder for bars and services, removed at the end.
    folder: PathBuf,
    lines: Vec<String>,
    /// The rounds of a figure.
    pub(crate) rounds: usize,
    /// The seconds of a round that has no other end.
    pub(crate) seconds: f64,
    /// The minutes of mixed load.
    pub(crate) minutes: f64,
    /// True for a tenth of the work, to see that everything runs.
    pub(crate) quick: bool,
}

impl Bench {
    fn from_args(mut args: impl Iterator<Item = String>) -> Outcome<Self> {
        let program = args.next().filter(|program| !program.starts_with('-')).ok_or(USAGE)?;
        let folder = format!("windrow-service-{}", std::process::id());
        let mut bench = Self {
            program: std::fs::canonicalize(&program)
                .map_err(|error| format!("{program}: {error}"))?,
            folder: std::env::temp_dir().join(folder),
            lines: Vec::new(),
            rounds: 5,
            seconds: 5.0,
            minutes: 10.0,
            quick: false,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
            match arg.as_str() {
                "--quick" => {
                    bench.quick = true;
                    (bench.rounds, bench.seconds, bench.minutes) = (1, 1.0, 0.5);
                }
                "--rounds" => bench.rounds = value()?.parse()?,
                "--seconds" => bench.seconds = value()?.parse()?,
                "--minutes" => bench.minutes = value()?.parse()?,
                line if LINES.contains(&line) => bench.lines.push(arg),
                _ => return Err(format!("{arg} is none of the lines\n{USAGE}").into()),
            }
        }
        if bench.lines.is_empty() {
            bench.lines = LINES.map(str::to_string).to_vec();
        }
        Ok(bench)
    }

    /// Returns a number of symbols or requests: a tenth of it for a quick look.
    pub(crate) fn scale(&self, number: usize) -> usize {
        if self.quick { number.div_ceil(10) } else { number }
    }

    /// Writes bars for a line.
    pub(crate) fn write_bars(&self, line: &str, symbols: usize, count: usize) -> Outcome<Bars> {
        Bars::write(&self.folder.join(line).join("bars"), self.scale(symbols), count)
    }

    /// Starts the service for a line; `settings` are lines of the section `serve`.
    pub(crate) async fn serve(
        &self,
        line: &str,
        bars: &Bars,
        settings: &str,
        flags: &[&str],
    ) -> Outcome<Server> {
        let folder = self.folder.join(line).join("service");
        Server::start(&self.program, &folder, &bars.folder, settings, flags).await
    }

    async fn measure(&self, line: &str) -> Outcome<()> {
        let meter = Meter::start(None)?;
        match line {
            "batch" => compute::measure_batches(self).await?,
            "wait" => reads::measure_waits(self).await?,
            "cached" => reads::measure_cached(self).await?,
            "queued" => queue::measure_queueing(self).await?,
            "universe" => compute::measure_universe(self).await?,
            "hits" => hits::measure_hits(self).await?,
            _ => memory::measure_memory(self).await?,
        }
        let spent = meter.stop(None)?;
        eprintln!(
            "{line}: {:.0} s; the load generator used {:.1} s of a processor",
            spent.wall, spent.own
        );
        // Bars and caches of one line need not lie beside those of the next.
        Ok(std::fs::remove_dir_all(self.folder.join(line))?)
    }

    async fn measure_all(&self) -> bool {
        let mut well = true;
        for line in &self.lines {
            if let Err(error) = self.measure(line).await {
                println!("{line} failed: {error}");
                well = false;
            }
        }
        well
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn main() -> ExitCode {
    let bench = match Bench::from_args(std::env::args().skip(1)) {
        Ok(bench) => bench,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    figures::print_machine(&bench.program);
    figures::print_head();
    let well = runtime.block_on(bench.measure_all());
    drop(bench);
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
