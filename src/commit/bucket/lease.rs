//! Exclusive use of a target in an object store: a lease object that its holder rewrites periodically.
//!
//! 1. The run writes its lease, an object named after the run, next to the records. It then writes it
//!    once more with the same condition, to learn whether the server enforces "only if absent". A crash
//!    leaves a lease that no longer changes.
//! 2. It lists the leases. If there is no other, the run holds the target: continue with step 4.
//! 3. Otherwise it removes its own lease and watches the others. A lease that changes is held: the run
//!    is refused. A lease that vanished belonged to a run that also stepped back or ended: after a
//!    random pause the run returns to step 1. A lease that does not change for [`LEASE_DEAD`] belongs
//!    to a dead run, whatever clocks say, and so does the lease of a process of this machine that has
//!    ended. The run aborts the uploads of a dead run, removes its lease and returns to step 1. A crash
//!    leaves no lease of this run, and perhaps a dead lease, for which the next run repeats this step.
//! 4. The holder rewrites its lease every [`LEASE_BEAT`], and notes in it each upload that it begins.
//!    It stops when the lease was removed. A crash leaves the lease and its uploads, which step 3 of
//!    the next run removes.
//! 5. Before its commit the holder checks that the lease is still there. The commit is fenced once more
//!    by the number of its record: see `commit_record`. A crash leaves the same as in step 4.
//! 6. The holder removes the lease. After a crash or failure before that, the lease stops changing, and
//!    step 3 of the next run removes it.
//!
//! The protocol needs no lock of the server, only that a listing shows every object written before.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use object_store::path::Path as Key;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::target_held_error;
use crate::error::{Error, Result};
use crate::limits::{LEASE_BEAT, LEASE_DEAD, UPLOADS_NOTED};
use crate::outside;
use crate::store::Bucket;
use crate::write::UploadLog;

/// The longest pause of a run that met another run taking the target at the same time.
const MAX_BACKOFF: Duration = Duration::from_millis(500);

/// The ending of a lease object's name, after the name of the run.
const SUFFIX: &str = ".lease";

/// The content of a lease object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LeaseRecord {
    /// The run that holds the lease. It is the object's name, not part of its text.
    #[serde(skip)]
    pub(super) run: String,
    machine: String,
    process: u32,
    beat: u64,
    /// The uploads that the run began: key and id.
    pub(super) uploads: Vec<(String, String)>,
}

impl LeaseRecord {
    /// Returns whether the run is known to have ended: it was a process of this machine that no longer
    /// runs, or a run of this process that has given the lease up.
    pub(super) fn is_over(&self) -> bool {
        if self.machine.is_empty() || self.machine != outside::machine_id() {
            return false;
        }
        match self.process == outside::process_id() {
            true => !active_runs().contains(&self.run),
            false => outside::is_process_gone(self.process),
        }
    }
}

/// The runs of this process that have a lease or are about to take one.
fn active_runs() -> MutexGuard<'static, BTreeSet<String>> {
    static AT_WORK: std::sync::Mutex<BTreeSet<String>> = std::sync::Mutex::new(BTreeSet::new());
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks a run of this process as at work, for as long as the value lives.
#[derive(Debug)]
struct ActiveRun(String);

impl ActiveRun {
    fn enter(run: &str) -> Self {
        active_runs().insert(run.to_string());
        Self(run.to_string())
    }
}

impl Drop for ActiveRun {
    fn drop(&mut self) {
        active_runs().remove(&self.0);
    }
}

/// A lease that this run holds.
#[derive(Debug)]
pub(super) struct Lease {
    object: Arc<LeaseObject>,
    _at_work: ActiveRun,
    beats: JoinHandle<()>,
    /// The dead runs whose leases were removed.
    pub(super) evicted: Vec<String>,
    /// Those of them that ran on this machine: they are known to have ended.
    pub(super) ended: Vec<String>,
    /// True if the server refuses to overwrite an existing object when asked to.
    pub(super) conditional: bool,
}

#[derive(Debug)]
struct LeaseObject {
    objects: Arc<Bucket>,
    key: Key,
    record: Mutex<LeaseRecord>,
}

/// The state of another run's lease after watching it.
enum OtherLease {
    Gone,
    Held,
    Dead(LeaseRecord),
}

/// Reads the leases in a folder.
pub(super) async fn list_leases(objects: &Bucket, folder: &Key) -> Result<Vec<(Key, LeaseRecord)>> {
    let mut found = Vec::new();
    for meta in objects.list_prefix(folder).await? {
        if meta.location.as_ref().ends_with(SUFFIX)
            && let Some(said) = read_lease(objects, &meta.location).await?
        {
            found.push((meta.location, said));
        }
    }
    Ok(found)
}

async fn read_lease(objects: &Bucket, key: &Key) -> Result<Option<LeaseRecord>> {
    let bytes = objects.get_object(key).await?;
    let run = key.filename().unwrap_or_default().trim_end_matches(SUFFIX).to_string();
    // A lease that cannot be parsed is of another version: a hash of its bytes shows whether it
    // changes.
    let unread = |bytes: &[u8]| {
        let beat = bytes
            .iter()
            .fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        LeaseRecord { beat, ..LeaseRecord::default() }
    };
    Ok(bytes.map(|bytes| {
        let said: LeaseRecord = serde_json::from_slice(&bytes).unwrap_or_else(|_| unread(&bytes));
        LeaseRecord { run, ..said }
    }))
}

#[async_trait]
impl UploadLog for Lease {
    async fn log_upload(&self, key: &Key, id: &str) -> Result<()> {
        let mut said = self.object.record.lock().await;
        said.uploads.push((key.to_string(), id.to_string()));
        if said.uploads.len() > UPLOADS_NOTED {
            return Ok(());
        }
        match self.object.renew(&said).await? {
            true => Ok(()),
            false => Err(self.lease_lost_error(key.as_ref())),
        }
    }
}

impl Lease {
    /// Takes the target whose leases lie in `folder`, and aborts the uploads of dead runs there. The
    /// runtime `control` renews the lease, however busy the compute threads are.
    ///
    /// # Errors
    /// Another run is at work, or the server refuses a request.
    pub(super) async fn acquire(
        objects: &Arc<Bucket>,
        folder: &Key,
        run: &str,
        place: &str,
        control: &Handle,
    ) -> Result<Self> {
        let key = folder.clone().join(format!("{run}{SUFFIX}"));
        let at_work = ActiveRun::enter(run);
        let said = LeaseRecord {
            run: run.to_string(),
            machine: outside::machine_id(),
            process: outside::process_id(),
            ..LeaseRecord::default()
        };
        let text = said.to_json()?;
        let (mut buried, mut ended) = (Vec::new(), Vec::new());
        loop {
            objects.put_if_absent(&key, text.clone().into()).await?;
            // The second write must be refused.
            let conditional = !objects.put_if_absent(&key, text.clone().into()).await?;
            let mut others = list_leases(objects, folder).await?;
            others.retain(|(other, _)| *other != key);
            if others.is_empty() {
                let (objects, said) = (Arc::clone(objects), Mutex::new(said));
                let written = Arc::new(LeaseObject { objects, key, record: said });
                let beats = control.spawn(renew_periodically(Arc::clone(&written)));
                return Ok(Self {
                    object: written,
                    _at_work: at_work,
                    beats,
                    evicted: buried,
                    ended,
                    conditional,
                });
            }
            objects.delete_objects(vec![key.clone()]).await?;
            let mut met = false;
            for (other, said) in others {
                let name = said.run.clone();
                match watch_lease(objects, &other, said, place).await? {
                    OtherLease::Gone => met = true,
                    OtherLease::Held => {
                        return Err(target_held_error(&place, &name));
                    }
                    OtherLease::Dead(said) => {
                        evict_dead_run(objects, &other, &said).await?;
                        if said.is_over() {
                            ended.push(said.run.clone());
                        }
                        buried.push(said.run);
                    }
                }
            }
            if !met {
                continue;
            }
            // A random pause, so that two runs that met do not meet again.
            tokio::time::sleep(outside::random_jitter(MAX_BACKOFF)).await;
        }
    }

    fn lease_lost_error(&self, place: &str) -> Error {
        let seconds = LEASE_DEAD.as_secs();
        Error::target(format!(
            "another run took {place} over: this one did not answer for {seconds} s"
        ))
        .hint("run again; the target is as it was")
    }

    /// Returns whether the lease is still there: no other run took this one for dead.
    ///
    /// # Errors
    /// The server refuses the request.
    pub(super) async fn is_held(&self) -> Result<bool> {
        Ok(self.object.objects.get_object(&self.object.key).await?.is_some())
    }

    /// Fails if another run took this one for dead.
    ///
    /// # Errors
    /// The lease was removed, or the server refuses the request.
    pub(super) async fn check_held(&self, place: &str) -> Result<()> {
        match self.is_held().await? {
            true => Ok(()),
            false => Err(self.lease_lost_error(place)),
        }
    }

    /// Releases the target.
    pub(super) async fn release(&self) {
        self.beats.abort();
        // A lease that stays behind stops changing, so the next run finds it dead.
        let _ = self.object.objects.delete_objects(vec![self.object.key.clone()]).await;
    }
}

impl LeaseObject {
    /// Rewrites the lease; returns false if it was removed. A removed lease must not come back.
    async fn renew(&self, said: &LeaseRecord) -> Result<bool> {
        if self.objects.head_object(&self.key).await?.is_none() {
            return Ok(false);
        }
        self.objects.put_object(&self.key, said.to_json()?.into()).await?;
        Ok(true)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

impl LeaseRecord {
    fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal(error.to_string()))
    }
}

/// Renews the lease until it was removed.
async fn renew_periodically(written: Arc<LeaseObject>) {
    loop {
        tokio::time::sleep(LEASE_BEAT).await;
        let mut said = written.record.lock().await;
        said.beat += 1;
        match written.renew(&said).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!("the lease cannot be renewed: {error}"),
        }
    }
}

/// Watches a lease until it is clear whether a run holds it.
async fn watch_lease(
    objects: &Bucket,
    key: &Key,
    first: LeaseRecord,
    place: &str,
) -> Result<OtherLease> {
    if first.is_over() {
        return Ok(OtherLease::Dead(first));
    }
    tracing::warn!(
        "{place} has the lease of {}: looking for up to {} s whether that run lives",
        first.run,
        LEASE_DEAD.as_secs()
    );
    let until = Instant::now() + LEASE_DEAD;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(500)).await;
        match read_lease(objects, key).await? {
            None => return Ok(OtherLease::Gone),
            Some(said) if said.beat != first.beat => return Ok(OtherLease::Held),
            Some(said) if said.is_over() => return Ok(OtherLease::Dead(said)),
            Some(_) => {}
        }
    }
    Ok(OtherLease::Dead(first))
}

/// Aborts the uploads of a dead run and removes its lease. Files that it completed stay: if the run was
/// only asleep, it may still commit them, before or after any check for it.
async fn evict_dead_run(objects: &Bucket, key: &Key, said: &LeaseRecord) -> Result<()> {
    tracing::warn!("cleaning up behind the run {}, which died", said.run);
    let uploads =
        said.uploads.iter().filter_map(|(key, id)| Some((Key::parse(key).ok()?, id.clone())));
    objects.abort_uploads(uploads.collect()).await;
    objects.delete_objects(vec![key.clone()]).await
}
