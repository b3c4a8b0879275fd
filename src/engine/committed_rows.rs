//! The rows of a committed target, for a caller who wants those of a planned set: they are taken only if the record of
//! the target proves that they are the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::{concat_batches, partition};
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlanBuilder, cast, lit};

use super::scope::exact_column;
use super::watched_sources::SourceState;
use super::{Engine, PlannedSet};
use crate::commit::{Target, TargetContents};
use crate::config::{Duplicates, SourceConfig};
use crate::error::{Error, Result};
use crate::sql::diagnose_error;
use crate::store::{RECORD_FORMAT, Record};

/// A committed target whose rows are those of a planned set over the present rows of its sources.
#[derive(Clone, Debug)]
pub struct CommittedRows {
    target: Target,
    record: Record,
}

impl CommittedRows {
    /// Returns whether the last commit computed a symbol. Other symbols of a target may be older.
    pub fn has_symbol(&self, symbol: &str) -> bool {
        let computed = self.record.symbols.as_ref();
        computed.is_none_or(|symbols| symbols.iter().any(|known| known == symbol))
            && self.record.watermarks.contains_key(symbol)
    }
}

impl Engine {
    /// Looks at a target. Returns it if its last commit has the definition of the set and the given states of its
    /// sources, and all times.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub async fn find_committed_rows(
        &self,
        target: Target,
        planned: &PlannedSet,
        states: &BTreeMap<String, SourceState>,
    ) -> Result<Option<CommittedRows>> {
        let parquet = target.contents() == TargetContents::Parquet;
        if target.contents() == TargetContents::CsvFile || self.config().float32 {
            return Ok(None); // Their values may have other bits.
        }
        let Some(record) = self.commit(&target).latest().await? else { return Ok(None) };
        let same_inputs = record.inputs.len() == states.len()
            && record.inputs.iter().all(|(name, input)| {
                input.state.is_some() && states.get(name) == Some(&input.state)
            });
        let proves = record.format >= RECORD_FORMAT
            && record.set == planned.set.name
            && record.fingerprint == self.output_definition(planned, parquet).digest()
            && same_inputs
            && record.left_out.is_empty()
            && (record.from.is_none() && record.until.is_none());
        Ok(proves.then_some(CommittedRows { target, record }))
    }

    /// Reads the rows of a symbol, sorted by time, in the columns of the set. None if another commit came meanwhile.
    ///
    /// # Errors
    /// If the target cannot be read.
    pub async fn read_committed_symbol(
        &self,
        committed: &CommittedRows,
        planned: &PlannedSet,
        symbol: &str,
    ) -> Result<Option<RecordBatch>> {
        let header = &planned.set.header;
        let config = SourceConfig {
            entity: header.entity.clone(),
            time: header.time.clone(),
            duplicates: Duplicates::All,
            ..SourceConfig::new(committed.target.location())
        };
        let table: Arc<dyn TableProvider> = self.build_source("committed", config).await?;
        let outputs = planned.outputs.iter().map(|output| {
            cast(exact_column(&output.name), output.data_type.clone()).alias(&output.name)
        });
        let read = async {
            let plan = LogicalPlanBuilder::scan("committed", provider_as_source(table), None)?
                .filter(exact_column(&header.entity).eq(lit(symbol)))?
                .project(outputs)?
                .sort([exact_column(&header.time).sort(true, false)])?
                .build()?;
            self.context().execute_logical_plan(plan).await?.collect().await
        };
        let batches =
            read.await.map_err(|error: DataFusionError| diagnose_error(&error, "", &[]))?;
        let now = self.commit(&committed.target).latest().await?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let known = committed.record.watermarks.get(symbol).map(|range| range.rows as usize);
        let same = now.is_some_and(|now| now.run == committed.record.run);
        match batches.first().filter(|_| same && known == Some(rows)) {
            None => Ok(None),
            Some(first) => {
                let wrong = |error: ArrowError| Error::from_arrow_error(&error);
                let batch = concat_batches(&first.schema(), &batches).map_err(wrong)?;
                let [_, time] = planned.key_columns()?;
                let times = partition(std::slice::from_ref(batch.column(time))).map_err(wrong)?;
                // Nothing tells the order of rows of one time.
                Ok(Some(batch).filter(|_| times.len() == rows))
            }
        }
    }
}
