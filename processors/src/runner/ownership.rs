//! The partitions of this instance, and how far each one is: handed to its worker, and durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use eventlog::TopicPartition;
use tokio::time::Instant;

use super::{flush::Claim, pool::WorkerId};
use crate::{checkpoint::CheckpointNumber, metrics::PartitionLedger};

/// A partition that is ours.
pub(super) struct Owned {
    pub(super) worker: WorkerId,
    /// Offset after the last record handed to the worker.
    pub(super) handed_offset: u64,
    /// Offset of the newest durable checkpoint.
    pub(super) durable_offset: u64,
    /// When that was written, or the partition came to us.
    pub(super) durable_at: Instant,
    /// The number of the next checkpoint.
    pub(super) next_number: CheckpointNumber,
    pub(super) episode: Episode,
    pub(super) ledger: PartitionLedger,
}

/// One time of owning a partition. A flush that outlives it must not write a checkpoint any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Episode {
    is_over: Arc<AtomicBool>,
}

impl Episode {
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.is_over, &other.is_over)
    }
}

/// All partitions that are ours.
#[derive(Default)]
pub(super) struct Ownership {
    owned: BTreeMap<TopicPartition, Owned>,
}

impl Ownership {
    pub(super) fn len(&self) -> usize {
        self.owned.len()
    }

    pub(super) fn get_mut(&mut self, topic_partition: &TopicPartition) -> Option<&mut Owned> {
        self.owned.get_mut(topic_partition)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Owned)> {
        self.owned.iter()
    }

    /// The partition, if it is ours without a break since the claim on it was made.
    pub(super) fn still(
        &mut self,
        topic_partition: &TopicPartition,
        claims: &BTreeMap<TopicPartition, Claim>,
    ) -> Option<&mut Owned> {
        let claim = claims.get(topic_partition)?;
        let owned = self.owned.get_mut(topic_partition)?;
        owned.episode.is_same(&claim.episode).then_some(owned)
    }

    pub(super) fn insert(&mut self, topic_partition: TopicPartition, owned: Owned) {
        let before = self.owned.insert(topic_partition, owned);
        debug_assert!(before.is_none(), "a partition is released before it is taken again");
    }

    /// Ends the ownership; what is under way for it stops at the next step.
    pub(super) fn remove(&mut self, topic_partition: &TopicPartition) -> Option<Owned> {
        let owned = self.owned.remove(topic_partition)?;
        owned.episode.is_over.store(true, Ordering::Release);
        Some(owned)
    }

    /// The worker with the fewest partitions.
    pub(super) fn idlest(&self, workers: impl Iterator<Item = WorkerId>) -> WorkerId {
        let share = |worker: &WorkerId| self.owned.values().filter(|owned| owned.worker == *worker).count();
        workers.min_by_key(share).expect("there is at least one worker")
    }

    /// Partitions with records that are in no durable checkpoint, whose newest one is from before `than`.
    pub(super) fn unsaved(&self, than: Instant) -> BTreeSet<TopicPartition> {
        let unsaved = |owned: &Owned| owned.handed_offset != owned.durable_offset && owned.durable_at <= than;
        let partitions = self.owned.iter().filter(|(_, owned)| unsaved(owned));
        partitions.map(|(topic_partition, _)| topic_partition.clone()).collect()
    }

    /// Whether each of these partitions that is still ours was handed to its worker up to its offset.
    pub(super) fn has_reached(&self, ends: &[(TopicPartition, u64)]) -> bool {
        let mut owned = ends.iter().filter_map(|(name, end)| Some((self.owned.get(name)?, end)));
        owned.all(|(owned, end)| owned.handed_offset >= *end)
    }

    pub(super) fn has_unsaved(&self) -> bool {
        let mut owned = self.owned.values();
        owned.any(|owned| owned.handed_offset != owned.durable_offset)
    }
}
