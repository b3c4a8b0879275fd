//! The entries that a prune removes: a pure function of those that are listed.

use std::collections::BinaryHeap;

use super::tier::StoredEntry;

/// Gathers what a prune must know of all entries, in bounded memory: their number, their bytes, and the oldest ones.
pub(super) struct PruneList {
    /// The most entries that are remembered.
    most: usize,
    /// The oldest entries; the latest of them is on top.
    oldest: BinaryHeap<StoredEntry>,
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

impl PruneList {
    pub(super) fn new(most: usize) -> Self {
        Self { most, oldest: BinaryHeap::new(), bytes: 0, entries: 0 }
    }

    /// Notes an entry.
    pub(super) fn note_entry(&mut self, entry: StoredEntry) {
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.entries += 1;
        if self.oldest.len() < self.most {
            self.oldest.push(entry);
        } else if let Some(mut latest) = self.oldest.peek_mut()
            && entry < *latest
        {
            *latest = entry;
        }
    }

    /// Takes the entries to remove: the expired ones, and then the oldest ones while the others have more bytes than
    /// `most_bytes`. Number and bytes are those of the others afterwards.
    pub(super) fn take_excess(
        &mut self,
        most_bytes: u64,
        is_expired: impl Fn(&StoredEntry) -> bool,
    ) -> Vec<StoredEntry> {
        let oldest = std::mem::take(&mut self.oldest).into_sorted_vec();
        let (mut taken, others): (Vec<_>, Vec<_>) = oldest.into_iter().partition(is_expired);
        let expired: u64 = taken.iter().map(|entry| entry.bytes).sum();
        self.bytes = self.bytes.saturating_sub(expired);
        for entry in others {
            if self.bytes <= most_bytes {
                break;
            }
            self.bytes = self.bytes.saturating_sub(entry.bytes);
            taken.push(entry);
        }
        self.entries = self.entries.saturating_sub(taken.len() as u64);
        taken
    }
}
