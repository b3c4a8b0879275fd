//! The audits of a header as checks: row by row while writing, or by a look at all rows before.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_expr::PhysicalExpr;

use super::plan_checks::check_condition;
use super::planned_run::PlannedRun;
use super::scope::exact;
use super::{Engine, Planned};
use crate::error::{Error, Result};
use crate::feature_set::Audit;
use crate::guards;
use crate::sql::{blame, parse};
use crate::write::{Check, Rule};

/// An audit over all rows.
pub(super) struct WholeAudit {
    pub(super) text: String,
    columns: Vec<String>,
    pub(super) place: crate::error::Place,
}

impl Engine {
    /// The audits that are checked row by row while writing, and those that need a look at all
    /// rows first.
    pub(super) fn audits(
        &self,
        planned: &Planned,
        neighbours: bool,
    ) -> Result<(Vec<Check>, Vec<WholeAudit>)> {
        let header = &planned.set.header;
        let schema = planned.plan.schema();
        let (mut checks, mut whole) = (Vec::new(), Vec::new());
        let column = |name: &String, place: &crate::error::Place| {
            planned.outputs.iter().position(|o| o.name == *name).ok_or_else(|| {
                let names = planned.outputs.iter().map(|o| o.name.as_str());
                Error::query(format!("audits: there is no output {name}"))
                    .hint(crate::error::did_you_mean(name, "outputs", names))
                    .at(place.clone())
            })
        };
        for audit in &header.audits {
            let told = audit.text();
            match audit {
                Audit::Condition { text, place } => {
                    let condition = self.condition(text, schema);
                    let condition = condition
                        .map_err(|error| error.relocate(|_| place.clone()).at(place.clone()))?;
                    let ty = condition.data_type(schema.as_arrow());
                    if !matches!(ty, Ok(DataType::Boolean)) {
                        return Err(Error::query(format!("the audit {text} is no condition"))
                            .hint("write a comparison, such as rsi_14 BETWEEN 0 AND 100")
                            .at(place.clone()));
                    }
                    let rule = Rule::Condition(condition);
                    checks.push(Check { text: text.clone(), place: place.clone(), rule });
                }
                Audit::NotNull { columns, place } => {
                    let rule =
                        columns.iter().map(|c| column(c, place)).collect::<Result<Vec<_>>>()?;
                    let rule = Rule::NotNull(rule);
                    checks.push(Check { text: told, place: place.clone(), rule });
                }
                Audit::Unique { columns, place } => {
                    for name in columns {
                        column(name, place)?;
                    }
                    let key: BTreeSet<&String> = [&header.entity, &header.time].into();
                    if neighbours && columns.iter().collect::<BTreeSet<_>>() == key {
                        let rule = Rule::UniqueKey;
                        checks.push(Check { text: told, place: place.clone(), rule });
                    } else {
                        whole.push(WholeAudit {
                            text: told,
                            columns: columns.clone(),
                            place: place.clone(),
                        });
                    }
                }
            }
        }
        Ok((checks, whole))
    }

    /// A condition on one row of the outputs, checked and computed as in a statement.
    fn condition(&self, text: &str, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        let state = self.context().state();
        let mut sql = parse(&format!("SELECT {text}"))?;
        if let Some(name) = sql.window_call() {
            return Err(Error::query(format!("the audit {text} calls a window function, {name}"))
                .hint("make it an output of the set, and write the audit of that output"));
        }
        self.check_forms(&sql)?;
        let blamed = |error| blame(&error, text, &[]);
        sql.rewrite()?;
        let rewritten = sql.text();
        let rewritten = rewritten.strip_prefix("SELECT ").unwrap_or(text);
        let expr = state.create_logical_expr(rewritten, schema).map_err(blamed)?;
        let more = expr.exists(|part| {
            use Expr::{AggregateFunction, Exists, InSubquery, ScalarSubquery};
            Ok(matches!(part, AggregateFunction(_) | Exists(_) | InSubquery(_) | ScalarSubquery(_)))
        });
        if more.map_err(blamed)? {
            return Err(Error::query(format!("the audit {text} looks at more than one row")).hint(
                "make what it needs an output of the set, and write the audit of that output",
            ));
        }
        check_condition(&expr, schema)?;
        guards::condition(expr, schema)
            .and_then(|expr| state.create_physical_expr(expr, schema))
            .map_err(blamed)
    }
}

impl PlannedRun<'_> {
    /// Uniqueness of columns that the rows are not sorted by: counted by a query of its own.
    pub(super) async fn check_unique(
        &self,
        plan: &LogicalPlan,
        audits: &[WholeAudit],
    ) -> Result<()> {
        for audit in audits {
            let keys: Vec<Expr> = audit.columns.iter().map(|c| exact(c)).collect();
            let count = datafusion::functions_aggregate::expr_fn::count(lit(1)).alias("rows");
            let repeated = LogicalPlanBuilder::from(plan.clone())
                .aggregate(keys, [count])
                .and_then(|b| b.filter(exact("rows").gt(lit(1))))
                .and_then(|b| b.limit(0, Some(1)))
                .and_then(LogicalPlanBuilder::build);
            let found = async {
                let frame = self.engine.context().execute_logical_plan(repeated?).await?;
                frame.collect().await
            };
            let found = found.await.map_err(|error| self.explain(&error))?;
            if let Some(batch) = found.iter().find(|batch| batch.num_rows() > 0) {
                let options = datafusion::arrow::util::display::FormatOptions::default();
                let text = |i: usize| {
                    let column = batch.column(i);
                    datafusion::arrow::util::display::ArrayFormatter::try_new(column, &options)
                        .map(|f| f.value(0).to_string())
                        .unwrap_or_default()
                };
                let key: Vec<String> = (0..audit.columns.len()).map(text).collect();
                return Err(Error::data(format!(
                    "audit failed: {}, repeated for example at {}",
                    audit.text,
                    key.join(" ")
                ))
                .hint("correct the data or the audit; the target is as it was")
                .at(audit.place.clone()));
            }
        }
        Ok(())
    }
}
