//! The table provider of a source: partitioned parquet or CSV, cleaned, one row per key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
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
use futures::future::BoxFuture;
use object_store::ObjectMeta;

use super::csv::CsvPartition;
use super::files::{Files, SMALL};
use super::footer::{FileInfo, corrupt, read_all};
use super::order::{Candidate, Ranges, Slice, ranges};
use super::part::Part;
use super::periods::{Periods, periods};
use super::prune::{FileStatistics, comparable};
use super::remote::{Prune, RemoteFiles};
use super::schema::{Keys, merge, partition_type};
use super::state::{by_content, by_stamp};
use super::{InputState, ORDINAL, Source, keys_exist, only};
use crate::config::{Inputs, SourceConfig};
use crate::error::{Error, Result};
use crate::exec::{
    CleanExec, CleaningStats, DedupExec, FirstRow, NameError, NameFile, PeriodsExec, WindrowOptions,
};
use crate::store::{
    Access, FileKind, FileRef, Input, Listing, Location, below, file_name, latest, list,
    list_objects, list_web,
};

/// Runs what waits for a disk or a server beside what computes.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = |error| Error::internal(format!("opening a source panicked: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}

/// A file that is left out with the reason.
pub type LeftOut = (String, String);

/// Files as a source: their list, its columns, and how its rows are cleaned.
pub struct FileSource {
    name: String,
    config: SourceConfig,
    location: Location,
    keys: Keys,
    kind: FileKind,
    pub(super) files: Arc<[Arc<FileInfo>]>,
    /// The hive values of each file, in the order of `partitions`.
    values: Vec<Vec<ScalarValue>>,
    partitions: Vec<FieldRef>,
    /// File columns, then partitions.
    pub(super) schema: SchemaRef,
    left_out: Vec<LeftOut>,
    /// The run that committed them, of a target.
    commit: Option<String>,
    opening: Duration,
}

impl FileSource {
    /// Lists the files of a source and reads what they say about themselves. `skip` names files to
    /// leave out; with `keep_going`, files that cannot be read are left out too.
    ///
    /// # Errors
    /// Nothing there, a corrupt file, or files whose columns cannot be reconciled.
    pub async fn open(
        name: &str,
        config: &SourceConfig,
        access: &Access,
        threads: usize,
        skip: &BTreeSet<String>,
        keep_going: bool,
    ) -> Result<Self> {
        let started = Instant::now();
        if config.revision.is_some() {
            return Err(Error::usage(format!("{name}: revision is for tables of a server")).hint(
                "take it out: of files their state is known; `inputs: content` reads their bytes",
            ));
        }
        let location = Location::parse(&config.location)?;
        let mut left_out = Vec::new();
        let (listing, record) = match location.clone() {
            Location::Local(path) => {
                blocking(move || {
                    let record = latest(&path)?;
                    Ok((list(&path)?, record))
                })
                .await?
            }
            Location::Objects(url) => list_objects(access, &url).await?,
            Location::Web(urls) => {
                let (listing, without) = list_web(access, &urls, keep_going).await?;
                left_out.extend(without);
                (listing, None)
            }
        };
        let (keys, commit) = match record {
            Some(record) => (Keys { entity: record.entity, time: record.time }, Some(record.run)),
            None => (Keys { entity: config.entity.clone(), time: config.time.clone() }, None),
        };
        let Listing { kind, mut files, .. } = listing;
        files.retain(|file| !skip.contains(&file_name(&file.path)));
        let mut infos = Vec::new();
        let of_keys = keys.clone();
        let read = blocking(move || Ok(read_all(files, kind, &of_keys, threads)));
        for info in read.await? {
            match info {
                Ok(info) => infos.push(Arc::new(info)),
                Err(error) if keep_going && error.bad_file().is_some() => {
                    let file = error.bad_file().unwrap_or_default().to_string();
                    left_out.push((file, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        let partitions = partition_fields(&infos, &keys)?;
        let values =
            infos.iter().map(|i| partition_values(&i.file, &partitions)).collect::<Result<_>>()?;
        let schema = source_schema(&infos, &partitions, &keys)?;
        if schema.fields().is_empty() {
            return Err(Error::data(format!("{location} has no columns"))
                .hint("its files are empty; check what wrote them"));
        }
        keys_exist(&schema, config, name)?;
        for (info, file) in infos.iter().map(|i| (&i.schema, file_name(&i.file.path))) {
            let mut seen = BTreeSet::new();
            if let Some(twice) = info.fields().iter().find(|f| !seen.insert(f.name())) {
                return Err(Error::data(format!("column {} is twice in {file}", twice.name()))
                    .hint("name the columns apart and write the file again")
                    .in_file(file));
            }
        }
        Ok(Self {
            name: name.to_string(),
            config: config.clone(),
            location,
            keys,
            kind,
            files: infos.into(),
            values,
            partitions,
            schema,
            left_out,
            commit,
            opening: started.elapsed(),
        })
    }

    fn key_indices(&self) -> Option<(usize, usize)> {
        let index = |name: &str| self.schema.index_of(name).ok();
        Some((index(&self.keys.entity)?, index(&self.keys.time)?))
    }

    /// The columns that filters are pushed on: keys and partitions. A filter on another column
    /// must see the row that won among duplicates, so it stays above.
    fn prunable(&self, column: &str) -> bool {
        let key = column == self.keys.entity || column == self.keys.time;
        key || self.partitions.iter().any(|f| f.name() == column)
    }

    fn statistics(&self) -> FileStatistics {
        let key = |name: &str, pick: fn(&FileInfo) -> &Option<(ScalarValue, ScalarValue)>| {
            let ty = self.schema.field_with_name(name).ok().map(|f| f.data_type().clone());
            let cast = |v: &ScalarValue| {
                let ty = ty.as_ref().filter(|ty| comparable(&v.data_type(), ty))?;
                v.cast_to(ty).ok()
            };
            let range = |f: &Arc<FileInfo>| {
                let (least, greatest) = pick(f).as_ref()?;
                Some((cast(least)?, cast(greatest)?))
            };
            (name.to_string(), self.files.iter().map(range).collect())
        };
        let mut columns =
            vec![key(&self.keys.entity, |f| &f.entities), key(&self.keys.time, |f| &f.times)];
        for (i, field) in self.partitions.iter().enumerate() {
            columns.retain(|(name, _)| name != field.name());
            let ranges =
                self.values.iter().map(|v| (!v[i].is_null()).then(|| (v[i].clone(), v[i].clone())));
            columns.push((field.name().clone(), ranges.collect()));
        }
        FileStatistics { columns, files: self.files.len() }
    }

    pub(super) fn kept_files(&self, filter: Option<&Arc<dyn PhysicalExpr>>) -> Vec<u32> {
        let keep = match filter {
            Some(filter) => self.statistics().keep(filter, &self.schema),
            None => vec![true; self.files.len()],
        };
        (0u32..).zip(keep).filter(|(_, keep)| *keep).map(|(ordinal, _)| ordinal).collect()
    }

    /// The scan of some columns, in order, with the file ordinal behind them.
    fn scan_files(
        &self,
        columns: &[usize],
        groups: &[Vec<Slice>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
        state: &dyn Session,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let remote = self.files.first().is_some_and(|file| file.file.object.is_some());
        match self.kind {
            FileKind::Parquet if filter.is_some() && !remote && !self.is_small(groups) => {
                self.scan_parquet(columns, groups, filter, state)
            }
            _ => self.scan_parts(remote, columns, groups, filter),
        }
    }

    fn scan_parquet(
        &self,
        columns: &[usize],
        groups: &[Vec<Slice>],
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

    fn partitioned_file(&self, slice: &Slice) -> PlanResult<PartitionedFile> {
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

    fn is_small(&self, groups: &[Vec<Slice>]) -> bool {
        let size = |slice: &Slice| self.files[slice.ordinal as usize].file.size;
        let files = groups.iter().flatten();
        files.clone().map(size).sum::<u64>() < SMALL * files.count() as u64
    }

    /// The scan by readers of our own.
    pub(super) fn scan_parts(
        &self,
        remote: bool,
        columns: &[usize],
        groups: &[Vec<Slice>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let mut fields: Vec<Field> =
            columns.iter().map(|c| self.schema.field(*c).clone().with_nullable(true)).collect();
        fields.push(Field::new(ORDINAL, DataType::UInt32, false));
        let schema = Arc::new(Schema::new(fields));
        let part = |slice: &Slice| Part {
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
            Arc::new(Prune { filter, schema, keys: own.cloned().collect() })
        });
        let partitions = groups.iter().map(|group| -> Arc<dyn PartitionStream> {
            let parts = group.iter().map(part);
            let schema = Arc::clone(&schema);
            match self.kind {
                FileKind::Csv => Arc::new(CsvPartition { files: parts.collect(), schema }),
                FileKind::Parquet if remote => {
                    let (parts, prune) = (parts.collect(), prune.clone());
                    Arc::new(RemoteFiles { parts, schema, prune })
                }
                FileKind::Parquet => Arc::new(Files { parts: parts.collect(), schema }),
            }
        });
        let partitions = partitions.collect();
        let plan =
            StreamingTableExec::try_new(Arc::clone(&schema), partitions, None, [], false, None)?;
        Ok(Arc::new(plan))
    }

    /// Finds the corrupt file behind an error of one partition by reading its files alone.
    fn name_error(&self, groups: &[Vec<Slice>]) -> NameError {
        let paths = |group: &Vec<Slice>| -> Vec<_> {
            group.iter().map(|s| self.files[s.ordinal as usize].file.path.clone()).collect()
        };
        let groups: Vec<Vec<std::path::PathBuf>> = groups.iter().map(paths).collect();
        let remote = self.files.iter().any(|file| file.file.object.is_some());
        let other = remote || self.kind != FileKind::Parquet;
        Arc::new(move |partition, error| {
            let named = matches!(&error, DataFusionError::External(e) if e.is::<Error>());
            if named || other {
                return error;
            }
            let found =
                groups.get(partition).into_iter().flatten().find_map(|path| decode(path).err());
            found.map_or(error, |found| DataFusionError::External(Box::new(found)))
        })
    }

    /// How the files are read: in their order if they prove one, else period by period if they
    /// tell their times, else as they come.
    async fn arranged(&self, files: &[u32], state: &dyn Session) -> Arranged {
        let workers = state.config().target_partitions();
        let parts = workers.max(4); // Fewer ranges than four are exchanged by the planner after all.
        let as_they_come = || Arranged::AsTheyCome(split(files, &self.files, workers));
        let Some(candidates) = self.candidates(files) else { return as_they_come() };
        let keys = self.keys.clone();
        let rows = self.rows_of_period(state);
        let look = move || match ranges(candidates.clone(), &keys, parts, workers) {
            Some(ranges) => Some(Arranged::InOrder(ranges)),
            None => periods(candidates, &keys, parts, workers, rows).map(Arranged::ByPeriod),
        };
        let found = tokio::task::spawn_blocking(look).await.ok().flatten();
        found.unwrap_or_else(as_they_come)
    }

    /// What is known of the keys of files; None for formats that say nothing of them.
    fn candidates(&self, files: &[u32]) -> Option<Vec<Candidate>> {
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
            Some(Candidate { ordinal: *ordinal, info, entity, time })
        };
        files.iter().map(candidate).collect()
    }

    /// The rows of a period, and how many a memory limit has room for.
    fn rows_of_period(&self, state: &dyn Session) -> (u64, u64) {
        let options = state.config_options().extensions.get::<WindrowOptions>();
        let rows = match options.map_or(0, |options| options.period_rows) {
            0 => WindrowOptions::period_rows_of(state.config().batch_size()),
            rows => rows,
        };
        let most = match state.runtime_env().memory_pool.memory_limit() {
            MemoryLimit::Finite(limit) => {
                // Three periods are held at a time, beside what stands above.
                let row = 16 * (self.schema.fields().len() as u64 + 2);
                limit as u64 / (8 * row)
            }
            _ => u64::MAX,
        };
        (rows, most)
    }

    fn about(&self, read: usize, arranged: &Arranged) -> String {
        let order = match arranged {
            Arranged::InOrder(ranges) => {
                format!("in order, {} ranges of {}", ranges.partitions.len(), self.keys.entity)
            }
            Arranged::ByPeriod(periods) => format!("{} periods", periods.periods.len()),
            Arranged::AsTheyCome(_) => "to be sorted".to_string(),
        };
        format!("source={}, files={read} of {}, {order}", self.name, self.files.len())
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads a parquet file whole; the error names it.
fn decode(path: &Path) -> Result<()> {
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let file = std::fs::File::open(path).map_err(|error| corrupt(path, error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.build())
        .map_err(|error| corrupt(path, error))?;
    for batch in reader {
        batch.map_err(|error| corrupt(path, error))?;
    }
    Ok(())
}

impl Source for FileSource {
    fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    fn config(&self) -> &SourceConfig {
        &self.config
    }

    /// A run that commits takes the files of a target away.
    fn may_change(&self) -> bool {
        self.commit.is_some()
    }

    fn paths(&self) -> Vec<&Path> {
        self.files.iter().map(|f| f.file.path.as_path()).collect()
    }

    fn lists(&self, folder: &Path) -> bool {
        let Location::Local(root) = &self.location else { return false };
        root.is_dir() && root.canonicalize().is_ok_and(|root| below(&root, folder))
    }

    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn input(&self) -> Input {
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default()
        };
        Input {
            location: self.location.to_string(),
            files: self.files.len() as u64,
            bytes: self.files.iter().map(|f| f.file.size).sum(),
            modified: self.files.iter().map(|f| seconds(f.file.modified)).max().unwrap_or(0),
            opening: self.opening.as_secs_f64(),
            state: None, // It may take reading all of them: whoever wants it asks.
        }
    }

    fn state(&self) -> BoxFuture<'_, Result<Vec<InputState>>> {
        let (files, run) = (Arc::clone(&self.files), self.commit.as_deref());
        match self.config.inputs {
            Inputs::State => Box::pin(ready(Ok(by_stamp(&files, run)))),
            Inputs::Content => Box::pin(blocking(move || by_content(&files))),
        }
    }

    fn describe(&self) -> String {
        let files = self.files.len();
        let word = if files == 1 { "file" } else { "files" };
        let mut text = format!("{}, {files} {word}", self.kind.word());
        if !self.partitions.is_empty() {
            let by: Vec<&str> = self.partitions.iter().map(|f| f.name().as_str()).collect();
            text += &format!(" by {}", by.join(", "));
        }
        format!("{text}, {}", self.location)
    }

    fn rows(&self) -> Option<u64> {
        self.files.iter().map(|f| f.rows).sum()
    }
}

#[async_trait]
impl TableProvider for FileSource {
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
                && columns.iter().all(|c| self.prunable(&c.name));
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
        _limit: Option<usize>, // Rows may still be left out above the files.
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let filter = conjunction(filters.to_vec())
            .map(|filter| {
                let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
                state.create_physical_expr(filter, &schema)
            })
            .transpose()?;
        let files = self.kept_files(filter.as_ref());
        let keys = self.key_indices();

        // Keys come first: they clean, order and name the rows even where nobody asked for them.
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
            let arranged = self.arranged(&files, state).await;
            let groups = match &arranged {
                Arranged::InOrder(ranges) => ranges.partitions.clone(),
                Arranged::ByPeriod(periods) => periods.readers.clone(),
                Arranged::AsTheyCome(groups) => groups.clone(),
            };
            let report = CleaningStats::new(&self.name);
            let scan = self.scan_files(&columns, &groups, filter.as_ref(), state)?;
            let local = keys.map(|_| (0, 1));
            let about = self.about(files.len(), &arranged);
            let splits = match &arranged {
                Arranged::InOrder(ranges) => Some(ranges.splits.clone()),
                _ => None,
            };
            let mut plan: Arc<dyn ExecutionPlan> = Arc::new(CleanExec::try_new(
                scan,
                local,
                splits,
                about,
                Arc::clone(&report),
                (self.name_error(&groups), first_rows(&groups)),
            )?);
            if let Some(filter) = filter {
                let filter = reassign_expr_columns(filter, &plan.schema())?;
                plan = Arc::new(FilterExec::try_new(filter, plan)?);
            }
            let files = Arc::clone(&self.files);
            let name_file: NameFile = Arc::new(move |file| {
                files.get(file as usize).map(|f| file_name(&f.file.path)).unwrap_or_default()
            });
            if let (Arranged::ByPeriod(periods), Some(keys)) = (arranged, local) {
                let Periods { periods, splits, .. } = periods;
                let (report, name) = (Arc::clone(&report), Arc::clone(&name_file));
                plan = Arc::new(PeriodsExec::try_new(plan, keys, periods, splits, report, name)?);
            }
            if local.is_some() {
                let policy = self.config.duplicates;
                plan = Arc::new(DedupExec::try_new(plan, 0, 1, policy, report, name_file)?);
            }
            plan
        };
        only(plan, &self.schema, wanted)
    }
}

/// Where partitions begin in the files that they do not read from their first row.
fn first_rows(groups: &[Vec<Slice>]) -> FirstRow {
    let later = |slice: &Slice| Some((slice.ordinal, slice.rows.as_ref()?.start));
    let groups = groups.iter().map(|group| group.iter().filter_map(later).collect());
    let groups: Vec<BTreeMap<u32, u64>> = groups.collect();
    Arc::new(move |partition, file| {
        groups.get(partition).and_then(|group| group.get(&file)).copied().unwrap_or(0)
    })
}

/// How the files of a scan are read.
enum Arranged {
    InOrder(Ranges),
    ByPeriod(Periods),
    AsTheyCome(Vec<Vec<Slice>>),
}

/// Cuts the files into at most `parts` runs of about equal bytes, in order.
fn split(kept: &[u32], files: &[Arc<FileInfo>], parts: usize) -> Vec<Vec<Slice>> {
    let bytes = |o: &u32| files[*o as usize].file.size.max(1);
    let total: u64 = kept.iter().map(bytes).sum();
    let share = total.div_ceil(parts.max(1) as u64).max(1);
    let mut groups: Vec<Vec<Slice>> = Vec::new();
    let mut before = 0;
    for ordinal in kept {
        let slot = (before / share) as usize;
        before += bytes(ordinal);
        if groups.is_empty() || groups.len() <= slot {
            groups.push(Vec::new());
        }
        if let Some(group) = groups.last_mut() {
            group.push(Slice { ordinal: *ordinal, rows: None });
        }
    }
    groups
}

fn partition_fields(files: &[Arc<FileInfo>], keys: &Keys) -> Result<Vec<FieldRef>> {
    let names = |file: &FileRef| file.partitions.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>();
    let Some(first) = files.first() else { return Ok(Vec::new()) };
    let expected = names(&first.file);
    for info in files {
        if names(&info.file) != expected {
            return Err(Error::data(format!(
                "{} is partitioned by [{}], {} by [{}]",
                file_name(&first.file.path),
                expected.join(", "),
                file_name(&info.file.path),
                names(&info.file).join(", ")
            ))
            .hint("name the files of one layout with a glob"));
        }
    }
    Ok(expected
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let values = files.iter().map(move |f| f.file.partitions[i].1.as_deref());
            let ty = partition_type(name, keys, values);
            Arc::new(Field::new(name, ty, true))
        })
        .collect())
}

fn partition_values(file: &FileRef, fields: &[FieldRef]) -> Result<Vec<ScalarValue>> {
    file.partitions
        .iter()
        .zip(fields)
        .map(|((key, value), field)| {
            let text = ScalarValue::Utf8View(value.clone());
            text.cast_to(field.data_type()).map_err(|_| {
                Error::data(format!(
                    "the directory {key}={} of {} is no {}",
                    value.as_deref().unwrap_or("NULL"),
                    file_name(&file.path),
                    field.data_type()
                ))
                .in_file(file_name(&file.path))
            })
        })
        .collect()
}

/// File columns that are no partitions, then partitions; keys are never NULL after cleaning.
fn source_schema(
    files: &[Arc<FileInfo>],
    partitions: &[FieldRef],
    keys: &Keys,
) -> Result<SchemaRef> {
    let names: Vec<String> = files.iter().map(|f| file_name(&f.file.path)).collect();
    let merged =
        merge(names.iter().map(String::as_str).zip(files.iter().map(|f| &f.schema)), keys)?;
    let mut fields: Vec<FieldRef> = merged.fields().iter().cloned().collect();
    fields.retain(|f| !partitions.iter().any(|p| p.name() == f.name()));
    fields.extend(partitions.iter().cloned());
    let keyed = [&keys.entity, &keys.time].map(|key| fields.iter().position(|f| f.name() == key));
    if let [Some(entity), Some(time)] = keyed {
        for key in [entity, time] {
            fields[key] = Arc::new(fields[key].as_ref().clone().with_nullable(false));
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}
