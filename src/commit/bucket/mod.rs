//! Parquet in an object store: data files that are uploaded aside, and records that name those which
//! are the target.
//!
//! Below `s3://bucket/prefix/` lie the data files, the records `_windrow/000001.json` and on, one for
//! each commit, and the lease of a run at work.
//!
//! 1. The run takes the lease (see `lease`), reads the state, and aborts uploads that dead runs left. A
//!    crash leaves the old state and the lease.
//! 2. In a new target it writes the marker `_windrow/000000.json`. From then on, files that no record
//!    names are not data. A crash leaves the old state, the lease and the marker.
//! 3. The workers upload parts of data files. A crash leaves uploads that were never completed; no
//!    reader sees them.
//! 4. The run checks its lease, completes the uploads and checks its lease again. A crash leaves the
//!    old state, data files that no record names, and the remaining uploads.
//! 5. The run writes the next record under the condition that it is not there yet: this is the commit.
//!    A crash leaves the new state, and the files of the old one.
//! 6. It removes the files that its record does not name. A crash leaves the new state, and the rest of
//!    the old files.
//! 7. It removes the lease. A crash before that leaves the new state and the lease.
//!
//! The next run that takes the target removes the lease and aborts the uploads; its commit removes the
//! files. `vacuum` does both, but leaves for an hour those files that a sleeping run may still commit.
//!
//! A reader that follows the records sees the old state or the new one. A reader that reads every file
//! of the prefix sees both between the first completed upload and the last removed file.

mod lease;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::{MultipartId, ObjectMeta};

use super::directory::read_column_notes;
use super::publish_options::MERGE_HINT;
use super::stage::{run_name, unreadable_error};
use super::{
    CommittedRun, OpenTarget, PublishOptions, RunHistory, SourcePlace, TargetBackend,
    never_written_error,
};
use crate::error::{Error, Result};
use crate::limits::UPLOADS_COMPLETED;
use crate::outside::{self, FailPoint};
use crate::stop::Stop;
use crate::store::{
    Bucket, FileReader, Location, ObjectUrl, RECORD_DIR, Record, RemoteRecords, StoreRegistry,
    list_records_above, path_below,
};
use crate::write::{
    Attempt, ColumnNotes, Manifest, OutputShape, Staging, UploadLog, Uploads, WrittenFile,
    is_windrow_file,
};
use lease::{Lease, list_leases};

/// The age, relative to the newest object, from which on no run can still want to commit a file.
const VACUUM_AGE: chrono::Duration = chrono::Duration::hours(1);

/// The outcome of a commit.
enum CommitOutcome {
    Done,
    /// Another run took the number of the record.
    Conflict,
}

/// A prefix that runs write to.
#[derive(Debug)]
pub(super) struct BucketTarget {
    url: ObjectUrl,
    access: Arc<StoreRegistry>,
}

impl BucketTarget {
    pub(super) fn new(url: &ObjectUrl, access: Arc<StoreRegistry>) -> Self {
        Self { url: url.clone(), access }
    }

    async fn bucket_prefix(&self) -> Result<BucketPrefix> {
        BucketPrefix::from_url(&self.url, &self.access).await
    }

    async fn open_bucket_target(&self, workers: usize) -> Result<OpenBucket> {
        let run = run_name();
        let place = self.bucket_prefix().await?;
        // A client of its own renews the lease, so that a busy machine does not delay it.
        let beats = self.access.open_control_bucket(&self.url).await?;
        let control = self.access.control_runtime();
        let lease =
            Lease::acquire(&beats, &place.record_folder(), &run, &place.shown, &control).await?;
        let checked = async {
            let state = place.read_state().await?;
            place.check_alone(&state).await?;
            let last = state.records.read_latest().await?;
            place.check_owner(&state, last.as_ref())?;
            let aborted = place.orphaned_uploads().await;
            place.objects.abort_uploads(aborted.clone()).await;
            Ok((state, last, aborted))
        };
        match checked.await {
            Ok((state, last, aborted)) => {
                let lease = Arc::new(lease);
                let aborted = aborted.iter().map(|(key, _)| place.relative_path(key)).collect();
                Ok(OpenBucket { run, lease, place, state, last, workers, aborted, uploads: None })
            }
            Err(error) => {
                lease.release().await;
                Err(error)
            }
        }
    }
}

#[async_trait]
impl TargetBackend for BucketTarget {
    async fn acquire_target(&self, workers: usize) -> Result<Box<dyn OpenTarget>> {
        Ok(Box::new(self.open_bucket_target(workers).await?))
    }

    async fn latest(&self) -> Result<Option<Record>> {
        self.bucket_prefix().await?.read_state().await?.records.read_latest().await
    }

    async fn history(&self) -> Result<RunHistory> {
        let place = self.bucket_prefix().await?;
        let state = place.read_state().await?;
        let records = state.records.read_records().await?;
        let leftovers = place.describe_leftovers(&state, records.last()).await?;
        Ok(RunHistory { runs: records.into_iter().map(CommittedRun::from).collect(), leftovers })
    }

    async fn list_leftovers(&self) -> Result<Vec<String>> {
        let place = self.bucket_prefix().await?;
        let state = place.read_state().await?;
        let last = state.records.read_latest().await?;
        place.describe_leftovers(&state, last.as_ref()).await
    }

    async fn is_there(&self, record: &Record) -> Result<bool> {
        let place = self.bucket_prefix().await?;
        let listed = place.objects.list_prefix(&place.prefix).await?;
        let sizes = listed.iter().map(|meta| (place.relative_path(&meta.location), meta.size));
        let sizes: BTreeMap<String, u64> = sizes.collect();
        Ok(record.files.iter().all(|file| sizes.get(&file.path) == Some(&file.bytes)))
    }

    async fn vacuum(&self) -> Result<Vec<String>> {
        let open = self.open_bucket_target(1).await?;
        let left = match open.has_any_run() {
            true => open.remove_leftovers().await,
            false => Err(never_written_error(&self.url)),
        };
        open.lease.release().await;
        left
    }

    async fn notes(&self, held: &Record) -> Result<ColumnNotes> {
        let Some(file) = held.files.first() else { return Ok(ColumnNotes::new()) };
        let url = self.url.below(&file.path);
        let objects = self.access.open_bucket(&url).await?;
        let gone = || Error::target(format!("{url} is gone")).hint("run again, without --append");
        let meta = objects.head_object(&url.path()?).await?.ok_or_else(gone)?;
        let tail = FileReader::fetch_tail(&objects.object_from_meta(&meta), file.bytes).await?;
        read_column_notes(&tail)
            .map_err(|error| unreadable_error(Path::new(&url.to_string()), &error))
    }

    fn check_source_apart(&self, source: &SourcePlace<'_>) -> Result<()> {
        let Ok(Location::Bucket(from)) = Location::parse(source.location) else { return Ok(()) };
        let url = &self.url;
        let below = url.below("part.parquet");
        let names = source.files.iter().filter_map(|path| path.to_str());
        let mut read = names.filter_map(|name| ObjectUrl::parse(name).ok().flatten());
        // The source reads from the target, or would read the files that the target gets.
        let lists = from.bucket_url() == url.bucket_url()
            && from.matcher().is_ok_and(|matches| matches(below.key()));
        if !lists && !read.any(|file| file.meets(url)) {
            return Ok(());
        }
        let name = source.name;
        Err(Error::target(format!("{url} lies in the source {name}, or the other way round"))
            .hint("write to another prefix"))
    }
}

/// A target of an object store that one run has to itself.
struct OpenBucket {
    run: String,
    place: BucketPrefix,
    lease: Arc<Lease>,
    /// The state when the lease was taken. A later read of the target by this run sees this state or a
    /// later one, and a commit on top of any other state than this one fails.
    state: BucketState,
    /// The last record of that state.
    last: Option<Record>,
    workers: usize,
    /// Uploads of dead runs, aborted when the lease was taken.
    aborted: Vec<String>,
    /// The uploads of this run.
    uploads: Option<Arc<Uploads>>,
}

/// The prefix that holds a target.
#[derive(Clone, Debug)]
struct BucketPrefix {
    shown: String,
    objects: Arc<Bucket>,
    prefix: Key,
}

/// The objects and records below a prefix.
#[derive(Debug)]
struct BucketState {
    listed: Vec<ObjectMeta>,
    records: RemoteRecords,
}

impl BucketPrefix {
    async fn from_url(url: &ObjectUrl, access: &StoreRegistry) -> Result<Self> {
        let objects = access.open_bucket(url).await?;
        Ok(Self { shown: url.to_string(), objects, prefix: url.path()? })
    }

    /// The folder of records and leases.
    fn record_folder(&self) -> Key {
        self.prefix.clone().join(RECORD_DIR)
    }

    async fn read_state(&self) -> Result<BucketState> {
        let listed = self.objects.list_prefix(&self.prefix).await?;
        let records = RemoteRecords::from_listing(&self.objects, &self.record_folder(), &listed);
        Ok(BucketState { listed, records })
    }

    /// Returns the path of an object relative to the target.
    fn relative_path(&self, key: &Key) -> String {
        path_below(key, &self.prefix)
    }

    /// Returns the data files that a record does not name, each with whether a run of windrow wrote it.
    fn unrecorded_files<'a>(
        &'a self,
        listed: &'a [ObjectMeta],
        record: Option<&'a Record>,
    ) -> impl Iterator<Item = (&'a Key, bool)> {
        let files = record.into_iter().flat_map(|record| &record.files);
        let files: BTreeSet<&str> = files.map(|file| file.path.as_str()).collect();
        let folder = self.record_folder();
        let data = listed.iter().filter(move |meta| {
            // Some tools create empty objects for folders.
            !meta.location.prefix_matches(&folder) && meta.size > 0
        });
        data.map(|meta| (&meta.location, self.relative_path(&meta.location)))
            .filter(move |(_, below)| !files.contains(below.as_str()))
            .map(|(key, below)| (key, is_windrow_file(&below)))
    }

    /// Returns the leftover files of failed runs and of old states.
    fn leftover_files(&self, listed: &[ObjectMeta], record: Option<&Record>) -> Vec<Key> {
        let ours = self.unrecorded_files(listed, record).filter(|(_, ours)| *ours);
        ours.map(|(key, _)| key.clone()).collect()
    }

    /// Describes the leftovers of failed runs: files, and leases with their uploads.
    async fn describe_leftovers(
        &self,
        state: &BucketState,
        last: Option<&Record>,
    ) -> Result<Vec<String>> {
        let leases = list_leases(&self.objects, &self.record_folder()).await?;
        let at_work = |below: &str| {
            leases.iter().any(|(_, lease)| !lease.is_over() && below.contains(&lease.run))
        };
        let left = self.leftover_files(&state.listed, last);
        let left = left.iter().map(|key| self.relative_path(key)).filter(|below| !at_work(below));
        let uploads = leases.iter().map(|(_, lease)| match lease.is_over() {
            true => format!("the uploads of the run {}", lease.run),
            false => format!("the run {}, unless it is still at work", lease.run),
        });
        let mut all: Vec<String> = left.chain(uploads).collect();
        if leases.is_empty() {
            all.extend(
                self.orphaned_uploads()
                    .await
                    .iter()
                    .map(|(key, _)| describe_upload(&self.relative_path(key))),
            );
        }
        Ok(all)
    }

    /// Lists the uploads of data files that runs began and that were neither completed nor aborted.
    async fn orphaned_uploads(&self) -> Vec<(Key, MultipartId)> {
        let mut begun = self.objects.list_uploads(&self.prefix).await;
        begun.retain(|(key, _)| {
            key.prefix_matches(&self.prefix) && is_windrow_file(&self.relative_path(key))
        });
        begun
    }

    /// Refuses a target that lies in another target or contains one.
    async fn check_alone(&self, state: &BucketState) -> Result<()> {
        let folder = format!("/{RECORD_DIR}/");
        let inner = state.listed.iter().map(|meta| self.relative_path(&meta.location));
        let inner = inner.filter_map(|below| Some(below.split_once(&folder)?.0.to_string()));
        if let Some(inner) = inner.into_iter().next() {
            return Err(Error::target(format!("{} has the target {inner} in it", self.shown))
                .hint("write to a prefix of its own"));
        }
        let above = list_records_above(&self.objects, &self.prefix).await;
        match above.iter().find(|(_, listed)| !listed.is_empty()) {
            None => Ok(()),
            Some((outer, _)) => Err(Error::target(format!(
                "{} lies within the target {outer}, whose readers and runs would meet it",
                self.shown
            ))
            .hint("write to a prefix of its own")),
        }
    }

    fn check_owner(&self, state: &BucketState, record: Option<&Record>) -> Result<()> {
        match self.unrecorded_files(&state.listed, record).find(|(_, ours)| !ours) {
            None => Ok(()),
            Some((key, _)) => Err(Error::target(format!(
                "{} holds files that windrow did not write, such as {}",
                self.shown,
                self.relative_path(key)
            ))
            .hint("move them away, or name a prefix where nothing is")),
        }
    }
}

#[async_trait]
impl OpenTarget for OpenBucket {
    fn run_id(&self) -> &str {
        &self.run
    }

    fn held_record(&self) -> Option<&Record> {
        self.last.as_ref()
    }

    async fn prepare_staging(
        &mut self,
        output: &OutputShape,
        publish: &PublishOptions,
        _: &Attempt,
    ) -> Result<Staging> {
        publish.check_scope(&self.place.shown, self.last.as_ref(), MERGE_HINT)?;
        self.state.records.mark_target(&self.place.record_folder()).await?;
        outside::reach_fail_point(FailPoint::LeaseTaken);
        let BucketPrefix { objects, prefix, .. } = &self.place;
        let log = Arc::clone(&self.lease) as Arc<dyn UploadLog>;
        let workers = self.workers.max(output.side_by_side.min(2 * self.workers));
        let uploads = Uploads::new(objects, prefix, log, workers, output.memory_limited);
        let uploads = Arc::new(uploads);
        self.uploads = Some(Arc::clone(&uploads));
        Ok(Staging::Uploads(uploads))
    }

    async fn publish(
        &mut self,
        _: &PublishOptions,
        manifests: &[Manifest],
        mut record: Record,
        stop: &Stop,
    ) -> Result<Record> {
        if !self.lease.conditional {
            let name = &self.place.shown;
            record.notices.push(format!(
                "the server of {name} writes over what is there even where it is asked not to: only the lease keeps two runs apart"
            ));
        }
        if let Err(error) = self.prepare_commit(manifests, stop).await {
            self.abandon_staging().await;
            return Err(error);
        }
        match self.commit_record(&record).await? {
            CommitOutcome::Done => {}
            CommitOutcome::Conflict => {
                self.abandon_staging().await;
                return Err(self.conflict_error());
            }
        }
        self.uploads = None;
        outside::reach_fail_point(FailPoint::RecordWritten);
        // The run is committed: the next run removes files that stay behind.
        if let Err(error) = self.remove_old_files(&record).await {
            tracing::warn!("the files of the state before stay behind until the next run: {error}");
        }
        outside::reach_fail_point(FailPoint::OldRemoved);
        self.last = Some(record.clone());
        Ok(record)
    }

    async fn abandon_staging(&mut self) {
        if let Some(uploads) = self.uploads.take() {
            uploads.abandon().await;
        }
    }

    async fn release(self: Box<Self>) {
        self.lease.release().await;
    }
}

impl OpenBucket {
    /// Does everything before the commit: checks the lease, completes the files, and checks the lease
    /// again.
    async fn prepare_commit(&self, manifests: &[Manifest], stop: &Stop) -> Result<()> {
        stop.run_until_stopped(self.lease.check_held(&self.place.shown)).await?;
        stop.run_until_stopped(self.complete_uploads(manifests)).await?;
        outside::reach_fail_point(FailPoint::UploadsComplete);
        stop.run_until_stopped(self.lease.check_held(&self.place.shown)).await?;
        // If the server does not check that the record is absent, check it here.
        let key = self.state.records.next_key(&self.place.record_folder());
        if !self.lease.conditional && self.place.objects.head_object(&key).await?.is_some() {
            return Err(self.conflict_error());
        }
        outside::reach_fail_point(FailPoint::BeforeRecord);
        Ok(())
    }

    /// Completes all uploads; each becomes a file.
    async fn complete_uploads(&self, manifests: &[Manifest]) -> Result<()> {
        let mut complete = Vec::new();
        for file in manifests.iter().flat_map(|manifest| &manifest.files) {
            complete.push(self.complete_file(file));
        }
        stream::iter(complete).buffer_unordered(UPLOADS_COMPLETED).try_collect().await
    }

    /// Completes the upload of one file.
    async fn complete_file(&self, file: &WrittenFile) -> Result<()> {
        let Some(upload) = &file.upload else { return Ok(()) };
        let wrong = |error| Error::internal(format!("{} is no key: {error}", file.path));
        let below = Key::parse(&file.path).map_err(wrong)?;
        let key = self.place.prefix.parts().chain(below.parts()).collect();
        let part = |id: &String| PartId { content_id: id.clone() };
        let parts = upload.parts.iter().map(part).collect();
        self.place.objects.complete_upload(&key, &upload.id, parts, file.bytes).await
    }

    fn conflict_error(&self) -> Error {
        Error::target(format!("another run committed into {} meanwhile", self.place.shown))
            .hint("run again; the target is as that run left it")
    }

    /// Writes the next record. This is the commit: the condition that the record is absent fails if
    /// another run has written it.
    ///
    /// # Errors
    /// It is unknown whether the record was written: the caller must remove nothing.
    async fn commit_record(&self, record: &Record) -> Result<CommitOutcome> {
        let key = self.state.records.next_key(&self.place.record_folder());
        let unknown = |error: &Error| {
            Error::target(format!("nobody knows whether the run is committed: {}", error.message()))
                .hint(format!("`windrow runs {}` tells; run again if it is not", self.place.shown))
        };
        let created = self.place.objects.put_if_absent(&key, record.to_json()?.into()).await;
        if matches!(created, Ok(true)) {
            return Ok(CommitOutcome::Done);
        }
        // It may be our record, if the answer to an earlier attempt was lost.
        let there = self.place.objects.get_object(&key).await;
        let there = there.map_err(|error| unknown(&error))?;
        let there = there.and_then(|text| Record::parse(key.as_ref(), &text).ok());
        match (there, created) {
            (Some(there), _) if there.run == record.run => Ok(CommitOutcome::Done),
            (Some(_), _) | (None, Ok(_)) => Ok(CommitOutcome::Conflict),
            // The request may still reach the server.
            (None, Err(error)) => Err(unknown(&error)),
        }
    }

    /// Removes the files that were listed when the lease was taken and that the record does not name.
    /// Files that came later belong to another run, which then holds the lease.
    async fn remove_old_files(&self, record: &Record) -> Result<()> {
        let left = self.place.leftover_files(&self.state.listed, Some(record));
        if left.is_empty() || !self.lease.is_held().await? {
            return Ok(());
        }
        self.place.objects.delete_objects(left).await
    }

    /// Removes the leftovers of failed runs that `acquire_target` has not removed; returns the names of
    /// both. Files that a sleeping run may still commit stay for an hour, or until the next commit:
    /// nothing else prevents that run from committing them.
    async fn remove_leftovers(&self) -> Result<Vec<String>> {
        let state = &self.state;
        let records = state.records.read_records().await?;
        let record = records.last();
        let earlier = records.iter().rev().skip(1).flat_map(|record| &record.files);
        let earlier: BTreeSet<&str> = earlier.map(|file| file.path.as_str()).collect();
        let newest = state.listed.iter().map(|meta| meta.last_modified).max();
        let old = |key: &Key| {
            let meta = state.listed.iter().find(|meta| meta.location == *key);
            meta.zip(newest).is_some_and(|(meta, newest)| newest - meta.last_modified > VACUUM_AGE)
        };
        let ended = |key: &Key| self.lease.ended.iter().any(|run| key.as_ref().contains(run));
        let mut left = self.place.leftover_files(&state.listed, record);
        let all = left.len();
        left.retain(|key| {
            let superseded = earlier.contains(self.place.relative_path(key).as_str());
            ended(key) || superseded || (record.is_some() && old(key))
        });
        if left.len() < all {
            tracing::warn!(
                "{} files in {} stay: they may be of a run that lives; the next run removes them, or vacuum in an hour",
                all - left.len(),
                self.place.shown
            );
        }
        self.place.objects.delete_objects(left.clone()).await?;
        let uploads = self.lease.evicted.iter().map(|run| format!("the uploads of the run {run}"));
        let aborted = self.aborted.iter().map(|below| describe_upload(below));
        let files = left.iter().map(|key| self.place.relative_path(key));
        Ok(uploads.chain(aborted).chain(files).collect())
    }

    /// Returns whether there is any trace of a run.
    fn has_any_run(&self) -> bool {
        self.state.records.is_target() || !self.lease.evicted.is_empty() || !self.aborted.is_empty()
    }
}

/// Returns the words for an upload in lists of leftovers.
fn describe_upload(below: &str) -> String {
    format!("the upload of {below}")
}
