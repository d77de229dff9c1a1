//! The partitions of this instance, and how far each one is: handed to its worker, and durable.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use eventlog::TopicPartition;
use tokio::time::Instant;

use super::{flush::Claim, pool::WorkerId};
use crate::{checkpoint::CheckpointNumber, limits, metrics::PartitionLedger};

/// A partition that is ours.
pub(super) struct Owned {
    pub(super) worker: WorkerId,
    /// Offset after the last record handed to the worker.
    pub(super) handed_offset: u64,
    /// Offset of the newest durable checkpoint.
    pub(super) durable_offset: u64,
    /// Its reach: no record from here on may go to the worker, whose rows might be inserted before the next checkpoint.
    pub(super) reach: u64,
    /// How far owners before us may still write, if one of them does not know yet that it is none any more.
    pub(super) inherited_reach: u64,
    /// How far beyond its offset the next checkpoint reaches.
    pub(super) stride: u64,
    /// The end of records that wait for such a one.
    pub(super) wanted_offset: u64,
    /// When that was written, or the partition came to us.
    pub(super) durable_at: Instant,
    /// The number of the next checkpoint.
    pub(super) next_number: CheckpointNumber,
    pub(super) episode: Episode,
    pub(super) ledger: PartitionLedger,
}

impl Owned {
    /// Whether records were handed over that are in no durable checkpoint.
    fn is_unsaved(&self) -> bool {
        self.handed_offset != self.durable_offset
    }

    /// Whether records wait for a checkpoint that reaches further.
    fn is_held(&self) -> bool {
        self.wanted_offset > self.reach
    }

    /// How far a checkpoint of all that was handed over reaches. Never less far than the one before: what that allows may
    /// have been handed over when this one is durable.
    fn next_reach(&self) -> u64 {
        let ahead = (self.handed_offset + self.stride).max(self.wanted_offset);
        ahead.max(self.reach).max(self.inherited_reach)
    }

    /// The same for a last checkpoint, after which we hand nothing over any more.
    fn last_reach(&self) -> u64 {
        self.handed_offset.max(self.inherited_reach)
    }

    /// A checkpoint is durable.
    pub(super) fn save(&mut self, offset: u64, reach: u64, stride_min: u64) {
        let passed = offset.saturating_sub(self.durable_offset);
        self.stride = (passed * limits::REACH_INTERVALS).max(self.stride / 2).max(stride_min);
        if passed > 0 {
            // One that claims the partition and nothing else does not change when it is its turn.
            self.durable_at = Instant::now();
        }
        self.durable_offset = offset;
        self.reach = reach;
        self.next_number = self.next_number.next();
        self.ledger.checkpoint(offset);
    }
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

    /// Partitions with records that are in no durable checkpoint, whose newest one is from before `than`, and those with
    /// records that wait for one; and how far the next one reaches.
    pub(super) fn unsaved(&self, than: Option<Instant>) -> BTreeMap<TopicPartition, u64> {
        let is_old = |owned: &Owned| owned.is_unsaved() && than.is_some_and(|than| owned.durable_at <= than);
        let due = self.owned.iter().filter(|(_, owned)| owned.is_held() || is_old(owned));
        due.map(|(topic_partition, owned)| (topic_partition.clone(), owned.next_reach()))
            .collect()
    }

    /// The last checkpoints before we let go of partitions. They reach no further than they must, so that the next owner's
    /// parameters may apply at once.
    pub(super) fn farewells(&self) -> BTreeMap<TopicPartition, u64> {
        let reaches_too_far = |owned: &Owned| owned.reach > owned.last_reach();
        let due = self.owned.iter();
        due.filter(|(_, owned)| owned.is_unsaved() || reaches_too_far(owned))
            .map(|(topic_partition, owned)| (topic_partition.clone(), owned.last_reach()))
            .collect()
    }

    /// Whether records wait for a checkpoint.
    pub(super) fn is_held(&self) -> bool {
        self.owned.values().any(Owned::is_held)
    }

    /// Whether each of these partitions that is still ours was handed to its worker up to its offset.
    pub(super) fn has_reached(&self, ends: &[(TopicPartition, u64)]) -> bool {
        let mut owned = ends.iter().filter_map(|(name, end)| Some((self.owned.get(name)?, end)));
        owned.all(|(owned, end)| owned.handed_offset >= *end)
    }

    pub(super) fn has_unsaved(&self) -> bool {
        self.owned.values().any(Owned::is_unsaved)
    }
}

#[cfg(test)]
mod tests {
    use eventlog::PartitionId;

    use super::*;

    const STRIDE_MIN: u64 = 10;

    fn owned(first_offset: u64, inherited_reach: u64) -> Owned {
        let place = TopicPartition {
            topic: "t".into(),
            partition: PartitionId(0),
        };
        Owned {
            worker: WorkerId(0),
            handed_offset: first_offset,
            durable_offset: first_offset,
            reach: first_offset,
            inherited_reach,
            stride: STRIDE_MIN,
            wanted_offset: 0,
            durable_at: Instant::now(),
            next_number: CheckpointNumber(1),
            episode: Episode::default(),
            ledger: PartitionLedger::new(&place),
        }
    }

    #[test]
    fn a_checkpoint_reaches_as_far_as_what_waits_for_it() {
        let mut owned = owned(100, 100);
        owned.wanted_offset = 100 + 5;
        assert!(owned.is_held());
        assert_eq!(owned.next_reach(), 100 + STRIDE_MIN);
        owned.wanted_offset = 100 + 5_000;
        owned.save(100, owned.next_reach(), STRIDE_MIN);
        assert!(!owned.is_held());
        assert_eq!(owned.reach, 5_100);
    }

    #[test]
    fn partitions_that_are_claimed_together_keep_their_turns() {
        let mut owned = owned(100, 100);
        let turn = Instant::now() - std::time::Duration::from_secs(3);
        owned.durable_at = turn;
        owned.wanted_offset = 101;
        owned.save(100, owned.next_reach(), STRIDE_MIN);
        assert_eq!(owned.durable_at, turn, "a claim");
        owned.handed_offset = 101;
        owned.save(101, owned.next_reach(), STRIDE_MIN);
        assert!(owned.durable_at > turn, "a checkpoint of what was done");
    }

    #[test]
    fn the_stride_follows_the_traffic_up_at_once_and_down_slowly() {
        let mut owned = owned(0, 0);
        let mut stride_after = |offset| {
            owned.handed_offset = offset;
            owned.save(offset, owned.next_reach(), STRIDE_MIN);
            owned.stride
        };
        assert_eq!(stride_after(1_000), 1_000 * limits::REACH_INTERVALS);
        assert_eq!(stride_after(1_001), 500 * limits::REACH_INTERVALS);
        assert_eq!((0..20).map(|_| stride_after(1_001)).last(), Some(STRIDE_MIN));
    }

    #[test]
    fn a_reach_never_falls_behind_what_others_may_have_written_or_we_may_hand_over() {
        let mut owned = owned(100, 900);
        owned.handed_offset = 150;
        assert_eq!(
            (owned.next_reach(), owned.last_reach()),
            (900, 900),
            "an owner before us"
        );
        owned.reach = 2_000;
        assert_eq!(owned.next_reach(), 2_000, "handed over while a checkpoint is written");
        owned.handed_offset = 1_500;
        assert_eq!(owned.last_reach(), 1_500, "nothing is handed over any more");
    }
}
