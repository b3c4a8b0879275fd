//! The calls that a value is made of.

use std::fmt::{self, Display};

use datafusion::logical_expr::WindowFrame;
use windrow_udfs::Memory;

/// One call, or another thing in a plan, that decides which rows a value depends on. Its text is what
/// `explain` and errors show; calls that are equal have one text.
#[derive(Clone, Debug, PartialEq)]
pub enum RowDependency {
    /// An indicator of ours.
    Indicator {
        /// Its name in SQL.
        name: &'static str,
        /// All its parameters.
        params: Vec<f64>,
        /// How much of the past this call depends on.
        memory: Memory,
    },
    /// A function of ours over all rows of one time.
    CrossSection {
        /// Its name in SQL.
        name: &'static str,
    },
    /// `lag` or `lead`.
    Shift {
        /// Which of them.
        function: String,
        /// The distance as it is written, negative ones too; None if it is no constant.
        rows: Option<i64>,
    },
    /// A number of the row in its order: `row_number`, `rank`, `dense_rank`.
    Rank {
        /// Which of them.
        function: String,
    },
    /// A function over the rows of a frame.
    Frame {
        /// The function.
        function: String,
        /// The frame.
        frame: Box<WindowFrame>,
    },
    /// A function over all rows of a group.
    WholeGroup {
        /// The function.
        function: String,
    },
    /// A column that a run wrote as a label.
    StoredLabel {
        /// The target, by the name that it is read by.
        table: String,
        /// The column.
        column: String,
    },
    /// An aggregate that mixes times.
    GroupWithoutTime,
    /// A join that may put a row of a later time beside an earlier one.
    LaterJoin {
        /// The time column.
        time: String,
    },
    /// A subquery that reads the row outside.
    OuterSubquery,
}

impl Display for RowDependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowDependency::Indicator { name, params, .. } if !params.is_empty() => {
                let params: Vec<String> = params.iter().map(f64::to_string).collect();
                write!(f, "{name}({})", params.join(", "))
            }
            RowDependency::Indicator { name, .. } | RowDependency::CrossSection { name } => {
                f.write_str(name)
            }
            RowDependency::Shift { function, rows: Some(rows) } => write!(f, "{function}({rows})"),
            RowDependency::Shift { function, rows: None } | RowDependency::Rank { function } => {
                f.write_str(function)
            }
            RowDependency::Frame { function, frame } => write!(f, "{function} {frame}"),
            RowDependency::WholeGroup { function } => write!(f, "{function} over the whole group"),
            RowDependency::StoredLabel { table, column } => {
                write!(f, "the label {column} of {table}")
            }
            RowDependency::GroupWithoutTime => f.write_str("GROUP BY without the time column"),
            RowDependency::LaterJoin { time } => {
                write!(f, "a join that reaches rows of a later {time}")
            }
            RowDependency::OuterSubquery => f.write_str("a subquery on the row outside"),
        }
    }
}
