//! The footers and order proofs of files, cached for the lifetime of the engine.
//!
//! A file is identified by its path or URL, its length, and the stamp of its last change that its
//! system reports, so that a file that was written again is read again. A file without a stamp is
//! never cached.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::FOOTERS_KEPT;
use crate::scan::{FileInfo, KeyColumns};
use crate::store::{FileRef, display_path};

/// The cache of the footers that an engine has read, shared by its sessions.
#[derive(Debug, Default)]
pub struct FooterCache(Mutex<CachedFooters>);

#[derive(Debug, Default)]
struct CachedFooters {
    files: BTreeMap<FooterKey, Arc<FileInfo>>,
    /// Oldest first.
    order: VecDeque<FooterKey>,
}

/// The identity of a file in one state, as read for one pair of key columns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FooterKey {
    path: String,
    bytes: u64,
    stamp: String,
    entity: String,
    time: String,
}

impl FooterKey {
    fn from_file(file: &FileRef, keys: &KeyColumns) -> Option<Self> {
        Some(Self {
            path: display_path(&file.path),
            bytes: file.size,
            stamp: file.stamp.clone()?,
            entity: keys.entity.clone(),
            time: keys.time.clone(),
        })
    }
}

impl FooterCache {
    fn lock_footers(&self) -> MutexGuard<'_, CachedFooters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the cached footer of a file, with the file as it was listed now.
    pub(super) fn get(&self, file: &FileRef, keys: &KeyColumns) -> Option<Arc<FileInfo>> {
        let found = self.lock_footers().files.get(&FooterKey::from_file(file, keys)?).cloned()?;
        Some(Arc::new(FileInfo { file: file.clone(), ..found.as_ref().clone() }))
    }

    /// Caches the footer of a file, without its open handle.
    pub(super) fn put(&self, info: &Arc<FileInfo>, keys: &KeyColumns) {
        let Some(key) = FooterKey::from_file(&info.file, keys) else { return };
        let info = match info.file.open_file {
            None => Arc::clone(info),
            Some(_) => {
                let file = FileRef { open_file: None, ..info.file.clone() };
                Arc::new(FileInfo { file, ..info.as_ref().clone() })
            }
        };
        let mut kept = self.lock_footers();
        if kept.files.insert(key.clone(), info).is_none() {
            kept.order.push_back(key);
        }
        while kept.order.len() > FOOTERS_KEPT {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.files.remove(&oldest);
        }
    }
}
