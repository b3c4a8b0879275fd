//! The memory pool: how much memory there is, and how consumers share it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

use crate::host;
use crate::write::Progress;

/// A memory pool with equal shares for consumers that can spill, and a part that they never take.
///
/// In DataFusion's fair pool, sorts may hold all memory by the time the merge above them requests the memory that
/// it needs to drain them. Here a part is reserved for consumers that cannot spill.
#[derive(Debug)]
pub(super) struct SharedPool {
    limit: usize,
    usage: Mutex<PoolUsage>,
}

#[derive(Debug, Default)]
struct PoolUsage {
    spillers: usize,
    spillable: usize,
    unspillable: usize,
    /// Usage by name of consumer. Consumers of one partition at several places of a plan share a name.
    consumers: BTreeMap<String, ConsumerUsage>,
}

#[derive(Debug, Default)]
struct ConsumerUsage {
    /// The number of consumers with this name.
    count: usize,
    bytes: usize,
}

impl SharedPool {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, usage: Mutex::default() }
    }

    fn with_usage<T>(&self, change: impl FnOnce(&mut PoolUsage) -> T) -> T {
        change(&mut self.usage.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PoolUsage {
    /// Returns the bytes by which a reservation may grow.
    fn growth_limit(&self, limit: usize, of: &MemoryReservation) -> usize {
        if !of.consumer().can_spill() {
            // Consumers that cannot spill must leave some memory to those that can: a sort must hold a batch before
            // it can spill one.
            let kept = if self.spillers > 0 { limit / 4 } else { 0 };
            return limit.saturating_sub(self.unspillable + self.spillable.max(kept));
        }
        // Half is reserved for consumers that cannot spill, even before they request it.
        let kept = self.unspillable.max(limit / 2);
        let share = limit.saturating_sub(kept) / self.spillers.max(1);
        let left = limit.saturating_sub(self.unspillable + self.spillable);
        share.saturating_sub(of.size()).min(left)
    }

    fn add_bytes(&mut self, reservation: &MemoryReservation, bytes: usize) {
        *self.usage_counter(reservation) += bytes;
        if let Some(consumer) = self.consumers.get_mut(reservation.consumer().name()) {
            consumer.bytes += bytes;
        }
    }

    fn remove_bytes(&mut self, reservation: &MemoryReservation, bytes: usize) {
        let of = self.usage_counter(reservation);
        *of = of.saturating_sub(bytes);
        if let Some(consumer) = self.consumers.get_mut(reservation.consumer().name()) {
            consumer.bytes = consumer.bytes.saturating_sub(bytes);
        }
    }

    fn usage_counter(&mut self, reservation: &MemoryReservation) -> &mut usize {
        match reservation.consumer().can_spill() {
            true => &mut self.spillable,
            false => &mut self.unspillable,
        }
    }

    /// Describes the kinds of consumers that hold most memory.
    fn describe_largest(&self) -> String {
        let mut kinds = BTreeMap::<&str, usize>::new();
        for (name, consumer) in self.consumers.iter().filter(|(_, consumer)| consumer.bytes > 0) {
            // The kind is the name without the number of the partition.
            let kind = name.split_once('[').map_or(name.as_str(), |(kind, _)| kind);
            *kinds.entry(kind).or_default() += consumer.bytes;
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(_, held)| std::cmp::Reverse(*held));
        let text = |(kind, held): &(&str, usize)| format!("{kind} {} kB", held / 1000);
        kinds.iter().take(4).map(text).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} MB", self.reserved() / 1_000_000, self.limit / 1_000_000)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &str {
        "shared"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.with_usage(|held| {
            held.spillers += usize::from(consumer.can_spill());
            held.consumers.entry(consumer.name().to_string()).or_default().count += 1;
        });
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.with_usage(|held| {
            held.spillers -= usize::from(consumer.can_spill()).min(held.spillers);
            if let Some(known) = held.consumers.get_mut(consumer.name()) {
                known.count = known.count.saturating_sub(1);
                if known.count == 0 {
                    held.consumers.remove(consumer.name());
                }
            }
        });
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.with_usage(|held| held.add_bytes(reservation, additional));
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.with_usage(|held| held.remove_bytes(reservation, shrink));
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.with_usage(|held| {
            let room = held.growth_limit(self.limit, reservation);
            if additional > room {
                return Err(resources_datafusion_err!(
                    "{} holds {} kB and needs {} kB more, {} kB are left of the {} MB to share, of which hold {}",
                    reservation.consumer().name(),
                    reservation.size() / 1000,
                    additional / 1000,
                    room / 1000,
                    self.limit / 1_000_000,
                    held.describe_largest()
                ));
            }
            held.add_bytes(reservation, additional);
            Ok(())
        })
    }

    fn reserved(&self) -> usize {
        self.with_usage(|held| held.spillable + held.unspillable)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

/// A pool that tells the progress of a run what the run reserves of another pool.
#[derive(Debug)]
pub(super) struct ObservedPool {
    inner: Arc<dyn MemoryPool>,
    progress: Arc<Progress>,
}

impl ObservedPool {
    /// Returns the context of a run whose reservations its progress counts.
    pub(super) fn observe(context: &TaskContext, progress: &Arc<Progress>) -> Arc<TaskContext> {
        let mut runtime = context.runtime_env().as_ref().clone();
        let inner = Arc::clone(&runtime.memory_pool);
        runtime.memory_pool = Arc::new(Self { inner, progress: Arc::clone(progress) });
        Arc::new(TaskContext::new(
            context.task_id(),
            context.session_id(),
            context.session_config().clone(),
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            Arc::new(runtime),
        ))
    }
}

impl fmt::Display for ObservedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

impl MemoryPool for ObservedPool {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
        self.progress.add_memory(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
        self.progress.remove_memory(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.inner.try_grow(reservation, additional)?;
        self.progress.add_memory(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}

/// Returns three quarters of the memory of the machine or its container, so that sorts spill before the system
/// kills the process. None if neither is known.
pub(super) fn machine_memory_share() -> Option<u64> {
    Some(host::usable_memory()? / 4 * 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_spill_finds_room_beside_what_can() {
        let pool: std::sync::Arc<dyn MemoryPool> = std::sync::Arc::new(SharedPool::new(1000));
        let reservation = |name: &str, can_spill: bool| {
            MemoryConsumer::new(name).with_can_spill(can_spill).register(&pool)
        };
        let (a, b) = (reservation("a", true), reservation("b", true));
        assert!(a.try_grow(250).is_ok() && a.try_grow(1).is_err());
        assert!(b.try_grow(250).is_ok() && b.try_grow(1).is_err());
        let merge = reservation("merge", false);
        assert!(merge.try_grow(500).is_ok());
        let told = merge.try_grow(5000).unwrap_err().to_string();
        assert!(told.contains("merge holds 0 kB and needs 5 kB more"), "{told}");
        assert!(told.contains("of which hold merge 0 kB, a 0 kB, b 0 kB"), "{told}");
        merge.free();
        drop(b);
        assert_eq!(pool.reserved(), 250);
        assert!(a.try_grow(250).is_ok());
    }

    #[test]
    fn a_part_is_kept_for_what_can_spill() {
        let pool: std::sync::Arc<dyn MemoryPool> = std::sync::Arc::new(SharedPool::new(1000));
        let merge = MemoryConsumer::new("merge").register(&pool);
        assert!(merge.try_grow(900).is_ok());
        let sort = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        assert!(merge.try_grow(1).is_err());
        assert!(sort.try_grow(100).is_ok() && sort.try_grow(1).is_err());
        merge.shrink(400);
        assert!(merge.try_grow(251).is_err() && merge.try_grow(250).is_ok());
        assert!(sort.try_grow(150).is_ok() && sort.try_grow(1).is_err());
    }
}
