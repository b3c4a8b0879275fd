//! Audits: conditions on the output rows, checked in the same pass as the write.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, make_comparator,
};
use datafusion::arrow::compute::kernels::cmp::not_distinct;
use datafusion::arrow::compute::{SortOptions, and, is_null, or};
use datafusion::arrow::datatypes::{Float32Type, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result as PlanResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use super::manifest::{AuditCount, Manifest};
use crate::error::{Error, Result, TextPlace, pluralize_count};

/// One audit.
#[derive(Clone, Debug)]
pub struct AuditCheck {
    /// The text of the audit in the header.
    pub text: String,
    /// Its position in the header.
    pub place: TextPlace,
    /// The rule that it checks.
    pub rule: AuditPredicate,
}

/// The rule that an audit checks on the rows.
#[derive(Clone, Debug)]
pub enum AuditPredicate {
    /// The condition is not FALSE on any row; NULL passes.
    Condition(Arc<dyn PhysicalExpr>),
    /// Every row has an entity and a time, and no two rows share both. Only neighbours are compared, as
    /// the rows are sorted.
    UniqueKey,
    /// None of the columns is NULL.
    NotNull(Vec<usize>),
}

/// The audits of the stream of one partition.
pub(super) struct Auditor {
    checks: Vec<AuditCheck>,
    found: Vec<AuditCount>,
    keys: [usize; 2],
    repeated: AuditCount,
    keyless: AuditCount,
    last: Option<[ArrayRef; 2]>,
    /// True for each column that has held a value so far.
    filled: Vec<bool>,
}

impl Auditor {
    /// Creates the audits of a stream; `keys` are the entity and the time column.
    pub(super) fn new(checks: Vec<AuditCheck>, keys: [usize; 2]) -> Self {
        let found = vec![AuditCount::default(); checks.len()];
        let (repeated, keyless) = (AuditCount::default(), AuditCount::default());
        Self { checks, found, keys, repeated, keyless, last: None, filled: Vec::new() }
    }

    /// Checks a batch.
    pub(super) fn check_batch(&mut self, batch: &RecordBatch) -> PlanResult<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.filled.resize(batch.num_columns(), false);
        for (filled, column) in self.filled.iter_mut().zip(batch.columns()) {
            *filled = *filled || column.null_count() < column.len();
        }
        let keys = self.keys;
        let count = |found: &mut AuditCount, failing: &BooleanArray| {
            let first = failing.values().set_indices().next().unwrap_or(0);
            found.add_failures(failing.true_count(), || name_row(batch, keys, first))
        };
        let repeated = repeated_key_rows(batch, keys, self.last.as_ref())?;
        let keyless = null_rows(batch, &keys)?;
        for (found, failing) in [(&mut self.repeated, &repeated), (&mut self.keyless, &keyless)] {
            failing.as_ref().map_or(Ok(()), |failing| count(found, failing))?;
        }
        for (check, found) in self.checks.iter().zip(&mut self.found) {
            let failing = match &check.rule {
                AuditPredicate::Condition(condition) => Some(failing_rows(condition, batch)?),
                AuditPredicate::UniqueKey => union_masks(repeated.as_ref(), keyless.as_ref())?,
                AuditPredicate::NotNull(columns) => null_rows(batch, columns)?,
            };
            failing.map_or(Ok(()), |failing| count(found, &failing))?;
        }
        let end = batch.num_rows() - 1;
        self.last = Some(self.keys.map(|key| batch.column(key).slice(end, 1)));
        Ok(())
    }

    /// Adds the results to a manifest.
    pub(super) fn fill_manifest(self, manifest: &mut Manifest) {
        (manifest.audits, manifest.filled) = (self.found, self.filled);
        (manifest.repeated, manifest.keyless) = (self.repeated, self.keyless);
    }
}

/// Returns the rows on which a condition is FALSE.
fn failing_rows(
    condition: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
) -> PlanResult<BooleanArray> {
    let batch = with_positive_nan(condition, batch)?;
    let values = condition.evaluate(&batch)?.into_array(batch.num_rows())?;
    let values = values.as_boolean();
    Ok(values.iter().map(|v| Some(v == Some(false))).collect())
}

/// Returns the batch with positive NaN for every NaN of the columns that a condition reads. Arrow compares a negative
/// NaN, which processors compute, as less than every number; NaN is greater than every number, as in PostgreSQL.
fn with_positive_nan(
    condition: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
) -> PlanResult<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    for column in collect_columns(condition) {
        let Some(array) = columns.get_mut(column.index()) else { continue };
        if let Some(values) = array.as_primitive_opt::<Float64Type>() {
            if values.values().iter().any(|value| value.is_nan() && value.is_sign_negative()) {
                let positive = |value: f64| if value.is_nan() { f64::NAN } else { value };
                *array = Arc::new(values.unary::<_, Float64Type>(positive));
            }
        } else if let Some(values) = array.as_primitive_opt::<Float32Type>()
            && values.values().iter().any(|value| value.is_nan() && value.is_sign_negative())
        {
            let positive = |value: f32| if value.is_nan() { f32::NAN } else { value };
            *array = Arc::new(values.unary::<_, Float32Type>(positive));
        }
    }
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// Returns the union of two row masks; None means no rows.
fn union_masks(
    one: Option<&BooleanArray>,
    other: Option<&BooleanArray>,
) -> PlanResult<Option<BooleanArray>> {
    Ok(match (one, other) {
        (Some(one), Some(other)) => Some(or(one, other)?),
        (found, None) | (None, found) => found.cloned(),
    })
}

/// Returns the rows with the key of the row before; None means no rows.
fn repeated_key_rows(
    batch: &RecordBatch,
    keys: [usize; 2],
    last: Option<&[ArrayRef; 2]>,
) -> PlanResult<Option<BooleanArray>> {
    let rows = batch.num_rows();
    let same = |key: usize| {
        let column = batch.column(key);
        not_distinct(&column.slice(0, rows - 1), &column.slice(1, rows - 1))
    };
    // Entities are compared only if any times are equal, which is rare between neighbours.
    let times = same(keys[1])?;
    let inner = match times.true_count() {
        0 => times,
        _ => and(&same(keys[0])?, &times)?,
    };
    let mut across = last.is_some();
    if let Some(last) = last {
        for (last, key) in last.iter().zip(keys) {
            across &=
                make_comparator(last, batch.column(key), SortOptions::default())?(0, 0).is_eq();
        }
    }
    let any = across || inner.true_count() > 0;
    Ok(any.then(|| std::iter::once(Some(across)).chain(inner.iter()).collect()))
}

/// Returns the rows on which one of the columns is NULL; None means no rows.
fn null_rows(batch: &RecordBatch, columns: &[usize]) -> PlanResult<Option<BooleanArray>> {
    let mut any = None;
    for column in columns.iter().map(|column| batch.column(*column)) {
        if column.null_count() > 0 {
            any = union_masks(any.as_ref(), Some(&is_null(column)?))?;
        }
    }
    Ok(any)
}

fn name_row(batch: &RecordBatch, keys: [usize; 2], row: usize) -> PlanResult<String> {
    let options = FormatOptions::default().with_null("NULL").with_display_error(false);
    let mut words = Vec::new();
    for key in keys {
        let text = ArrayFormatter::try_new(batch.column(key), &options)?.value(row).try_to_string();
        words.push(text.unwrap_or_else(|_| "a time beyond the calendar".to_string()));
    }
    Ok(words.join(" "))
}

impl Manifest {
    /// Returns the audits and their results for the record.
    ///
    /// # Errors
    /// The first audit that failed.
    pub fn check_audits(&self, checks: &[AuditCheck]) -> Result<Vec<(String, String)>> {
        let mut told = Vec::new();
        for (check, found) in checks.iter().zip(&self.audits) {
            if found.rows > 0 {
                return Err(Error::data(format!(
                    "audit failed on {}: {}, first at {}",
                    pluralize_count(found.rows, "row"),
                    check.text,
                    found.first.as_deref().unwrap_or("?")
                ))
                .hint("correct the data or the audit; the target is as it was")
                .at_place(check.place.clone()));
            }
            told.push((check.text.clone(), "passed".to_string()));
        }
        Ok(told)
    }
}
