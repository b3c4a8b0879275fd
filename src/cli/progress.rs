//! Progress on long work: a bar for people, events for programs, both on standard error.

use std::future::Future;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::error::{Result, grouped};
use crate::report::Event;
use crate::write::Progress;

/// The width of a bar where there is no terminal to ask.
const WIDTH: u16 = 100;

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct ProgressArgs {
    /// What to say on standard error while working
    #[arg(long = "progress", value_name = "MODE", value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
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
    /// Shows rows, rate and remaining time of `work`, which counts in `progress`.
    pub(super) async fn shown<T>(
        self,
        title: &str,
        progress: &Arc<Progress>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let terminal = stderr().is_terminal();
        let (title, progress) = (title.to_string(), Arc::clone(progress));
        let meter = Meter { title, progress, started: Instant::now() };
        let looker: Box<dyn Looker> = match self.mode {
            Mode::None => return work.await,
            Mode::Auto if !terminal => return work.await,
            Mode::Json => Box::new(Events),
            Mode::Auto | Mode::Bar => Box::new(Bar::new(&meter, terminal)),
        };
        let mut shown = Shown::start(meter, looker);
        let done = work.await;
        shown.error = done.as_ref().err().map(ToString::to_string);
        done
    }
}

/// Looks at the work every now and then.
trait Looker: Send {
    fn every(&self) -> Duration;
    fn start(&self, _title: &str) {}
    fn look(&self, title: &str, state: State);
    fn end(&self, title: &str, state: State, error: Option<&str>);
}

/// A thread that looks at the work until this is dropped. Workers that compute let timers wait, so
/// it is none of theirs.
struct Shown {
    running: Option<Sender<Option<String>>>,
    thread: Option<JoinHandle<()>>,
    error: Option<String>,
}

impl Shown {
    fn start(meter: Meter, looker: Box<dyn Looker>) -> Self {
        let (running, ended) = channel::<Option<String>>();
        let thread = std::thread::Builder::new().spawn(move || {
            let title = &meter.title;
            looker.start(title);
            let error = loop {
                match ended.recv_timeout(looker.every()) {
                    Ok(error) => break error,
                    Err(RecvTimeoutError::Timeout) => looker.look(title, meter.state()),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            looker.end(title, meter.state(), error.as_deref());
        });
        // Without a thread nothing is shown, and the work goes on.
        let error = Some("interrupted".to_string()); // Until the work says how it ended.
        Self { running: Some(running), thread: thread.ok(), error }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let (Some(running), Some(thread)) = (self.running.take(), self.thread.take()) {
            let _ = running.send(self.error.take());
            let _ = thread.join();
        }
    }
}

struct Bar(ProgressBar);

impl Bar {
    fn new(meter: &Meter, terminal: bool) -> Self {
        let place = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::term_like(Box::new(Pipe))
        };
        let bar = ProgressBar::with_draw_target(None, place);
        bar.set_prefix(meter.title.clone());
        if let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Looker for Bar {
    fn every(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn look(&self, _: &str, state: State) {
        let Self(bar) = self;
        if let Some(total) = state.total
            && bar.length().is_none()
            && let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:24}] {wide_msg}")
        {
            bar.set_style(style.progress_chars("=> "));
            bar.set_length(2 * total);
        }
        bar.set_position(state.work());
        bar.set_message(state.words());
        bar.tick();
    }

    fn end(&self, _: &str, _: State, _: Option<&str>) {
        self.0.finish_and_clear();
    }
}

struct Events;

impl Looker for Events {
    fn every(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn start(&self, title: &str) {
        tell(&Event::Started { set: title.to_string() });
    }

    fn look(&self, title: &str, state: State) {
        tell(&Event::Progress {
            set: title.to_string(),
            rows: state.rows,
            read: state.read,
            total: state.total,
            seconds: rounded(state.seconds),
            rows_per_second: state.rate().map(f64::round),
            remaining_seconds: state.remaining().map(rounded),
        });
    }

    fn end(&self, title: &str, state: State, error: Option<&str>) {
        let (set, seconds) = (title.to_string(), rounded(state.seconds));
        tell(&match error {
            None => Event::Finished { set, rows: state.rows, seconds },
            Some(error) => Event::Failed { set, seconds, error: error.to_string() },
        });
    }
}

/// Writes an event, which always has a JSON text, as one line.
fn tell(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        eprintln!("{line}");
    }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The work that is shown.
struct Meter {
    title: String,
    progress: Arc<Progress>,
    started: Instant,
}

impl Meter {
    fn state(&self) -> State {
        let rows = self.progress.rows();
        // What is written was read, whether or not a scan says so.
        let read = self.progress.read().max(rows);
        let seconds = self.started.elapsed().as_secs_f64();
        State { rows, read, total: self.progress.total(), seconds }
    }
}

/// The work at one moment.
#[derive(Clone, Copy, Debug)]
struct State {
    rows: u64,
    read: u64,
    total: Option<u64>,
    seconds: f64,
}

impl State {
    /// Rows read and rows written: a sort does the one before the other.
    fn work(&self) -> u64 {
        let most = self.total.unwrap_or(u64::MAX / 2);
        self.read.min(most) + self.rows.min(most)
    }

    /// Rows written per second; rows read while none is written yet.
    fn rate(&self) -> Option<f64> {
        let rows = if self.rows > 0 { self.rows } else { self.read };
        (rows > 0 && self.seconds > 0.0).then(|| rows as f64 / self.seconds)
    }

    fn remaining(&self) -> Option<f64> {
        let (work, total) = (self.work() as f64, self.total? as f64 * 2.0);
        (work > 0.0).then(|| self.seconds * (total - work).max(0.0) / work)
    }

    /// `1,234 of 5,000 rows, 617 rows/s, 6 s left`.
    fn words(&self) -> String {
        let (rows, what) = if self.rows > 0 || self.read == 0 {
            (self.rows, "rows")
        } else {
            (self.read, "rows read")
        };
        let of = self.total.map(|total| format!(" of {}", grouped(total.max(rows))));
        let mut words = format!("{}{} {what}", grouped(rows), of.unwrap_or_default());
        if let Some(rate) = self.rate() {
            words += &format!(", {} rows/s", grouped(rate as u64));
        }
        words
            + &match self.remaining() {
                Some(left) => format!(", {} left", duration(left)),
                None => format!(", {}", duration(self.seconds)),
            }
    }
}

/// `42 s`, `3 min 05 s`, `2 h 07 min`.
fn duration(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// Standard error where it is no terminal: a line that is written over itself.
#[derive(Debug)]
struct Pipe;

impl Pipe {
    fn put(text: &str) -> std::io::Result<()> {
        stderr().write_all(text.as_bytes())
    }
}

impl TermLike for Pipe {
    fn width(&self) -> u16 {
        WIDTH
    }

    fn move_cursor_up(&self, lines: usize) -> std::io::Result<()> {
        if lines == 0 { Ok(()) } else { Self::put(&format!("\x1b[{lines}A")) }
    }

    fn move_cursor_down(&self, lines: usize) -> std::io::Result<()> {
        if lines == 0 { Ok(()) } else { Self::put(&format!("\x1b[{lines}B")) }
    }

    fn move_cursor_right(&self, columns: usize) -> std::io::Result<()> {
        if columns == 0 { Ok(()) } else { Self::put(&format!("\x1b[{columns}C")) }
    }

    fn move_cursor_left(&self, columns: usize) -> std::io::Result<()> {
        if columns == 0 { Ok(()) } else { Self::put(&format!("\x1b[{columns}D")) }
    }

    fn write_line(&self, text: &str) -> std::io::Result<()> {
        Self::put(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> std::io::Result<()> {
        Self::put(text)
    }

    fn clear_line(&self) -> std::io::Result<()> {
        Self::put("\r\x1b[2K")
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
            assert_eq!(State { rows, read, total, seconds }.words(), expected);
        }
    }

    #[test]
    fn durations() {
        let cases = [(0.2, "1 s"), (59.0, "59 s"), (185.0, "3 min 05 s"), (7620.0, "2 h 07 min")];
        for (seconds, expected) in cases {
            assert_eq!(duration(seconds), expected);
        }
    }
}
