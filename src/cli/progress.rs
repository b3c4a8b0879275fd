//! Progress of long work: a bar for people, events for programs, both on standard error.

use std::future::Future;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::error::{Result, group_digits};
use crate::report::ProgressEvent;
use crate::write::Progress;

/// The width of a bar if standard error is no terminal.
const DEFAULT_BAR_WIDTH: u16 = 100;

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct ProgressArgs {
    /// What to say on standard error while working
    #[arg(long = "progress", value_name = "MODE", value_enum, default_value_t = ProgressMode::Auto)]
    mode: ProgressMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProgressMode {
    /// A bar at a terminal, nothing in a pipe
    Auto,
    /// A bar, also in a pipe
    Bar,
    /// One JSON object per line, about twice a second
    Json,
    /// Nothing
    None,
}

impl ProgressArgs {
    /// Runs `work`, which counts its rows in `progress`, and shows rows, rate and remaining time meanwhile.
    pub(super) async fn run_with_progress<T>(
        self,
        title: &str,
        progress: &Arc<Progress>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let terminal = stderr().is_terminal();
        let (title, progress) = (title.to_string(), Arc::clone(progress));
        let meter = Meter { title, progress, started: Instant::now() };
        let looker: Box<dyn ProgressDisplay> = match self.mode {
            ProgressMode::None => return work.await,
            ProgressMode::Auto if !terminal => return work.await,
            ProgressMode::Json => Box::new(EventDisplay),
            ProgressMode::Auto | ProgressMode::Bar => Box::new(BarDisplay::new(&meter, terminal)),
        };
        let mut shown = DisplayThread::spawn(meter, looker);
        let done = work.await;
        shown.error = done.as_ref().err().map(ToString::to_string);
        done
    }
}

/// A display of progress that is updated at intervals.
trait ProgressDisplay: Send {
    fn update_interval(&self) -> Duration;
    fn show_start(&self, _title: &str) {}
    fn show_progress(&self, title: &str, state: ProgressSnapshot);
    fn show_end(&self, title: &str, state: ProgressSnapshot, error: Option<&str>);
}

/// A thread that shows progress until this value is dropped. It is not one of the compute workers, because
/// timers wait while those compute.
struct DisplayThread {
    running: Option<Sender<Option<String>>>,
    thread: Option<JoinHandle<()>>,
    error: Option<String>,
}

impl DisplayThread {
    fn spawn(meter: Meter, looker: Box<dyn ProgressDisplay>) -> Self {
        let (running, ended) = channel::<Option<String>>();
        let thread = std::thread::Builder::new().spawn(move || {
            let title = &meter.title;
            looker.show_start(title);
            let error = loop {
                match ended.recv_timeout(looker.update_interval()) {
                    Ok(error) => break error,
                    Err(RecvTimeoutError::Timeout) => {
                        looker.show_progress(title, meter.take_snapshot())
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            looker.show_end(title, meter.take_snapshot(), error.as_deref());
        });
        // If the thread cannot be started, nothing is shown and the work goes on.
        let error = Some("interrupted".to_string()); // Replaced once the work has ended.
        Self { running: Some(running), thread: thread.ok(), error }
    }
}

impl Drop for DisplayThread {
    fn drop(&mut self) {
        if let (Some(running), Some(thread)) = (self.running.take(), self.thread.take()) {
            let _ = running.send(self.error.take());
            let _ = thread.join();
        }
    }
}

struct BarDisplay(ProgressBar);

impl BarDisplay {
    fn new(meter: &Meter, terminal: bool) -> Self {
        let place = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::term_like(Box::new(StderrPipe))
        };
        let bar = ProgressBar::with_draw_target(None, place);
        bar.set_prefix(meter.title.clone());
        if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl ProgressDisplay for BarDisplay {
    fn update_interval(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn show_progress(&self, _: &str, state: ProgressSnapshot) {
        let Self(bar) = self;
        if let Some(total) = state.total
            && bar.length().is_none()
            && let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:24}] {wide_msg}")
        {
            bar.set_style(style.progress_chars("=> "));
            bar.set_length(2 * total);
        }
        bar.set_position(state.rows_processed());
        bar.set_message(state.status_line());
        bar.tick();
    }

    fn show_end(&self, _: &str, _: ProgressSnapshot, _: Option<&str>) {
        self.0.finish_and_clear();
    }
}

struct EventDisplay;

impl ProgressDisplay for EventDisplay {
    fn update_interval(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn show_start(&self, title: &str) {
        print_event(&ProgressEvent::Started { set: title.to_string() });
    }

    fn show_progress(&self, title: &str, state: ProgressSnapshot) {
        print_event(&ProgressEvent::Progress {
            set: title.to_string(),
            rows: state.rows,
            read: state.read,
            total: state.total,
            seconds: round_to_millis(state.seconds),
            rows_per_second: state.rows_per_second().map(f64::round),
            remaining_seconds: state.estimate_remaining().map(round_to_millis),
        });
    }

    fn show_end(&self, title: &str, state: ProgressSnapshot, error: Option<&str>) {
        let (set, seconds) = (title.to_string(), round_to_millis(state.seconds));
        print_event(&match error {
            None => ProgressEvent::Finished { set, rows: state.rows, seconds },
            Some(error) => ProgressEvent::Failed { set, seconds, error: error.to_string() },
        });
    }
}

/// Writes an event, which can always be serialized, as one line of JSON.
fn print_event(event: &ProgressEvent) {
    if let Ok(line) = serde_json::to_string(event) {
        eprintln!("{line}");
    }
}

fn round_to_millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The work whose progress is shown.
struct Meter {
    title: String,
    progress: Arc<Progress>,
    started: Instant,
}

impl Meter {
    fn take_snapshot(&self) -> ProgressSnapshot {
        let rows = self.progress.rows_written();
        // Every row that was written was also read, even if no scan counted it.
        let read = self.progress.rows_read().max(rows);
        let seconds = self.started.elapsed().as_secs_f64();
        ProgressSnapshot { rows, read, total: self.progress.total_rows(), seconds }
    }
}

/// The state of the work at one moment.
#[derive(Clone, Copy, Debug)]
struct ProgressSnapshot {
    rows: u64,
    read: u64,
    total: Option<u64>,
    seconds: f64,
}

impl ProgressSnapshot {
    /// Returns rows read plus rows written, since a sort reads everything before it writes.
    fn rows_processed(&self) -> u64 {
        let most = self.total.unwrap_or(u64::MAX / 2);
        self.read.min(most) + self.rows.min(most)
    }

    /// Returns rows written per second, or rows read per second while none is written yet.
    fn rows_per_second(&self) -> Option<f64> {
        let rows = if self.rows > 0 { self.rows } else { self.read };
        (rows > 0 && self.seconds > 0.0).then(|| rows as f64 / self.seconds)
    }

    fn estimate_remaining(&self) -> Option<f64> {
        let (work, total) = (self.rows_processed() as f64, self.total? as f64 * 2.0);
        (work > 0.0).then(|| self.seconds * (total - work).max(0.0) / work)
    }

    /// Formats the state: `1,234 of 5,000 rows, 617 rows/s, 6 s left`.
    fn status_line(&self) -> String {
        let (rows, what) = if self.rows > 0 || self.read == 0 {
            (self.rows, "rows")
        } else {
            (self.read, "rows read")
        };
        let of = self.total.map(|total| format!(" of {}", group_digits(total.max(rows))));
        let mut words = format!("{}{} {what}", group_digits(rows), of.unwrap_or_default());
        if let Some(rate) = self.rows_per_second() {
            words += &format!(", {} rows/s", group_digits(rate as u64));
        }
        words
            + &match self.estimate_remaining() {
                Some(left) => format!(", {} left", format_duration(left)),
                None => format!(", {}", format_duration(self.seconds)),
            }
    }
}

/// Formats a duration: `42 s`, `3 min 05 s`, `2 h 07 min`.
fn format_duration(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// Standard error that is no terminal; the bar overwrites its own line.
#[derive(Debug)]
struct StderrPipe;

impl StderrPipe {
    fn write_stderr(text: &str) -> std::io::Result<()> {
        stderr().write_all(text.as_bytes())
    }
}

impl TermLike for StderrPipe {
    fn width(&self) -> u16 {
        DEFAULT_BAR_WIDTH
    }

    fn move_cursor_up(&self, lines: usize) -> std::io::Result<()> {
        if lines == 0 { Ok(()) } else { Self::write_stderr(&format!("\x1b[{lines}A")) }
    }

    fn move_cursor_down(&self, lines: usize) -> std::io::Result<()> {
        if lines == 0 { Ok(()) } else { Self::write_stderr(&format!("\x1b[{lines}B")) }
    }

    fn move_cursor_right(&self, columns: usize) -> std::io::Result<()> {
        if columns == 0 { Ok(()) } else { Self::write_stderr(&format!("\x1b[{columns}C")) }
    }

    fn move_cursor_left(&self, columns: usize) -> std::io::Result<()> {
        if columns == 0 { Ok(()) } else { Self::write_stderr(&format!("\x1b[{columns}D")) }
    }

    fn write_line(&self, text: &str) -> std::io::Result<()> {
        Self::write_stderr(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> std::io::Result<()> {
        Self::write_stderr(text)
    }

    fn clear_line(&self) -> std::io::Result<()> {
        Self::write_stderr("\r\x1b[2K")
    }

    fn flush(&self) -> std::io::Result<()> {
        stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people() {
        let cases = [
            (0, 0, None, 0.4, "0 rows, 1 s"),
            (0, 500, Some(2000), 1.0, "500 of 2,000 rows read, 500 rows/s, 7 s left"),
            (1000, 1000, Some(2000), 2.0, "1,000 of 2,000 rows, 500 rows/s, 2 s left"),
            (2000, 2000, Some(2000), 2.0, "2,000 of 2,000 rows, 1,000 rows/s, 0 s left"),
            (3000, 3000, Some(2000), 3.0, "3,000 of 3,000 rows, 1,000 rows/s, 0 s left"),
            (500, 900, None, 5.0, "500 rows, 100 rows/s, 5 s"),
        ];
        for (rows, read, total, seconds, expected) in cases {
            assert_eq!(ProgressSnapshot { rows, read, total, seconds }.status_line(), expected);
        }
    }

    #[test]
    fn durations() {
        let cases = [(0.2, "1 s"), (59.0, "59 s"), (185.0, "3 min 05 s"), (7620.0, "2 h 07 min")];
        for (seconds, expected) in cases {
            assert_eq!(format_duration(seconds), expected);
        }
    }
}
