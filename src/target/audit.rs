//! Audits: conditions on the output rows, checked in the same pass as the write.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, make_comparator,
};
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::{SortOptions, and, is_null};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result as PlanResult;
use datafusion::physical_expr::PhysicalExpr;

use crate::error::{Error, Place};

/// One audit.
#[derive(Clone, Debug)]
pub struct Check {
    /// The audit as the header says it.
    pub text: String,
    /// Where the header says it.
    pub place: Place,
    /// What it asks.
    pub rule: Rule,
}

/// What an audit asks of the rows.
#[derive(Clone, Debug)]
pub enum Rule {
    /// The condition is not FALSE on any row; NULL passes.
    Condition(Arc<dyn PhysicalExpr>),
    /// No two rows have the same entity and time: neighbours, as the rows are sorted.
    UniqueKey,
    /// None of the columns is NULL.
    NotNull(Vec<usize>),
}

/// What an audit found in one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    rows: u64,
    first: Option<String>,
}

/// The audits of one partition's stream.
pub(super) struct Auditor {
    checks: Vec<Check>,
    found: Vec<Found>,
    keys: [usize; 2],
    last: Option<[ArrayRef; 2]>,
    /// Columns that held a value.
    filled: Vec<bool>,
}

impl Auditor {
    pub(super) fn new(checks: Vec<Check>, entity: usize, time: usize) -> Self {
        let found = vec![Found::default(); checks.len()];
        Self { checks, found, keys: [entity, time], last: None, filled: Vec::new() }
    }

    /// Checks a batch.
    pub(super) fn check(&mut self, batch: &RecordBatch) -> PlanResult<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.filled.resize(batch.num_columns(), false);
        for (filled, column) in self.filled.iter_mut().zip(batch.columns()) {
            *filled = *filled || column.null_count() < column.len();
        }
        for (check, found) in self.checks.iter().zip(&mut self.found) {
            let failing = match &check.rule {
                Rule::Condition(condition) => fails(condition, batch)?,
                Rule::UniqueKey => repeats(batch, self.keys, self.last.as_ref())?,
                Rule::NotNull(columns) => nulls(batch, columns)?,
            };
            let rows = failing.true_count();
            if rows > 0 && found.first.is_none() {
                let row = failing.values().set_indices().next().unwrap_or(0);
                found.first = Some(name_row(batch, self.keys, row)?);
            }
            found.rows += rows as u64;
        }
        let end = batch.num_rows() - 1;
        self.last = Some(self.keys.map(|key| batch.column(key).slice(end, 1)));
        Ok(())
    }

    pub(super) fn finish(self) -> Findings {
        Findings { found: self.found, filled: self.filled }
    }
}

/// What one partition's rows showed.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    found: Vec<Found>,
    filled: Vec<bool>,
}

/// A sentence on each column that is NULL on every row of every partition.
pub(super) fn empty_columns(about: &[String], partitions: &[Findings]) -> Vec<String> {
    let filled = |i: usize| partitions.iter().any(|p| p.filled.get(i).copied().unwrap_or(false));
    (0..about.len()).filter(|i| !filled(*i)).map(|i| about[i].clone()).collect()
}

/// Rows on which a condition is FALSE.
fn fails(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> PlanResult<BooleanArray> {
    let values = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    let values = values.as_boolean();
    Ok(values.iter().map(|v| Some(v == Some(false))).collect())
}

/// Rows whose key is that of the row before.
fn repeats(
    batch: &RecordBatch,
    keys: [usize; 2],
    last: Option<&[ArrayRef; 2]>,
) -> PlanResult<BooleanArray> {
    let rows = batch.num_rows();
    let same = |key: usize| {
        let column = batch.column(key);
        not_distinct(&column.slice(0, rows - 1), &column.slice(1, rows - 1))
    };
    let inner = and(&same(keys[0])?, &same(keys[1])?)?;
    let mut across = last.is_some();
    if let Some(last) = last {
        for (last, key) in last.iter().zip(keys) {
            across &=
                make_comparator(last, batch.column(key), SortOptions::default())?(0, 0).is_eq();
        }
    }
    Ok(std::iter::once(Some(across)).chain(inner.iter()).collect())
}

fn nulls(batch: &RecordBatch, columns: &[usize]) -> PlanResult<BooleanArray> {
    let mut any = BooleanArray::from(vec![false; batch.num_rows()]);
    for column in columns {
        any = datafusion::arrow::compute::or(&any, &is_null(batch.column(*column))?)?;
    }
    Ok(any)
}

fn name_row(batch: &RecordBatch, keys: [usize; 2], row: usize) -> PlanResult<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut words = Vec::new();
    for key in keys {
        words.push(ArrayFormatter::try_new(batch.column(key), &options)?.value(row).to_string());
    }
    Ok(words.join(" "))
}

/// What the audits of a run found, over all partitions: the lines of the record, or the error of
/// the first that failed.
pub(super) fn judge(
    checks: &[Check],
    partitions: &[Findings],
) -> crate::error::Result<Vec<(String, String)>> {
    let mut told = Vec::new();
    for (i, check) in checks.iter().enumerate() {
        let rows: u64 = partitions.iter().map(|p| p.found[i].rows).sum();
        if rows > 0 {
            let first = partitions.iter().filter_map(|p| p.found[i].first.as_deref()).min();
            return Err(Error::data(format!(
                "audit failed on {rows} rows: {}, first at {}",
                check.text,
                first.unwrap_or("?")
            ))
            .hint("correct the data or the audit; the target is as it was")
            .at(check.place.clone()));
        }
        told.push((check.text.clone(), "passed".to_string()));
    }
    Ok(told)
}
