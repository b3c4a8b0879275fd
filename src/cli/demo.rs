//! `windrow demo`: the main job from end to end, on bars that it makes itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use futures::TryStreamExt;

use super::out::{grouped, print};
use super::progress::ProgressArgs;
use super::{run, sample};
use crate::config::Config;
use crate::engine::{Engine, RunOptions, Scope};
use crate::error::{Error, Result};
use crate::feature_set::shipped_names;
use crate::render::{Axis, Chart, Format, Limit, Printer, Series, Terminal};
use crate::target::{Progress, Stop, Target};

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where to write the bars and the features
    #[arg(long, value_name = "D", default_value = "windrow-demo")]
    dir: PathBuf,
    #[command(flatten)]
    progress: ProgressArgs,
}

/// The symbol of the preview and of the chart: the one whose price splits.
const SHOWN: &str = sample::SPLIT;
/// Days in the chart.
const DAYS: usize = 250;

pub(super) async fn run(args: DemoArgs, config: Config, stop: Stop) -> Result<u8> {
    let started = Instant::now();
    let bars = args.dir.join("bars");
    let rows = sample(bars.clone(), &stop).await?;
    let where_ = bars.display();
    print(&format!(
        "sample bars: {} rows, 50 symbols x 5 years, raw prices with a factor -> {where_}\n\n",
        grouped(rows as u64)
    ))?;
    let mut engine = Engine::new(config)?;
    stop.or(engine.add_source("bars", &bars.to_string_lossy())).await?;
    for name in shipped_names() {
        let set = engine.find_set_shipped(name)?;
        let target = Target::Parquet(args.dir.join("features").join(name));
        let progress = Arc::new(Progress::default());
        progress.expect(Some(rows as u64));
        let options = RunOptions {
            target,
            scope: Scope::default(),
            params: Default::default(),
            keep_going: false,
            progress: Arc::clone(&progress),
            stop: stop.clone(),
        };
        let work = engine.run(set, &options);
        let outcome = args.progress.shown(name, &progress, work).await?;
        print(&(run::line(&outcome) + "\n"))?;
    }
    stop.or(preview(&mut engine, &args.dir)).await?;
    let seconds = started.elapsed().as_secs_f64();
    print(&format!(
        "\n{} feature sets in {seconds:.1} s. Next:\n{}",
        shipped_names().len(),
        next(&args.dir)
    ))?;
    Ok(0)
}

/// Writes the sample bars beside the signals; returns rows.
async fn sample(folder: PathBuf, stop: &Stop) -> Result<usize> {
    let made = tokio::task::spawn_blocking(move || sample::write(&folder));
    let panicked = |error| Error::internal(format!("making sample bars panicked: {error}"));
    stop.or(async { made.await.map_err(panicked)? }).await
}

/// A table and a chart of one symbol.
async fn preview(engine: &mut Engine, dir: &Path) -> Result<()> {
    for name in ["trend", "momentum"] {
        let features = dir.join("features").join(name);
        engine.add_source(&format!("{name}_features"), &features.to_string_lossy()).await?;
    }
    let columns = format!(
        "SELECT b.symbol, b.ts, b.close, b.close * b.factor AS adjusted, t.sma_20, m.rsi_14 \
         FROM bars b \
         JOIN trend_features t ON b.symbol = t.symbol AND b.ts = t.ts \
         JOIN momentum_features m ON b.symbol = m.symbol AND b.ts = m.ts \
         WHERE b.symbol = '{SHOWN}'"
    );
    let terminal = Terminal::of_stdout();
    let width = terminal.map_or(100, |t| t.width.min(140));
    print("\n")?;
    let table = engine.query(&format!("{columns} ORDER BY b.ts DESC LIMIT 5")).await?;
    let limit = Limit::Rows { max_rows: 5, max_width: width };
    let mut printer = Printer::new(Format::Table, &table.schema(), std::io::stdout(), limit);
    let mut stream = table.stream()?;
    while let Some(batch) = stream.try_next().await.map_err(|e| table.explain_error(&e))? {
        printer.batch(&batch)?;
    }
    printer.finish()?;

    let split = format!("{columns} ORDER BY b.ts");
    let query = engine.query(&split).await?;
    let stream = query.stream()?;
    let batches: Vec<_> = stream.try_collect().await.map_err(|e| query.explain_error(&e))?;
    let mut series: Vec<Series> = ["close as traded", "sma_20", "rsi_14"]
        .map(|name| Series { name: name.to_string(), points: Vec::new() })
        .to_vec();
    let wrong = |error: datafusion::arrow::error::ArrowError| Error::internal(error.to_string());
    for batch in &batches {
        let days = cast(batch.column(1), &DataType::Int32).map_err(wrong)?;
        let days = days.as_primitive::<datafusion::arrow::datatypes::Int32Type>();
        for (series, column) in series.iter_mut().zip([2, 4, 5]) {
            let values = batch.column(column).as_primitive::<Float64Type>();
            series.points.extend((0..values.len()).map(|i| {
                let value = values.is_valid(i).then(|| values.value(i));
                (f64::from(days.value(i)) * 86_400.0, value)
            }));
        }
    }
    for series in &mut series {
        let from = series.points.len().saturating_sub(DAYS * 3);
        series.points.drain(..from);
    }
    let (prices, oscillator) = series.split_at(2);
    let color = terminal.is_some_and(|t| t.color);
    let title = format!("{SHOWN} splits 4 for 1: the price falls to a quarter, sma_20 does not");
    let (x, title) = (Axis::Time, title.as_str());
    let above = Chart { title, series: prices, x, width, height: 16, color };
    let below = Chart { title: "", series: oscillator, x, width, height: 9, color };
    print(&format!("\n{}{}", above.render(), below.render()))
}

fn next(dir: &Path) -> String {
    let bars = dir.join("bars");
    let bars = bars.display();
    let features = dir.join("features/momentum");
    format!(
        "  windrow repl --source bars={bars}\n  \
         windrow explain momentum --source bars={bars}\n  \
         windrow sql \"SELECT * FROM f WHERE symbol = '{SHOWN}' ORDER BY ts DESC LIMIT 5\" --source f={}\n",
        features.display()
    )
}
