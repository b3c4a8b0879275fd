//! A feature set that is planned for a run, restricted to the scope of the run.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::query::locate_in_file;
use super::run_options::RunOptions;
use super::scope::exact_column;
use super::{Engine, PlannedSet};
use crate::commit::TargetContents;
use crate::error::{Error, Result};
use crate::sql::diagnose_error;

/// A set that is planned for a run, without the symbols that earlier attempts left out.
pub(super) struct PlannedRun<'a> {
    pub(super) engine: &'a Engine,
    pub(super) planned: &'a PlannedSet,
    pub(super) options: &'a RunOptions,
    /// The kind of contents that the target holds.
    pub(super) contents: TargetContents,
    pub(super) without: &'a BTreeSet<String>,
}

impl PlannedRun<'_> {
    /// Returns the plan restricted to the scope. The condition is the topmost node, so the remaining rows have the
    /// values of the unrestricted run; the optimizer pushes it down only where that stays true.
    pub(super) fn scoped_plan(&self) -> Result<LogicalPlan> {
        let header = &self.planned.set.header;
        let plan = &self.planned.plan;
        let time = self.planned.outputs.iter().find(|o| o.name == header.time);
        let ty = time.map_or(DataType::Null, |o| o.data_type.clone());
        let mut condition = self.options.scope.filter_expr(&header.entity, &header.time, &ty)?;
        if !self.without.is_empty() {
            let symbols = self.without.iter().map(|s| lit(s.as_str())).collect();
            let others = exact_column(&header.entity).in_list(symbols, true);
            condition = Some(condition.map_or(others.clone(), |c| c.and(others)));
        }
        self.filter_plan(plan, condition)
    }

    pub(super) fn filter_plan(
        &self,
        plan: &LogicalPlan,
        condition: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let Some(condition) = condition else { return Ok(plan.clone()) };
        LogicalPlanBuilder::from(plan.clone())
            .filter(condition)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| self.explain_error(&error))
    }

    pub(super) fn explain_error(&self, error: &DataFusionError) -> Error {
        let text = &self.planned.rendered;
        locate_in_file(diagnose_error(error, &text.sql, &[]), text)
    }
}
