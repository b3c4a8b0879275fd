//! The report of an indicator.

use serde::{Deserialize, Serialize};
use windrow_udfs::Entry;

/// One indicator: `functions NAME --json`, or an element of the list of `functions --json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct FunctionReport {
    /// The name in SQL.
    pub name: String,
    /// The name in words.
    pub title: String,
    /// The chapter of the documentation.
    pub group: String,
    /// The call with its defaults, and the type of its result.
    pub signature: String,
    /// The description of the function, with its formula.
    pub description: String,
    /// The columns that it reads, by their usual names; any expression may stand in their place.
    pub inputs: Vec<String>,
    /// The parameters, which follow the inputs.
    pub parameters: Vec<Parameter>,
    /// The outputs: one is a number, several are the fields of a struct.
    pub outputs: Vec<String>,
    /// The part of the past that a value depends on.
    pub memory: String,
    /// Rows before the first value, at the defaults; null if the defaults are refused.
    pub lookback: Option<u64>,
    /// The number of rows after which a value practically no longer depends on where the data
    /// starts, at the defaults; null if it always does.
    pub warmup: Option<u64>,
    /// A number that rises whenever a bit of any output changes.
    pub version: u32,
    /// The author of the function, and the implementation that ours was compared with.
    pub source: String,
}

/// One parameter of an indicator.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Parameter {
    /// The name of the parameter.
    pub name: String,
    /// The default value.
    pub default: f64,
    /// The smallest value allowed.
    pub min: f64,
    /// The largest value allowed.
    pub max: f64,
}

impl FunctionReport {
    /// Builds the report of an indicator.
    pub fn from_entry(entry: &'static Entry) -> Self {
        let spec = &entry.spec;
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>();
        let parameters = spec.params.iter().map(|param| Parameter {
            name: param.name.to_string(),
            default: param.default,
            min: param.min,
            max: param.max,
        });
        let bound = entry.bind_params(&spec.default_params()).ok();
        let warmup = bound.as_ref().map(|bound| bound.warmup_rows());
        Self {
            name: spec.name.to_string(),
            title: spec.title.to_string(),
            group: spec.group.to_string(),
            signature: spec.call_signature(),
            description: spec.doc.to_string(),
            inputs: owned(spec.inputs),
            parameters: parameters.collect(),
            outputs: owned(spec.outputs),
            memory: spec.memory.to_string(),
            lookback: bound.as_ref().map(|bound| bound.lookback_rows() as u64),
            warmup: warmup.filter(|rows| *rows < usize::MAX).map(|rows| rows as u64),
            version: spec.version,
            source: spec.source.to_string(),
        }
    }
}
