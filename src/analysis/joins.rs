//! Which rows of a right side a join brings beside a row: of the same time, earlier, or later.

use datafusion::common::Column;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, Operator};

use super::relation::Relation;

/// When rows of the right side are, next to the row of the left side that they stand beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// At its time; or a side has no time.
    Same,
    /// At its time or before it, by any number of rows.
    Earlier,
    /// At any time, or at a later one.
    Later,
    /// A condition ties the two times in a way that is not understood.
    Unknown,
}

/// When rows of the right side are. Where both sides have the time column, only a condition can tie
/// the right one to the left one.
pub(super) fn beside(join: &Join, left: &Relation<'_>, right: &Relation<'_>) -> Beside {
    if !left.has_time() || !right.has_time() {
        return Beside::Same;
    }
    let sides = Sides { left, right };
    // A cast may cut times to days.
    let same_by_pair = join.on.iter().any(|(ours, theirs)| {
        let plain = left.is_time(ours) && right.is_time(theirs);
        plain && ours != theirs
    });
    let conditions: Vec<&Expr> = join.filter.iter().flat_map(split_conjunction).collect();
    if same_by_pair || conditions.iter().any(|condition| sides.same(condition)) {
        Beside::Same
    } else if conditions.iter().any(|condition| sides.tie(condition)) {
        Beside::Earlier
    } else if conditions.iter().any(|condition| sides.speaks(condition) && !sides.later(condition))
        || join.on.iter().any(|(ours, theirs)| mentions(left, ours) && mentions(right, theirs))
    {
        Beside::Unknown
    } else {
        Beside::Later
    }
}

struct Sides<'a> {
    left: &'a Relation<'a>,
    right: &'a Relation<'a>,
}

impl Sides<'_> {
    /// Whether a condition keeps the time of the right side at that of the left side.
    fn same(&self, condition: &Expr) -> bool {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else {
            return false;
        };
        // A cast may cut times to days.
        let plain = [left, right].into_iter().all(|side| matches!(side.as_ref(), Expr::Column(_)));
        plain && (self.before(left, right) || self.before(right, left))
    }

    /// Whether a condition keeps the time of the right side at or before that of the left side.
    fn tie(&self, condition: &Expr) -> bool {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::Eq => self.before(left, right) || self.before(right, left),
                Operator::Lt | Operator::LtEq => self.before(left, right),
                Operator::Gt | Operator::GtEq => self.before(right, left),
                _ => false,
            },
            Expr::Between(between) => !between.negated && self.before(&between.expr, &between.high),
            _ => false,
        }
    }

    /// Whether `earlier` is the right side's time and `later` bounds it by the left side's.
    fn before(&self, earlier: &Expr, later: &Expr) -> bool {
        is_time_of(self.right, earlier) && self.bounds(later)
    }

    /// Whether a condition speaks of the times of both sides.
    fn speaks(&self, condition: &Expr) -> bool {
        mentions(self.left, condition) && mentions(self.right, condition)
    }

    /// Whether a condition lets the time of the right side be later than that of the left side.
    fn later(&self, condition: &Expr) -> bool {
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

    /// The left side's time, or something before it.
    fn bounds(&self, expr: &Expr) -> bool {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, .. }) => self.bounds(left),
            Expr::Cast(cast) => self.bounds(&cast.expr),
            other => is_time_of(self.left, other),
        }
    }
}

/// Whether an expression has the time column of a side in it.
fn mentions(side: &Relation<'_>, expr: &Expr) -> bool {
    let of = |column: &&Column| {
        side.has_column(column) && side.is_time(&Expr::Column((*column).clone()))
    };
    expr.column_refs().iter().any(of)
}

fn is_time_of(side: &Relation<'_>, expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => side.has_column(column) && side.is_time(expr),
        Expr::Cast(cast) => is_time_of(side, &cast.expr),
        _ => false,
    }
}
