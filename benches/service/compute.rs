//! Jobs: a hundred symbols with a warm engine, and all symbols with all sets through the queue.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bars::{Bars, show_date};
use crate::figures::{Bound, Figure, Meter, print_figure};
use crate::server::Server;
use crate::{Bench, Outcome};

/// The shipped sets that need no other symbol's rows.
pub(crate) const SETS: [&str; 6] =
    ["momentum", "price_action", "returns", "trend", "volatility", "volume"];

/// The age up to which the state of inputs counts as known, by default.
pub(crate) const INPUTS_CHECK: Duration = Duration::from_secs(1);

/// Returns a time before all bars, another one for each number: all rows, under a key that no cache knows.
pub(crate) fn fresh_scope(number: usize) -> String {
    show_date(number as i64 - 36_000)
}

/// Computes jobs to their end. Returns the seconds from the request on.
pub(crate) async fn compute(server: &Server, body: &serde_json::Value) -> Outcome<(f64, usize)> {
    let mut connection = server.connect().await?;
    let listener = server.connect().await?;
    let began = Instant::now();
    let (group, jobs) = connection.queue_jobs(body).await?;
    let done = listener.wait_for_group(&group).await?;
    let seconds = began.elapsed().as_secs_f64();
    match done == jobs {
        true => Ok((seconds, jobs)),
        false => Err(format!("{done} of {jobs} jobs are done").into()),
    }
}

/// Computes some symbols twice, so that everything is planned, read and compiled that stays in the process.
pub(crate) async fn warm_engine(server: &Server, bars: &Bars, set: &str) -> Outcome<()> {
    for number in 0..2 {
        let symbols = &bars.symbols[..bars.symbols.len().min(100)];
        let from = show_date(-40_000 - number);
        compute(server, &json!({"symbols": symbols, "feature_types": [set], "from": from})).await?;
    }
    Ok(())
}

/// 100 symbols x 1,260 bars of momentum, from the request to the last job done.
pub(crate) async fn measure_batches(bench: &Bench) -> Outcome<()> {
    let mut bars = bench.write_bars("batch", 500, 1_260)?;
    let server = bench.serve("batch", &bars, "", &[]).await?;
    warm_engine(&server, &bars, "momentum").await?;
    let chosen: Vec<String> = bars.symbols.iter().step_by(5).cloned().collect();
    for new_bars in [false, true] {
        let meter = Meter::start(Some(&server))?;
        let mut values = Vec::new();
        for round in 0..bench.rounds.max(3) {
            let mut body = json!({"symbols": chosen, "feature_types": ["momentum"]});
            if new_bars {
                bars.arrive()?;
                tokio::time::sleep(INPUTS_CHECK + Duration::from_millis(100)).await;
            } else {
                body["from"] = fresh_scope(round).into();
            }
            values.push(compute(&server, &body).await?.0);
        }
        let spent = meter.stop(Some(&server))?;
        let what = format!("{} symbols x 1,260 bars, momentum, to the last job done", chosen.len());
        print_figure(&Figure {
            what: &if new_bars { format!("{what}, after new bars") } else { what },
            values,
            unit: "s",
            bound: if new_bars { Bound::None } else { Bound::AtMost(0.5) },
            theirs: "5 s",
            beside: if new_bars { String::new() } else { spent.tell() },
        });
    }
    finish(server).await
}

/// All symbols and all sets that go by symbol, through the queue.
pub(crate) async fn measure_universe(bench: &Bench) -> Outcome<()> {
    let bars = bench.write_bars("universe", 2_000, 252)?;
    let server = bench.serve("universe", &bars, "", &[]).await?;
    for set in SETS {
        warm_engine(&server, &bars, set).await?;
    }
    let (mut rates, mut shares, mut beside) = (Vec::new(), Vec::new(), String::new());
    let mut memory = 0;
    for round in 0..bench.rounds.min(3) {
        let from = fresh_scope(round);
        let body = json!({"symbols": null, "feature_types": SETS, "from": from});
        let meter = Meter::start(Some(&server))?;
        let (seconds, jobs) = compute(&server, &body).await?;
        let spent = meter.stop(Some(&server))?;
        let expected = bars.symbols.len() * SETS.len();
        if jobs != expected {
            return Err(format!("{jobs} jobs were queued, expected {expected}").into());
        }
        rates.push(bars.symbols.len() as f64 / seconds);
        shares.push(spent.share_of_processors());
        memory = memory.max(server.resident_bytes()?);
        beside = format!("{jobs} jobs in {seconds:.2} s; {}", spent.tell());
    }
    let what = format!("{} symbols x 252 bars, six sets, through the queue", bars.symbols.len());
    print_figure(&Figure {
        what: &what,
        values: rates,
        unit: "symbols/s",
        bound: Bound::AtLeast(200.0),
        theirs: "1,000 a minute",
        beside,
    });
    print_figure(&Figure {
        what: "processors used meanwhile, by the service",
        values: shares,
        unit: "%",
        bound: Bound::AtLeast(90.0),
        theirs: "12 %, then 80 %",
        beside: format!("{} MB resident afterwards", memory / 1_000_000),
    });
    finish(server).await
}

/// Ends the service, and tells what it complained of.
pub(crate) async fn finish(server: Server) -> Outcome<()> {
    let complaints = server.complaints();
    for line in complaints.iter().take(5) {
        eprintln!("the service warned: {line}");
    }
    if complaints.len() > 5 {
        eprintln!("and {} times more", complaints.len() - 5);
    }
    server.end().await
}
