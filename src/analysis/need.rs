//! What each output of a plan needs: how many rows before its own, and whether any after.
//!
//! Needs are worked out bottom up, one per column of every node. Windows inside windows add; where
//! a node is not understood the answer is the safe one, all history.

use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, LogicalPlan, Subquery, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use windrow_udfs::{Bound, Kind, Memory, bound_call};

/// How much history a value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// This many rows of the same group before its own.
    Rows(usize),
    /// Everything from the first row on.
    All,
}

/// Whether a value uses rows later than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// It does not.
    None,
    /// This many rows.
    Rows(usize),
    /// All rows of its group.
    All,
}

/// What one output needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Rows before the first value.
    pub lookback: usize,
    /// Rows after which the value practically no longer depends on where the data starts;
    /// `usize::MAX` for what never forgets.
    pub warmup: usize,
    /// What it depends on exactly.
    pub history: History,
    /// What it uses of the future.
    pub ahead: Ahead,
    /// Indicators and windows it is made of, in words.
    pub made_of: Vec<String>,
}

impl Need {
    const NONE: Need = Need {
        lookback: 0,
        warmup: 0,
        history: History::Rows(0),
        ahead: Ahead::None,
        made_of: Vec::new(),
    };

    /// The need of something computed from both, side by side.
    fn beside(mut self, other: &Need) -> Need {
        self.lookback = self.lookback.max(other.lookback);
        self.warmup = self.warmup.max(other.warmup);
        self.history = match (self.history, other.history) {
            (History::Rows(a), History::Rows(b)) => History::Rows(a.max(b)),
            _ => History::All,
        };
        self.ahead = match (self.ahead, other.ahead) {
            (Ahead::All, _) | (_, Ahead::All) => Ahead::All,
            (Ahead::Rows(a), Ahead::Rows(b)) => Ahead::Rows(a.max(b)),
            (Ahead::None, other) => other,
            (own, Ahead::None) => own,
        };
        for part in &other.made_of {
            if !self.made_of.contains(part) {
                self.made_of.push(part.clone());
            }
        }
        self
    }

    /// The need of a window over values that have this need.
    fn under(mut self, window: Need) -> Need {
        self.lookback = self.lookback.saturating_add(window.lookback);
        self.warmup = self.warmup.saturating_add(window.warmup);
        self.history = match (self.history, window.history) {
            (History::Rows(a), History::Rows(b)) => History::Rows(a.saturating_add(b)),
            _ => History::All,
        };
        self.ahead = match (self.ahead, window.ahead) {
            (Ahead::All, _) | (_, Ahead::All) => Ahead::All,
            (Ahead::Rows(a), Ahead::Rows(b)) => Ahead::Rows(a.saturating_add(b)),
            (Ahead::None, other) => other,
            (own, Ahead::None) => own,
        };
        self.made_of.extend(window.made_of);
        self
    }
}

/// The needs of the columns of a plan, in their order. `time` is the name of the time column: a
/// window partitioned by it is cross-sectional and sees one moment only.
///
/// # Errors
/// A call of an indicator with impossible parameters.
pub fn needs(plan: &LogicalPlan, time: &str) -> Result<Vec<Need>> {
    let width = plan.schema().fields().len();
    match plan {
        LogicalPlan::Projection(node) => {
            let below = Below::of(&node.input, time)?;
            node.expr.iter().map(|expr| below.need(expr)).collect()
        }
        LogicalPlan::Window(node) => {
            let below = Below::of(&node.input, time)?;
            let windows = node.window_expr.iter().map(|expr| below.need(expr));
            let windows = windows.collect::<Result<Vec<_>>>()?;
            Ok(below.needs.iter().cloned().chain(windows).collect())
        }
        LogicalPlan::Filter(node) => {
            let below = Below::of(&node.input, time)?;
            // Which rows are there depends on the condition too.
            let condition = below.need(&node.predicate)?;
            Ok(below.needs.iter().map(|need| need.clone().beside(&condition)).collect())
        }
        LogicalPlan::SubqueryAlias(node) => needs(&node.input, time),
        LogicalPlan::Sort(node) => needs(&node.input, time),
        LogicalPlan::Repartition(node) => needs(&node.input, time),
        LogicalPlan::TableScan(_) | LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => {
            Ok(vec![Need::NONE; width])
        }
        LogicalPlan::Union(node) => {
            let mut merged = vec![Need::NONE; width];
            for input in &node.inputs {
                let of_input = needs(input, time)?;
                merged = merged.into_iter().zip(&of_input).map(|(a, b)| a.beside(b)).collect();
            }
            Ok(merged)
        }
        LogicalPlan::Join(node) => {
            let mut all = needs(&node.left, time)?;
            let mut right = needs(&node.right, time)?;
            if super::joins::reaches_later(node, time) {
                for need in &mut right {
                    (need.history, need.ahead) = (History::All, Ahead::All);
                    need.made_of.push(format!("a join that reaches rows of a later {time}"));
                }
            }
            all.extend(right);
            if all.len() == width { Ok(all) } else { Ok(vec![merge(&all); width]) }
        }
        LogicalPlan::Aggregate(node) => {
            let below = Below::of(&node.input, time)?;
            let per_moment = node.group_expr.iter().any(|e| is_column(e, time));
            let whole = if per_moment {
                Need::NONE
            } else {
                Need {
                    history: History::All,
                    ahead: Ahead::All,
                    made_of: vec!["GROUP BY without the time column".into()],
                    ..Need::NONE
                }
            };
            let keys = node.group_expr.iter().map(|expr| below.need(expr));
            let values = node.aggr_expr.iter().map(|e| Ok(below.need(e)?.beside(&whole)));
            let all = keys.chain(values).collect::<Result<Vec<_>>>()?;
            if all.len() == width { Ok(all) } else { Ok(vec![merge(&all).beside(&whole); width]) }
        }
        other => {
            let mut all = Need { history: History::All, ..Need::NONE };
            for input in other.inputs() {
                all = all.beside(&merge(&needs(input, time)?));
            }
            Ok(vec![all; width])
        }
    }
}

fn merge(needs: &[Need]) -> Need {
    needs.iter().fold(Need::NONE, Need::beside)
}

pub(super) fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

/// The needs of the columns of a node's input.
struct Below<'a> {
    input: &'a LogicalPlan,
    needs: Vec<Need>,
    time: &'a str,
}

impl<'a> Below<'a> {
    fn of(input: &'a LogicalPlan, time: &'a str) -> Result<Self> {
        Ok(Self { input, needs: needs(input, time)?, time })
    }

    fn column(&self, column: &Column) -> Need {
        match self.input.schema().maybe_index_of_column(column) {
            Some(index) => self.needs.get(index).cloned().unwrap_or(Need::NONE),
            None => Need::NONE,
        }
    }

    fn need(&self, expr: &Expr) -> Result<Need> {
        use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
        let mut all = Need::NONE;
        expr.apply(|part| {
            let need = match part {
                Expr::Column(column) => self.column(column),
                Expr::WindowFunction(window) => {
                    let mut inside = Need::NONE;
                    let params = &window.params;
                    let order = params.order_by.iter().map(|sort| &sort.expr);
                    for arg in params.args.iter().chain(&params.partition_by).chain(order) {
                        inside = inside.beside(&self.need(arg)?);
                    }
                    let need = inside.under(window_need(window, self.time)?);
                    all = std::mem::replace(&mut all, Need::NONE).beside(&need);
                    return Ok(TreeNodeRecursion::Jump);
                }
                Expr::ScalarSubquery(query) => subquery_need(query, self.time)?,
                Expr::Exists(exists) => subquery_need(&exists.subquery, self.time)?,
                Expr::InSubquery(within) => subquery_need(&within.subquery, self.time)?,
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            all = std::mem::replace(&mut all, Need::NONE).beside(&need);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(all)
    }
}

/// What a subquery needs: one that looks at the row outside may look at any row from there.
fn subquery_need(query: &Subquery, time: &str) -> Result<Need> {
    let mut need = merge(&needs(&query.subquery, time)?);
    if !query.outer_ref_columns.is_empty() {
        (need.history, need.ahead) = (History::All, Ahead::All);
        need.made_of.push("a subquery on the row outside".into());
    }
    Ok(need)
}

/// What a window function needs of its own.
fn window_need(window: &WindowFunction, time: &str) -> Result<Need> {
    let params = &window.params;
    let moment = params.partition_by.iter().any(|expr| is_column(expr, time));
    // Rows are in time only if the time column orders them, forwards.
    let in_time = params.order_by.iter().any(|sort| sort.asc && is_column(&sort.expr, time));
    let backwards = !params.order_by.is_empty() && !in_time;
    let mut need = match &window.fun {
        WindowFunctionDefinition::WindowUDF(udf) => match bound_call(udf, &params.args) {
            Some(bound) => indicator_need(&bound?),
            None => builtin_need(udf.name(), params),
        },
        WindowFunctionDefinition::AggregateUDF(udf) => frame_need(udf.name(), params),
    };
    if moment {
        // One moment: nothing before, nothing after.
        need = Need { made_of: need.made_of, ..Need::NONE };
    } else if backwards {
        need.ahead = Ahead::All;
    }
    Ok(need)
}

fn indicator_need(bound: &Bound) -> Need {
    let (lookback, warmup) = (bound.lookback(), bound.warmup());
    let spec = &bound.entry.spec;
    let history = match bound.memory() {
        Memory::Pointwise | Memory::Window => History::Rows(lookback),
        _ => History::All,
    };
    let params: Vec<String> = bound.params.iter().map(f64::to_string).collect();
    let name = match spec.kind() {
        Kind::Indicator if !params.is_empty() => format!("{}({})", spec.name, params.join(", ")),
        _ => spec.name.to_string(),
    };
    Need { lookback, warmup, history, ahead: Ahead::None, made_of: vec![name] }
}

/// `lag`, `lead`, ranks and their kin.
fn builtin_need(name: &str, params: &WindowFunctionParams) -> Need {
    let shift = params.args.get(1).map_or(Some(1), integer).unwrap_or(1);
    let whole = || frame_need(name, params);
    let rows = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX);
    let back = match name {
        "lag" => shift >= 0,
        "lead" => shift < 0,
        "row_number" | "rank" | "dense_rank" if !params.order_by.is_empty() => {
            return Need { history: History::All, made_of: vec![name.into()], ..Need::NONE };
        }
        "first_value" | "last_value" | "nth_value" => return whole(),
        _ => {
            let made_of = vec![format!("{name} over the whole group")];
            return Need { history: History::All, ahead: Ahead::All, made_of, ..Need::NONE };
        }
    };
    let made_of = vec![format!("{name}({shift})")];
    if back {
        Need {
            lookback: rows,
            warmup: rows,
            history: History::Rows(rows),
            ahead: Ahead::None,
            made_of,
        }
    } else {
        Need { ahead: Ahead::Rows(rows), made_of, ..Need::NONE }
    }
}

/// A function over a frame.
fn frame_need(name: &str, params: &WindowFunctionParams) -> Need {
    let frame = &params.window_frame;
    let unordered = params.order_by.is_empty();
    let rows = frame.units == WindowFrameUnits::Rows;
    let mut need = Need { made_of: vec![format!("{name} {frame}")], ..Need::NONE };
    match bound_rows(&frame.start_bound) {
        Some(start) if rows && !unordered => {
            let back = usize::try_from(-start.min(0)).unwrap_or(usize::MAX);
            (need.lookback, need.warmup, need.history) = (back, back, History::Rows(back));
        }
        _ => need.history = History::All,
    }
    need.ahead = match (&frame.end_bound, bound_rows(&frame.end_bound)) {
        _ if unordered => Ahead::All,
        (_, Some(end)) if end <= 0 => Ahead::None,
        (_, Some(end)) if rows => Ahead::Rows(usize::try_from(end).unwrap_or(usize::MAX)),
        _ => Ahead::All,
    };
    if need.ahead == Ahead::All {
        need.made_of = vec![format!("{name} over the whole group")];
    }
    need
}

/// A bound in rows relative to the current one, None if it is unbounded or no number.
fn bound_rows(bound: &WindowFrameBound) -> Option<i64> {
    let number =
        |value: &ScalarValue| match value.cast_to(&datafusion::arrow::datatypes::DataType::Int64) {
            Ok(ScalarValue::Int64(number)) => number,
            _ => None,
        };
    match bound {
        WindowFrameBound::CurrentRow => Some(0),
        WindowFrameBound::Preceding(value) => number(value).map(|n| -n),
        WindowFrameBound::Following(value) => number(value),
    }
}

fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) => {
            match value.cast_to(&datafusion::arrow::datatypes::DataType::Int64) {
                Ok(ScalarValue::Int64(number)) => number,
                _ => None,
            }
        }
        Expr::Negative(inner) => integer(inner).map(|n| -n),
        Expr::Cast(cast) => integer(&cast.expr),
        Expr::Alias(alias) => integer(&alias.expr),
        _ => None,
    }
}
