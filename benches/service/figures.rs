//! Figures: medians of rounds beside their bounds, as the rows of one table.

use std::path::Path;
use std::time::Instant;

use crate::Outcome;
use crate::server::{Server, own_processor_time};

/// The bound of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// The figure is told for comparison only.
    None,
}

/// A figure with the values of its rounds.
pub(crate) struct Figure<'a> {
    pub(crate) what: &'a str,
    /// One value for each round.
    pub(crate) values: Vec<f64>,
    pub(crate) unit: &'a str,
    pub(crate) bound: Bound,
    /// What the replaced system promised.
    pub(crate) theirs: &'a str,
    /// What belongs beside it.
    pub(crate) beside: String,
}

/// Prints the head of the table of figures.
pub(crate) fn print_head() {
    println!("| what | median | bound | | theirs | rounds | beside |");
    println!("|---|---:|---:|---|---|---|---|");
}

/// Prints the row of a figure.
pub(crate) fn print_figure(figure: &Figure<'_>) {
    let Figure { what, unit, theirs, beside, .. } = figure;
    let mut values = figure.values.clone();
    values.sort_by(f64::total_cmp);
    let middle = median(&values);
    let (sign, bound, holds) = match figure.bound {
        Bound::AtLeast(bound) => ("≥ ", show(bound), middle >= bound),
        Bound::AtMost(bound) => ("≤ ", show(bound), middle <= bound),
        Bound::None => ("", String::new(), true),
    };
    let verdict = match holds {
        _ if sign.is_empty() => "",
        true => "holds",
        false => "**misses**",
    };
    let rounds = match values.as_slice() {
        [first, .., last] => format!("{}: {} to {}", values.len(), show(*first), show(*last)),
        _ => String::from("1"),
    };
    let middle = format!("{} {unit}", show(middle));
    let bound = format!("{sign}{bound}");
    let cells = [what, middle.trim(), &bound, verdict, theirs, &rounds, beside];
    println!("| {} |", cells.join(" | "));
}

/// Returns the middle of sorted values.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// Returns a number with three digits that count.
pub(crate) fn show(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => group_digits(value),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Returns a whole number with commas between thousands.
fn group_digits(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Measures wall time and processor times, of this process and of a service.
pub(crate) struct Meter {
    began: Instant,
    own: f64,
    served: f64,
}

/// What passed between two looks, in seconds.
pub(crate) struct Spent {
    pub(crate) wall: f64,
    /// The processor time of the load generator.
    pub(crate) own: f64,
    /// The processor time of the service.
    pub(crate) served: f64,
}

impl Meter {
    pub(crate) fn start(server: Option<&Server>) -> Outcome<Self> {
        let served = server.map_or(Ok(0.0), Server::processor_time)?;
        Ok(Self { own: own_processor_time()?, served, began: Instant::now() })
    }

    pub(crate) fn stop(&self, server: Option<&Server>) -> Outcome<Spent> {
        let wall = self.began.elapsed().as_secs_f64();
        let served = server.map_or(Ok(0.0), Server::processor_time)? - self.served;
        Ok(Spent { wall, own: own_processor_time()? - self.own, served })
    }
}

impl Spent {
    /// Returns the share of all processors that the service used, in percent.
    pub(crate) fn share_of_processors(&self) -> f64 {
        100.0 * self.served / (self.wall * processors() as f64)
    }

    /// Returns both processor times, as shares of one processor.
    pub(crate) fn tell(&self) -> String {
        let share = |seconds: f64| 100.0 * seconds / self.wall;
        format!("processor: service {:.0} %, load {:.0} %", share(self.served), share(self.own))
    }
}

/// Returns the number of processors.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Prints what the figures were measured on.
pub(crate) fn print_machine(program: &Path) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("", |model| model.trim_start_matches([':', ' ', '\t']));
    let memory = read("/proc/meminfo");
    let kilobytes = memory.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok());
    let version = std::process::Command::new(program).arg("--version").output();
    let version = version.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_string());
    println!(
        "{model}, {} processors, {:.0} GB, Linux {}; load {}; {}, {}",
        processors(),
        kilobytes.unwrap_or_default() / 1e6,
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
        version.unwrap_or_default(),
        program.display(),
    );
    println!();
}
