//! Groups files that hold one stretch of time each into periods, by the times in their footers and
//! directories.
//!
//! A history in one directory per date, or in one file per month, or a sorted file with others
//! appended, is read period by period (see `PeriodsExec`). Footers are not trusted for good: the
//! reader detects rows that are not where the footers put them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::page_reader as pages;
use super::schema::KeyColumns;
use super::sortedness::{KeyedFile, RowSlice};
use super::split_points::choose_split_points;
use crate::limits::FILE_READ_WHOLE;

/// The number of files that are sampled for the entities of a source.
const SAMPLED_FILES: usize = 8;

/// Files grouped into periods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeriodPlan {
    /// The files that each reader reads.
    pub(crate) readers: Vec<Vec<RowSlice>>,
    /// The readers of each period.
    pub(crate) periods: Vec<Range<usize>>,
    /// The first entity of each range of entities, except the first range.
    pub(crate) splits: Vec<String>,
}

/// The number of rows that are sampled from a file.
const SAMPLE_ROWS: usize = 256 * 1024;

/// The rows per entity that a period should hold: each entity of a period costs a lookup of its state.
const ROWS_PER_ENTITY: u64 = 16;

/// Groups files into periods of about `rows` rows: more if there are many entities, but at most
/// `most`. `readers` readers read a period in parallel, and it is sorted in `parts` ranges of
/// entities. Returns None if the times of the files are not known, or overlap so far that a period
/// would be much larger.
pub(crate) fn plan_periods(
    files: Vec<KeyedFile>,
    keys: &KeyColumns,
    parts: usize,
    readers: usize,
    (rows, most): (u64, u64),
) -> Option<PeriodPlan> {
    let clusters = cluster_by_time(files)?;
    let rows = rows.min(most);
    if clusters.iter().any(|cluster| cluster.rows > 4 * rows) {
        return None;
    }
    // The files of a single moment hold one row per entity, so that their rows count the entities.
    let moments = clusters.iter().filter(|cluster| cluster.moment);
    let entities = moments.map(|cluster| cluster.rows).max().unwrap_or(0);
    let rows = rows.max(ROWS_PER_ENTITY * entities).min(4 * rows).min(most);
    let splits = estimate_entity_splits(&clusters, keys, parts)?;
    let mut found = PeriodPlan { splits, ..PeriodPlan::default() };
    let mut period: Vec<KeyedFile> = Vec::new();
    let mut held = 0;
    for cluster in clusters {
        if held > 0 && held + cluster.rows > rows {
            found.close_period(&mut period, readers);
            held = 0;
        }
        held += cluster.rows;
        period.extend(cluster.files);
    }
    found.close_period(&mut period, readers);
    Some(found)
}

impl PeriodPlan {
    fn close_period(&mut self, period: &mut Vec<KeyedFile>, readers: usize) {
        let first = self.readers.len();
        let slice = |file: &KeyedFile| RowSlice { ordinal: file.ordinal, rows: None };
        let share = period.len().div_ceil(readers).max(1);
        self.readers.extend(period.chunks(share).map(|files| files.iter().map(slice).collect()));
        self.readers.resize(first + readers, Vec::new());
        self.periods.push(first..self.readers.len());
        period.clear();
    }
}

/// A group of files whose times overlap.
struct TimeCluster {
    files: Vec<KeyedFile>,
    rows: u64,
    /// True if all rows have one time.
    moment: bool,
}

/// Sorts the files by their times, and groups those that overlap; None if times or numbers of rows
/// are unknown.
fn cluster_by_time(files: Vec<KeyedFile>) -> Option<Vec<TimeCluster>> {
    let mut known = Vec::with_capacity(files.len());
    for file in files {
        let (least, greatest) = file.time_range()?;
        let rows = file.info.rows?;
        known.push((least, greatest, rows, file));
    }
    let comparable = |value: &ScalarValue| {
        known.first().is_some_and(|first| value.partial_cmp(&first.0).is_some())
    };
    if !known.iter().all(|(least, greatest, ..)| comparable(least) && comparable(greatest)) {
        return None;
    }
    known.sort_by(|a, b| {
        let times = a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal);
        times.then(a.3.ordinal.cmp(&b.3.ordinal))
    });
    let mut clusters: Vec<TimeCluster> = Vec::new();
    let mut until: Option<ScalarValue> = None;
    for (least, greatest, rows, file) in known {
        let apart = until.as_ref().is_none_or(|until| least > *until);
        let moment = least == greatest;
        if until.as_ref().is_none_or(|until| greatest > *until) {
            until = Some(greatest);
        }
        match clusters.last_mut().filter(|_| !apart) {
            Some(cluster) => {
                cluster.files.push(file);
                cluster.rows += rows;
                cluster.moment &= moment;
            }
            None => clusters.push(TimeCluster { files: vec![file], rows, moment }),
        }
    }
    Some(clusters)
}

/// Estimates the entities that cut the rows into ranges of about equal size, from footers and
/// samples of some files.
fn estimate_entity_splits(
    clusters: &[TimeCluster],
    keys: &KeyColumns,
    parts: usize,
) -> Option<Vec<String>> {
    let files: Vec<&KeyedFile> = clusters.iter().flat_map(|cluster| &cluster.files).collect();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for file in &files {
        for entity in file.entity_range().map(<[String; 2]>::from).into_iter().flatten() {
            *seen.entry(entity).or_default() += file.info.rows.unwrap_or(1);
        }
    }
    if seen.len() < 8 * parts {
        let step = files.len().div_ceil(SAMPLED_FILES).max(1);
        for file in files.iter().step_by(step) {
            sample_entities(file, keys, &mut seen)?;
        }
    }
    Some(choose_split_points(&seen, parts))
}

/// Counts the entities in the first rows of a file.
fn sample_entities(
    file: &KeyedFile,
    keys: &KeyColumns,
    seen: &mut BTreeMap<String, u64>,
) -> Option<()> {
    if file.entity.is_some() {
        return Some(());
    }
    let file = file.info.file.open_reader(FILE_READ_WHOLE).ok()?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
    let mask = pages::column_mask(builder.parquet_schema(), [keys.entity.as_str()]);
    let reader = builder.with_projection(mask).with_limit(SAMPLE_ROWS).build().ok()?;
    for batch in reader {
        let batch = batch.ok()?;
        let entities = cast(batch.column_by_name(&keys.entity)?, &DataType::Utf8View).ok()?;
        for entity in entities.as_string_view().iter().flatten() {
            match seen.get_mut(entity) {
                Some(rows) => *rows += 1,
                None => {
                    seen.insert(entity.to_string(), 1);
                }
            }
        }
    }
    Some(())
}
