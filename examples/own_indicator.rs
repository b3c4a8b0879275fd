//! A custom indicator: `cargo run --example own_indicator`.
//!
//! An indicator is a step over rows, so it cannot look ahead. The adapter handles NULL, defaults, ranges
//! of parameters, errors at planning and resumable state.

use std::collections::VecDeque;
use std::error::Error;
use std::path::Path;

use datafusion::execution::FunctionRegistry;
use datafusion::prelude::{CsvReadOptions, SessionContext};
use serde::{Deserialize, Serialize};
use windrow_udfs::{Entry, Group, Indicator, Params, Spec, bars, entry};

/// Kaufman's efficiency ratio: the net move of the last n bars as a share of the way they went.
#[derive(Debug, Serialize, Deserialize)]
struct Efficiency {
    bars: usize,
    window: VecDeque<f64>,
}

impl Indicator<1, 1> for Efficiency {
    const SPEC: Spec = Spec::new("efficiency", "Efficiency ratio", Group::Momentum)
        .doc("The change over n bars as a share of the way there, from 0 to 1.", "Kaufman 1995")
        .params(&[bars("timeperiod", 10, 1)]);

    fn lookback(params: &Params) -> usize {
        params.bars(0)
    }

    fn new(params: &Params) -> Self {
        let bars = params.bars(0);
        Efficiency { bars, window: VecDeque::with_capacity(bars + 1) }
    }

    fn next(&mut self, [close]: [f64; 1]) -> [f64; 1] {
        if self.window.len() > self.bars {
            self.window.pop_front();
        }
        self.window.push_back(close);
        let steps = self.window.iter().zip(self.window.iter().skip(1));
        let way: f64 = steps.map(|(before, after)| (after - before).abs()).sum();
        [(close - self.window[0]).abs() / way] // 0/0 is not finite, and becomes NULL.
    }
}

/// The table row of the indicator: one input, one output.
static EFFICIENCY: Entry = entry::<Efficiency, 1, 1>();

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = sample(folder.path())?;

    // In windrow's own engine: `engine.context().register_udwf((*EFFICIENCY.udwf()).clone())`.
    let mut session = SessionContext::new();
    windrow_udfs::register_all(&mut session)?;
    FunctionRegistry::register_udwf(&mut session, EFFICIENCY.udwf())?;
    session.register_csv("bars", &file, CsvReadOptions::new()).await?;

    let features = session
        .sql(
            "SELECT symbol, ts, close,
                    efficiency(close) OVER w AS efficiency_10,
                    efficiency(close, 3) OVER w AS efficiency_3
             FROM bars
             WINDOW w AS (PARTITION BY symbol ORDER BY ts)
             ORDER BY ts DESC, symbol
             LIMIT 6",
        )
        .await?;
    features.show().await?;
    Ok(())
}

/// Writes sixty days of two symbols, and returns the path of the file.
fn sample(folder: &Path) -> std::io::Result<String> {
    let mut text = String::from("symbol,ts,close\n");
    for (symbol, base) in [("CALM", 50.0), ("WAVE", 80.0)] {
        for day in 0..60 {
            let close = base + f64::from(day) * 0.1 + 4.0 * (f64::from(day) / 5.0 + base).sin();
            text += &format!("{symbol},2024-{:02}-{:02},{close:.2}\n", 1 + day / 28, 1 + day % 28);
        }
    }
    let file = folder.join("bars.csv");
    std::fs::write(&file, text)?;
    Ok(file.to_string_lossy().into_owned())
}
