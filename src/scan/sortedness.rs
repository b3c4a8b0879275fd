//! Proves the order of files: sorted by entity and time, with entities disjoint from file to file.
//!
//! Such files need no sort and no exchange of rows: they are read in ranges of entities, each in
//! order. Footers are not trusted: they only show whether a check is worthwhile, and the check
//! reads the keys of every row. It stops at the first row out of order, and its result is cached.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::cmp::{eq, lt_eq};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::file_errors::catch_parser_panic;
use super::footer::{FileInfo, SortProof, reader_threads};
use super::page_reader as pages;
use super::schema::KeyColumns;
use super::split_points::pad_split_points;
use crate::limits::FILE_READ_WHOLE;
use crate::store::FileRef;

/// Rows that the check reads at a time: few enough to stay in the processor's cache.
const PROOF_BATCH_ROWS: usize = 16_384;

/// Rows of one file that a partition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowSlice {
    /// The ordinal of the file.
    pub(crate) ordinal: u32,
    /// Its rows; None means all of them.
    pub(crate) rows: Option<Range<u64>>,
}

/// Files cut into ranges of entities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntityRanges {
    /// The slices that each partition reads, in order.
    pub(crate) partitions: Vec<Vec<RowSlice>>,
    /// The first entity of each partition, except the first partition.
    pub(crate) splits: Vec<String>,
}

/// A file of the source with what is known about its keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyedFile {
    /// The position of the file in the order of the source.
    pub(crate) ordinal: u32,
    /// The file.
    pub(crate) info: Arc<FileInfo>,
    /// The entity of all its rows, if a directory names it.
    pub(crate) entity: Option<String>,
    /// The time of all its rows, if a directory names it.
    pub(crate) time: Option<ScalarValue>,
}

impl KeyedFile {
    /// Returns the least and the greatest entity.
    pub(crate) fn entity_range(&self) -> Option<(String, String)> {
        if let Some(entity) = &self.entity {
            return Some((entity.clone(), entity.clone()));
        }
        let (least, greatest) = self.info.entities.as_ref()?;
        Some((scalar_text(least)?, scalar_text(greatest)?))
    }

    /// Returns the first and the last time.
    pub(crate) fn time_range(&self) -> Option<(ScalarValue, ScalarValue)> {
        match &self.time {
            Some(time) => Some((time.clone(), time.clone())),
            None => self.info.times.clone(),
        }
    }
}

fn scalar_text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8View(text) | ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) => {
            text.clone()
        }
        _ => None,
    }
}

/// Cuts files into `parts` ranges of entities; None unless every file proves its order. Reads the
/// keys of all rows, on `threads` threads.
pub(crate) fn prove_entity_ranges(
    mut files: Vec<KeyedFile>,
    keys: &KeyColumns,
    parts: usize,
    threads: usize,
) -> Option<EntityRanges> {
    let known: Option<Vec<_>> = files.iter().map(KeyedFile::entity_range).collect();
    let mut known: Vec<_> = known?.into_iter().zip(files.drain(..)).collect();
    known.sort_by(|((a, _), f), ((b, _), g)| (a, f.ordinal).cmp(&(b, g.ordinal)));
    if !known.windows(2).all(|pair| can_follow(&pair[0], &pair[1])) {
        return None;
    }
    let chain: Vec<KeyedFile> = known.into_iter().map(|(_, file)| file).collect();
    prove_files(&chain, keys, threads);
    let proofs: Option<Vec<&SortProof>> =
        chain.iter().map(|file| file.info.proof.get().and_then(Option::as_ref)).collect();
    Some(cut_entity_ranges(&chain, &proofs?, parts))
}

type RangedFile = ((String, String), KeyedFile);

/// Returns whether the rows of `b` may follow those of `a`.
fn can_follow(((_, last), a): &RangedFile, ((first, _), b): &RangedFile) -> bool {
    if last != first {
        return last < first;
    }
    // Both files hold this entity: its times must not overlap, and the files must be in the order
    // of the source.
    match (&a.info.times, &b.info.times) {
        (Some((_, before)), Some((after, _))) => before <= after && a.ordinal < b.ordinal,
        _ => false,
    }
}

/// Checks the files that were not checked before.
fn prove_files(files: &[KeyedFile], keys: &KeyColumns, threads: usize) {
    let threads = reader_threads(files.iter().map(|file| &file.info.file), threads);
    let chunk = files.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for chunk in files.chunks(chunk) {
            scope.spawn(move || {
                for file in chunk {
                    let proof = file.info.proof.get_or_init(|| match single_row_proof(file) {
                        Some(proof) => Some(proof),
                        None => {
                            let (of, entity) = (&file.info.file, file.entity.as_deref());
                            // A file that cannot be read here is reported when its rows are read.
                            catch_parser_panic(&of.path, || {
                                Ok(prove_file_order(of, entity, keys).ok().flatten())
                            })
                            .ok()
                            .flatten()
                        }
                    });
                    if proof.is_none() {
                        return; // One file out of order means that all are sorted.
                    }
                }
            });
        }
    });
}

/// Returns the proof of a file with one row, which its footer states completely.
fn single_row_proof(file: &KeyedFile) -> Option<SortProof> {
    let (entity, _) = file.entity_range()?;
    file.time_range()?;
    (file.info.rows == Some(1)).then(|| SortProof { starts: vec![(0, entity)], rows: 1 })
}

type ProofResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Reads the keys of a file and proves their order; None if a row is out of order or lacks a key.
fn prove_file_order(
    file: &FileRef,
    entity: Option<&str>,
    keys: &KeyColumns,
) -> ProofResult<Option<SortProof>> {
    let file = file.open_reader(FILE_READ_WHOLE)?;
    let meta = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
    let names: Vec<&str> = match entity {
        Some(_) => vec![&keys.time],
        None => vec![&keys.entity, &keys.time],
    };
    let mask = pages::column_mask(meta.parquet_schema(), names);
    let groups = 0..meta.metadata().num_row_groups();
    let wanted = Schema::new(vec![Field::new(&keys.entity, DataType::Utf8View, true)]);
    let reader = pages::read_row_groups(
        file,
        &meta,
        &Arc::new(wanted),
        mask,
        groups,
        PROOF_BATCH_ROWS,
        None,
    )?;
    let mut proof = SortProof { starts: Vec::new(), rows: 0 };
    let mut last: Option<[ArrayRef; 2]> = None;
    for batch in reader {
        let batch = batch?;
        let rows = batch.num_rows();
        let Some(times) = batch.column_by_name(&keys.time).cloned() else { return Ok(None) };
        let entities: ArrayRef = match entity {
            Some(entity) => ScalarValue::Utf8View(Some(entity.into())).to_array_of_size(rows)?,
            None => match batch.column_by_name(&keys.entity) {
                Some(entities) => cast(entities, &DataType::Utf8View)?,
                None => return Ok(None),
            },
        };
        if rows == 0 {
            continue;
        }
        if entities.null_count() + times.null_count() > 0 {
            return Ok(None);
        }
        let pairs =
            |from: usize, count: usize| [entities.slice(from, count), times.slice(from, count)];
        if let Some(last) = &last {
            let Some(same) = check_key_order(last, &pairs(0, 1))? else { return Ok(None) };
            proof.push_entity_starts(&entities, &same, 0);
        } else {
            proof.starts.push((0, entities.as_string_view().value(0).to_string()));
        }
        let Some(same) = check_key_order(&pairs(0, rows - 1), &pairs(1, rows - 1))? else {
            return Ok(None);
        };
        proof.push_entity_starts(&entities, &same, 1);
        proof.rows += rows as u64;
        last = Some(pairs(rows - 1, 1));
    }
    Ok(Some(proof))
}

impl SortProof {
    /// Records the rows where another entity begins; `same` describes the rows from `offset` on.
    fn push_entity_starts(&mut self, entities: &ArrayRef, same: &BooleanBuffer, offset: usize) {
        let entities = entities.as_string_view();
        for step in (!same).set_indices() {
            let row = step + offset;
            self.starts.push((self.rows + row as u64, entities.value(row).to_string()));
        }
    }
}

/// Returns for each pair of rows whether both have the same entity; None if the second row of a
/// pair may not follow the first.
fn check_key_order(
    a: &[ArrayRef; 2],
    b: &[ArrayRef; 2],
) -> Result<Option<BooleanBuffer>, ArrowError> {
    let same = eq(&a[0], &b[0])?.values().clone();
    let later = lt_eq(&a[1], &b[1])?;
    if (&same & &!later.values()).count_set_bits() > 0 {
        return Ok(None);
    }
    // Ordering two texts takes longer than testing them for equality, and entities change seldom.
    let (before, after) = (a[0].as_string_view(), b[0].as_string_view());
    let rises = (!&same).set_indices().all(|row| before.value(row) < after.value(row));
    Ok(rises.then_some(same))
}

/// Cuts a chain of files where entities begin, into ranges of about equal rows.
fn cut_entity_ranges(chain: &[KeyedFile], proofs: &[&SortProof], parts: usize) -> EntityRanges {
    let total: u64 = proofs.iter().map(|p| p.rows).sum();
    let share = total.div_ceil(parts.max(1) as u64).max(1);
    let mut ranges = EntityRanges { partitions: vec![Vec::new()], splits: Vec::new() };
    let mut before: Option<&str> = None;
    let (mut passed, mut taken) = (0, 0);
    for (file, proof) in chain.iter().zip(proofs) {
        let mut from = 0;
        for (row, entity) in &proof.starts {
            let full = passed + row - taken >= share && ranges.partitions.len() < parts;
            if full && before.is_some_and(|before| before != entity) {
                ranges.push_slice(file.ordinal, from..*row, proof.rows);
                ranges.partitions.push(Vec::new());
                ranges.splits.push(entity.clone());
                (from, taken) = (*row, passed + row);
            }
            before = Some(entity);
        }
        ranges.push_slice(file.ordinal, from..proof.rows, proof.rows);
        passed += proof.rows;
    }
    // Adds empty ranges behind the last entity: the planner would repartition fewer partitions than
    // it asked for.
    pad_split_points(&mut ranges.splits, before.unwrap_or_default(), parts);
    ranges.partitions.resize(ranges.splits.len() + 1, Vec::new());
    ranges
}

impl EntityRanges {
    fn push_slice(&mut self, ordinal: u32, rows: Range<u64>, all: u64) {
        if rows.is_empty() {
            return;
        }
        let rows = Some(rows).filter(|rows| *rows != (0..all));
        if let Some(partition) = self.partitions.last_mut() {
            partition.push(RowSlice { ordinal, rows });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// Returns a file with these (entity, rows) pairs in order.
    fn file(ordinal: u32, entities: &[(&str, u64)]) -> KeyedFile {
        let mut proof = SortProof { starts: Vec::new(), rows: 0 };
        for (entity, rows) in entities {
            proof.starts.push((proof.rows, entity.to_string()));
            proof.rows += rows;
        }
        let text = |e: &str| ScalarValue::Utf8View(Some(e.to_string()));
        let info = FileInfo {
            file: FileRef {
                open_file: None,
                path: format!("{ordinal}.parquet").into(),
                object: None,
                size: 1,
                modified: SystemTime::UNIX_EPOCH,
                stamp: None,
                partitions: vec![],
            },
            schema: Arc::new(datafusion::arrow::datatypes::Schema::empty()),
            labels: Vec::new(),
            rows: Some(proof.rows),
            entities: Some((text(entities[0].0), text(entities[entities.len() - 1].0))),
            times: None,
            proof: Arc::new(std::sync::OnceLock::from(Some(proof))),
        };
        KeyedFile { ordinal, info: Arc::new(info), entity: None, time: None }
    }

    fn keys() -> KeyColumns {
        KeyColumns { entity: "symbol".into(), time: "ts".into() }
    }

    fn whole(ordinal: u32) -> RowSlice {
        RowSlice { ordinal, rows: None }
    }

    #[test]
    fn steps_tell_where_entities_begin() {
        use datafusion::arrow::array::{Int64Array, StringViewArray};
        // A view stores a text of up to twelve bytes inline, and a reference to a longer one.
        let same = |rows: &[(&str, i64)]| {
            let entities = StringViewArray::from_iter_values(rows.iter().map(|row| row.0));
            let times: Int64Array = rows.iter().map(|row| row.1).collect();
            let keys: [ArrayRef; 2] = [Arc::new(entities), Arc::new(times)];
            let last = rows.len() - 1;
            let before = keys.each_ref().map(|key| key.slice(0, last));
            let after = keys.each_ref().map(|key| key.slice(1, last));
            check_key_order(&before, &after).unwrap().map(|same| same.iter().collect::<Vec<_>>())
        };
        let sorted =
            [("A", 2), ("A", 2), ("A", 3), ("a name of its own", 1), ("a name of its own", 2)];
        assert_eq!(same(&sorted), Some(vec![true, true, false, true]));
        let twelve = [("twelve bytes", 1), ("twelve bytes", 2), ("twelve bytes and more", 0)];
        assert_eq!(same(&twelve), Some(vec![true, false]));
        assert_eq!(same(&[("A", 2), ("A", 1)]), None, "times fall");
        assert_eq!(same(&[("a name of its own", 2), ("a name of its own", 1)]), None);
        assert_eq!(same(&[("B", 1), ("A", 2)]), None, "entities fall");
        assert_eq!(same(&[("a name of two", 1), ("a name of one", 2)]), None);
    }

    #[test]
    fn files_are_cut_where_entities_begin() {
        let files = vec![file(1, &[("C", 10), ("D", 10)]), file(0, &[("A", 10), ("B", 10)])];
        let found = prove_entity_ranges(files, &keys(), 4, 2).unwrap();
        assert_eq!(found.splits, ["B", "C", "D"]);
        let part = |ordinal, rows: Range<u64>| vec![RowSlice { ordinal, rows: Some(rows) }];
        let expected = [part(0, 0..10), part(0, 10..20), part(1, 0..10), part(1, 10..20)];
        assert_eq!(found.partitions, expected);
    }

    #[test]
    fn one_entity_is_one_range_and_the_rest_is_empty() {
        let found = prove_entity_ranges(vec![file(0, &[("A", 10)])], &keys(), 4, 1).unwrap();
        assert_eq!(found.partitions, [vec![whole(0)], vec![], vec![], vec![]]);
        assert!(found.splits.is_sorted() && found.splits[0].as_str() > "A");
    }

    #[test]
    fn entities_in_two_files_need_times_apart() {
        let files = vec![file(0, &[("A", 10), ("B", 5)]), file(1, &[("B", 5), ("C", 10)])];
        assert_eq!(prove_entity_ranges(files, &keys(), 4, 1), None);
        let times = |candidate: KeyedFile, from: i32, to: i32| {
            let info = FileInfo {
                times: Some((ScalarValue::Date32(Some(from)), ScalarValue::Date32(Some(to)))),
                ..candidate.info.as_ref().clone()
            };
            KeyedFile { info: Arc::new(info), ..candidate }
        };
        let files = vec![
            times(file(0, &[("A", 10), ("B", 5)]), 1, 9),
            times(file(1, &[("B", 5), ("C", 10)]), 10, 20),
        ];
        let found = prove_entity_ranges(files, &keys(), 2, 1).unwrap();
        assert_eq!(found.splits, ["C"]);
        let tail = RowSlice { ordinal: 1, rows: Some(0..5) };
        let rest = RowSlice { ordinal: 1, rows: Some(5..15) };
        assert_eq!(found.partitions, [vec![whole(0), tail], vec![rest]]);
    }
}
