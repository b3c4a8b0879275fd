//! The definition of an indicator: its description ([`Spec`]) and its step over rows
//! ([`Indicator`]). This module deals with numbers only and must not use Arrow, DataFusion or NULL.

use crate::kernel::MaType;
pub use crate::memory::Memory;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::{self, Debug, Display};

/// The chapter of the documentation that a function belongs to; the names are TA-Lib's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Moving averages and bands on the scale of the price.
    Overlap,
    /// Oscillators and rates of change.
    Momentum,
    /// True range and functions built on it.
    Volatility,
    /// Functions that weight price by traded volume.
    Volume,
    /// Moments, regression and dependence over a window.
    Statistic,
    /// Extremes and sums over a window.
    Operators,
    /// Averages of the prices of one bar, and bars made of bars.
    Price,
    /// Filters and the Hilbert transform: period and phase of the dominant cycle.
    Cycle,
    /// Candlestick patterns.
    Pattern,
    /// Functions over all rows of one time stamp.
    CrossSection,
}

impl Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Overlap => "Overlap studies",
            Group::Momentum => "Momentum indicators",
            Group::Volatility => "Volatility indicators",
            Group::Volume => "Volume indicators",
            Group::Statistic => "Statistic functions",
            Group::Operators => "Math operators",
            Group::Price => "Price transform",
            Group::Cycle => "Cycle indicators",
            Group::Pattern => "Pattern recognition",
            Group::CrossSection => "Cross-sectional functions",
        })
    }
}

/// The two kinds of function that a [`Spec`] can describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FunctionKind {
    /// Steps over the rows of one symbol in order: `OVER (PARTITION BY symbol ORDER BY ts)`.
    Indicator,
    /// Sees all rows of one time stamp at once: `OVER (PARTITION BY ts)`.
    CrossSection,
}

/// The meaning of a parameter's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// A count of rows: a whole number.
    Bars,
    /// Any number in the range.
    Real,
    /// A moving average, by TA-Lib's number or by its name.
    MaType,
}

/// One parameter: its TA-Lib name, default and allowed range (both ends included).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Param {
    /// TA-Lib's name in lower case.
    pub name: &'static str,
    /// TA-Lib's default.
    pub default: f64,
    /// Smallest allowed value.
    pub min: f64,
    /// Largest allowed value.
    pub max: f64,
    /// The meaning of the number.
    pub kind: ParamKind,
}

/// TA-Lib's number for the default of a parameter that chooses a moving average.
const DEFAULT_AVERAGE: f64 = 11.0;

impl Param {
    /// Returns the number that a given number stands for: TA-Lib's number for the default is that default.
    pub(crate) fn resolve_value(&self, value: f64) -> f64 {
        let default = self.kind == ParamKind::MaType && value == DEFAULT_AVERAGE;
        if default { self.default } else { value }
    }

    /// Returns the number that a text stands for: `'ema'` is 1 for a moving average. Other kinds have
    /// no names.
    pub fn parse_name(&self, text: &str) -> Option<f64> {
        match self.kind {
            ParamKind::MaType if text.trim().eq_ignore_ascii_case("default") => Some(self.default),
            ParamKind::MaType => MaType::from_name(text).map(|ma| f64::from(ma.talib_code())),
            ParamKind::Bars | ParamKind::Real => None,
        }
    }

    /// Checks `value`. The error is the end of a sentence that begins with the function's name.
    pub(crate) fn check_value(&self, value: f64) -> Result<(), String> {
        let allowed = match self.kind {
            ParamKind::MaType => value == DEFAULT_AVERAGE || MaType::from_code(value).is_some(),
            ParamKind::Bars => value.fract() == 0.0 && (self.min..=self.max).contains(&value),
            ParamKind::Real => (self.min..=self.max).contains(&value),
        };
        let text = display_number(value);
        if allowed {
            Ok(())
        } else {
            Err(format!("{} is {text}, {}", self.name, self.describe_expected()))
        }
    }

    /// Describes the values that are expected.
    pub(crate) fn describe_expected(&self) -> String {
        let range = format!("{} to {}", display_number(self.min), display_number(self.max));
        match self.kind {
            ParamKind::MaType => format!("expected one of {}", MaType::choices_text()),
            ParamKind::Bars => format!("expected a whole number from {range}"),
            ParamKind::Real => format!("expected {range}"),
        }
    }
}

/// Returns a parameter that counts rows, from `min` to 100,000, TA-Lib's limit.
pub const fn bars(name: &'static str, default: u32, min: u32) -> Param {
    Param { name, default: default as f64, min: min as f64, max: 100_000.0, kind: ParamKind::Bars }
}

/// Returns a parameter that counts rows, from `min` to 10,000: TA-Lib's limit where rows are sorted.
pub(crate) const fn sorted_bars(name: &'static str, default: u32, min: u32) -> Param {
    Param { max: 10_000.0, ..bars(name, default, min) }
}

/// Returns a parameter in TA-Lib's range for real numbers.
pub(crate) const fn real_param(name: &'static str, default: f64) -> Param {
    bounded_real(name, default, -3e37, 3e37)
}

/// Returns a parameter that is a real number from `min` to `max`.
pub(crate) const fn bounded_real(name: &'static str, default: f64, min: f64, max: f64) -> Param {
    Param { name, default, min, max, kind: ParamKind::Real }
}

/// Returns a parameter that chooses a moving average.
pub(crate) const fn average_param(name: &'static str, default: MaType) -> Param {
    Param {
        name,
        default: default.talib_code() as f64,
        min: 0.0,
        max: 15.0,
        kind: ParamKind::MaType,
    }
}

/// Formats a number as people write it: `14`, `0.7`, `3e37`.
pub(crate) fn display_number(value: f64) -> String {
    if value.abs() >= 1e15 { format!("{value:e}") } else { value.to_string() }
}

/// The results of a function for the eight rows of [`EXAMPLE_BARS`].
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// The full list of parameters.
    pub params: &'static [f64],
    /// The rows that it reads.
    pub rows: ExampleRows,
    /// One slice per output with one value for each of the last rows; NaN stands for NULL.
    pub outputs: &'static [&'static [f64]],
}

/// The rows that an [`Example`] reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ExampleRows {
    /// [`EXAMPLE_BARS`], so many times in a row; the outputs are those of the last time.
    Repeated(usize),
    /// Bars of its own, each as open, high, low and close, after [`CALM_BARS`].
    AfterCalm(&'static [[f64; 4]]),
}

/// The bars before those of a candlestick pattern: open, high, low and close, seven times.
pub const CALM_BARS: [[f64; 4]; 2] = [[10.0, 10.75, 9.75, 10.5], [10.5, 10.75, 9.75, 10.0]];

/// Times that [`CALM_BARS`] stand before the bars of an example.
pub const CALM_TIMES: usize = 7;

/// The number that stands for NULL in an [`Example`].
pub(crate) const NULL: f64 = f64::NAN;

/// The rows of every [`Example`]: the columns of eight bars. Cross-sectional functions read them as
/// eight symbols at one time.
pub const EXAMPLE_BARS: [(&str, [f64; 8]); 6] = [
    ("open", [10.0, 10.5, 11.5, 11.0, 12.0, 12.5, 11.5, 12.0]),
    ("high", [11.0, 12.0, 12.5, 12.0, 13.0, 13.5, 12.5, 13.5]),
    ("low", [9.5, 10.0, 11.0, 10.5, 11.5, 11.0, 10.5, 11.5]),
    ("close", [10.5, 11.5, 11.0, 11.5, 12.5, 11.5, 12.0, 13.0]),
    ("volume", [100.0, 120.0, 90.0, 110.0, 150.0, 130.0, 80.0, 140.0]),
    ("periods", [2.0, 3.0, 4.0, 2.0, 3.0, 4.0, 2.0, 3.0]),
];

/// The description of one function, which users, planners and the documentation read.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The name in SQL: TA-Lib's in lower case.
    pub name: &'static str,
    /// The name in words.
    pub title: &'static str,
    /// One or two sentences and the formula.
    pub doc: &'static str,
    /// The chapter of the documentation.
    pub group: Group,
    /// The columns it reads, by their usual names; a call may give any expressions instead.
    pub inputs: &'static [&'static str],
    /// The parameters, which follow the inputs.
    pub params: &'static [Param],
    /// The outputs: a single one is a number, several are a struct with these fields.
    pub outputs: &'static [&'static str],
    /// The outputs that are whole numbers and so have an integer type in SQL.
    pub integers: &'static [&'static str],
    /// The memory of a value at the defaults; [`crate::BoundCall::call_memory`] returns that of one call.
    pub memory: Memory,
    /// The version, raised whenever a bit of any output changes, so that stored values can be told apart.
    pub version: u32,
    /// Its author, and the implementation that ours was compared with.
    pub source: &'static str,
    /// Its results for [`EXAMPLE_BARS`].
    pub example: Option<Example>,
    /// The reason why no reference values test it; None if reference values do.
    pub unreferenced: Option<&'static str>,
}

impl Spec {
    /// Creates a description with what most rows of the tables share: one close in, one number out, no
    /// parameters, a window.
    pub const fn new(name: &'static str, title: &'static str, group: Group) -> Self {
        Spec {
            name,
            title,
            doc: "",
            group,
            inputs: &["close"],
            params: &[],
            outputs: &["real"],
            integers: &[],
            memory: Memory::Window,
            version: 1,
            source: "",
            example: None,
            unreferenced: None,
        }
    }

    /// Sets the description, a sentence or two with the formula, and the source.
    pub const fn doc(mut self, doc: &'static str, source: &'static str) -> Self {
        self.doc = doc;
        self.source = source;
        self
    }

    /// Sets the columns it reads.
    pub const fn inputs(mut self, inputs: &'static [&'static str]) -> Self {
        self.inputs = inputs;
        self
    }

    /// Sets the parameters.
    pub const fn params(mut self, params: &'static [Param]) -> Self {
        self.params = params;
        self
    }

    /// Sets the outputs.
    pub const fn outputs(mut self, outputs: &'static [&'static str]) -> Self {
        self.outputs = outputs;
        self
    }

    /// Sets the outputs that are whole numbers.
    pub const fn integers(mut self, integers: &'static [&'static str]) -> Self {
        self.integers = integers;
        self
    }

    /// Sets the memory of a value.
    pub const fn memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }

    /// Sets the version of its results.
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets its results for [`EXAMPLE_BARS`] with some parameters.
    pub const fn example(
        mut self,
        params: &'static [f64],
        outputs: &'static [&'static [f64]],
    ) -> Self {
        self.example = Some(Example { params, rows: ExampleRows::Repeated(1), outputs });
        self
    }

    /// Sets its results for the last of several times [`EXAMPLE_BARS`], for functions that need more rows.
    pub const fn late_example(
        mut self,
        times: usize,
        params: &'static [f64],
        outputs: &'static [&'static [f64]],
    ) -> Self {
        self.example = Some(Example { params, rows: ExampleRows::Repeated(times), outputs });
        self
    }

    /// Sets the bars that make a candlestick pattern after [`CALM_BARS`], and its result for the last of them.
    pub const fn pattern_example(
        mut self,
        params: &'static [f64],
        bars: &'static [[f64; 4]],
        outputs: &'static [&'static [f64]],
    ) -> Self {
        self.example = Some(Example { params, rows: ExampleRows::AfterCalm(bars), outputs });
        self
    }

    pub(crate) const fn without_reference(mut self, why: &'static str) -> Self {
        self.unreferenced = Some(why);
        self
    }

    /// Returns whether it steps over one symbol or looks across symbols.
    pub fn function_kind(&self) -> FunctionKind {
        match self.group {
            Group::CrossSection => FunctionKind::CrossSection,
            _ => FunctionKind::Indicator,
        }
    }

    /// Returns the defaults of all parameters, in order.
    pub fn default_params(&self) -> Vec<f64> {
        self.params.iter().map(|param| param.default).collect()
    }

    /// Formats the call with its defaults and the type of its result:
    /// `rsi(close, timeperiod => 14) -> double`.
    pub fn call_signature(&self) -> String {
        let params =
            self.params.iter().map(|p| format!("{} => {}", p.name, display_number(p.default)));
        let arguments: Vec<String> =
            self.inputs.iter().map(|input| (*input).to_string()).chain(params).collect();
        let result = match self.outputs {
            [one] if self.integers.contains(one) => "integer".to_string(),
            [_] => "double".to_string(),
            many => format!("struct({})", many.join(", ")),
        };
        format!("{}({}) -> {result}", self.name, arguments.join(", "))
    }

    /// Returns the rows that the example reads: one column for each input.
    pub fn example_inputs(&self) -> Vec<Vec<f64>> {
        let rows = self.example.map_or(ExampleRows::Repeated(1), |example| example.rows);
        let column = |name: &&str| match rows {
            ExampleRows::Repeated(times) => {
                let bar = EXAMPLE_BARS.iter().find(|(bar, _)| bar == name);
                bar.map_or(Vec::new(), |(_, values)| values.repeat(times))
            }
            ExampleRows::AfterCalm(bars) => {
                let price = EXAMPLE_BARS.iter().position(|(bar, _)| bar == name).unwrap_or(0);
                let calm = CALM_BARS.repeat(CALM_TIMES);
                calm.iter().chain(bars).filter_map(|bar| bar.get(price)).copied().collect()
            }
        };
        self.inputs.iter().map(column).collect()
    }
}

/// The numbers of one call, checked against the [`Spec`] and complete.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a>(pub(crate) &'a [f64]);

impl Params<'_> {
    /// Returns the parameter at `index` as a count of rows.
    pub fn bars(&self, index: usize) -> usize {
        self.real(index) as usize
    }

    /// Returns the parameter at `index` as a number.
    pub fn real(&self, index: usize) -> f64 {
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }

    /// Returns the parameter at `index` as a choice of moving average.
    pub fn average(&self, index: usize) -> MaType {
        MaType::from_code(self.real(index)).unwrap_or(MaType::Sma)
    }
}

/// An indicator: a state that takes one valid row and gives one row of outputs.
///
/// As a step over rows it cannot look ahead. It never sees NULL, NaN or infinity. Its results before
/// `lookback` rows have passed are ignored, and results that are not finite become NULL. It
/// allocates all memory in `new`, so that the size of a state depends on its parameters only.
pub trait Indicator<const I: usize, const O: usize>:
    Debug + Send + Serialize + DeserializeOwned + Sized + 'static
{
    /// The description for users.
    const SPEC: Spec;

    /// Returns the rows consumed before the first value.
    fn lookback(params: &Params) -> usize;

    /// Returns the rows after which the start of the series practically no longer shows: an estimate
    /// for recursions.
    fn warmup(params: &Params) -> usize {
        Self::lookback(params)
    }

    /// Returns how much of the past a value depends on with these parameters.
    fn memory_with(_: &Params) -> Memory {
        Self::SPEC.memory
    }

    /// Returns what is wrong with parameters that are each in their range but do not fit together.
    fn refuse_params(_: &Params) -> Option<&'static str> {
        None
    }

    /// Creates the state before the first row.
    fn new(params: &Params) -> Self;

    /// Takes one row and returns its outputs.
    fn next(&mut self, row: [f64; I]) -> [f64; O];

    /// Takes many rows at once. An indicator overrides this only where whole slices are faster, and
    /// then gives the same bits as `next`.
    fn next_rows(&mut self, inputs: [&[f64]; I], mut outputs: [&mut [f64]; O]) {
        let rows = outputs.first().map_or(0, |output| output.len());
        let inputs = inputs.map(|input| &input[..rows]);
        for output in &mut outputs {
            debug_assert_eq!(output.len(), rows);
        }
        for row in 0..rows {
            let values = self.next(std::array::from_fn(|i| inputs[i][row]));
            for (output, value) in outputs.iter_mut().zip(values) {
                output[row] = value;
            }
        }
    }
}

/// A cross-sectional function: all valid values of one group at once, in any order.
pub trait CrossSection: 'static {
    /// The description for users.
    const SPEC: Spec;

    /// Writes one result per value; results that are not finite become NULL. The result of a value
    /// depends on the set of values only, not on their order.
    fn compute_group(params: &Params, values: &[f64], results: &mut [f64]);
}
