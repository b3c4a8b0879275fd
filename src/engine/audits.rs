//! The audits of a header as checks: row by row while writing, or by a query over all rows before.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::physical_expr::PhysicalExpr;

use super::plan_checks::check_condition;
use super::planned_run::PlannedRun;
use super::scope::exact_column;
use super::{Engine, PlannedSet};
use crate::error::{Error, Result};
use crate::feature_set::DeclaredAudit;
use crate::guards;
use crate::sql::{diagnose_error, parse};
use crate::write::{AuditCheck, AuditPredicate};

/// An audit that needs all rows.
pub(super) struct WholeAudit {
    pub(super) text: String,
    columns: Vec<String>,
    pub(super) place: crate::error::TextPlace,
}

impl Engine {
    /// Compiles the audits. Returns those that are checked row by row while writing, and those that need a query
    /// over all rows first.
    pub(super) fn compile_audits(
        &self,
        planned: &PlannedSet,
        neighbours: bool,
    ) -> Result<(Vec<AuditCheck>, Vec<WholeAudit>)> {
        let header = &planned.set.header;
        let schema = planned.plan.schema();
        let (mut checks, mut whole) = (Vec::new(), Vec::new());
        let column = |name: &String, place: &crate::error::TextPlace| {
            planned.outputs.iter().position(|o| o.name == *name).ok_or_else(|| {
                let names = planned.outputs.iter().map(|o| o.name.as_str());
                Error::query(format!("audits: there is no output {name}"))
                    .hint(crate::error::did_you_mean(name, "outputs", names))
                    .at_place(place.clone())
            })
        };
        for audit in &header.audits {
            let told = audit.display_text();
            match audit {
                DeclaredAudit::Condition { text, place } => {
                    let condition = self.compile_condition(text, schema);
                    let condition = condition.map_err(|error| {
                        error.relocate(|_| place.clone()).at_place(place.clone())
                    })?;
                    let ty = condition.data_type(schema.as_arrow());
                    if !matches!(ty, Ok(DataType::Boolean)) {
                        return Err(Error::query(format!("the audit {text} is no condition"))
                            .hint("write a comparison, such as rsi_14 BETWEEN 0 AND 100")
                            .at_place(place.clone()));
                    }
                    let rule = AuditPredicate::Condition(condition);
                    checks.push(AuditCheck { text: text.clone(), place: place.clone(), rule });
                }
                DeclaredAudit::NotNull { columns, place } => {
                    let rule =
                        columns.iter().map(|c| column(c, place)).collect::<Result<Vec<_>>>()?;
                    let rule = AuditPredicate::NotNull(rule);
                    checks.push(AuditCheck { text: told, place: place.clone(), rule });
                }
                DeclaredAudit::Unique { columns, place } => {
                    for name in columns {
                        column(name, place)?;
                    }
                    let key: BTreeSet<&String> = [&header.entity, &header.time].into();
                    if neighbours && columns.iter().collect::<BTreeSet<_>>() == key {
                        let rule = AuditPredicate::UniqueKey;
                        checks.push(AuditCheck { text: told, place: place.clone(), rule });
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

    /// Compiles a condition on one row of the outputs, with the checks and semantics of a statement.
    fn compile_condition(&self, text: &str, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        let state = self.context().state();
        let mut sql = parse(&format!("SELECT {text}"))?;
        if let Some(name) = sql.first_window_call() {
            return Err(Error::query(format!("the audit {text} calls a window function, {name}"))
                .hint("make it an output of the set, and write the audit of that output"));
        }
        self.check_statement_forms(&sql)?;
        let blamed = |error| diagnose_error(&error, text, &[]);
        sql.rewrite_statement()?;
        let rewritten = sql.normalized_text();
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
        guards::guard_condition(expr, schema)
            .and_then(|expr| state.create_physical_expr(expr, schema))
            .map_err(blamed)
    }
}

impl PlannedRun<'_> {
    /// Checks the uniqueness of columns that the rows are not sorted by, with a query of its own.
    pub(super) async fn check_unique(
        &self,
        plan: &LogicalPlan,
        audits: &[WholeAudit],
    ) -> Result<()> {
        for audit in audits {
            let keys: Vec<Expr> = audit.columns.iter().map(|c| exact_column(c)).collect();
            let count = datafusion::functions_aggregate::expr_fn::count(lit(1)).alias("rows");
            let repeated = LogicalPlanBuilder::from(plan.clone())
                .aggregate(keys, [count])
                .and_then(|b| b.filter(exact_column("rows").gt(lit(1))))
                .and_then(|b| b.limit(0, Some(1)))
                .and_then(LogicalPlanBuilder::build);
            let found = async {
                let frame = self.engine.context().execute_logical_plan(repeated?).await?;
                frame.collect().await
            };
            let found = found.await.map_err(|error| self.explain_error(&error))?;
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
                .at_place(audit.place.clone()));
            }
        }
        Ok(())
    }
}
