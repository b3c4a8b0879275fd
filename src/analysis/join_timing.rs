//! The times of the rows that a join pairs with a row of its left side: the same time, earlier, or later.

use datafusion::common::Column;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, Operator};

/// The columns of one side of a join, as far as its time is concerned.
pub(super) trait TimedColumns {
    /// Returns whether an expression is the time column: a column of this name, or one that had it in the
    /// source.
    fn is_time_column(&self, expr: &Expr) -> bool;

    /// Returns whether the side has a column.
    fn has_column(&self, column: &Column) -> bool;

    /// Returns whether one of the columns is the time.
    fn has_time_column(&self) -> bool;
}

/// The times of rows of the right side, relative to the row of the left side that they are paired with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinTiming {
    /// The same time, or one of the sides has no time.
    Same,
    /// The same time or an earlier one, by any number of rows.
    Earlier,
    /// Any time, later ones included.
    Later,
    /// A condition relates the two times in a way that is not understood.
    Unknown,
}

/// Returns the times of rows of the right side. If both sides have the time column, only a condition can tie
/// the right one to the left one.
pub(super) fn join_timing(
    join: &Join,
    left: &dyn TimedColumns,
    right: &dyn TimedColumns,
) -> JoinTiming {
    if !left.has_time_column() || !right.has_time_column() {
        return JoinTiming::Same;
    }
    let sides = JoinSides { left, right };
    // A cast may truncate times to days.
    let same_by_pair = join.on.iter().any(|(ours, theirs)| {
        let plain = left.is_time_column(ours) && right.is_time_column(theirs);
        plain && ours != theirs
    });
    let conditions: Vec<&Expr> = join.filter.iter().flat_map(split_conjunction).collect();
    if same_by_pair || conditions.iter().any(|condition| sides.keeps_same_time(condition)) {
        JoinTiming::Same
    } else if conditions.iter().any(|condition| sides.forbids_later_time(condition)) {
        JoinTiming::Earlier
    } else if conditions.iter().any(|condition| {
        sides.mentions_both_times(condition) && !sides.allows_later_time(condition)
    }) || join
        .on
        .iter()
        .any(|(ours, theirs)| mentions_time(left, ours) && mentions_time(right, theirs))
    {
        JoinTiming::Unknown
    } else {
        JoinTiming::Later
    }
}

struct JoinSides<'a> {
    left: &'a dyn TimedColumns,
    right: &'a dyn TimedColumns,
}

impl JoinSides<'_> {
    /// Returns whether a condition makes the time of the right side equal to that of the left side.
    fn keeps_same_time(&self, condition: &Expr) -> bool {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
            return false;
        };
        // A cast may truncate times to days.
        let plain = [left, right].into_iter().all(|side| matches!(side.as_ref(), Expr::Column(_)));
        plain && (self.bounds_right_time(left, right) || self.bounds_right_time(right, left))
    }

    /// Returns whether a condition keeps the time of the right side at or before that of the left side.
    fn forbids_later_time(&self, condition: &Expr) -> bool {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::Eq => {
                    self.bounds_right_time(left, right) || self.bounds_right_time(right, left)
                }
                Operator::Lt | Operator::LtEq => self.bounds_right_time(left, right),
                Operator::Gt | Operator::GtEq => self.bounds_right_time(right, left),
                _ => false,
            },
            Expr::Between(between) => {
                !between.negated && self.bounds_right_time(&between.expr, &between.high)
            }
            _ => false,
        }
    }

    /// Returns whether `earlier` is the time of the right side, and `later` is the time of the left side or
    /// something before it.
    fn bounds_right_time(&self, earlier: &Expr, later: &Expr) -> bool {
        is_time_of(self.right, earlier) && self.is_left_bound(later)
    }

    /// Returns whether a condition refers to the times of both sides.
    fn mentions_both_times(&self, condition: &Expr) -> bool {
        mentions_time(self.left, condition) && mentions_time(self.right, condition)
    }

    /// Returns whether a condition allows the time of the right side to be later than that of the left side.
    fn allows_later_time(&self, condition: &Expr) -> bool {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return false };
        let ahead = |ours: &Expr, theirs: &Expr| {
            let ours = match ours {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, .. }) => left,
                other => other,
            };
            is_time_of(self.left, ours) && is_time_of(self.right, theirs)
        };
        match op {
            Operator::Eq => ahead(left, right) || ahead(right, left),
            Operator::Lt | Operator::LtEq => ahead(left, right),
            Operator::Gt | Operator::GtEq => ahead(right, left),
            _ => false,
        }
    }

    /// Returns whether an expression is the time of the left side, or something before it.
    fn is_left_bound(&self, expr: &Expr) -> bool {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, .. }) => {
                self.is_left_bound(left)
            }
            Expr::Cast(cast) => self.is_left_bound(&cast.expr),
            other => is_time_of(self.left, other),
        }
    }
}

/// Returns whether an expression refers to the time column of a side.
fn mentions_time(side: &dyn TimedColumns, expr: &Expr) -> bool {
    let of = |column: &&Column| {
        side.has_column(column) && side.is_time_column(&Expr::Column((*column).clone()))
    };
    expr.column_refs().iter().any(of)
}

fn is_time_of(side: &dyn TimedColumns, expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => side.has_column(column) && side.is_time_column(expr),
        Expr::Cast(cast) => is_time_of(side, &cast.expr),
        _ => false,
    }
}
