//! A saved feature set, run through the library: `cargo run --example run_feature_set`.
//!
//! It runs the shipped set `momentum` into a directory of parquet, and reads that back as a source.
#![allow(clippy::print_stdout)] // An example may print.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use datafusion::arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use windrow::Engine;
use windrow::commit::Target;
use windrow::config::Config;
use windrow::engine::{RunOptions, Scope};
use windrow::stop::Stopper;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let bars = sample(folder.path())?;
    let target = folder.path().join("features").to_string_lossy().into_owned();

    // Name the bars and the set: the name of a shipped one, or the path of a .sql file.
    let mut engine = Engine::new(Config::default())?;
    engine.add_source("bars", &bars).await?;
    let set = engine.find_set("momentum")?;

    // Plan it: the outputs are known before anything runs.
    let params = BTreeMap::from([("changes".to_string(), "[1, 5, 20]".to_string())]);
    let planned = engine.plan_set(set.clone(), &params).await?;
    let lookback = planned.outputs.iter().map(|output| output.need.lookback).max().unwrap_or(0);
    println!("{} outputs, the longest lookback is {lookback} bars", planned.outputs.len());

    // Run it. A run commits atomically; `stopper.stop(..)` would end it from elsewhere.
    let (_stopper, stop) = Stopper::new();
    let options = RunOptions {
        scope: Scope { from: Some("2024-02-01".to_string()), ..Scope::default() },
        params,
        ..RunOptions::new(Target::parse(&target)?, stop)
    };
    let record = engine.run(set, &options).await?.record;
    println!("{} rows of {} symbols", record.rows, record.watermarks.len());
    for (audit, result) in &record.audits {
        println!("audit {audit}: {result}");
    }

    // The committed target is a source.
    engine.add_source("features", &target).await?;
    let query = engine
        .query("SELECT symbol, ts, rsi_14, roc_20 FROM features ORDER BY ts DESC, symbol LIMIT 4")
        .await?;
    let batches: Vec<_> = query.stream()?.try_collect().await?;
    println!("{}", pretty_format_batches(&batches)?);
    Ok(())
}

/// Writes sixty days of two symbols, and returns the path of the file.
fn sample(folder: &Path) -> std::io::Result<String> {
    let mut text = String::from("symbol,ts,open,high,low,close,volume\n");
    for (symbol, base) in [("CALM", 50.0), ("WAVE", 80.0)] {
        for day in 0..60 {
            let close = base + f64::from(day) * 0.1 + 4.0 * (f64::from(day) / 5.0 + base).sin();
            let (open, high, low) = (close - 0.3, close + 0.8, close - 0.9);
            let date = format!("2024-{:02}-{:02}", 1 + day / 28, 1 + day % 28);
            text += &format!("{symbol},{date},{open:.2},{high:.2},{low:.2},{close:.2},1000\n");
        }
    }
    let file = folder.join("bars.csv");
    std::fs::write(&file, text)?;
    Ok(file.to_string_lossy().into_owned())
}
