//! Plans over the files of a source: which files are read, in which order, and how their rows are cleaned.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result as PlanResult, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use object_store::ObjectMeta;

use super::file_table::FileTable;
use super::project_scan;
use crate::error::{Error, Result};
use crate::exec::{
    CleanExec, CleaningStats, DedupExec, ErrorLocator, FileNamer, FileVerifier, FirstRowLookup,
    PeriodsExec, ScannedFiles, WindrowOptions, period_keys,
};
use crate::limits::FILE_READ_WHOLE;
use crate::scan::{
    CsvPartition, EntityRanges, FileInfo, FileSlice, KeyedFile, LocalParquetPartition, ORDINAL,
    PeriodPlan, RemoteParquetPartition, RowGroupPruner, RowSlice, corrupt_file_error, plan_periods,
    prove_entity_ranges,
};
use crate::store::{FileKind, FileReader, display_path};

/// The files that each partition of a scan reads.
type PartitionFiles = Vec<Vec<Arc<FileInfo>>>;

impl FileTable {
    /// Scans some columns, in the order of `columns`, followed by the file ordinal.
    fn scan_files(
        &self,
        columns: &[usize],
        groups: &[Vec<RowSlice>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
        state: &dyn Session,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        match self.is_scan_pruned(groups, filter) {
            true => self.scan_pruned_parquet(columns, groups, filter, state),
            false => self.scan_file_slices(self.is_remote(), columns, groups, filter),
        }
    }

    fn is_remote(&self) -> bool {
        self.files.first().is_some_and(|file| file.file.object.is_some())
    }

    /// Returns whether DataFusion's scan reads the files: it skips row groups and pages by a filter.
    fn is_scan_pruned(
        &self,
        groups: &[Vec<RowSlice>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> bool {
        let local = self.kind == FileKind::Parquet && !self.is_remote();
        local && filter.is_some() && !self.are_files_small(groups)
    }

    fn scan_pruned_parquet(
        &self,
        columns: &[usize],
        groups: &[Vec<RowSlice>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
        state: &dyn Session,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let width = self.schema.fields().len() - self.partitions.len();
        let file_schema = Arc::new(Schema::new(
            self.schema.fields()[..width]
                .iter()
                .map(|f| f.as_ref().clone().with_nullable(true))
                .collect::<Vec<_>>(),
        ));
        let mut partitions = self.partitions.clone();
        partitions.push(Arc::new(Field::new(ORDINAL, DataType::UInt32, false)));
        let table = TableSchema::builder(file_schema).with_table_partition_cols(partitions).build();
        let options = state.config_options().execution.parquet.clone();
        let options = datafusion::common::config::TableParquetOptions {
            global: options,
            ..Default::default()
        };
        let mut source = ParquetSource::new(table).with_table_parquet_options(options);
        if let Some(filter) = filter {
            source = source.with_predicate(Arc::clone(filter));
        }
        let mut projection = columns.to_vec();
        projection.push(self.schema.fields().len());
        let groups = groups
            .iter()
            .map(|group| {
                let files = group.iter().map(|slice| self.partitioned_file(slice));
                Ok(FileGroup::new(files.collect::<PlanResult<_>>()?))
            })
            .collect::<PlanResult<Vec<_>>>()?;
        let url = ObjectStoreUrl::local_filesystem();
        let scan = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(Some(projection))?
            .with_preserve_order(true) // Files stay in their group and in order.
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    fn partitioned_file(&self, slice: &RowSlice) -> PlanResult<PartitionedFile> {
        let ordinal = slice.ordinal;
        let file = &self.files[ordinal as usize].file;
        let path = std::path::absolute(&file.path)?;
        let location = object_store::path::Path::from_absolute_path(path)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        let mut values = self.values[ordinal as usize].clone();
        values.push(ScalarValue::UInt32(Some(ordinal)));
        let meta = ObjectMeta {
            location,
            last_modified: file.modified.into(),
            size: file.size,
            e_tag: None,
            version: None,
        };
        let whole = PartitionedFile::new_from_meta(meta).with_partition_values(values);
        Ok(match &slice.rows {
            None => whole,
            Some(rows) => {
                let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
                let all = self.files[ordinal as usize].rows.unwrap_or(rows.end);
                let selection = RowSelection::from(vec![
                    RowSelector::skip(count(rows.start)),
                    RowSelector::select(count(rows.end - rows.start)),
                    RowSelector::skip(count(all - rows.end)),
                ]);
                whole.with_extension(ParquetRowSelection::new(selection))
            }
        })
    }

    fn are_files_small(&self, groups: &[Vec<RowSlice>]) -> bool {
        let size = |slice: &RowSlice| self.files[slice.ordinal as usize].file.size;
        let files = groups.iter().flatten();
        files.clone().map(size).sum::<u64>() < FILE_READ_WHOLE * files.count() as u64
    }

    /// Scans the files with windrow's own readers.
    pub(super) fn scan_file_slices(
        &self,
        remote: bool,
        columns: &[usize],
        groups: &[Vec<RowSlice>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let mut fields: Vec<Field> =
            columns.iter().map(|c| self.schema.field(*c).clone().with_nullable(true)).collect();
        fields.push(Field::new(ORDINAL, DataType::UInt32, false));
        let schema = Arc::new(Schema::new(fields));
        let part = |slice: &RowSlice| FileSlice {
            info: Arc::clone(&self.files[slice.ordinal as usize]),
            slice: slice.clone(),
            values: self
                .partitions
                .iter()
                .map(|f| f.name().clone())
                .zip(self.values[slice.ordinal as usize].clone())
                .collect(),
        };
        let prune = filter.map(|filter| {
            let (filter, schema) = (Arc::clone(filter), Arc::clone(&self.schema));
            let keys = [&self.keys.entity, &self.keys.time].into_iter();
            let own = keys.filter(|key| !self.partitions.iter().any(|p| p.name() == *key));
            Arc::new(RowGroupPruner { filter, schema, keys: own.cloned().collect() })
        });
        let partitions = groups.iter().map(|group| -> Arc<dyn PartitionStream> {
            let parts = group.iter().map(part);
            let schema = Arc::clone(&schema);
            match self.kind {
                FileKind::Csv => Arc::new(CsvPartition { files: parts.collect(), schema }),
                FileKind::Parquet if remote => {
                    let (parts, prune) = (parts.collect(), prune.clone());
                    Arc::new(RemoteParquetPartition { parts, schema, prune })
                }
                FileKind::Parquet => {
                    Arc::new(LocalParquetPartition { parts: parts.collect(), schema })
                }
            }
        });
        let partitions = partitions.collect();
        let plan =
            StreamingTableExec::try_new(Arc::clone(&schema), partitions, None, [], false, None)?;
        Ok(Arc::new(plan))
    }

    fn scanned_files(
        &self,
        groups: &[Vec<RowSlice>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> ScannedFiles {
        // Our own reader of parquet checks each read.
        let unchecked = self.kind == FileKind::Csv || self.is_scan_pruned(groups, filter);
        let files = Arc::new(self.files_of(groups));
        ScannedFiles {
            verify: match unchecked && !self.is_remote() {
                true => file_verifier(Arc::clone(&files)),
                false => ScannedFiles::none().verify,
            },
            name_error: self.corrupt_file_finder(files),
            first_row: first_row_lookup(groups),
        }
    }

    fn files_of(&self, groups: &[Vec<RowSlice>]) -> PartitionFiles {
        let file = |slice: &RowSlice| Arc::clone(&self.files[slice.ordinal as usize]);
        groups.iter().map(|group| group.iter().map(file).collect()).collect()
    }

    /// Returns a locator that finds the file behind an error of one partition: one that changed, or a corrupt one. It
    /// reads the partition's files one by one.
    fn corrupt_file_finder(&self, files: Arc<PartitionFiles>) -> ErrorLocator {
        let remote = self.files.iter().any(|file| file.file.object.is_some());
        let other = remote || self.kind != FileKind::Parquet;
        Arc::new(move |partition, error| {
            let named = matches!(&error, DataFusionError::External(e) if e.is::<Error>());
            if named || other {
                return error;
            }
            let mut read = files.get(partition).into_iter().flatten();
            let found = read.find_map(|info| {
                let unchanged = info.file.verify_unchanged();
                unchanged.and_then(|()| verify_parquet_file(&info.file.path)).err()
            });
            found.map_or(error, |found| DataFusionError::External(Box::new(found)))
        })
    }

    /// Chooses how the files are read: in their order if they prove one, else period by period if
    /// their time ranges are known, else unordered.
    async fn choose_read_order(&self, files: &[u32], state: &dyn Session) -> ReadOrder {
        let workers = state.config().target_partitions();
        let parts = workers.max(4); // The planner repartitions fewer than four ranges anyway.
        let as_they_come = || ReadOrder::AsTheyCome(split_by_bytes(files, &self.files, workers));
        let Some(candidates) = self.keyed_files(files) else { return as_they_come() };
        let keys = self.keys.clone();
        let rows = self.period_row_limits(state);
        let look = move || match prove_entity_ranges(candidates.clone(), &keys, parts, workers) {
            Some(ranges) => Some(ReadOrder::InOrder(ranges)),
            None => plan_periods(candidates, &keys, parts, workers, rows).map(ReadOrder::ByPeriod),
        };
        let found = tokio::task::spawn_blocking(look).await.ok().flatten();
        found.unwrap_or_else(as_they_come)
    }

    /// Returns the known key values of the files; None for formats that state nothing about keys.
    fn keyed_files(&self, files: &[u32]) -> Option<Vec<KeyedFile>> {
        if self.kind != FileKind::Parquet {
            return None;
        }
        self.key_indices()?;
        let place = |key: &str| self.partitions.iter().position(|f| f.name() == key);
        let (entity, time) = (place(&self.keys.entity), place(&self.keys.time));
        let candidate = |ordinal: &u32| {
            let value = |key: usize| &self.values[*ordinal as usize][key];
            let entity = match entity.map(value) {
                None => None,
                Some(ScalarValue::Utf8View(Some(entity))) => Some(entity.clone()),
                Some(_) => return None,
            };
            let time = match time.map(value) {
                Some(time) if time.is_null() => return None,
                time => time.cloned(),
            };
            let info = Arc::clone(&self.files[*ordinal as usize]);
            Some(KeyedFile { ordinal: *ordinal, info, entity, time })
        };
        files.iter().map(candidate).collect()
    }

    /// Returns the rows of a period, and the most rows for which a memory limit has room.
    fn period_row_limits(&self, state: &dyn Session) -> (u64, u64) {
        let options = state.config_options().extensions.get::<WindrowOptions>();
        let rows = match options.map_or(0, |options| options.period_rows) {
            0 => WindrowOptions::period_rows_of(state.config().batch_size()),
            rows => rows,
        };
        let most = match state.runtime_env().memory_pool.memory_limit() {
            MemoryLimit::Finite(limit) => {
                // Three periods are in memory at a time, next to the state of the operators above.
                let row = 16 * (self.schema.fields().len() as u64 + 2);
                limit as u64 / (8 * row)
            }
            _ => u64::MAX,
        };
        (rows, most)
    }

    fn describe_scan(&self, read: usize, arranged: &ReadOrder) -> String {
        let order = match arranged {
            ReadOrder::InOrder(ranges) => {
                format!("in order, {} ranges of {}", ranges.partitions.len(), self.keys.entity)
            }
            ReadOrder::ByPeriod(periods) => format!("{} periods", periods.periods.len()),
            ReadOrder::AsTheyCome(_) => "to be sorted".to_string(),
        };
        format!("source={}, files={read} of {}, {order}", self.name, self.files.len())
    }
}

/// Reads a whole parquet file; an error names the file.
fn verify_parquet_file(path: &Path) -> Result<()> {
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let file = FileReader::open_local(path, 0).map_err(|error| corrupt_file_error(path, error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.build())
        .map_err(|error| corrupt_file_error(path, error))?;
    for batch in reader {
        batch.map_err(|error| corrupt_file_error(path, error))?;
    }
    Ok(())
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        let decide = |filter: &&Expr| {
            let columns = filter.column_refs();
            let pushed = !columns.is_empty()
                && !filter.is_volatile()
                && columns.iter().all(|c| self.is_prunable_column(&c.name));
            if pushed {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(decide).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>, // Operators above the files may still remove rows.
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let filter = conjunction(filters.to_vec())
            .map(|filter| {
                let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
                state.create_physical_expr(filter, &schema)
            })
            .transpose()?;
        let files = self.prune_files(filter.as_ref());
        let keys = self.key_indices();

        // Keys come first: they clean, order and name the rows even if the query does not select them.
        let mut columns: Vec<usize> = keys.map(|(e, t)| vec![e, t]).unwrap_or_default();
        let filtered = filter.iter().flat_map(datafusion::physical_expr::utils::collect_columns);
        let strict = self.config.duplicates == crate::config::Duplicates::Error;
        let extra = if strict { all.clone() } else { wanted.clone() };
        for column in extra.into_iter().chain(filtered.map(|c| c.index())) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let plan: Arc<dyn ExecutionPlan> = if files.is_empty() {
            let fields = columns.iter().map(|c| self.schema.field(*c).clone());
            Arc::new(EmptyExec::new(Arc::new(Schema::new(fields.collect::<Vec<_>>()))))
        } else {
            let arranged = self.choose_read_order(&files, state).await;
            let groups = match &arranged {
                ReadOrder::InOrder(ranges) => ranges.partitions.clone(),
                ReadOrder::ByPeriod(periods) => periods.readers.clone(),
                ReadOrder::AsTheyCome(groups) => groups.clone(),
            };
            let report = CleaningStats::new(&self.name);
            let scan = self.scan_files(&columns, &groups, filter.as_ref(), state)?;
            let local = keys.map(|_| (0, 1));
            let about = self.describe_scan(files.len(), &arranged);
            let splits = match &arranged {
                ReadOrder::InOrder(ranges) => Some(ranges.splits.clone()),
                _ => None,
            };
            let mut plan: Arc<dyn ExecutionPlan> = Arc::new(CleanExec::try_new(
                scan,
                local,
                splits,
                about,
                Arc::clone(&report),
                self.scanned_files(&groups, filter.as_ref()),
            )?);
            if let Some(filter) = filter {
                let filter = reassign_expr_columns(filter, &plan.schema())?;
                plan = Arc::new(FilterExec::try_new(filter, plan)?);
            }
            let files = Arc::clone(&self.files);
            let name_file: FileNamer = Arc::new(move |file| {
                files.get(file as usize).map(|f| display_path(&f.file.path)).unwrap_or_default()
            });
            if let (ReadOrder::ByPeriod(periods), Some(keys)) = (arranged, local) {
                let PeriodPlan { periods, splits, .. } = periods;
                let (report, name) = (Arc::clone(&report), Arc::clone(&name_file));
                plan = Arc::new(PeriodsExec::try_new(plan, keys, periods, splits, report, name)?);
            }
            if local.is_some() {
                let policy = self.config.duplicates;
                plan = Arc::new(DedupExec::try_new(
                    plan,
                    0,
                    1,
                    policy,
                    report,
                    name_file,
                    period_keys,
                )?);
            }
            plan
        };
        project_scan(plan, &self.schema, wanted)
    }
}

/// Returns a function that checks that the files of a partition did not change while they were read.
fn file_verifier(files: Arc<PartitionFiles>) -> FileVerifier {
    Arc::new(move |partition| {
        for info in files.get(partition).into_iter().flatten() {
            let unchanged = info.file.verify_unchanged();
            unchanged.map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
        Ok(())
    })
}

/// Returns a lookup of the first row that a partition reads of a file; 0 for files read from the start.
fn first_row_lookup(groups: &[Vec<RowSlice>]) -> FirstRowLookup {
    let later = |slice: &RowSlice| Some((slice.ordinal, slice.rows.as_ref()?.start));
    let groups = groups.iter().map(|group| group.iter().filter_map(later).collect());
    let groups: Vec<BTreeMap<u32, u64>> = groups.collect();
    Arc::new(move |partition, file| {
        groups.get(partition).and_then(|group| group.get(&file)).copied().unwrap_or(0)
    })
}

/// The order in which the files of a scan are read.
enum ReadOrder {
    InOrder(EntityRanges),
    ByPeriod(PeriodPlan),
    AsTheyCome(Vec<Vec<RowSlice>>),
}

/// Cuts the files, in order, into at most `parts` groups of about equal bytes.
fn split_by_bytes(kept: &[u32], files: &[Arc<FileInfo>], parts: usize) -> Vec<Vec<RowSlice>> {
    let bytes = |o: &u32| files[*o as usize].file.size.max(1);
    let total: u64 = kept.iter().map(bytes).sum();
    let share = total.div_ceil(parts.max(1) as u64).max(1);
    let mut groups: Vec<Vec<RowSlice>> = Vec::new();
    let mut before = 0;
    for ordinal in kept {
        let slot = (before / share) as usize;
        before += bytes(ordinal);
        if groups.is_empty() || groups.len() <= slot {
            groups.push(Vec::new());
        }
        if let Some(group) = groups.last_mut() {
            group.push(RowSlice { ordinal: *ordinal, rows: None });
        }
    }
    groups
}
