//! Parquet in an object store: files that are uploaded aside, and records that say which of them are
//! the target.
//!
//! Below `s3://bucket/prefix/` lie the data files, `_windrow/000001.json` and on, a record for each
//! commit, and while a run is at work its lease. A commit completes the uploads, writes the next
//! record, which must not be there yet, and removes the files that the record does not name. Who
//! reads by the records sees the old state or the new one; who reads every file of the prefix sees
//! both for the moment between the first and the last of these steps.

mod lease;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::{MultipartId, ObjectMeta};

use super::directory::{notes_of, unreadable};
use super::publish::MERGE;
use super::stage::run_name;
use super::{Commit, CommittedRun, History, OpenTarget, Publish, SourcePlace, nothing};
use crate::error::{Error, Result};
use crate::limits::UPLOADS_COMPLETED;
use crate::outside;
use crate::stop::Stop;
use crate::store::{
    Access, Location, ObjectUrl, Objects, Opened, RECORD_DIR, Record, RemoteRecords, path_below,
    records_above,
};
use crate::write::{
    Attempt, Manifest, Notes, Output, Staging, UploadLog, Uploads, WrittenFile, is_ours,
};
use lease::{Lease, leases};

/// How much older than the newest object a file is that nobody can still want to commit.
const LONG_AGO: chrono::Duration = chrono::Duration::hours(1);

/// What became of a commit.
enum Committed {
    Done,
    /// The number of the record was taken by another run.
    Taken,
}

/// A prefix that runs write to.
#[derive(Debug)]
pub(super) struct BucketTarget {
    url: ObjectUrl,
    access: Arc<Access>,
}

impl BucketTarget {
    pub(super) fn new(url: &ObjectUrl, access: Arc<Access>) -> Self {
        Self { url: url.clone(), access }
    }

    async fn place(&self) -> Result<Place> {
        Place::of(&self.url, &self.access).await
    }

    async fn take(&self, workers: usize) -> Result<OpenBucket> {
        let run = run_name();
        let place = self.place().await?;
        // The lease is kept by a client of its own, which a busy machine does not make wait.
        let beats = self.access.beside(&self.url).await?;
        let control = self.access.control();
        let lease = Lease::take(&beats, &place.folder(), &run, &place.shown, &control).await?;
        let checked = async {
            let state = place.state().await?;
            place.check_alone(&state).await?;
            let last = state.records.latest().await?;
            place.check_owner(&state, last.as_ref())?;
            let aborted = place.begun().await;
            place.objects.abort_all(aborted.clone()).await;
            Ok((state, last, aborted))
        };
        match checked.await {
            Ok((state, last, aborted)) => {
                let lease = Arc::new(lease);
                let aborted = aborted.iter().map(|(key, _)| place.below(key)).collect();
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
impl Commit for BucketTarget {
    async fn open(&self, workers: usize) -> Result<Box<dyn OpenTarget>> {
        Ok(Box::new(self.take(workers).await?))
    }

    async fn latest(&self) -> Result<Option<Record>> {
        self.place().await?.state().await?.records.latest().await
    }

    async fn history(&self) -> Result<History> {
        let place = self.place().await?;
        let state = place.state().await?;
        let records = state.records.all().await?;
        let leftovers = place.leftovers(&state, records.last()).await?;
        Ok(History { runs: records.into_iter().map(CommittedRun::from).collect(), leftovers })
    }

    async fn leftovers(&self) -> Result<Vec<String>> {
        let place = self.place().await?;
        let state = place.state().await?;
        let last = state.records.latest().await?;
        place.leftovers(&state, last.as_ref()).await
    }

    async fn is_there(&self, record: &Record) -> Result<bool> {
        let place = self.place().await?;
        let listed = place.objects.list(&place.prefix).await?;
        let sizes = listed.iter().map(|meta| (place.below(&meta.location), meta.size));
        let sizes: BTreeMap<String, u64> = sizes.collect();
        Ok(record.files.iter().all(|file| sizes.get(&file.path) == Some(&file.bytes)))
    }

    async fn vacuum(&self) -> Result<Vec<String>> {
        let open = self.take(1).await?;
        let left = match open.is_target() {
            true => open.vacuum().await,
            false => Err(nothing(&self.url)),
        };
        open.lease.release().await;
        left
    }

    async fn notes(&self, held: &Record) -> Result<Notes> {
        let Some(file) = held.files.first() else { return Ok(Notes::new()) };
        let url = self.url.below(&file.path);
        let objects = self.access.objects(&url).await?;
        let gone = || Error::target(format!("{url} is gone")).hint("run again, without --append");
        let meta = objects.head(&url.path()?).await?.ok_or_else(gone)?;
        let tail = Opened::tail(&objects.object(&meta), file.bytes).await?;
        notes_of(&tail).map_err(|error| unreadable(Path::new(&url.to_string()), &error))
    }

    fn check_apart(&self, source: &SourcePlace<'_>) -> Result<()> {
        let Ok(Location::Objects(from)) = Location::parse(source.location) else { return Ok(()) };
        let url = &self.url;
        let below = url.below("part.parquet");
        let names = source.files.iter().filter_map(|path| path.to_str());
        let mut read = names.filter_map(|name| ObjectUrl::parse(name).ok().flatten());
        // What it reads lies in the target, or what the target gets it would read.
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
    place: Place,
    lease: Arc<Lease>,
    /// What lay there when the lease was taken: what a run reads of its target afterwards is of this
    /// state or of a later one, and a commit on top of another than this one fails.
    state: State,
    /// The last record of that state.
    last: Option<Record>,
    workers: usize,
    /// Uploads of runs that died, which were aborted when the lease was taken.
    aborted: Vec<String>,
    /// What this run uploads.
    uploads: Option<Arc<Uploads>>,
}

/// Where a target is.
#[derive(Clone, Debug)]
struct Place {
    shown: String,
    objects: Arc<Objects>,
    prefix: Key,
}

/// What lies there.
#[derive(Debug)]
struct State {
    listed: Vec<ObjectMeta>,
    records: RemoteRecords,
}

impl Place {
    async fn of(url: &ObjectUrl, access: &Access) -> Result<Self> {
        let objects = access.objects(url).await?;
        Ok(Self { shown: url.to_string(), objects, prefix: url.path()? })
    }

    /// Where records and leases lie.
    fn folder(&self) -> Key {
        self.prefix.clone().join(RECORD_DIR)
    }

    async fn state(&self) -> Result<State> {
        let listed = self.objects.list(&self.prefix).await?;
        let records = RemoteRecords::of(&self.objects, &self.folder(), &listed);
        Ok(State { listed, records })
    }

    /// The path of an object below the target.
    fn below(&self, key: &Key) -> String {
        path_below(key, &self.prefix)
    }

    /// The data files that a record does not name, and whether a run of windrow wrote them.
    fn others<'a>(
        &'a self,
        listed: &'a [ObjectMeta],
        record: Option<&'a Record>,
    ) -> impl Iterator<Item = (&'a Key, bool)> {
        let files = record.into_iter().flat_map(|record| &record.files);
        let files: BTreeSet<&str> = files.map(|file| file.path.as_str()).collect();
        let folder = self.folder();
        let data = listed.iter().filter(move |meta| {
            // Some tools make empty objects for folders.
            !meta.location.prefix_matches(&folder) && meta.size > 0
        });
        data.map(|meta| (&meta.location, self.below(&meta.location)))
            .filter(move |(_, below)| !files.contains(below.as_str()))
            .map(|(key, below)| (key, is_ours(&below)))
    }

    /// The files that runs which died, or old states, left there.
    fn left(&self, listed: &[ObjectMeta], record: Option<&Record>) -> Vec<Key> {
        let ours = self.others(listed, record).filter(|(_, ours)| *ours);
        ours.map(|(key, _)| key.clone()).collect()
    }

    /// What runs that died left: files, and leases with their uploads.
    async fn leftovers(&self, state: &State, last: Option<&Record>) -> Result<Vec<String>> {
        let leases = leases(&self.objects, &self.folder()).await?;
        let at_work = |below: &str| {
            leases.iter().any(|(_, lease)| !lease.is_over() && below.contains(&lease.run))
        };
        let left = self.left(&state.listed, last);
        let left = left.iter().map(|key| self.below(key)).filter(|below| !at_work(below));
        let uploads = leases.iter().map(|(_, lease)| match lease.is_over() {
            true => format!("the uploads of the run {}", lease.run),
            false => format!("the run {}, unless it is still at work", lease.run),
        });
        let mut all: Vec<String> = left.chain(uploads).collect();
        if leases.is_empty() {
            all.extend(self.begun().await.iter().map(|(key, _)| upload_of(&self.below(key))));
        }
        Ok(all)
    }

    /// Uploads of files that runs began and nobody ended.
    async fn begun(&self) -> Vec<(Key, MultipartId)> {
        let mut begun = self.objects.begun(&self.prefix).await;
        begun.retain(|(key, _)| key.prefix_matches(&self.prefix) && is_ours(&self.below(key)));
        begun
    }

    /// Refuses a target that lies in another, or has another in it.
    async fn check_alone(&self, state: &State) -> Result<()> {
        let folder = format!("/{RECORD_DIR}/");
        let inner = state.listed.iter().map(|meta| self.below(&meta.location));
        let inner = inner.filter_map(|below| Some(below.split_once(&folder)?.0.to_string()));
        if let Some(inner) = inner.into_iter().next() {
            return Err(Error::target(format!("{} has the target {inner} in it", self.shown))
                .hint("write to a prefix of its own"));
        }
        let above = records_above(&self.objects, &self.prefix).await;
        match above.iter().find(|(_, listed)| !listed.is_empty()) {
            None => Ok(()),
            Some((outer, _)) => Err(Error::target(format!(
                "{} lies within the target {outer}, whose readers and runs would meet it",
                self.shown
            ))
            .hint("write to a prefix of its own")),
        }
    }

    fn check_owner(&self, state: &State, record: Option<&Record>) -> Result<()> {
        match self.others(&state.listed, record).find(|(_, ours)| !ours) {
            None => Ok(()),
            Some((key, _)) => Err(Error::target(format!(
                "{} holds files that windrow did not write, such as {}",
                self.shown,
                self.below(key)
            ))
            .hint("move them away, or name a prefix where nothing is")),
        }
    }
}

#[async_trait]
impl OpenTarget for OpenBucket {
    fn run(&self) -> &str {
        &self.run
    }

    fn held(&self) -> Option<&Record> {
        self.last.as_ref()
    }

    async fn stage(&mut self, output: &Output, publish: &Publish, _: &Attempt) -> Result<Staging> {
        publish.check_scope(&self.place.shown, self.last.as_ref(), MERGE)?;
        self.state.records.mark(&self.place.folder()).await?;
        outside::step("lease-taken");
        let Place { objects, prefix, .. } = &self.place;
        let log = Arc::clone(&self.lease) as Arc<dyn UploadLog>;
        let workers = self.workers.max(output.side_by_side.min(2 * self.workers));
        let uploads = Uploads::new(objects, prefix, log, workers, output.memory_limited);
        let uploads = Arc::new(uploads);
        self.uploads = Some(Arc::clone(&uploads));
        Ok(Staging::Uploads(uploads))
    }

    async fn publish(
        &mut self,
        _: &Publish,
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
        if let Err(error) = self.make_ready(manifests, stop).await {
            self.abandon().await;
            return Err(error);
        }
        match self.commit(&record).await? {
            Committed::Done => {}
            Committed::Taken => {
                self.abandon().await;
                return Err(self.taken());
            }
        }
        self.uploads = None;
        outside::step("record-written");
        // The run is committed: what stays behind, the next one removes.
        if let Err(error) = self.clean(&record).await {
            tracing::warn!("the files of the state before stay behind until the next run: {error}");
        }
        outside::step("old-removed");
        self.last = Some(record.clone());
        Ok(record)
    }

    async fn abandon(&mut self) {
        if let Some(uploads) = self.uploads.take() {
            uploads.abandon().await;
        }
    }

    async fn release(self: Box<Self>) {
        self.lease.release().await;
    }
}

impl OpenBucket {
    /// All up to the commit: the files are completed, and nobody has taken this run for dead.
    async fn make_ready(&self, manifests: &[Manifest], stop: &Stop) -> Result<()> {
        stop.or(self.lease.still_held(&self.place.shown)).await?;
        stop.or(self.complete_all(manifests)).await?;
        outside::step("uploads-complete");
        stop.or(self.lease.still_held(&self.place.shown)).await?;
        // Where the server does not look whether the record is there, we do.
        let key = self.state.records.next(&self.place.folder());
        if !self.lease.conditional && self.place.objects.head(&key).await?.is_some() {
            return Err(self.taken());
        }
        outside::step("before-record");
        Ok(())
    }

    /// Makes files of all uploads.
    async fn complete_all(&self, manifests: &[Manifest]) -> Result<()> {
        let mut complete = Vec::new();
        for file in manifests.iter().flat_map(|manifest| &manifest.files) {
            complete.push(self.complete(file));
        }
        stream::iter(complete).buffer_unordered(UPLOADS_COMPLETED).try_collect().await
    }

    /// Makes a file of its upload.
    async fn complete(&self, file: &WrittenFile) -> Result<()> {
        let Some(upload) = &file.upload else { return Ok(()) };
        let wrong = |error| Error::internal(format!("{} is no key: {error}", file.path));
        let below = Key::parse(&file.path).map_err(wrong)?;
        let key = self.place.prefix.parts().chain(below.parts()).collect();
        let part = |id: &String| PartId { content_id: id.clone() };
        let parts = upload.parts.iter().map(part).collect();
        self.place.objects.complete(&key, &upload.id, parts, file.bytes).await
    }

    fn taken(&self) -> Error {
        Error::target(format!("another run committed into {} meanwhile", self.place.shown))
            .hint("run again; the target is as that run left it")
    }

    /// Writes the next record. It is the commit, for nobody else can have written it before.
    ///
    /// # Errors
    /// Nobody knows whether it is there: whoever asked for it must remove nothing.
    async fn commit(&self, record: &Record) -> Result<Committed> {
        let key = self.state.records.next(&self.place.folder());
        let unknown = |error: &Error| {
            Error::target(format!("nobody knows whether the run is committed: {}", error.message()))
                .hint(format!("`windrow runs {}` tells; run again if it is not", self.place.shown))
        };
        let created = self.place.objects.create(&key, record.to_json()?.into()).await;
        if matches!(created, Ok(true)) {
            return Ok(Committed::Done);
        }
        // Perhaps it is ours, and the answer to an attempt was lost.
        let there = self.place.objects.get(&key).await;
        let there = there.map_err(|error| unknown(&error))?;
        let there = there.and_then(|text| Record::parse(key.as_ref(), &text).ok());
        match (there, created) {
            (Some(there), _) if there.run == record.run => Ok(Committed::Done),
            (Some(_), _) | (None, Ok(_)) => Ok(Committed::Taken),
            // The attempt may still be on its way.
            (None, Err(error)) => Err(unknown(&error)),
        }
    }

    /// Removes the files that lay there before and that the record does not name. What came after is
    /// of another run, which then has the lease.
    async fn clean(&self, record: &Record) -> Result<()> {
        let left = self.place.left(&self.state.listed, Some(record));
        if left.is_empty() || !self.lease.is_held().await? {
            return Ok(());
        }
        self.place.objects.delete(left).await
    }

    /// Removes what runs that died left behind, beyond what was removed when the target was taken; gives
    /// the names of both. What may be of a run that only sleeps stays for an hour, or until the next
    /// commit: nothing else keeps it from committing.
    async fn vacuum(&self) -> Result<Vec<String>> {
        let state = &self.state;
        let records = state.records.all().await?;
        let record = records.last();
        let earlier = records.iter().rev().skip(1).flat_map(|record| &record.files);
        let earlier: BTreeSet<&str> = earlier.map(|file| file.path.as_str()).collect();
        let newest = state.listed.iter().map(|meta| meta.last_modified).max();
        let old = |key: &Key| {
            let meta = state.listed.iter().find(|meta| meta.location == *key);
            meta.zip(newest).is_some_and(|(meta, newest)| newest - meta.last_modified > LONG_AGO)
        };
        let ended = |key: &Key| self.lease.ended.iter().any(|run| key.as_ref().contains(run));
        let mut left = self.place.left(&state.listed, record);
        let all = left.len();
        left.retain(|key| {
            let superseded = earlier.contains(self.place.below(key).as_str());
            ended(key) || superseded || (record.is_some() && old(key))
        });
        if left.len() < all {
            tracing::warn!(
                "{} files in {} stay: they may be of a run that lives; the next run removes them, or vacuum in an hour",
                all - left.len(),
                self.place.shown
            );
        }
        self.place.objects.delete(left.clone()).await?;
        let uploads = self.lease.buried.iter().map(|run| format!("the uploads of the run {run}"));
        let aborted = self.aborted.iter().map(|below| upload_of(below));
        let files = left.iter().map(|key| self.place.below(key));
        Ok(uploads.chain(aborted).chain(files).collect())
    }

    /// Whether any run was ever here.
    fn is_target(&self) -> bool {
        self.state.records.is_target() || !self.lease.buried.is_empty() || !self.aborted.is_empty()
    }
}

/// What an upload is called.
fn upload_of(below: &str) -> String {
    format!("the upload of {below}")
}
