//! `windrow demo`: the main workflow from end to end, on bars that it generates.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use futures::TryStreamExt;

use super::progress::ProgressArgs;
use super::stdout::print_text;
use super::{run, sample};
use crate::commit::Target;
use crate::config::Config;
use crate::engine::{Engine, RunOptions};
use crate::error::{Error, Result, group_digits};
use crate::feature_set::shipped_set_names;
use crate::render::{Axis, Chart, Format, Limit, Printer, Series, Terminal, wrap_lines};
use crate::stop::Stop;
use crate::write::Progress;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Where to write the bars and the features
    #[arg(long, value_name = "D", default_value = "windrow-demo")]
    dir: PathBuf,
    #[command(flatten)]
    progress: ProgressArgs,
}

/// The symbol of the preview and of the chart: the one with a stock split.
const PREVIEW_SYMBOL: &str = sample::SPLIT_SYMBOL;
/// Trading days per year of the chart, which shows the last three years.
const CHART_DAYS: usize = 250;

pub(super) async fn run_demo(args: DemoArgs, config: Config, stop: Stop) -> Result<u8> {
    let started = Instant::now();
    let terminal = Terminal::from_stdout();
    let say =
        |text: &str| print_text(&terminal.map_or(text.to_string(), |t| wrap_lines(text, t.width)));
    let (sets, dir) = (shipped_set_names().len(), args.dir.display());
    say(&format!(
        "windrow demo makes sample bars, computes the {sets} feature sets that come with the program, and \
         shows one symbol. All files are below {dir}; remove it when you have seen enough.\n\n"
    ))?;
    let bars = args.dir.join("bars");
    let progress = Arc::new(Progress::default());
    let making = make_sample_bars(bars.clone(), Arc::clone(&progress), &stop);
    let rows = args.progress.run_with_progress("sample bars", &progress, making).await?;
    say(&format!(
        "sample bars: {} rows, 50 symbols x 5 years, raw prices with a factor -> {}\n",
        group_digits(rows as u64),
        bars.display()
    ))?;
    let mut engine = Engine::new(config)?;
    stop.run_until_stopped(engine.add_source("bars", &bars.to_string_lossy())).await?;
    for name in shipped_set_names() {
        let set = engine.find_set_shipped(name)?;
        let target = Target::Directory(args.dir.join("features").join(name));
        let progress = Arc::new(Progress::default());
        progress.set_total(Some(rows as u64));
        let options =
            RunOptions { progress: Arc::clone(&progress), ..RunOptions::new(target, stop.clone()) };
        let work = engine.run(set, &options);
        let outcome = args.progress.run_with_progress(name, &progress, work).await?;
        say(&(run::format_outcome(&outcome) + "\n"))?;
    }
    stop.run_until_stopped(print_preview(&mut engine, &args.dir, terminal)).await?;
    let seconds = started.elapsed().as_secs_f64();
    say(&format!("\nAll of it took {seconds:.1} s. Three commands to go on with:\n\n"))?;
    print_text(&next_commands(&args.dir, terminal.map(|t| t.width)))?;
    Ok(0)
}

/// Writes the sample bars on a thread of its own, so that a stop is not delayed; returns the number of rows.
async fn make_sample_bars(folder: PathBuf, progress: Arc<Progress>, stop: &Stop) -> Result<usize> {
    let made = tokio::task::spawn_blocking(move || sample::write_sample_bars(&folder, &progress));
    let panicked = |error| Error::internal(format!("making sample bars panicked: {error}"));
    stop.run_until_stopped(async { made.await.map_err(panicked)? }).await
}

/// Prints a table and a chart of one symbol.
async fn print_preview(engine: &mut Engine, dir: &Path, terminal: Option<Terminal>) -> Result<()> {
    for name in ["trend", "momentum"] {
        let features = dir.join("features").join(name);
        engine.add_source(&format!("{name}_features"), &features.to_string_lossy()).await?;
    }
    let columns = format!(
        "SELECT b.symbol, b.ts, b.close, b.close * b.factor AS adjusted, t.sma_20, m.rsi_14 \
         FROM bars b \
         JOIN trend_features t ON b.symbol = t.symbol AND b.ts = t.ts \
         JOIN momentum_features m ON b.symbol = m.symbol AND b.ts = m.ts \
         WHERE b.symbol = '{PREVIEW_SYMBOL}'"
    );
    let width = terminal.map_or(100, |t| t.width.min(140));
    print_text("\n")?;
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
        let from = series.points.len().saturating_sub(CHART_DAYS * 3);
        series.points.drain(..from);
    }
    let (prices, oscillator) = series.split_at(2);
    let color = terminal.is_some_and(|t| t.color);
    let title =
        format!("{PREVIEW_SYMBOL} splits 4 for 1: the price falls to a quarter, sma_20 does not");
    let (x, title) = (Axis::Time, title.as_str());
    let above = Chart { title, series: prices, x, width, height: 16, color };
    let below = Chart { title: "", series: oscillator, x, width, height: 9, color };
    print_text(&format!("\n{}{}", above.render_text(), below.render_text()))
}

/// Returns the commands to try next, each below a comment on what it does, ready to be pasted into a shell.
fn next_commands(dir: &Path, width: Option<usize>) -> String {
    let bars = quote_shell_word(&dir.join("bars").to_string_lossy());
    let features = quote_shell_word(&dir.join("features/momentum").to_string_lossy());
    let mut steps = vec![
        (
            "type SQL, with completion, documentation and charts",
            format!("windrow repl --source bars={bars}"),
        ),
        (
            "what a feature set needs and how it is computed",
            format!("windrow explain momentum --source bars={bars}"),
        ),
        (
            "read features: a target is a source",
            format!(
                "windrow sql \"SELECT * FROM f WHERE symbol = '{PREVIEW_SYMBOL}' ORDER BY ts DESC LIMIT 5\" \
                 --source f={features}"
            ),
        ),
    ];
    if let Some(program) = program_off_path() {
        let alias = format!("alias windrow={}", quote_shell_word(&program.to_string_lossy()));
        steps.insert(0, ("windrow is not on your PATH: name it for this shell", alias));
    }
    const GOES_ON: &str = " \\\n";
    // A directory with spaces is in single quotes, within which a backslash does not continue a line.
    let width = width.filter(|_| !bars.contains('\''));
    let shown = steps.iter().map(|(does, command)| {
        let lines = match width {
            Some(width) => wrap_lines(command, width.saturating_sub(GOES_ON.len())),
            None => command.clone(),
        };
        let does = format!("# {does}");
        let does =
            width.map_or(does.clone(), |width| wrap_lines(&does, width).replace("\n", "\n#"));
        format!("{does}\n{}\n", lines.replace('\n', GOES_ON))
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// Quotes a word for a shell where that is needed.
fn quote_shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-=:+,@".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Returns the file of this program; None if the shell finds that same file as `windrow`.
fn program_off_path() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&folders)
        .map(|folder| folder.join("windrow"))
        .find(|file| file.is_file());
    let found = first.and_then(|file| file.canonicalize().ok());
    (found != program.canonicalize().ok()).then_some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(quote_shell_word("windrow-demo/bars"), "windrow-demo/bars");
        assert_eq!(quote_shell_word("my bars"), "'my bars'");
        assert_eq!(quote_shell_word("it's"), r"'it'\''s'");
        let told = next_commands(Path::new("d"), None);
        assert!(told.contains("\nwindrow repl --source bars=d/bars\n"), "{told}");
        // A continued line ends in a backslash, so the shell reads the same command.
        for width in [40, 60, 80] {
            let narrow = next_commands(Path::new("d"), Some(width));
            // The path of this program may be too long for a line.
            let fits = |line: &str| line.starts_with("alias") || line.len() <= width;
            assert!(narrow.lines().all(fits), "{narrow}");
            let joined = narrow.replace(" \\\n", " ").replace("\n#  ", " ");
            let words =
                |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
            assert_eq!(words(&joined), words(&told));
        }
    }
}
