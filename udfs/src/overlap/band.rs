//! Bands and channels around the price.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, average_param, bars, real_param};
use crate::kernel::{
    Average, Fold, Highest, Lowest, MaType, Mean, Moments, Smoother, TrueRange, is_noise,
    typical_price,
};
use serde::{Deserialize, Serialize};

use super::overlap_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Bbands, 1, 3>(),
    entry::<Donchian, 2, 3>(),
    entry::<Accbands, 3, 3>(),
    entry::<Kc, 3, 3>(),
    entry::<Midpoint, 1, 1>(),
    entry::<Midprice, 2, 1>(),
];

#[derive(Debug, Serialize, Deserialize)]
struct Bbands {
    middle: Average,
    window: Fold<Moments>,
    count: f64,
    up: f64,
    down: f64,
}

impl Indicator<1, 3> for Bbands {
    const SPEC: Spec = overlap_spec("bbands", "Bollinger bands")
        .version(2)
        .doc(
            "A moving average, and bands nbdevup and nbdevdn population standard deviations \
             above and below it.",
            "Bollinger; TA-Lib BBANDS",
        )
        .params(&[
            bars("timeperiod", 20, 2),
            real_param("nbdevup", 2.0),
            real_param("nbdevdn", 2.0),
            average_param("matype", MaType::Sma),
        ])
        .outputs(&["upperband", "middleband", "lowerband"])
        .example(
            &[3.0, 2.0, 2.0, 0.0],
            &[
                &[NULL, NULL, 11.8165, 11.80474, 12.91389, 12.77614, 12.8165, 13.41389],
                &[NULL, NULL, 11.0, 11.33333, 11.66667, 11.83333, 12.0, 12.16667],
                &[NULL, NULL, 10.1835, 10.86193, 10.41945, 10.89052, 11.1835, 10.91945],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.average(3).lookback_over(params.bars(0)).max(params.bars(0) - 1)
    }

    fn warmup(params: &Params) -> usize {
        params.average(3).warmup_over(params.bars(0))
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(3).memory_class()
    }

    fn new(params: &Params) -> Self {
        Bbands {
            middle: Average::new(params.average(3), params.bars(0)),
            window: Fold::new(params.bars(0)),
            count: params.real(0),
            up: params.real(1),
            down: params.real(2),
        }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 3] {
        let middle = self.middle.next(value);
        let deviation =
            (self.window.push_row(Moments::from_value(value)).squares / self.count).sqrt();
        [middle + deviation * self.up, middle, middle - deviation * self.down]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [upper, middle, lower]: [&mut [f64]; 3]) {
        self.middle.next_rows(values, middle);
        let rows = values.iter().map(|value| Moments::from_value(*value));
        let (count, up, down) = (self.count, self.up, self.down);
        self.window.push_rows(rows, |row, window| {
            let deviation = (window.squares / count).sqrt();
            upper[row] = middle[row] + deviation * up;
            lower[row] = middle[row] - deviation * down;
        });
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Donchian {
    upper: Fold<Highest>,
    lower: Fold<Lowest>,
}

impl Indicator<2, 3> for Donchian {
    const SPEC: Spec = overlap_spec("donchian", "Donchian channel")
        .doc(
            "The highest high and the lowest low of the last n bars, and the middle between \
             them.",
            "Donchian; TA-Lib DONCHIAN",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 20, 2)])
        .outputs(&["upperband", "middleband", "lowerband"])
        .example(
            &[3.0],
            &[
                &[NULL, NULL, 12.5, 12.5, 13.0, 13.5, 13.5, 13.5],
                &[NULL, NULL, 11.0, 11.25, 11.75, 12.0, 12.0, 12.0],
                &[NULL, NULL, 9.5, 10.0, 10.5, 10.5, 10.5, 10.5],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Donchian { upper: Fold::new(params.bars(0)), lower: Fold::new(params.bars(0)) }
    }

    fn next(&mut self, [high, low]: [f64; 2]) -> [f64; 3] {
        let (upper, lower) =
            (self.upper.push_row(Highest(high)).0, self.lower.push_row(Lowest(low)).0);
        [upper, (upper + lower) / 2.0, lower]
    }

    fn next_rows(&mut self, [high, low]: [&[f64]; 2], [upper, middle, lower]: [&mut [f64]; 3]) {
        self.upper
            .push_rows(high.iter().map(|high| Highest(*high)), |row, window| upper[row] = window.0);
        self.lower.push_rows(low.iter().map(|low| Lowest(*low)), |row, window| {
            lower[row] = window.0;
            middle[row] = (upper[row] + window.0) / 2.0;
        });
    }
}

/// Headley's acceleration bands.
#[derive(Debug, Serialize, Deserialize)]
struct Accbands {
    upper: Mean,
    middle: Mean,
    lower: Mean,
}

impl Indicator<3, 3> for Accbands {
    const SPEC: Spec = overlap_spec("accbands", "Acceleration bands")
        .doc(
            "The means over n bars of high * (1 + w), close and low * (1 - w), with w = 4 * \
             (high - low) / (high + low).",
            "Headley 2002; TA-Lib ACCBANDS",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 20, 2)])
        .outputs(&["upperband", "middleband", "lowerband"])
        .example(
            &[3.0],
            &[
                &[NULL, NULL, 15.42488, 15.75171, 15.69172, 16.79796, 17.34723, 17.89268],
                &[NULL, NULL, 11.0, 11.33333, 11.66667, 11.83333, 12.0, 12.16667],
                &[NULL, NULL, 7.09155, 7.41838, 8.19172, 7.63129, 7.34723, 7.05934],
            ],
        );

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        let mean = Mean::new(params.bars(0));
        Accbands { upper: mean.clone(), middle: mean.clone(), lower: mean }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 3] {
        let both = high + low;
        let flat = is_noise(both, high.abs() + low.abs());
        let width = if flat { 0.0 } else { 4.0 * (high - low) / both };
        [
            self.upper.next(high * (1.0 + width)),
            self.middle.next(close),
            self.lower.next(low * (1.0 - width)),
        ]
    }
}

/// Keltner's channel around the typical price.
#[derive(Debug, Serialize, Deserialize)]
struct Kc {
    /// Rows that the average and the range still wait, so that both give their first value on the same row.
    wait: [usize; 2],
    middle: Average,
    range: TrueRange,
    average: Smoother,
    times: f64,
}

impl Indicator<3, 3> for Kc {
    const SPEC: Spec = overlap_spec("kc", "Keltner channel")
        .doc(
            "An exponential average of the typical price (high + low + close) / 3, and bands \
             nbdev average true ranges above and below it.",
            "Keltner 1960, Raschke; TA-Lib KC",
        )
        .inputs(&["high", "low", "close"])
        .params(&[bars("timeperiod", 20, 2), bars("atrperiod", 10, 1), real_param("nbdev", 2.0)])
        .outputs(&["upperband", "middleband", "lowerband"])
        .memory(Memory::Recursive)
        .example(
            &[3.0, 2.0, 2.0],
            &[
                &[NULL, NULL, 14.5, 14.41667, 14.875, 15.9375, 15.80208, 16.23438],
                &[NULL, NULL, 11.0, 11.16667, 11.75, 11.875, 11.77083, 12.21875],
                &[NULL, NULL, 7.5, 7.91667, 8.625, 7.8125, 7.73958, 8.20313],
            ],
        );

    fn lookback(params: &Params) -> usize {
        (params.bars(0) - 1).max(params.bars(1))
    }

    fn warmup(params: &Params) -> usize {
        let range = params.bars(1) + Smoother::wilder_fade_rows(params.bars(1));
        MaType::Ema.warmup_over(params.bars(0)).max(range)
    }

    fn new(params: &Params) -> Self {
        let most = Kc::lookback(params);
        Kc {
            // The first bar has no true range.
            wait: [most + 1 - params.bars(0), most + 1 - params.bars(1)],
            middle: Average::new(MaType::Ema, params.bars(0)),
            range: TrueRange::default(),
            average: Smoother::from_wilder_period(params.bars(1)),
            times: params.real(2),
        }
    }

    fn next(&mut self, [high, low, close]: [f64; 3]) -> [f64; 3] {
        let [middle_waits, range_waits] = self.wait.map(|wait| wait > 0);
        self.wait = self.wait.map(|wait| wait.saturating_sub(1));
        let price = typical_price(high, low, close);
        let middle = if middle_waits { f64::NAN } else { self.middle.next(price) };
        let range = self.range.next_range(high, low, close);
        let range = if range_waits { f64::NAN } else { self.average.next(range) };
        let width = range * self.times;
        [middle + width, if width.is_nan() { width } else { middle }, middle - width]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Midpoint {
    highest: Fold<Highest>,
    lowest: Fold<Lowest>,
}

impl Indicator<1, 1> for Midpoint {
    const SPEC: Spec = overlap_spec("midpoint", "Midpoint")
        .doc(
            "The middle between the highest and the lowest of the last n values.",
            "TA-Lib MIDPOINT",
        )
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, 11.0, 11.25, 11.75, 12.0, 12.0, 12.25]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Midpoint { highest: Fold::new(params.bars(0)), lowest: Fold::new(params.bars(0)) }
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        let highest = self.highest.push_row(Highest(value)).0;
        [(highest + self.lowest.push_row(Lowest(value)).0) / 2.0]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.highest.push_rows(values.iter().map(|value| Highest(*value)), |row, window| {
            output[row] = window.0;
        });
        self.lowest.push_rows(values.iter().map(|value| Lowest(*value)), |row, window| {
            output[row] = (output[row] + window.0) / 2.0;
        });
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Midprice(Donchian);

impl Indicator<2, 1> for Midprice {
    const SPEC: Spec = overlap_spec("midprice", "Midpoint price")
        .doc(
            "The middle between the highest high and the lowest low of the last n bars.",
            "TA-Lib MIDPRICE",
        )
        .inputs(&["high", "low"])
        .params(&[bars("timeperiod", 14, 2)])
        .example(&[3.0], &[&[NULL, NULL, 11.0, 11.25, 11.75, 12.0, 12.0, 12.0]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Midprice(Donchian::new(params))
    }

    fn next(&mut self, row: [f64; 2]) -> [f64; 1] {
        let [_, middle, _] = self.0.next(row);
        [middle]
    }

    fn next_rows(&mut self, inputs: [&[f64]; 2], [output]: [&mut [f64]; 1]) {
        let (mut upper, mut lower) = (vec![f64::NAN; output.len()], vec![f64::NAN; output.len()]);
        self.0.next_rows(inputs, [&mut upper, output, &mut lower]);
    }
}
