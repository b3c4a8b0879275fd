//! Moving averages.

use crate::entry::{Entry, entry};
use crate::indicator::{Indicator, Memory, NULL, Params, Spec, average_param, bars, bounded_real};
use crate::kernel::{
    Average, DoubleExponential as Double, Fold, HullAverage as Hull, MaType, Mean, Smoother,
    SumPair, TillsonAverage as Tillson, TriangularMean as Triangular, TripleExponential as Triple,
    WeightedMean as Linear,
};
use serde::{Deserialize, Serialize};

use super::overlap_spec;

pub(crate) static INDICATORS: &[Entry] = &[
    entry::<Sma, 1, 1>(),
    entry::<Ema, 1, 1>(),
    entry::<Wma, 1, 1>(),
    entry::<Dema, 1, 1>(),
    entry::<Tema, 1, 1>(),
    entry::<Trima, 1, 1>(),
    entry::<Kama, 1, 1>(),
    entry::<T3, 1, 1>(),
    entry::<Rma, 1, 1>(),
    entry::<Hma, 1, 1>(),
    entry::<Ma, 1, 1>(),
    entry::<Zlema, 1, 1>(),
    entry::<Vwma, 2, 1>(),
];

#[derive(Debug, Serialize, Deserialize)]
struct Sma(Mean);

impl Indicator<1, 1> for Sma {
    const SPEC: Spec = overlap_spec("sma", "Simple moving average")
        .doc("The mean of the last n values: sum(x) / n.", "TA-Lib SMA")
        .example(&[3.0], &[&[NULL, NULL, 11.0, 11.33333, 11.66667, 11.83333, 12.0, 12.16667]]);

    fn lookback(params: &Params) -> usize {
        MaType::Sma.lookback_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Sma(Mean::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.next_rows(values, output);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ema(Smoother);

impl Indicator<1, 1> for Ema {
    const SPEC: Spec = overlap_spec("ema", "Exponential moving average")
        .doc(
            "Each value moves the average by 2 / (n + 1) of its distance: ema + (x - ema) * 2 \
             / (n + 1), seeded with the mean of the first n values.",
            "TA-Lib EMA",
        )
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, 11.0, 11.25, 11.875, 11.6875, 11.84375, 12.42188]]);

    fn lookback(params: &Params) -> usize {
        MaType::Ema.lookback_over(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        MaType::Ema.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Ema(Smoother::from_ema_period(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Wma(Linear);

impl Indicator<1, 1> for Wma {
    const SPEC: Spec = overlap_spec("wma", "Weighted moving average")
        .doc(
            "The mean of the last n values with weights 1, 2, ..., n, the newest weighing \
             most.",
            "TA-Lib WMA",
        )
        .example(
            &[3.0],
            &[&[NULL, NULL, 11.08333, 11.33333, 11.91667, 11.83333, 11.91667, 12.41667]],
        );

    fn lookback(params: &Params) -> usize {
        MaType::Wma.lookback_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Wma(Linear::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.next_rows(values, output);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Dema(Double);

impl Indicator<1, 1> for Dema {
    const SPEC: Spec = overlap_spec("dema", "Double exponential moving average")
        .doc(
            "2 * ema(x) - ema(ema(x)), which takes away most of the lag.",
            "Mulloy 1994; TA-Lib DEMA",
        )
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, NULL, 12.375, 11.84375, 12.0, 12.78906]]);

    fn lookback(params: &Params) -> usize {
        MaType::Dema.lookback_over(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        MaType::Dema.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Dema(Double::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Tema(Triple);

impl Indicator<1, 1> for Tema {
    const SPEC: Spec = overlap_spec("tema", "Triple exponential moving average")
        .doc("3 * ema(x) - 3 * ema(ema(x)) + ema(ema(ema(x))).", "Mulloy 1994; TA-Lib TEMA")
        .memory(Memory::Recursive)
        .example(&[2.0], &[&[NULL, NULL, NULL, 11.44444, 12.46914, 11.57613, 11.95473, 12.96525]]);

    fn lookback(params: &Params) -> usize {
        MaType::Tema.lookback_over(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        MaType::Tema.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Tema(Triple::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Trima(Triangular);

impl Indicator<1, 1> for Trima {
    const SPEC: Spec = overlap_spec("trima", "Triangular moving average")
        .doc(
            "The mean of the last n values with weights that rise to the middle of the window \
             and fall again.",
            "TA-Lib TRIMA",
        )
        .example(&[4.0], &[&[NULL, NULL, NULL, 11.16667, 11.5, 11.75, 11.91667, 12.08333]]);

    fn lookback(params: &Params) -> usize {
        MaType::Trima.lookback_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Trima(Triangular::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.next_rows(values, output);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Kama(Average);

impl Indicator<1, 1> for Kama {
    const SPEC: Spec = overlap_spec("kama", "Kaufman's adaptive moving average")
        .doc(
            "An exponential average whose weight goes from that of 30 rows to that of 2 as \
             the price goes straight: abs(x - x[n]) / sum(abs(x - x[1])).",
            "Kaufman 1998; TA-Lib KAMA",
        )
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 11.06683, 11.25838, 11.26665, 11.29173, 11.35016]]);

    fn lookback(params: &Params) -> usize {
        MaType::Kama.lookback_over(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        MaType::Kama.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Kama(Average::new(MaType::Kama, params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct T3(Tillson);

impl Indicator<1, 1> for T3 {
    const SPEC: Spec = overlap_spec("t3", "Tillson's T3")
        .doc(
            "Three double averages in a chain, each ema * (1 + v) - ema(ema) * v with the \
             factor v, multiplied out over six exponential averages.",
            "Tillson 1998; TA-Lib T3",
        )
        .params(&[bars("timeperiod", 5, 1), bounded_real("vfactor", 0.7, 0.0, 1.0)])
        .memory(Memory::Recursive)
        .example(&[2.0, 0.7], &[&[NULL, NULL, NULL, NULL, NULL, NULL, 11.92452, 12.53505]]);

    fn lookback(params: &Params) -> usize {
        MaType::T3.lookback_over(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        MaType::T3.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        T3(Tillson::new(params.bars(0), params.real(1)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Rma(Smoother);

impl Indicator<1, 1> for Rma {
    const SPEC: Spec = overlap_spec("rma", "Wilder's moving average")
        .doc(
            "Each value moves the average by 1 / n of its distance: rma + (x - rma) / n, \
             seeded with the mean of the first n values.",
            "Wilder 1978; TA-Lib RMA",
        )
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, 11.0, 11.16667, 11.61111, 11.57407, 11.71605, 12.14403]]);

    fn lookback(params: &Params) -> usize {
        MaType::Rma.lookback_over(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        MaType::Rma.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Rma(Smoother::from_wilder_period(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Hma(Hull);

impl Indicator<1, 1> for Hma {
    const SPEC: Spec = overlap_spec("hma", "Hull's moving average")
        .doc(
            "wma(2 * wma(x, n / 2) - wma(x, n), sqrt(n)), both rounded down.",
            "Hull 2005; TA-Lib HMA",
        )
        .params(&[bars("timeperiod", 20, 1)])
        .example(&[4.0], &[&[NULL, NULL, NULL, NULL, 12.16111, 12.12222, 11.81667, 12.57778]]);

    fn lookback(params: &Params) -> usize {
        MaType::Hma.lookback_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Hma(Hull::new(params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.next_rows(values, output);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ma(Average);

impl Indicator<1, 1> for Ma {
    const SPEC: Spec = overlap_spec("ma", "Moving average")
        .doc("The moving average of the chosen kind over n values.", "TA-Lib MA")
        .params(&[bars("timeperiod", 30, 1), average_param("matype", MaType::Sma)])
        .example(&[3.0, 1.0], &[&[NULL, NULL, 11.0, 11.25, 11.875, 11.6875, 11.84375, 12.42188]]);

    fn lookback(params: &Params) -> usize {
        params.average(1).lookback_over(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        params.average(1).warmup_over(params.bars(0))
    }

    fn memory_with(params: &Params) -> Memory {
        params.average(1).memory_class()
    }

    fn new(params: &Params) -> Self {
        Ma(Average::new(params.average(1), params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }

    fn next_rows(&mut self, [values]: [&[f64]; 1], [output]: [&mut [f64]; 1]) {
        self.0.next_rows(values, output);
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Zlema(Average);

impl Indicator<1, 1> for Zlema {
    const SPEC: Spec = overlap_spec("zlema", "Zero-lag exponential moving average")
        .doc(
            "The exponential average of 2 * x - x[(n - 1) / 2], which adds to each value its \
             change over the lag.",
            "Ehlers and Way 2010; TA-Lib ZLEMA",
        )
        .memory(Memory::Recursive)
        .example(&[3.0], &[&[NULL, NULL, NULL, 11.66667, 12.58333, 11.54167, 12.02083, 13.01042]]);

    fn lookback(params: &Params) -> usize {
        MaType::Zlema.lookback_over(params.bars(0))
    }

    fn warmup(params: &Params) -> usize {
        MaType::Zlema.warmup_over(params.bars(0))
    }

    fn new(params: &Params) -> Self {
        Zlema(Average::new(MaType::Zlema, params.bars(0)))
    }

    fn next(&mut self, [value]: [f64; 1]) -> [f64; 1] {
        [self.0.next(value)]
    }
}

/// The volume weighted average. Over one bar it is the value itself, also where nothing was traded.
#[derive(Debug, Serialize, Deserialize)]
struct Vwma {
    window: Fold<SumPair>,
    plain: bool,
}

impl Indicator<2, 1> for Vwma {
    const SPEC: Spec = overlap_spec("vwma", "Volume weighted moving average")
        .doc(
            "sum(x * volume) / sum(volume) over n bars; NULL where nothing was traded in \
             them.",
            "TA-Lib VWMA",
        )
        .inputs(&["close", "volume"])
        .example(&[3.0], &[&[NULL, NULL, 11.03226, 11.35938, 11.8, 11.88462, 12.02778, 12.21429]]);

    fn lookback(params: &Params) -> usize {
        params.bars(0) - 1
    }

    fn new(params: &Params) -> Self {
        Vwma { window: Fold::new(params.bars(0)), plain: params.bars(0) == 1 }
    }

    fn next(&mut self, [value, volume]: [f64; 2]) -> [f64; 1] {
        let SumPair(money, traded) = self.window.push_row(SumPair(value * volume, volume));
        [if self.plain { value } else { money / traded }]
    }

    fn next_rows(&mut self, [values, volumes]: [&[f64]; 2], [output]: [&mut [f64]; 1]) {
        if self.plain {
            return output.copy_from_slice(values);
        }
        let rows =
            values.iter().zip(volumes).map(|(value, volume)| SumPair(value * volume, *volume));
        self.window.push_rows(rows, |row, SumPair(money, traded)| output[row] = money / traded);
    }
}
