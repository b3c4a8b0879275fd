//! The catalogue of TA-Lib's crate: what it says of a function, parameters in its ranges, and calls.

use crate::rows::Random;
use ta_lib::abstract_api::{FuncInfo, InputType, OptInputInfo, OptInputType, OutputType};
use ta_lib::{Core, RetCode};
use windrow_udfs::{MaType, Param, ParamKind, Spec};

/// What TA-Lib computed: the rows before the first value, and the values from there on.
pub struct Reference {
    pub lookback: usize,
    pub first: usize,
    pub outputs: Vec<Vec<f64>>,
    pub integer: Vec<bool>,
}

/// One function of TA-Lib with its parameters.
pub struct TaCall<'a> {
    info: &'a FuncInfo,
    params: &'a [f64],
}

impl<'a> TaCall<'a> {
    pub fn new(info: &'a FuncInfo, params: &'a [f64]) -> Self {
        TaCall { info, params }
    }

    /// Computes all rows of the input columns, which stand in the order of the catalogue.
    pub fn run(&self, columns: &[Vec<f64>]) -> Result<Reference, RetCode> {
        let core = Core::new();
        let mut call = self.info.id.new_call(&core);
        let mut column = columns.iter();
        for (slot, input) in self.info.inputs.iter().enumerate() {
            if input.kind != InputType::Price {
                call.set_input(slot, column.next().unwrap())?;
                continue;
            }
            let mut price =
                |bit: u32| (input.flags.bits() >> bit & 1 == 1).then(|| column.next().unwrap());
            let [open, high, low] = [price(0), price(1), price(2)];
            let [close, volume] = [price(3), price(4)];
            call.set_price_input(
                slot,
                open.map(Vec::as_slice),
                high.map(Vec::as_slice),
                low.map(Vec::as_slice),
                close.map(Vec::as_slice),
                volume.map(Vec::as_slice),
                None,
            )?;
        }
        for (i, (opt, value)) in self.info.opt_inputs.iter().zip(self.params).enumerate() {
            match opt.kind {
                OptInputType::IntegerRange { .. } | OptInputType::IntegerList { .. } => {
                    call.set_opt_input(i, *value as i32)?;
                }
                _ => {
                    call.set_opt_input(i, *value)?;
                }
            }
        }
        let lookback = call.lookback()?;
        let rows = columns[0].len();
        let integer: Vec<bool> =
            self.info.outputs.iter().map(|output| output.kind == OutputType::Integer).collect();
        let mut reals = vec![vec![0.0; rows]; integer.len()];
        let mut whole = vec![vec![0; rows]; integer.len()];
        for (i, (real, int)) in reals.iter_mut().zip(&mut whole).enumerate() {
            if integer[i] {
                call.set_int_output(i, int)?;
            } else {
                call.set_output(i, real)?;
            }
        }
        let range = call.call(0, rows - 1)?;
        let outputs = (0..integer.len()).map(|i| {
            if integer[i] {
                whole[i][..range.count].iter().map(|value| f64::from(*value)).collect()
            } else {
                reals[i][..range.count].to_vec()
            }
        });
        let outputs = outputs.collect();
        Ok(Reference { lookback, first: range.beg_idx, outputs, integer })
    }
}

/// Returns parameters for one call: the defaults, the smallest values, then drawn ones.
pub fn draw_params(info: &FuncInfo, draw: usize, random: &mut Random) -> Vec<f64> {
    info.opt_inputs.iter().map(|opt| draw_param(opt, draw, random)).collect()
}

fn draw_param(opt: &OptInputInfo, draw: usize, random: &mut Random) -> f64 {
    match opt.kind {
        OptInputType::IntegerRange { min, max, default, .. } => {
            let (min, max) = (f64::from(min), f64::from(max));
            let upto = |most: f64, random: &mut Random| (random.next() * most).floor();
            let value = match draw {
                0 => f64::from(default),
                1 => min,
                draw if draw % 7 == 6 => 20.0 + upto(200.0, random),
                draw if draw % 2 == 0 => min + upto(8.0, random),
                _ => min + upto(40.0, random),
            };
            value.min(max)
        }
        OptInputType::RealRange { min, max, default, .. } => match draw {
            0 => default,
            1 if min > -1e30 => min,
            _ if min > -1e30 && max < 1e30 => min + random.next() * (max - min),
            _ if default == 0.0 => random.next() * 2.0,
            _ => default * (0.2 + 2.0 * random.next()),
        },
        OptInputType::IntegerList { values, default } => {
            let known: Vec<f64> = values
                .iter()
                .map(|(code, _)| *code as f64)
                .filter(|code| *code == 11.0 || MaType::from_code(*code).is_some())
                .collect();
            match draw {
                0 | 1 => default as f64,
                _ => known[(random.next() * known.len() as f64) as usize],
            }
        }
        OptInputType::RealList { default, .. } => default,
    }
}

/// Lists what a description says otherwise than the catalogue.
pub fn spec_differences(info: &FuncInfo, spec: &Spec) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut differ = |what: &str, ours: String, theirs: String| {
        if ours != theirs {
            wrong.push(format!("{}: {what} is {ours}, in the catalogue {theirs}", spec.name));
        }
    };
    let params = info.opt_inputs.iter().map(|opt| plain_name(opt.param_name, "optin"));
    let ours = spec.params.iter().map(|param| param.name.to_string());
    differ(
        "parameters",
        format!("{:?}", Vec::from_iter(ours)),
        format!("{:?}", Vec::from_iter(params)),
    );
    let outputs = info.outputs.iter().map(|output| {
        let name = plain_name(output.param_name, "out");
        name.strip_prefix("real").filter(|rest| !rest.is_empty()).unwrap_or(&name).to_string()
    });
    differ("outputs", format!("{:?}", spec.outputs), format!("{:?}", Vec::from_iter(outputs)));
    let integers = info.outputs.iter().map(|output| output.kind == OutputType::Integer);
    let ours = spec.outputs.iter().map(|output| spec.integers.contains(output));
    differ(
        "integers",
        format!("{:?}", Vec::from_iter(ours)),
        format!("{:?}", Vec::from_iter(integers)),
    );
    let prices = ["open", "high", "low", "close", "volume"];
    let mut inputs = spec.inputs.iter();
    for input in info.inputs {
        if input.kind != InputType::Price {
            inputs.next();
            continue;
        }
        for (bit, price) in prices.iter().enumerate() {
            if input.flags.bits() >> bit & 1 == 1 {
                differ("an input", format!("{:?}", inputs.next()), format!("{:?}", Some(price)));
            }
        }
    }
    differ("the number of inputs", format!("{:?}", inputs.next()), "None".to_string());
    for (param, opt) in spec.params.iter().zip(info.opt_inputs) {
        differ(param.name, describe_param(param), describe_opt(opt));
    }
    wrong
}

fn plain_name(name: &str, prefix: &str) -> String {
    let name = name.to_lowercase();
    name.strip_prefix(prefix).unwrap_or(&name).to_string()
}

fn describe_param(param: &Param) -> String {
    match param.kind {
        ParamKind::MaType => format!("{} of the averages", param.default),
        _ => format!("{} in {}..{}", param.default, param.min, param.max),
    }
}

fn describe_opt(opt: &OptInputInfo) -> String {
    match opt.kind {
        OptInputType::IntegerRange { min, max, default, .. } => {
            format!("{default} in {min}..{max}")
        }
        OptInputType::RealRange { min, max, default, .. } => format!("{default} in {min}..{max}"),
        OptInputType::IntegerList { default, .. } => format!("{default} of the averages"),
        OptInputType::RealList { default, .. } => format!("{default} of a list"),
    }
}
