//! Exclusive use of a target in an object store: an object that its holder writes again and again.
//!
//! No lock of a server is needed for it, only that who lists sees what was written before. Who takes
//! the target writes a lease and looks for others; who sees one steps back and watches it. A lease
//! that changes is held; one that does not for [`LEASE_DEAD`] is of a run that died, whatever clocks say.
//! What a run commits is fenced once more by the number of its record: see `commit`.

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

use crate::error::{Error, Result};
use crate::limits::{LEASE_BEAT, LEASE_DEAD, UPLOADS_NOTED};
use crate::outside;
use crate::store::Bucket;
use crate::write::UploadLog;

/// How long who met another at the door stays away at the most.
const MAX_BACKOFF: Duration = Duration::from_millis(500);

/// What an object of a lease is called, behind the name of the run.
const SUFFIX: &str = ".lease";

/// What a lease says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LeaseRecord {
    /// The run that holds it; the lease is called so.
    #[serde(skip)]
    pub(super) run: String,
    machine: String,
    process: u32,
    beat: u64,
    /// The uploads that it began: key and id.
    pub(super) uploads: Vec<(String, String)>,
}

impl LeaseRecord {
    /// Whether the run is known to have ended: it was one of this machine, whose process is gone, or of this
    /// process, which has given it up.
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

/// The runs of this process that have a lease, or are about to have one.
fn active_runs() -> MutexGuard<'static, BTreeSet<String>> {
    static AT_WORK: std::sync::Mutex<BTreeSet<String>> = std::sync::Mutex::new(BTreeSet::new());
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run of this process that is at work, for as long as this lives.
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
    /// The runs whose leases were taken away, for they had died.
    pub(super) evicted: Vec<String>,
    /// Those of them of this machine: it is known that they will not come back.
    pub(super) ended: Vec<String>,
    /// Whether the server refuses to write what is there already, where it is asked to.
    pub(super) conditional: bool,
}

#[derive(Debug)]
struct LeaseObject {
    objects: Arc<Bucket>,
    key: Key,
    record: Mutex<LeaseRecord>,
}

/// What became of somebody else's lease.
enum OtherLease {
    Gone,
    Held,
    Dead(LeaseRecord),
}

/// The leases in a folder.
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
    // What cannot be read is of a run of another version: its bytes tell whether it changes.
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
    /// Takes the target whose leases lie in `folder`, and ends what runs that died there began.
    /// `control` writes the lease again and again, however busy the threads are that compute.
    ///
    /// # Errors
    /// Another run that is at work, or a server that refuses.
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
            // Asked again, it has to refuse.
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
                        return Err(Error::target(format!(
                            "another run is writing {place} ({name})"
                        ))
                        .hint("wait for it, or write to another target"));
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
            // Who met at the door comes back at another moment.
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

    /// Whether nobody took this run for dead.
    ///
    /// # Errors
    /// The server refuses.
    pub(super) async fn is_held(&self) -> Result<bool> {
        Ok(self.object.objects.get_object(&self.object.key).await?.is_some())
    }

    /// Fails if somebody took this run for dead.
    ///
    /// # Errors
    /// The lease is gone, or the server refuses.
    pub(super) async fn check_held(&self, place: &str) -> Result<()> {
        match self.is_held().await? {
            true => Ok(()),
            false => Err(self.lease_lost_error(place)),
        }
    }

    /// Gives the target back.
    pub(super) async fn release(&self) {
        self.beats.abort();
        // What is not removed now is seen to be dead.
        let _ = self.object.objects.delete_objects(vec![self.object.key.clone()]).await;
    }
}

impl LeaseObject {
    /// Writes the lease again; false if it is gone. It was taken away then, and must not come back.
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

/// Writes the lease again and again.
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

/// Watches a lease for as long as it takes to know whether somebody holds it.
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

/// Takes a lease away from a run that died, and ends its uploads. What it completed stays: a run that
/// was only asleep may still commit it, before or after anybody looks.
async fn evict_dead_run(objects: &Bucket, key: &Key, said: &LeaseRecord) -> Result<()> {
    tracing::warn!("cleaning up behind the run {}, which died", said.run);
    let uploads =
        said.uploads.iter().filter_map(|(key, id)| Some((Key::parse(key).ok()?, id.clone())));
    objects.abort_uploads(uploads.collect()).await;
    objects.delete_objects(vec![key.clone()]).await
}
