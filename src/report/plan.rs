//! The report of the needs and the plan of a feature set.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::analysis::{self, LookAhead, StepBack};
use crate::engine::{OutputColumn, PlannedSet};

/// The needs and the plan of a feature set: `explain --json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct PlanReport {
    /// The name of the set.
    pub set: String,
    /// The file of the set, as the user named it.
    pub file: String,
    /// The description of the set in its header; null if it has none.
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
    pub outputs: Vec<OutputReport>,
    /// The physical plan, as text for people.
    pub plan: String,
}

/// One output and the rows around its own that it needs.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct OutputReport {
    /// The name of the column.
    pub name: String,
    /// The type of the column, as Arrow names it.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Rows before the first value.
    pub lookback: u64,
    /// Rows before its own that a value depends on.
    pub history: RowCount,
    /// The rows that the history consists of, step by step; empty if there is no history, or if it
    /// is all rows.
    pub history_of: Vec<HistoryStep>,
    /// The estimated number of rows after which a value practically no longer depends on where the
    /// data starts; null if it always does, as in a running sum.
    pub warmup: Option<u64>,
    /// Rows later than its own that a value uses.
    pub look_ahead: RowCount,
    /// True if the header declares the column as a label.
    pub label: bool,
    /// The indicators and windows that the column is made of.
    pub made_of: Vec<String>,
    /// The identity of what the column holds: other outputs, names and the text do not change it.
    pub identity: String,
}

/// One step back over the rows that a value depends on.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct HistoryStep {
    /// The number of rows back; 0 for all rows of the same keys.
    pub rows: u64,
    /// The rows of the group that count.
    pub counted: CountedRows,
    /// The columns or expressions that define the group.
    pub keys: Vec<String>,
    /// The conditions applied before the step; rows that they remove do not count.
    pub filters: Vec<String>,
}

/// The rows of a group that count.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum CountedRows {
    /// Rows with a value in every input.
    Valid,
    /// Every row.
    Every,
}

/// A number of rows: a number in JSON, or `"all"`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum RowCount {
    /// This number of rows.
    Count(u64),
    /// All rows.
    All(AllRows),
}

/// The JSON word for all rows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum AllRows {
    /// All rows.
    All,
}

impl fmt::Display for RowCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(rows) => rows.fmt(f),
            Self::All(AllRows::All) => f.write_str("all"),
        }
    }
}

impl From<LookAhead> for RowCount {
    fn from(ahead: LookAhead) -> Self {
        match ahead {
            LookAhead::None => Self::Count(0),
            LookAhead::Rows(rows) => Self::Count(rows as u64),
            LookAhead::All | LookAhead::Unknown => Self::All(AllRows::All),
        }
    }
}

impl PlanReport {
    /// Builds the report of a planned set. `fingerprint` is that of its definition, `identities` are those of
    /// its columns, and `plan` is its physical plan.
    pub fn from_planned(
        planned: &PlannedSet,
        fingerprint: &str,
        identities: &[String],
        plan: &str,
    ) -> Self {
        let header = &planned.set.header;
        Self {
            set: planned.set.name.clone(),
            file: planned.set.path.clone(),
            description: header.description.clone(),
            entity: header.entity.clone(),
            time: header.time.clone(),
            inputs: planned.source_names(),
            fingerprint: fingerprint.to_string(),
            outputs: planned
                .outputs
                .iter()
                .zip(identities)
                .map(OutputReport::from_output_column)
                .collect(),
            plan: plan.to_string(),
        }
    }
}

impl OutputReport {
    fn from_output_column((output, identity): (&OutputColumn, &String)) -> Self {
        let need = &output.need;
        Self {
            name: output.name.clone(),
            data_type: output.data_type.to_string(),
            lookback: need.lookback as u64,
            history: need
                .history
                .longest_way_rows()
                .map_or(RowCount::All(AllRows::All), |rows| RowCount::Count(rows as u64)),
            history_of: need.history.merged_steps().iter().map(HistoryStep::from_reach).collect(),
            warmup: Some(need.warmup).filter(|rows| *rows < usize::MAX).map(|rows| rows as u64),
            look_ahead: need.ahead.into(),
            label: output.label,
            made_of: need.describe_calls(),
            identity: identity.clone(),
        }
    }
}

impl HistoryStep {
    fn from_reach(reach: &StepBack) -> Self {
        let counted = match reach.counted {
            analysis::RowCounting::Valid => CountedRows::Valid,
            analysis::RowCounting::Every => CountedRows::Every,
        };
        // Two sides of a join may have the same conditions.
        let mut filters: Vec<String> = Vec::new();
        for filter in &reach.filters {
            if !filters.contains(filter) {
                filters.push(filter.clone());
            }
        }
        Self { rows: reach.rows as u64, counted, keys: reach.keys.clone(), filters }
    }
}
