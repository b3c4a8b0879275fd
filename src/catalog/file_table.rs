//! The table provider of files as a source: partitioned parquet or CSV, cleaned, with one row per key.

use std::collections::BTreeSet;
use std::fmt;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalExpr;
use futures::future::BoxFuture;

use super::footer_cache::FooterCache;
use super::input_state::{states_by_content, states_by_stamp};
use super::{InputState, NO_KEY, Source, check_key_columns};
use crate::config::{ChangeDetection, Duplicates, SourceConfig};
use crate::error::{Error, Result, group_digits};
use crate::limits::{LISTED_AGAIN, SOURCE_FILES, TARGET_FILES_HELD};
use crate::outside::{self, files};
use crate::scan::{
    ContainerStatistics, FileInfo, KeyColumns, are_types_comparable, partition_type, read_footers,
    reconcile_schemas,
};
use crate::store::{
    FileKind, FileRef, Listing, Location, Record, RecordInput, RemoteObject, StoreRegistry,
    display_path, has_detached_records, is_listed_below, list_bucket_files, list_local_files,
    list_records, list_web_files, metadata_stamp, read_latest_record,
};

/// Runs work that waits for a disk or a server on a thread of its own, off the threads that compute.
async fn offload_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = |error| Error::internal(format!("opening a source panicked: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}

/// A file that was left out, and the reason.
pub type SkippedFile = (String, String);

/// Files as a source: the list of files, their columns, and how their rows are cleaned.
pub struct FileTable {
    pub(super) name: String,
    pub(super) config: SourceConfig,
    location: Location,
    pub(super) keys: KeyColumns,
    pub(super) kind: FileKind,
    pub(super) files: Arc<[Arc<FileInfo>]>,
    /// The hive partition values of each file, in the order of `partitions`.
    pub(super) values: Vec<Vec<ScalarValue>>,
    pub(super) partitions: Vec<FieldRef>,
    /// The columns of the files, then the partition columns.
    pub(super) schema: SchemaRef,
    left_out: Vec<SkippedFile>,
    /// The run that committed the files; None unless the source is a target.
    commit: Option<String>,
    opening: Duration,
}

/// Lists the files of a source. Returns the listing, the last record if the source is a target, and with
/// `keep_going` the files that were left out.
async fn list_source(
    location: &Location,
    access: &StoreRegistry,
    keep_going: bool,
) -> Result<(Listing, Option<Record>, Vec<SkippedFile>)> {
    match location.clone() {
        Location::Local(path) => {
            offload_blocking(move || {
                // A copy without its records is read as plain files.
                let record =
                    if has_detached_records(&path)? { None } else { read_latest_record(&path)? };
                let listing = list_local_files(&path)?;
                if let Some(record) = &record {
                    check_recorded_files(&path, &listing, record)?;
                }
                Ok((open_csv_handles(listing)?, record, Vec::new()))
            })
            .await
        }
        Location::Bucket(url) => {
            let (listing, record) = list_bucket_files(access, &url).await?;
            Ok((listing, record, Vec::new()))
        }
        Location::Web(urls) => {
            let (listing, without) = list_web_files(access, &urls, keep_going).await?;
            Ok((listing, None, without))
        }
    }
}

/// Keeps the files of a source out of the file cache if nothing but their bytes tells whether they changed.
fn detach_for_content(config: &SourceConfig, files: &mut [FileRef]) {
    if config.inputs == ChangeDetection::Content {
        let objects = files.iter_mut().filter_map(|file| file.object.as_mut());
        objects.for_each(RemoteObject::detach_from_cache);
    }
}

fn check_no_revision(name: &str, config: &SourceConfig) -> Result<()> {
    if config.revision.is_none() {
        return Ok(());
    }
    Err(Error::usage(format!("{name}: revision is for tables of a server"))
        .hint("take it out: of files their state is known; `inputs: content` reads their bytes"))
}

fn check_file_count(files: usize, location: &Location) -> Result<()> {
    if files <= SOURCE_FILES {
        return Ok(());
    }
    let (files, most) = (group_digits(files as u64), group_digits(SOURCE_FILES as u64));
    Err(Error::data(format!("{location} has {files} files, past the limit of {most}"))
        .hint("compact it"))
}

/// Refuses a file that has a column twice.
fn check_distinct_columns(info: &FileInfo) -> Result<()> {
    let mut seen = BTreeSet::new();
    let Some(twice) = info.schema.fields().iter().find(|field| !seen.insert(field.name())) else {
        return Ok(());
    };
    let file = display_path(&info.file.path);
    Err(Error::data(format!("column {} is twice in {file}", twice.name()))
        .hint("name the columns apart and write the file again")
        .with_bad_file(file))
}

/// How the footers of a source are read.
struct FooterReading<'a> {
    kind: FileKind,
    keys: &'a KeyColumns,
    cache: &'a FooterCache,
    threads: usize,
    keep_going: bool,
}

impl FooterReading<'_> {
    /// Returns the footers of the files in their order: those of the cache, and the others read now. With
    /// `keep_going`, a file that cannot be read goes to `left_out`.
    async fn read_all(
        &self,
        files: Vec<FileRef>,
        left_out: &mut Vec<SkippedFile>,
    ) -> Result<Vec<Arc<FileInfo>>> {
        let known: Vec<_> = files.iter().map(|file| self.cache.get(file, self.keys)).collect();
        let new = files.into_iter().zip(&known).filter(|(_, known)| known.is_none());
        let new: Vec<_> = new.map(|(file, _)| file).collect();
        let (kind, keys, threads) = (self.kind, self.keys.clone(), self.threads);
        let read = offload_blocking(move || Ok(read_footers(new, kind, &keys, threads)));
        let mut read = read.await?.into_iter();
        let mut infos = Vec::new();
        for known in known {
            if let Some(info) = known {
                infos.push(info);
                continue;
            }
            match read.next().ok_or_else(|| Error::internal("a footer went missing"))? {
                Ok(info) => {
                    let info = Arc::new(info);
                    self.cache.put(&info, self.keys);
                    infos.push(info);
                }
                Err(error) if self.keep_going && error.bad_file().is_some() => {
                    let file = error.bad_file().unwrap_or_default().to_string();
                    left_out.push((file, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(infos)
    }
}

impl FileTable {
    /// Lists the files of a source and reads their footers, except those that `footers` holds.
    /// `leave` holds the names of files to skip, and `keep_going`: if true, files that cannot be
    /// read are skipped too.
    ///
    /// # Errors
    /// No file is there, a file is corrupt, or the columns of the files cannot be reconciled.
    pub async fn open(
        name: &str,
        config: &SourceConfig,
        access: &StoreRegistry,
        footers: &FooterCache,
        threads: usize,
        leave: (&BTreeSet<String>, bool),
    ) -> Result<Self> {
        let committed = || match Location::parse(&config.location) {
            Ok(Location::Local(path)) => {
                list_records(&path).ok().and_then(|mut records| records.pop())
            }
            _ => None,
        };
        let mut again = 0;
        loop {
            let before = committed();
            let opened = Self::open_once(name, config, access, footers, threads, leave).await;
            // A listing made while a run commits may mix files of both states and name files that
            // were removed.
            if before == committed() || before.is_none() {
                return opened;
            }
            again += 1;
            if again > LISTED_AGAIN {
                return Err(Error::data(format!(
                    "{} is committed to faster than it can be listed",
                    config.location
                ))
                .hint("read it when fewer runs write to it")
                .as_transient());
            }
            tokio::time::sleep(outside::random_jitter(Duration::from_millis(20))).await;
        }
    }

    async fn open_once(
        name: &str,
        config: &SourceConfig,
        access: &StoreRegistry,
        footers: &FooterCache,
        threads: usize,
        (skip, keep_going): (&BTreeSet<String>, bool),
    ) -> Result<Self> {
        let started = Instant::now();
        check_no_revision(name, config)?;
        let location = Location::parse(&config.location)?;
        let (listing, record, mut left_out) = list_source(&location, access, keep_going).await?;
        let (keys, commit) = match record {
            Some(record) => {
                (KeyColumns { entity: record.entity, time: record.time }, Some(record.run))
            }
            None => (KeyColumns { entity: config.entity.clone(), time: config.time.clone() }, None),
        };
        let Listing { kind, mut files, .. } = listing;
        detach_for_content(config, &mut files);
        files.retain(|file| !skip.contains(&display_path(&file.path)));
        check_file_count(files.len(), &location)?;
        let reading = FooterReading { kind, keys: &keys, cache: footers, threads, keep_going };
        let mut infos = reading.read_all(files, &mut left_out).await?;
        if commit.is_some() && infos.len() <= TARGET_FILES_HELD {
            infos = infos.iter().map(with_open_handle).collect::<Result<_>>()?;
        }
        let partitions = partition_fields(&infos, &keys)?;
        let values =
            infos.iter().map(|i| partition_values(&i.file, &partitions)).collect::<Result<_>>()?;
        let schema = source_schema(&infos, &partitions, &keys)?;
        let schema = match config.duplicates {
            Duplicates::All => nullable_schema(&schema),
            _ => schema,
        };
        if schema.fields().is_empty() {
            return Err(Error::data(format!("{location} has no columns"))
                .hint("its files are empty; check what wrote them"));
        }
        check_key_columns(&schema, config, name)?;
        if commit.is_some() {
            check_recorded_keys(&schema, &keys, &location)?;
        }
        infos.iter().try_for_each(|info| check_distinct_columns(info))?;
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

    pub(super) fn key_indices(&self) -> Option<(usize, usize)> {
        if self.config.duplicates == Duplicates::All {
            return None;
        }
        let index = |name: &str| self.schema.index_of(name).ok();
        Some((index(&self.keys.entity)?, index(&self.keys.time)?))
    }

    /// Returns whether filters on a column are pushed down: only those on keys and partitions are.
    /// A filter on another column must see the row that won among duplicates, so it stays above.
    pub(super) fn is_prunable_column(&self, column: &str) -> bool {
        let key = column == self.keys.entity || column == self.keys.time;
        key || self.partitions.iter().any(|f| f.name() == column)
    }

    fn pruning_statistics(&self) -> ContainerStatistics {
        let key = |name: &str, pick: fn(&FileInfo) -> &Option<(ScalarValue, ScalarValue)>| {
            let ty = self.schema.field_with_name(name).ok().map(|f| f.data_type().clone());
            let cast = |v: &ScalarValue| {
                let ty = ty.as_ref().filter(|ty| are_types_comparable(&v.data_type(), ty))?;
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
        ContainerStatistics { columns, containers: self.files.len() }
    }

    pub(super) fn prune_files(&self, filter: Option<&Arc<dyn PhysicalExpr>>) -> Vec<u32> {
        let keep = match filter {
            Some(filter) => self.pruning_statistics().keep_mask(filter, &self.schema),
            None => vec![true; self.files.len()],
        };
        (0u32..).zip(keep).filter(|(_, keep)| *keep).map(|(ordinal, _)| ordinal).collect()
    }
}

impl fmt::Debug for FileTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileTable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source for FileTable {
    fn skipped_files(&self) -> &[SkippedFile] {
        &self.left_out
    }

    fn config(&self) -> &SourceConfig {
        &self.config
    }

    /// True for targets: a run that commits removes their files.
    fn may_change(&self) -> bool {
        self.commit.is_some()
    }

    fn file_paths(&self) -> Vec<&Path> {
        self.files.iter().map(|f| f.file.path.as_path()).collect()
    }

    fn covers_folder(&self, folder: &Path) -> bool {
        let Location::Local(root) = &self.location else { return false };
        root.is_dir() && root.canonicalize().is_ok_and(|root| is_listed_below(&root, folder))
    }

    fn is_label(&self, column: &str) -> bool {
        self.files.iter().any(|info| info.labels.iter().any(|label| label == column))
    }

    fn key_columns(&self) -> &KeyColumns {
        &self.keys
    }

    fn input_summary(&self) -> RecordInput {
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).map(|d| d.as_secs()).unwrap_or_default()
        };
        RecordInput {
            location: self.location.to_string(),
            files: self.files.len() as u64,
            bytes: self.files.iter().map(|f| f.file.size).sum(),
            modified: self.files.iter().map(|f| seconds(f.file.modified)).max().unwrap_or(0),
            opening: self.opening.as_secs_f64(),
            state: None, // It may take reading all files: a caller that needs it asks.
        }
    }

    fn input_states(&self) -> BoxFuture<'_, Result<Vec<InputState>>> {
        let (files, run) = (Arc::clone(&self.files), self.commit.as_deref());
        match self.config.inputs {
            ChangeDetection::State => Box::pin(ready(Ok(states_by_stamp(&files, run)))),
            ChangeDetection::Content => {
                Box::pin(offload_blocking(move || states_by_content(&files)))
            }
        }
    }

    fn summary_line(&self) -> String {
        let files = self.files.len();
        let word = if files == 1 { "file" } else { "files" };
        let mut text = format!("{}, {files} {word}", self.kind.format_name());
        if !self.partitions.is_empty() {
            let by: Vec<&str> = self.partitions.iter().map(|f| f.name().as_str()).collect();
            text += &format!(" by {}", by.join(", "));
        }
        format!("{text}, {}", self.location)
    }

    fn row_count(&self) -> Option<u64> {
        self.files.iter().map(|f| f.rows).sum()
    }
}

/// Refuses a target whose record names keys that are no columns of it.
fn check_recorded_keys(schema: &Schema, keys: &KeyColumns, location: &Location) -> Result<()> {
    let missing =
        |key: &&String| !key.is_empty() && *key != NO_KEY && schema.field_with_name(key).is_err();
    match [&keys.entity, &keys.time].into_iter().find(missing) {
        None => Ok(()),
        Some(key) => Err(Error::target(format!(
            "the record of {location} names the key {key}, which is no column of it"
        ))
        .hint("move the target away and run again")),
    }
}

/// Refuses a target whose files differ from its record: files that no run wrote, which a run would
/// refuse too, and files that are missing.
fn check_recorded_files(target: &Path, listing: &Listing, record: &Record) -> Result<()> {
    let named: BTreeSet<PathBuf> =
        record.files.iter().map(|file| target.join(&file.path)).collect();
    if let Some(file) = listing.files.iter().find(|file| !named.contains(&file.path)) {
        return Err(Error::data(format!(
            "{} holds files that windrow did not write, such as {}",
            target.display(),
            file.path.display()
        ))
        .hint("move them away, or name the files to read with a glob"));
    }
    let there: BTreeSet<&PathBuf> = listing.files.iter().map(|file| &file.path).collect();
    match named.iter().find(|path| !there.contains(path)) {
        None => Ok(()),
        Some(path) => {
            let path = path.display();
            Err(Error::data(format!(
                "{path} is gone, which the last run into {} wrote",
                target.display()
            ))
            .hint("run the whole set again"))
        }
    }
}

/// Opens the files of a CSV listing and holds them open: such a file may be a target, which runs replace.
fn open_csv_handles(mut listing: Listing) -> Result<Listing> {
    if listing.kind == FileKind::Csv && listing.files.len() <= TARGET_FILES_HELD {
        for file in &mut listing.files {
            open_handle(file)?;
        }
    }
    Ok(listing)
}

/// Returns a local file with an open handle, so that it stays readable after a run removes its name.
fn with_open_handle(info: &Arc<FileInfo>) -> Result<Arc<FileInfo>> {
    if info.file.object.is_some() || info.file.open_file.is_some() {
        return Ok(Arc::clone(info));
    }
    let mut held = info.as_ref().clone();
    open_handle(&mut held.file)?;
    Ok(Arc::new(held))
}

/// Opens a local file, and takes its size and stamp from the open handle.
fn open_handle(file: &mut FileRef) -> Result<()> {
    let name = display_path(&file.path);
    let unreadable = |error: std::io::Error| {
        Error::data(format!("cannot read {name}: {error}")).with_bad_file(name.clone())
    };
    let opened = files::open_file(&file.path).map_err(unreadable)?;
    let meta = opened.metadata().map_err(unreadable)?;
    (file.size, file.stamp) = (meta.len(), Some(metadata_stamp(&meta)));
    file.modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    file.open_file = Some(Arc::new(opened));
    Ok(())
}

fn partition_fields(files: &[Arc<FileInfo>], keys: &KeyColumns) -> Result<Vec<FieldRef>> {
    let names = |file: &FileRef| file.partitions.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>();
    let Some(first) = files.first() else { return Ok(Vec::new()) };
    let expected = names(&first.file);
    for info in files {
        if names(&info.file) != expected {
            return Err(Error::data(format!(
                "{} is partitioned by [{}], {} by [{}]",
                display_path(&first.file.path),
                expected.join(", "),
                display_path(&info.file.path),
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
                    display_path(&file.path),
                    field.data_type()
                ))
                .with_bad_file(display_path(&file.path))
            })
        })
        .collect()
}

/// Returns the schema with all columns nullable.
fn nullable_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Returns the file columns that are no partitions, then the partitions; keys are never NULL after
/// cleaning.
fn source_schema(
    files: &[Arc<FileInfo>],
    partitions: &[FieldRef],
    keys: &KeyColumns,
) -> Result<SchemaRef> {
    // The types of a file without rows say nothing: its writer had no values to derive them from.
    let mut telling: Vec<&FileInfo> =
        files.iter().map(AsRef::as_ref).filter(|file| file.rows != Some(0)).collect();
    if telling.is_empty() {
        telling = files.iter().map(AsRef::as_ref).collect();
    }
    let names: Vec<String> = telling.iter().map(|f| display_path(&f.file.path)).collect();
    let merged = reconcile_schemas(
        names.iter().map(String::as_str).zip(telling.iter().map(|f| &f.schema)),
        keys,
    )?;
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
