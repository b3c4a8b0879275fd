//! What a feature set needs, and how it will run.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::analysis::{Ahead, History};
use crate::engine::{OutputColumn, Planned};

/// What a feature set needs, and how it will run: `explain --json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct PlanReport {
    /// The name of the set.
    pub set: String,
    /// The file of the set, as the user named it.
    pub file: String,
    /// What the set is for, as its header says; null if it does not.
    pub description: Option<String>,
    /// The column that tells symbols apart.
    pub entity: String,
    /// The column that orders the rows of a symbol.
    pub time: String,
    /// The sources that the plan reads, by name.
    pub inputs: Vec<String>,
    /// The identity of what is computed: the digest of the definition.
    pub fingerprint: String,
    /// The outputs, in order.
    pub outputs: Vec<Output>,
    /// The physical plan, as text for people.
    pub plan: String,
}

/// One output and what it needs of the rows around its own.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Output {
    /// The name of the column.
    pub name: String,
    /// The type of the column, as Arrow names it.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Rows before the first value.
    pub lookback: u64,
    /// Rows before its own that a value depends on.
    pub history: Rows,
    /// Rows after which a value practically no longer depends on where the data starts, an
    /// estimate; null if it never forgets, as a running sum.
    pub warmup: Option<u64>,
    /// Rows later than its own that a value uses.
    pub look_ahead: Rows,
    /// Whether the header declares the column as a label.
    pub label: bool,
    /// The indicators and windows that the column is made of.
    pub made_of: Vec<String>,
}

/// A number of rows: a number in JSON, or `"all"`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Rows {
    /// So many.
    Count(u64),
    /// All that there are.
    All(All),
}

/// The word for all rows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum All {
    /// All of them.
    All,
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(rows) => rows.fmt(f),
            Self::All(All::All) => f.write_str("all"),
        }
    }
}

impl From<History> for Rows {
    fn from(history: History) -> Self {
        match history {
            History::Rows(rows) => Self::Count(rows as u64),
            History::All => Self::All(All::All),
        }
    }
}

impl From<Ahead> for Rows {
    fn from(ahead: Ahead) -> Self {
        match ahead {
            Ahead::None => Self::Count(0),
            Ahead::Rows(rows) => Self::Count(rows as u64),
            Ahead::All => Self::All(All::All),
        }
    }
}

impl PlanReport {
    /// Of a planned set; `fingerprint` is that of its definition, `plan` its physical plan.
    pub fn of(planned: &Planned, fingerprint: &str, plan: &str) -> Self {
        let header = &planned.set.header;
        Self {
            set: planned.set.name.clone(),
            file: planned.set.path.clone(),
            description: header.description.clone(),
            entity: header.entity.clone(),
            time: header.time.clone(),
            inputs: planned.inputs(),
            fingerprint: fingerprint.to_string(),
            outputs: planned.outputs.iter().map(Output::of).collect(),
            plan: plan.to_string(),
        }
    }
}

impl Output {
    fn of(output: &OutputColumn) -> Self {
        let need = &output.need;
        Self {
            name: output.name.clone(),
            data_type: output.data_type.to_string(),
            lookback: need.lookback as u64,
            history: need.history.into(),
            warmup: Some(need.warmup).filter(|rows| *rows < usize::MAX).map(|rows| rows as u64),
            look_ahead: need.ahead.into(),
            label: output.label,
            made_of: need.made_of.clone(),
        }
    }
}
