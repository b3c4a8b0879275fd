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
use crate::store::Objects;
use crate::write::UploadLog;

/// How long who met another at the door stays away at the most.
const APART: Duration = Duration::from_millis(500);

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
        if self.machine.is_empty() || self.machine != outside::machine() {
            return false;
        }
        match self.process == outside::process() {
            true => !at_work().contains(&self.run),
            false => outside::is_gone(self.process),
        }
    }
}

/// The runs of this process that have a lease, or are about to have one.
fn at_work() -> MutexGuard<'static, BTreeSet<String>> {
    static AT_WORK: std::sync::Mutex<BTreeSet<String>> = std::sync::Mutex::new(BTreeSet::new());
    AT_WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run of this process that is at work, for as long as this lives.
#[derive(Debug)]
struct AtWork(String);

impl AtWork {
    fn begin(run: &str) -> Self {
        at_work().insert(run.to_string());
        Self(run.to_string())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        at_work().remove(&self.0);
    }
}

/// A lease that this run holds.
#[derive(Debug)]
pub(super) struct Lease {
    written: Arc<Written>,
    _at_work: AtWork,
    beats: JoinHandle<()>,
    /// The runs whose leases were taken away, for they had died.
    pub(super) buried: Vec<String>,
    /// Those of them of this machine: it is known that they will not come back.
    pub(super) ended: Vec<String>,
    /// Whether the server refuses to write what is there already, where it is asked to.
    pub(super) conditional: bool,
}

#[derive(Debug)]
struct Written {
    objects: Arc<Objects>,
    key: Key,
    said: Mutex<LeaseRecord>,
}

/// What became of somebody else's lease.
enum Other {
    Gone,
    Held,
    Dead(LeaseRecord),
}

/// The leases in a folder.
pub(super) async fn leases(objects: &Objects, folder: &Key) -> Result<Vec<(Key, LeaseRecord)>> {
    let mut found = Vec::new();
    for meta in objects.list(folder).await? {
        if meta.location.as_ref().ends_with(SUFFIX)
            && let Some(said) = read(objects, &meta.location).await?
        {
            found.push((meta.location, said));
        }
    }
    Ok(found)
}

async fn read(objects: &Objects, key: &Key) -> Result<Option<LeaseRecord>> {
    let bytes = objects.get(key).await?;
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
    async fn note(&self, key: &Key, id: &str) -> Result<()> {
        let mut said = self.written.said.lock().await;
        said.uploads.push((key.to_string(), id.to_string()));
        if said.uploads.len() > UPLOADS_NOTED {
            return Ok(());
        }
        match self.written.renew(&said).await? {
            true => Ok(()),
            false => Err(self.lost(key.as_ref())),
        }
    }
}

impl Lease {
    /// Takes the target whose leases lie in `folder`, and ends what runs that died there began.
    /// `control` writes the lease again and again, however busy the threads are that compute.
    ///
    /// # Errors
    /// Another run that is at work, or a server that refuses.
    pub(super) async fn take(
        objects: &Arc<Objects>,
        folder: &Key,
        run: &str,
        place: &str,
        control: &Handle,
    ) -> Result<Self> {
        let key = folder.clone().join(format!("{run}{SUFFIX}"));
        let at_work = AtWork::begin(run);
        let said = LeaseRecord {
            run: run.to_string(),
            machine: outside::machine(),
            process: outside::process(),
            ..LeaseRecord::default()
        };
        let text = said.text()?;
        let (mut buried, mut ended) = (Vec::new(), Vec::new());
        loop {
            objects.create(&key, text.clone().into()).await?;
            // Asked again, it has to refuse.
            let conditional = !objects.create(&key, text.clone().into()).await?;
            let mut others = leases(objects, folder).await?;
            others.retain(|(other, _)| *other != key);
            if others.is_empty() {
                let (objects, said) = (Arc::clone(objects), Mutex::new(said));
                let written = Arc::new(Written { objects, key, said });
                let beats = control.spawn(beat(Arc::clone(&written)));
                return Ok(Self { written, _at_work: at_work, beats, buried, ended, conditional });
            }
            objects.delete(vec![key.clone()]).await?;
            let mut met = false;
            for (other, said) in others {
                let name = said.run.clone();
                match watch(objects, &other, said, place).await? {
                    Other::Gone => met = true,
                    Other::Held => {
                        return Err(Error::target(format!(
                            "another run is writing {place} ({name})"
                        ))
                        .hint("wait for it, or write to another target"));
                    }
                    Other::Dead(said) => {
                        bury(objects, &other, &said).await?;
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
            tokio::time::sleep(outside::part_of(APART)).await;
        }
    }

    fn lost(&self, place: &str) -> Error {
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
        Ok(self.written.objects.get(&self.written.key).await?.is_some())
    }

    /// Fails if somebody took this run for dead.
    ///
    /// # Errors
    /// The lease is gone, or the server refuses.
    pub(super) async fn still_held(&self, place: &str) -> Result<()> {
        match self.is_held().await? {
            true => Ok(()),
            false => Err(self.lost(place)),
        }
    }

    /// Gives the target back.
    pub(super) async fn release(&self) {
        self.beats.abort();
        // What is not removed now is seen to be dead.
        let _ = self.written.objects.delete(vec![self.written.key.clone()]).await;
    }
}

impl Written {
    /// Writes the lease again; false if it is gone. It was taken away then, and must not come back.
    async fn renew(&self, said: &LeaseRecord) -> Result<bool> {
        if self.objects.head(&self.key).await?.is_none() {
            return Ok(false);
        }
        self.objects.put(&self.key, said.text()?.into()).await?;
        Ok(true)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

impl LeaseRecord {
    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal(error.to_string()))
    }
}

/// Writes the lease again and again.
async fn beat(written: Arc<Written>) {
    loop {
        tokio::time::sleep(LEASE_BEAT).await;
        let mut said = written.said.lock().await;
        said.beat += 1;
        match written.renew(&said).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => tracing::warn!("the lease cannot be renewed: {error}"),
        }
    }
}

/// Watches a lease for as long as it takes to know whether somebody holds it.
async fn watch(objects: &Objects, key: &Key, first: LeaseRecord, place: &str) -> Result<Other> {
    if first.is_over() {
        return Ok(Other::Dead(first));
    }
    tracing::warn!(
        "{place} has the lease of {}: looking for up to {} s whether that run lives",
        first.run,
        LEASE_DEAD.as_secs()
    );
    let until = Instant::now() + LEASE_DEAD;
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(500)).await;
        match read(objects, key).await? {
            None => return Ok(Other::Gone),
            Some(said) if said.beat != first.beat => return Ok(Other::Held),
            Some(said) if said.is_over() => return Ok(Other::Dead(said)),
            Some(_) => {}
        }
    }
    Ok(Other::Dead(first))
}

/// Takes a lease away from a run that died, and ends its uploads. What it completed stays: a run that
/// was only asleep may still commit it, before or after anybody looks.
async fn bury(objects: &Objects, key: &Key, said: &LeaseRecord) -> Result<()> {
    tracing::warn!("cleaning up behind the run {}, which died", said.run);
    let uploads =
        said.uploads.iter().filter_map(|(key, id)| Some((Key::parse(key).ok()?, id.clone())));
    objects.abort_all(uploads.collect()).await;
    objects.delete(vec![key.clone()]).await
}
