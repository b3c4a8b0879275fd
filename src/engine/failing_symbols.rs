//! Finds the symbols that a run fails on, for `--keep-going`.

use std::collections::BTreeSet;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{LogicalPlanBuilder, lit};
use futures::TryStreamExt;

use super::planned_run::PlannedRun;
use super::scope::exact_column;
use crate::error::{Error, Result};

impl PlannedRun<'_> {
    /// Finds the symbols on which the plan fails, by bisection. Returns none if it fails on all of them, because
    /// then the symbols are not the cause.
    pub(super) async fn find_failing_symbols(&self) -> Result<Vec<String>> {
        let entity = &self.planned.set.header.entity;
        let names = LogicalPlanBuilder::from(self.scoped_plan()?)
            .project([exact_column(entity)])
            .and_then(LogicalPlanBuilder::distinct)
            .and_then(LogicalPlanBuilder::build);
        let listed = async {
            let frame = self.engine.context().execute_logical_plan(names?).await?;
            frame.collect().await
        };
        let Ok(listed) = listed.await else { return Ok(Vec::new()) };
        let mut symbols = BTreeSet::new();
        for batch in listed {
            let text = datafusion::arrow::compute::cast(batch.column(0), &DataType::Utf8);
            let text = text.map_err(|error| Error::internal(error.to_string()))?;
            symbols.extend(text.as_string::<i32>().iter().flatten().map(str::to_string));
        }
        let all: Vec<String> = symbols.into_iter().collect();
        let mut failing = Vec::new();
        let mut parts = vec![all.clone()];
        while let Some(part) = parts.pop() {
            if self.runs_without_error(&part).await? {
                continue;
            }
            match part.len() {
                0 => {}
                1 => failing.extend(part),
                n => {
                    parts.push(part[..n / 2].to_vec());
                    parts.push(part[n / 2..].to_vec());
                }
            }
        }
        Ok(if failing.len() == all.len() { Vec::new() } else { failing })
    }

    /// Returns whether the plan runs on these symbols.
    async fn runs_without_error(&self, symbols: &[String]) -> Result<bool> {
        let symbols = symbols.iter().map(|s| lit(s.as_str())).collect();
        let only = exact_column(&self.planned.set.header.entity).in_list(symbols, false);
        let plan = self.scoped_set().filter_plan(&self.scoped_plan()?, Some(only))?;
        let drained = async {
            let frame = self.engine.context().execute_logical_plan(plan).await?;
            let mut stream = frame.execute_stream().await?;
            while stream.try_next().await?.is_some() {}
            Ok::<_, DataFusionError>(())
        };
        Ok(drained.await.is_ok())
    }
}
