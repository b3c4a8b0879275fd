//! Definitions with 32 digits, for functions of which TA-Lib itself loses digits: a row that differs passes only
//! if our value is the nearer one.

use crate::double::Double;
use windrow_udfs::{BoundCall, MaType};

/// A column with 32 digits; None where there is no value.
type Series = Vec<Option<Double>>;

/// The outputs of one call by the definition, which are computed when they are first asked for.
#[derive(Default)]
pub struct Exact {
    outputs: Option<Vec<Series>>,
}

impl Exact {
    /// Returns whether our value is at least as near to the definition as TA-Lib's; false where no definition is here.
    pub fn is_nearer(
        &mut self,
        bound: &BoundCall,
        columns: &[Vec<f64>],
        (output, row): (usize, usize),
        got: Option<f64>,
        want: f64,
    ) -> bool {
        let outputs = self.outputs.get_or_insert_with(|| definition(bound, columns));
        let exact = outputs.get(output).and_then(|output| output[row]);
        let (Some(got), Some(exact)) = (got, exact) else { return false };
        let distance = |value: f64| (exact - Double::from(value)).value().abs();
        distance(got) <= distance(want)
    }
}

/// Returns all outputs of a call by its definition; none where no definition is here.
fn definition(bound: &BoundCall, columns: &[Vec<f64>]) -> Vec<Series> {
    let params = &bound.params;
    let inputs: Vec<Series> = columns.iter().map(|column| wide(column)).collect();
    let of = |at: usize| params[at] as usize;
    let real = |at: usize| Double::from(params[at]);
    let ma = |at: usize| MaType::from_code(params[at]).unwrap();
    let x = &inputs[0];
    let middle = || zip(x, &inputs[1], |high, low| (high + low) * 0.5.into());
    let (small, large) = match params[..] {
        [one, other, ..] => (one.min(other) as usize, one.max(other) as usize),
        _ => (0, 0),
    };
    match bound.entry.spec.name {
        "var" => vec![windows(x, of(0), |window| moments(window).1)],
        "stddev" => vec![windows(x, of(0), |window| moments(window).1.sqrt() * real(1))],
        "bbands" | "bbw" | "percentb" => {
            let spread = windows(x, of(0), |window| moments(window).1.sqrt());
            let Some(mean) = average(x, ma(3), of(0)) else { return Vec::new() };
            let upper = zip(&mean, &spread, |mean, spread| mean + spread * real(1));
            let lower = zip(&mean, &spread, |mean, spread| mean - spread * real(2));
            let width = zip(&upper, &lower, |upper, lower| upper - lower);
            match bound.entry.spec.name {
                "bbands" => vec![upper, mean, lower],
                "bbw" => vec![zip(&width, &mean, |width, mean| width / mean * 100.0.into())],
                _ => vec![zip(&zip(x, &lower, |x, lower| x - lower), &width, |off, width| {
                    off / width
                })],
            }
        }
        "correl" => vec![pairs(x, &inputs[1], of(0), correlation)],
        "beta" => vec![pairs(&returns(x), &returns(&inputs[1]), of(0), slope)],
        "linearreg_slope" => vec![windows(x, of(0), |window| line(window).1)],
        "linearreg_intercept" => vec![windows(x, of(0), |window| line(window).0)],
        "linearreg" => vec![windows(x, of(0), |window| at(line(window), of(0) - 1))],
        "tsf" => vec![windows(x, of(0), |window| at(line(window), of(0)))],
        "apo" | "ppo" | "pvo" => {
            let (Some(fast), Some(slow)) = (average(x, ma(2), small), average(x, ma(2), large))
            else {
                return Vec::new();
            };
            let apo = zip(&fast, &slow, |fast, slow| fast - slow);
            match bound.entry.spec.name {
                "apo" => vec![apo],
                _ => vec![zip(&apo, &slow, |apo, slow| apo / slow * 100.0.into())],
            }
        }
        "ao" => vec![difference(&middle(), of(0), of(1))],
        "ac" => {
            let ao = difference(&middle(), of(0), of(1));
            vec![zip(&ao, &mean_of(&ao, of(2)), |ao, mean| ao - mean)]
        }
        "dpo" => {
            let late = delay(x, of(0) / 2 + 1);
            vec![zip(&late, &mean_of(x, of(0)), |late, mean| late - mean)]
        }
        "trix" => {
            let smooth = (0..3).fold(x.clone(), |series, _| ema(&series, of(0)));
            let before = delay(&smooth, 1);
            vec![zip(&smooth, &before, |now, before| (now - before) / before * 100.0.into())]
        }
        "stoch" | "kdj" => {
            let (k, d) = (ma(2), ma(4));
            let raw = range_position(&inputs, of(0));
            let Some(slow) = average(&raw, k, of(1)) else { return Vec::new() };
            let Some(slower) = average(&slow, d, of(3)) else { return vec![slow] };
            let j = zip(&slow, &slower, |k, d| k * 3.0.into() - d * 2.0.into());
            vec![slow, slower, j]
        }
        "stochf" => {
            let raw = range_position(&inputs, of(0));
            average(&raw, ma(2), of(1)).map_or(Vec::new(), |slow| vec![raw, slow])
        }
        "ma" => average(x, ma(1), of(0)).map_or(Vec::new(), |average| vec![average]),
        _ => Vec::new(),
    }
}

/// Returns the place of the close in the range of a window, in percent; 0 in a flat one.
fn range_position(inputs: &[Series], length: usize) -> Series {
    let extreme = |series: &Series, sign: f64| {
        windows(series, length, |window| {
            let values = window.iter().map(|value| value.value() * sign);
            Double::from(values.fold(f64::NEG_INFINITY, f64::max) * sign)
        })
    };
    let (highest, lowest) = (extreme(&inputs[0], 1.0), extreme(&inputs[1], -1.0));
    let range = zip(&highest, &lowest, |high, low| high - low);
    let offset = zip(&inputs[2], &lowest, |close, low| close - low);
    zip(&offset, &range, |offset, range| {
        let flat = range.value() == 0.0;
        if flat { Double::default() } else { offset / range * 100.0.into() }
    })
}

/// Returns Ehlers' adaptive average with limits 0.5 and 0.05.
fn phase_average(series: &Series) -> Series {
    let first = series.iter().position(Option::is_some).unwrap_or(series.len());
    let price = |row: usize| series[row].unwrap_or_default();
    let number = Double::from;
    // Rows of the smoothed price, its detrended form and the two parts of the phasor; 0 before they begin.
    let mut lines = vec![[Double::default(); 4]; series.len() + 7];
    let tap = |lines: &[[Double; 4]], row: usize, line: usize, scale: Double| {
        let at = |lag: usize| lines[row + 7 - lag][line];
        ((at(0) - at(6)) * number(0.0962) + (at(2) - at(4)) * number(0.5769)) * scale
    };
    let mut result = vec![None; series.len()];
    let (mut before, mut turn) = ([Double::default(); 2], [Double::default(); 2]);
    let (mut period, mut phase, mut mama) = (0.0, 0.0, Double::default());
    for row in first + 12..series.len() {
        let scale = number(0.075) * number(period) + number(0.54);
        let weighted = (0..4).map(|lag| price(row - lag) * number(4.0 - lag as f64));
        let smooth = weighted.fold(Double::default(), |sum, term| sum + term) * number(0.1);
        lines[row + 7][0] = smooth;
        lines[row + 7][1] = tap(&lines, row, 0, scale);
        lines[row + 7][2] = lines[row + 4][1];
        lines[row + 7][3] = tap(&lines, row, 1, scale);
        let [_, _, along, across] = lines[row + 7];
        let now = [along - tap(&lines, row, 3, scale), across + tap(&lines, row, 2, scale)];
        let now = [0, 1].map(|i| now[i] * number(0.2) + before[i] * number(0.8));
        let real = now[0] * before[0] + now[1] * before[1];
        let imaginary = now[0] * before[1] - now[1] * before[0];
        turn = [real, imaginary]
            .into_iter()
            .zip(turn)
            .map(|(new, old)| new * number(0.2) + old * number(0.8))
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        before = now;
        let angle =
            if along.value() == 0.0 { 0.0 } else { (across / along).value().atan().to_degrees() };
        let step = (phase - angle).max(1.0);
        phase = angle;
        let weight = if step > 1.0 { (0.5 / step).max(0.05) } else { 0.5 };
        mama = price(row) * number(weight) + mama * (number(1.0) - number(weight));
        let mut next = period;
        if turn[0].value() != 0.0 && turn[1].value() != 0.0 {
            next = 360.0 / (turn[1] / turn[0]).value().atan().to_degrees();
        }
        let next: f64 = next.min(1.5 * period).max(0.67 * period).clamp(6.0, 50.0);
        period = 0.2 * next + 0.8 * period;
        result[row] = (row >= first + 32).then_some(mama);
    }
    result
}

fn wide(column: &[f64]) -> Series {
    column.iter().map(|value| Some(Double::from(*value))).collect()
}

fn zip(one: &Series, other: &Series, of: impl Fn(Double, Double) -> Double) -> Series {
    one.iter().zip(other).map(|(one, other)| Some(of((*one)?, (*other)?))).collect()
}

fn delay(series: &Series, rows: usize) -> Series {
    (0..series.len()).map(|row| row.checked_sub(rows).and_then(|row| series[row])).collect()
}

/// Returns a value for each full window.
fn windows(series: &Series, length: usize, of: impl Fn(&[Double]) -> Double) -> Series {
    let window = |row: usize| -> Option<Double> {
        let values: Option<Vec<Double>> =
            series[(row + 1).checked_sub(length)?..=row].iter().copied().collect();
        values.map(|values| of(&values))
    };
    (0..series.len()).map(window).collect()
}

fn pairs(
    one: &Series,
    other: &Series,
    length: usize,
    of: impl Fn(&[Double], &[Double]) -> Double,
) -> Series {
    let window = |series: &Series, row: usize| -> Option<Vec<Double>> {
        series[(row + 1).checked_sub(length)?..=row].iter().copied().collect()
    };
    (0..one.len()).map(|row| Some(of(&window(one, row)?, &window(other, row)?))).collect()
}

/// Returns a moving average; None for kinds that have no definition here.
fn average(series: &Series, ma: MaType, length: usize) -> Option<Series> {
    let twice = |series: &Series| ema(&ema(series, length), length);
    Some(match ma {
        MaType::Disabled => series.clone(),
        _ if length <= 1 => series.clone(),
        MaType::Mama => phase_average(series),
        MaType::Sma => mean_of(series, length),
        MaType::Wma => weighted(series, length),
        MaType::Trima => mean_of(&mean_of(series, length.div_ceil(2)), length / 2 + 1),
        MaType::Hma => {
            let (half, all) = (weighted(series, (length / 2).max(1)), weighted(series, length));
            weighted(&zip(&half, &all, |half, all| half + half - all), length.isqrt().max(1))
        }
        MaType::Ema => ema(series, length),
        MaType::Rma => smooth(series, length, Double::from(1.0) / (length as f64).into()),
        MaType::Dema => zip(&ema(series, length), &twice(series), |one, two| one + one - two),
        MaType::Tema => {
            let (one, two) = (ema(series, length), twice(series));
            let three = ema(&two, length);
            zip(&zip(&one, &two, |one, two| (one - two) * 3.0.into()), &three, |off, three| {
                off + three
            })
        }
        _ => return None,
    })
}

fn mean_of(series: &Series, length: usize) -> Series {
    windows(series, length, mean)
}

fn difference(series: &Series, one: usize, other: usize) -> Series {
    zip(&mean_of(series, one), &mean_of(series, other), |one, other| one - other)
}

fn weighted(series: &Series, length: usize) -> Series {
    let weights = (length * (length + 1)) as f64 / 2.0;
    windows(series, length, |window| {
        let terms = window.iter().enumerate().map(|(i, value)| *value * ((i + 1) as f64).into());
        terms.fold(Double::default(), |sum, term| sum + term) / weights.into()
    })
}

fn ema(series: &Series, length: usize) -> Series {
    smooth(series, length, Double::from(2.0) / (length as f64 + 1.0).into())
}

/// Returns the recursion with this weight, seeded with the mean of the first values.
fn smooth(series: &Series, length: usize, weight: Double) -> Series {
    let Some(first) = series.iter().position(Option::is_some) else { return series.clone() };
    let mut result = vec![None; series.len()];
    let Some(seed) = series.get(first..first + length) else { return result };
    let seed: Vec<Double> = seed.iter().flatten().copied().collect();
    let mut value = mean(&seed);
    result[first + length - 1] = Some(value);
    for row in first + length..series.len() {
        value = value + (series[row].unwrap_or(value) - value) * weight;
        result[row] = Some(value);
    }
    result
}

fn returns(series: &Series) -> Series {
    let change = |now: Double, before: Double| {
        if before.value() == 0.0 { Double::default() } else { (now - before) / before }
    };
    zip(series, &delay(series, 1), change)
}

fn mean(values: &[Double]) -> Double {
    values.iter().fold(Double::default(), |sum, value| sum + *value) / (values.len() as f64).into()
}

/// Returns the mean and the population variance.
fn moments(values: &[Double]) -> (Double, Double) {
    (mean(values), covariance(values, values))
}

fn covariance(x: &[Double], y: &[Double]) -> Double {
    let (centre_x, centre_y) = (mean(x), mean(y));
    let products = x.iter().zip(y).map(|(x, y)| (*x - centre_x) * (*y - centre_y));
    mean(&products.collect::<Vec<_>>())
}

fn correlation(x: &[Double], y: &[Double]) -> Double {
    let spread = (covariance(x, x) * covariance(y, y)).sqrt();
    if spread.value() == 0.0 { Double::default() } else { covariance(x, y) / spread }
}

fn slope(x: &[Double], y: &[Double]) -> Double {
    let spread = covariance(x, x);
    if spread.value() == 0.0 { Double::default() } else { covariance(x, y) / spread }
}

/// Returns the intercept and the slope of the regression on the row numbers 0, 1, 2, ...
fn line(values: &[Double]) -> (Double, Double) {
    let rows: Vec<Double> = (0..values.len()).map(|row| Double::from(row as f64)).collect();
    let slope = slope(&rows, values);
    (mean(values) - slope * mean(&rows), slope)
}

fn at((intercept, slope): (Double, Double), row: usize) -> Double {
    intercept + slope * Double::from(row as f64)
}
