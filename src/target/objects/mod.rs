//! Parquet in an object store: files that are uploaded aside, and records that say which of them are
//! the target.
//!
//! Below `s3://bucket/prefix/` lie the data files, `_windrow/000001.json` and on, a record for each
//! commit, and while a run is at work its lease. A commit completes the uploads, writes the next
//! record, which must not be there yet, and removes the files that the record does not name. Who
//! reads by the records sees the old state or the new one; who reads every file of the prefix sees
//! both for the moment between the first and the last of these steps.

mod lease;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::execution::memory_pool::MemoryLimit;
use object_store::ObjectMeta;
use object_store::path::Path as Key;

pub(super) use upload::{Upload, Uploads};

use super::part::{Destination, is_ours};
use super::{Job, Run, check_scope, fault, parquet};
use crate::error::{Error, Result};
use crate::store::{
    Access, ObjectUrl, Objects, Opened, RECORD_DIR, Record, RemoteRecords, path_below,
    records_above,
};
use lease::{Lease, leases};

/// How much older than the newest object a file is that nobody can still want to commit.
const LONG_AGO: chrono::Duration = chrono::Duration::hours(1);

/// What became of a commit.
enum Commit {
    Done,
    /// The number of the record was taken by another run.
    Taken,
}

/// A target of an object store that one run has to itself.
#[derive(Debug)]
pub(super) struct Bucket {
    place: Place,
    lease: Arc<Lease>,
    /// What lay there when the lease was taken: what a run reads of its target afterwards is of this
    /// state or of a later one, and a commit on top of another than this one fails.
    state: State,
    /// The last record of that state.
    last: Option<Record>,
    workers: usize,
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

impl Bucket {
    /// Takes a target for one run, cleans up behind those that died, and refuses one with files that
    /// windrow did not write.
    pub(super) async fn open(
        url: &ObjectUrl,
        run: &str,
        workers: usize,
        access: &Access,
    ) -> Result<Self> {
        let place = Place::of(url, access).await?;
        let lease = Lease::take(&place.objects, &place.folder(), run, &place.shown).await?;
        let checked = async {
            let state = place.state().await?;
            place.check_alone(&state).await?;
            let last = state.records.latest().await?;
            place.check_owner(&state, last.as_ref())?;
            Ok((state, last))
        };
        match checked.await {
            Ok((state, last)) => Ok(Self { lease: Arc::new(lease), place, state, last, workers }),
            Err(error) => {
                lease.release().await;
                Err(error)
            }
        }
    }

    /// Gives the target back.
    pub(super) async fn release(self) {
        self.lease.release().await;
    }

    /// Writes a job and commits it.
    pub(super) async fn write(&self, run: &str, job: Job) -> Result<Record> {
        let Place { objects, prefix, .. } = &self.place;
        let limited = matches!(job.context.memory_pool().memory_limit(), MemoryLimit::Finite(_));
        let workers = self.workers.max(job.side_by_side.min(2 * self.workers));
        let uploads = Uploads::new(objects, prefix, &self.lease, workers, limited);
        let uploads = Arc::new(uploads);
        let record = match self.write_into(&uploads, run, job).await {
            Ok(record) => record,
            Err(error) => {
                uploads.abandon().await;
                return Err(error);
            }
        };
        match self.commit(&record).await? {
            Commit::Done => {}
            Commit::Taken => {
                uploads.abandon().await;
                return Err(self.taken());
            }
        }
        fault::point("record-written");
        // The run is committed: what stays behind, the next one removes.
        if let Err(error) = self.clean(&record).await {
            tracing::warn!("the files of the state before stay behind until the next run: {error}");
        }
        fault::point("old-removed");
        Ok(record)
    }

    /// All up to the commit: the record that is to be written.
    async fn write_into(&self, uploads: &Arc<Uploads>, run: &str, mut job: Job) -> Result<Record> {
        let records = &self.state.records;
        check_scope(&self.place.shown, self.last.as_ref(), &job)?;
        let held = self.last.clone().filter(|_| job.append);
        records.mark(&self.place.folder()).await?;
        fault::point("lease-taken");
        if !self.lease.conditional {
            let name = &self.place.shown;
            job.record.notices.push(format!(
                "the server of {name} writes over what is there even where it is asked not to: only the lease keeps two runs apart"
            ));
        }
        let destination = Destination::Bucket(Arc::clone(uploads));
        let record =
            parquet::write_rows(&destination, &self.place.shown, run, &mut job, held).await?;
        fault::point("rows-written");
        job.stop.or(self.lease.still_held(&self.place.shown)).await?;
        job.stop.or(uploads.complete()).await?;
        fault::point("uploads-complete");
        job.stop.or(self.lease.still_held(&self.place.shown)).await?;
        // Where the server does not look whether the record is there, we do.
        let key = records.next(&self.place.folder());
        if !self.lease.conditional && self.place.objects.head(&key).await?.is_some() {
            return Err(self.taken());
        }
        fault::point("before-record");
        Ok(record)
    }

    fn taken(&self) -> Error {
        Error::target(format!("another run committed into {} meanwhile", self.place.shown))
            .hint("run again; the target is as that run left it")
    }

    /// Writes the next record. It is the commit, for nobody else can have written it before.
    ///
    /// # Errors
    /// Nobody knows whether it is there: whoever asked for it must remove nothing.
    async fn commit(&self, record: &Record) -> Result<Commit> {
        let key = self.state.records.next(&self.place.folder());
        let unknown = |error: &Error| {
            Error::target(format!("nobody knows whether the run is committed: {}", error.message()))
                .hint(format!("`windrow runs {}` tells; run again if it is not", self.place.shown))
        };
        let created = self.place.objects.create(&key, record.to_json()?.into()).await;
        if matches!(created, Ok(true)) {
            return Ok(Commit::Done);
        }
        // Perhaps it is ours, and the answer to an attempt was lost.
        let there = self.place.objects.get(&key).await;
        let there = there.map_err(|error| unknown(&error))?;
        let there = there.and_then(|text| Record::parse(key.as_ref(), &text).ok());
        match (there, created) {
            (Some(there), _) if there.run == record.run => Ok(Commit::Done),
            (Some(_), _) | (None, Ok(_)) => Ok(Commit::Taken),
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
    pub(super) async fn vacuum(&self) -> Result<Vec<String>> {
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
        Ok(uploads.chain(left.iter().map(|key| self.place.below(key))).collect())
    }

    /// Whether any run was ever here.
    pub(super) fn is_target(&self) -> bool {
        self.state.records.is_target() || !self.lease.buried.is_empty()
    }
}

/// The runs of a target, oldest first, and what those that died left behind.
pub(super) async fn runs(url: &ObjectUrl, access: &Access) -> Result<(Vec<Run>, Vec<String>)> {
    let place = Place::of(url, access).await?;
    let state = place.state().await?;
    let records = state.records.all().await?;
    let leases = leases(&place.objects, &place.folder()).await?;
    let at_work =
        |below: &str| leases.iter().any(|(_, said)| !said.is_over() && below.contains(&said.run));
    let left = place.left(&state.listed, records.last());
    let left = left.iter().map(|key| place.below(key)).filter(|below| !at_work(below));
    let uploads = leases.iter().map(|(_, said)| match said.is_over() {
        true => format!("the uploads of the run {}", said.run),
        false => format!("the run {}, unless it is still at work", said.run),
    });
    let left = left.chain(uploads).collect();
    Ok((records.into_iter().map(Run::from).collect(), left))
}

/// The record of the last run; None if there was none.
pub(super) async fn latest(url: &ObjectUrl, access: &Access) -> Result<Option<Record>> {
    Place::of(url, access).await?.state().await?.records.latest().await
}

/// Whether the files of a record are there, as far as names and sizes tell.
pub(super) async fn holds(url: &ObjectUrl, record: &Record, access: &Access) -> Result<bool> {
    let place = Place::of(url, access).await?;
    let listed = place.objects.list(&place.prefix).await?;
    let sizes = listed.iter().map(|meta| (place.below(&meta.location), meta.size));
    let sizes: BTreeMap<String, u64> = sizes.collect();
    Ok(record.files.iter().all(|file| sizes.get(&file.path) == Some(&file.bytes)))
}

/// The end of a file of a target, with its footer.
pub(super) async fn tail(url: &ObjectUrl, bytes: u64, access: &Access) -> Result<Opened> {
    let objects = access.objects(url).await?;
    let gone = || Error::target(format!("{url} is gone")).hint("run again, without --append");
    let meta = objects.head(&url.path()?).await?.ok_or_else(gone)?;
    Opened::tail(&objects.object(&meta), bytes).await
}
