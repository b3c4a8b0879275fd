//! Counts what cleaning changed in the rows of one source: counted while the rows are read,
//! reported afterwards. The counts are metrics of the operators, so that they travel with a plan
//! and can be read from any plan.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{Count, Label, Metric, MetricValue};

use super::shared_plan::plan_inputs;
use crate::error::pluralize_count;
use crate::limits::CONFLICTS_TOLD;

/// The counts of one scan of one source.
#[derive(Debug, Default)]
pub struct CleaningStats {
    source: String,
    nan: AtomicU64,
    null_keys: AtomicU64,
    duplicates: AtomicU64,
    conflicts: AtomicU64,
    first: Mutex<Vec<String>>,
}

impl CleaningStats {
    /// Creates the counts for a source, all zero.
    pub fn new(source: &str) -> Arc<Self> {
        Arc::new(Self { source: source.to_string(), ..Default::default() })
    }

    /// Returns the name of the source.
    pub fn source_name(&self) -> &str {
        &self.source
    }

    /// Counts NaN values that became NULL.
    pub(super) fn add_nan(&self, values: u64) {
        self.nan.fetch_add(values, Ordering::Relaxed);
    }

    /// Counts rows without entity or time.
    pub(super) fn add_null_keys(&self, rows: u64) {
        self.null_keys.fetch_add(rows, Ordering::Relaxed);
    }

    /// Counts a row that is equal to another in all columns.
    pub(super) fn add_duplicate(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a row whose key another row has with other values.
    pub(super) fn add_conflict(&self, key: impl FnOnce() -> String) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        // The first keys in key order are kept, whichever partition meets its conflict first.
        let key = key();
        let at = first.partition_point(|k| *k <= key);
        if at < CONFLICTS_TOLD {
            first.insert(at, key);
            first.truncate(CONFLICTS_TOLD);
        }
    }

    /// Returns the counts of [`super::CleanExec`] as metrics; clean data has none.
    pub(super) fn cleaning_metrics(&self) -> Vec<Arc<Metric>> {
        [(NAN_VALUES, &self.nan), (NULL_KEYS, &self.null_keys)]
            .into_iter()
            .filter_map(|(name, counter)| self.counter_metric(name, counter))
            .collect()
    }

    /// Returns the counts of [`super::DedupExec`] as metrics, with the keys of the first conflicts.
    pub(super) fn dedup_metrics(&self) -> Vec<Arc<Metric>> {
        let counts = [(DUPLICATES, &self.duplicates), (CONFLICTS, &self.conflicts)];
        let counts =
            counts.into_iter().filter_map(|(name, counter)| self.counter_metric(name, counter));
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = first.iter().map(|key| {
            let one = Count::new();
            one.add(1);
            let labels = vec![self.source_label(), Label::new(KEY, key.clone())];
            let value = MetricValue::Count { name: CONFLICT.into(), count: one };
            Arc::new(Metric::new_with_labels(value, None, labels))
        });
        counts.chain(keys).collect()
    }

    fn counter_metric(&self, name: &'static str, counter: &AtomicU64) -> Option<Arc<Metric>> {
        let rows = usize::try_from(counter.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let count = Count::new();
        count.add(rows);
        let value = MetricValue::Count { name: name.into(), count };
        (rows > 0)
            .then(|| Arc::new(Metric::new_with_labels(value, None, vec![self.source_label()])))
    }

    fn source_label(&self) -> Label {
        Label::new(SOURCE, self.source.clone())
    }
}

/// The names of the metrics.
const NAN_VALUES: &str = "nan_values";
const NULL_KEYS: &str = "rows_without_key";
const DUPLICATES: &str = "duplicate_rows";
const CONFLICTS: &str = "conflicting_rows";
/// One of the first conflicts, whose label [`KEY`] holds its key.
const CONFLICT: &str = "conflict";

/// The names of the metrics' labels.
const SOURCE: &str = "source";
const KEY: &str = "key";

/// The counts that the metrics hold for one source.
#[derive(Default)]
struct SourceCounts {
    counts: BTreeMap<String, usize>,
    /// The keys of the first conflicts.
    first: Vec<String>,
}

/// Describes what cleaning changed in an executed plan, one sentence per kind of change; empty for
/// clean data. A source that the plan reads twice is reported once, with the larger counts.
pub fn cleaning_notices(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    let mut found: BTreeMap<String, SourceCounts> = BTreeMap::new();
    collect_counts(plan, &mut found);
    found.iter().flat_map(|(source, cleaned)| format_notices(source, cleaned)).collect()
}

fn format_notices(source: &str, cleaned: &SourceCounts) -> Vec<String> {
    let told = [
        (NAN_VALUES, "NaN value", "read as NULL".to_string()),
        (NULL_KEYS, "row", format!("without symbol or ts left out; {source}_raw has all rows")),
        (DUPLICATES, "duplicate row", "counted once".to_string()),
        (
            CONFLICTS,
            "row",
            format!(
                "left out because another row has the same key with other values: {}; {source}_raw has all rows",
                cleaned.first.join(", ")
            ),
        ),
    ];
    let told = told.into_iter().filter_map(|(name, noun, text)| {
        let count = cleaned.counts.get(name)?;
        Some(format!("{source}: {} {text}", pluralize_count(*count as u64, noun)))
    });
    told.collect()
}

fn collect_counts(plan: &Arc<dyn ExecutionPlan>, found: &mut BTreeMap<String, SourceCounts>) {
    let metrics = plan.metrics().unwrap_or_default();
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut larger = false;
    for metric in metrics.iter() {
        let label = |name: &str| {
            let label = metric.labels().iter().find(|label| label.name() == name);
            label.map(|label| label.value().to_string())
        };
        let Some(source) = label(SOURCE) else { continue };
        if let Some(key) = label(KEY) {
            keys.entry(source).or_default().push(key);
            continue;
        }
        let (name, count) = (metric.value().name(), metric.value().as_usize());
        let known = found.entry(source).or_default().counts.entry(name.to_string()).or_default();
        larger |= name == CONFLICTS && count > *known;
        *known = count.max(*known);
    }
    for (source, keys) in keys.into_iter().filter(|_| larger) {
        found.entry(source).or_default().first = keys;
    }
    for child in plan_inputs(plan) {
        collect_counts(child, found);
    }
}
