//! The bars that functions are compared on: walks, trends, flat stretches, gaps, and prices of any size.

use crate::rows::Random;
use windrow_udfs::{CALM_BARS, CALM_TIMES, ExampleRows, Spec, all_functions};

/// Rows of a series: enough for the longest drawn parameters to give values.
const ROWS: usize = 420;

/// Bars under a name.
pub struct Bars {
    pub name: &'static str,
    open: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    close: Vec<f64>,
    volume: Vec<f64>,
    periods: Vec<f64>,
}

impl Bars {
    fn empty(name: &'static str) -> Bars {
        Bars {
            name,
            open: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            close: Vec::new(),
            volume: Vec::new(),
            periods: Vec::new(),
        }
    }

    fn push_bar(&mut self, [open, high, low, close]: [f64; 4], volume: f64) {
        self.open.push(open);
        self.high.push(high);
        self.low.push(low);
        self.close.push(close);
        self.volume.push(volume);
        self.periods.push((self.periods.len() * 7 % 35) as f64);
    }

    /// Returns the columns that a function reads, in its order.
    pub fn inputs_of(&self, spec: &Spec) -> Vec<Vec<f64>> {
        let column = |name: &&str| match *name {
            "open" => self.open.clone(),
            "high" => self.high.clone(),
            "low" => self.low.clone(),
            "close" => self.close.clone(),
            "volume" => self.volume.clone(),
            "periods" => self.periods.clone(),
            other => panic!("{}: no series has a column {other}", spec.name),
        };
        spec.inputs.iter().map(column).collect()
    }
}

/// Times that the bars of each pattern stand in [`pattern_bars`].
const PATTERN_TIMES: usize = 8;

/// Returns the bars of every candlestick pattern, each after calm bars: once as they are, then with some prices moved.
pub fn pattern_bars() -> Bars {
    let mut random = Random(99);
    let mut bars = Bars::empty("patterns");
    for spec in all_functions().map(|entry| &entry.spec) {
        let Some(ExampleRows::AfterCalm(own)) = spec.example.map(|example| example.rows) else {
            continue;
        };
        for time in 0..PATTERN_TIMES {
            for bar in CALM_BARS.repeat(CALM_TIMES) {
                bars.push_bar(bar, 1000.0);
            }
            for [open, high, low, close] in own.iter().copied() {
                let mut moved = |price: f64| match time {
                    0 => price,
                    _ if random.next() < 0.8 => price,
                    _ => price + ((random.next() - 0.5) * 8.0).round() / 8.0,
                };
                let [open, close] = [moved(open), moved(close)];
                let (high, low) = (moved(high), moved(low));
                let (top, bottom) = (open.max(close), open.min(close));
                bars.push_bar([open, high.max(top), low.min(bottom), close], 1000.0);
            }
        }
    }
    bars
}

/// How the prices of a series move.
struct Shape {
    name: &'static str,
    /// The price at the start.
    price: f64,
    /// The size of one step, as a share of the price.
    step: f64,
    /// The mean of a step, as a share of its size.
    drift: f64,
    /// The likelihood that a bar begins a flat stretch, in which nothing moves.
    flat: f64,
    /// The likelihood of a gap of many steps.
    gap: f64,
    /// The amplitude of a cycle of 25 bars, in steps.
    cycle: f64,
    /// The grid of the prices, as a share of the size of a step; 0 for none.
    tick: f64,
    /// The likelihood of a bar without volume.
    idle: f64,
}

const WALK: Shape = Shape {
    name: "walk",
    price: 100.0,
    step: 0.01,
    drift: 0.0,
    flat: 0.0,
    gap: 0.0,
    cycle: 0.0,
    tick: 0.0,
    idle: 0.0,
};

const SHAPES: [Shape; 14] = [
    WALK,
    Shape { name: "rise", drift: 0.4, ..WALK },
    Shape { name: "fall", drift: -0.4, price: 1000.0, ..WALK },
    Shape { name: "flat stretches", flat: 0.05, tick: 0.125, ..WALK },
    Shape { name: "gaps", gap: 0.05, ..WALK },
    Shape { name: "small prices", price: 1e-4, ..WALK },
    Shape { name: "large prices", price: 1e6, step: 1e-4, ..WALK },
    Shape { name: "idle", idle: 0.3, ..WALK },
    Shape { name: "cycle", cycle: 8.0, step: 0.004, ..WALK },
    Shape { name: "ticks", tick: 0.25, step: 0.02, ..WALK },
    Shape { name: "coarse ticks", tick: 1.0, step: 0.02, gap: 0.02, ..WALK },
    Shape { name: "constant", step: 0.0, idle: 0.1, ..WALK },
    Shape { name: "flat start", flat: 0.3, tick: 0.125, ..WALK },
    Shape { name: "cents", tick: 0.01, ..WALK },
];

/// Returns every series.
pub fn all_series() -> Vec<Bars> {
    SHAPES.iter().enumerate().map(|(i, shape)| draw_bars(shape, 17 + i as u64)).collect()
}

fn draw_bars(shape: &Shape, seed: u64) -> Bars {
    let mut random = Random(seed);
    let unit = shape.price * shape.step;
    // A grid of powers of two: sums of such prices have no rounding, so that ties are ties in every order of adding.
    let grid = if shape.tick == 0.01 { 0.01 } else { (unit * shape.tick).log2().floor().exp2() };
    let snap = |value: f64| match shape.tick {
        0.0 => value,
        _ => (value / grid).round() * grid,
    };
    let mut bars = Bars::empty(shape.name);
    let (mut level, mut flat) = (shape.price, 0);
    let mut close = snap(level);
    for row in 0..ROWS {
        if random.next() < shape.flat {
            flat = (random.next() * 60.0) as usize;
        }
        let steps = if flat > 0 { 0.0 } else { 1.0 };
        flat = flat.saturating_sub(1);
        let jump = if random.next() < shape.gap { (random.next() - 0.5) * 16.0 } else { 0.0 };
        let open = snap(close + steps * unit * (jump + 0.4 * (random.next() - 0.5)));
        level += steps * unit * (jump + shape.drift + 2.0 * (random.next() - 0.5));
        level = level.max(shape.price * 0.05);
        let wave = shape.cycle * (row as f64 * std::f64::consts::TAU / 25.0).sin();
        close = if steps == 0.0 { open } else { snap(level + unit * wave) };
        let (top, bottom) = (open.max(close), open.min(close));
        let high = snap(top + steps * unit * random.next());
        let low = snap(bottom - steps * unit * random.next()).max(snap(shape.price * 1e-3));
        let idle = random.next() < shape.idle;
        let volume = if idle { 0.0 } else { (random.next() * 1e5).round() };
        bars.push_bar([open, high, low, close], volume);
    }
    bars
}
