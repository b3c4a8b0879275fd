//! A feature set that is planned for a run, restricted to the scope of the run.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_plan::ExecutionPlan;

use super::common_subplans::plan_with_sharing;
use super::query::locate_in_file;
use super::run_options::RunOptions;
use super::scope::exact_column;
use super::{Engine, PlannedSet, Scope};
use crate::commit::TargetContents;
use crate::error::{Error, Result};
use crate::exec::{ensure_order, period_keys};
use crate::sql::diagnose_error;

/// The rows of a planned set within a scope.
#[derive(Clone, Copy)]
pub(super) struct ScopedSet<'a> {
    pub(super) engine: &'a Engine,
    pub(super) planned: &'a PlannedSet,
    pub(super) scope: &'a Scope,
}

/// A set that is planned for a run, without the symbols that earlier attempts left out.
pub(super) struct PlannedRun<'a> {
    pub(super) engine: &'a Engine,
    pub(super) planned: &'a PlannedSet,
    pub(super) options: &'a RunOptions,
    /// The kind of contents that the target holds.
    pub(super) contents: TargetContents,
    pub(super) without: &'a BTreeSet<String>,
}

impl ScopedSet<'_> {
    /// Returns the plan restricted to the scope, without some symbols. The condition is the topmost node, so the
    /// remaining rows have the values of the unrestricted run; the optimizer pushes it down only where that stays
    /// true.
    pub(super) fn rows_without(&self, symbols: &BTreeSet<String>) -> Result<LogicalPlan> {
        let header = &self.planned.set.header;
        let time = self.planned.outputs.iter().find(|o| o.name == header.time);
        let ty = time.map_or(DataType::Null, |o| o.data_type.clone());
        let mut condition = self.scope.filter_expr(&header.entity, &header.time, &ty)?;
        if !symbols.is_empty() {
            let symbols = symbols.iter().map(|s| lit(s.as_str())).collect();
            let others = exact_column(&header.entity).in_list(symbols, true);
            condition = Some(condition.map_or(others.clone(), |c| c.and(others)));
        }
        self.filter_plan(&self.planned.plan, condition)
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

    /// Returns the physical plan, whose partitions are sorted by the columns `order`. The rows of an entity are in
    /// one partition; without an entity there is one partition. Rows that come sorted period by period stay so if
    /// `periods` is true and the order is entity and time.
    pub(super) async fn order_rows(
        &self,
        plan: &LogicalPlan,
        entity: Option<usize>,
        order: &[usize],
        periods: bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let state = self.engine.context().state();
        let plan =
            plan_with_sharing(&state, plan).await.map_err(|error| self.explain_error(&error))?;
        if let Some((entity, time)) = period_keys(&plan).filter(|_| periods)
            && order == [entity, time]
        {
            return Ok(plan);
        }
        ensure_order(plan, entity, order, state.config_options())
            .map_err(|error| self.explain_error(&error))
    }

    pub(super) fn explain_error(&self, error: &DataFusionError) -> Error {
        let text = &self.planned.rendered;
        locate_in_file(diagnose_error(error, &text.sql, &[]), text)
    }
}

impl PlannedRun<'_> {
    /// Returns the set within the scope of the run.
    pub(super) fn scoped_set(&self) -> ScopedSet<'_> {
        ScopedSet { engine: self.engine, planned: self.planned, scope: &self.options.scope }
    }

    /// Returns the plan restricted to the scope of the run.
    pub(super) fn scoped_plan(&self) -> Result<LogicalPlan> {
        self.scoped_set().rows_without(self.without)
    }

    pub(super) fn explain_error(&self, error: &DataFusionError) -> Error {
        self.scoped_set().explain_error(error)
    }
}
