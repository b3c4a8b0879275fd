//! The calls that compute a value.

use std::fmt::{self, Display};

use datafusion::logical_expr::WindowFrame;
use windrow_udfs::Memory;

/// One call, or another part of a plan, that decides which rows a value depends on. `explain` and errors show
/// its text; equal calls have equal texts.
#[derive(Clone, Debug, PartialEq)]
pub enum RowDependency {
    /// An indicator of windrow.
    Indicator {
        /// Its name in SQL.
        name: &'static str,
        /// All its parameters.
        params: Vec<f64>,
        /// The part of the past that this call depends on.
        memory: Memory,
    },
    /// A function of windrow over all rows of one time.
    CrossSection {
        /// Its name in SQL.
        name: &'static str,
    },
    /// `lag` or `lead`.
    Shift {
        /// The name of the function.
        function: String,
        /// The distance as written, also a negative one; None if it is no constant.
        rows: Option<i64>,
    },
    /// The position of a row in its order: `row_number`, `rank`, `dense_rank`.
    Rank {
        /// The name of the function.
        function: String,
    },
    /// A function over the rows of a frame.
    Frame {
        /// The name of the function.
        function: String,
        /// The frame.
        frame: Box<WindowFrame>,
    },
    /// A function over all rows of a group.
    WholeGroup {
        /// The name of the function.
        function: String,
    },
    /// A column that a run wrote as a label.
    StoredLabel {
        /// The name by which the query reads the target.
        table: String,
        /// The column.
        column: String,
    },
    /// An aggregate that mixes rows of different times.
    GroupWithoutTime,
    /// A join that may pair a row of a later time with an earlier row.
    LaterJoin {
        /// The time column.
        time: String,
    },
    /// A subquery that reads the row of the outer query.
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
