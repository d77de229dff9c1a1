//! Faults that a test or a simulation asks for. Must never act on their own.

use std::collections::VecDeque;

use tokio::sync::mpsc::OwnedPermit;

use super::MemoryLog;
use crate::{Delivery, LogError, TopicPartition, group::MemberId};

/// What happens to the next message that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFault {
    /// Stored, but reported as ambiguous: a lost acknowledgement.
    AmbiguousStored,
    /// Not stored, and reported as ambiguous: a lost request.
    AmbiguousLost,
    /// Refused for good.
    Refused,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) deliveries: VecDeque<DeliveryFault>,
    pub(super) holding: bool,
    pub(super) held: VecDeque<(OwnedPermit<Vec<Delivery>>, Delivery)>,
    pub(super) unavailable: bool,
}

impl Faults {
    /// The error of an operation while the log is made unreachable.
    pub(super) fn check_available(&self) -> Result<(), LogError> {
        if self.unavailable {
            return Err(LogError::Unavailable {
                address: "memory".into(),
                reason: "made unavailable by a fault".into(),
            });
        }
        Ok(())
    }
}

impl MemoryLog {
    /// The next `count` messages meet this fault.
    pub fn fail_next(&self, count: usize, fault: DeliveryFault) {
        let mut store = self.shared.lock();
        store.faults.deliveries.extend(std::iter::repeat_n(fault, count));
    }

    /// From now on delivery reports are held back (messages are stored at once all the same).
    pub fn hold_deliveries(&self) {
        self.shared.lock().faults.holding = true;
    }

    /// Lets the oldest `count` held reports go. Returns how many there were to let go.
    pub fn release_deliveries(&self, count: usize) -> usize {
        let mut store = self.shared.lock();
        let count = count.min(store.faults.held.len());
        for (permit, delivery) in store.faults.held.drain(..count) {
            permit.send(vec![delivery]);
        }
        drop(store);
        self.shared.delivered.notify_waiters();
        count
    }

    /// Lets all held reports go, and holds no more.
    pub fn resume_deliveries(&self) {
        self.shared.lock().faults.holding = false;
        self.release_deliveries(usize::MAX);
    }

    /// While true: commits, starts and bounds fail as unavailable, delivery reports are held, readers get nothing.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.shared.lock().faults.unavailable = unavailable;
        if unavailable {
            self.hold_deliveries();
        } else {
            self.resume_deliveries();
            self.shared.coordinator.wake();
        }
    }

    /// Removes the records below `offset`, as retention does.
    pub fn truncate_before(&self, topic_partition: &TopicPartition, offset: u64) {
        let mut store = self.shared.lock();
        if let Some(partition) = store.partition_mut(topic_partition) {
            while partition.low < offset && partition.records.pop_front().is_some() {
                partition.low += 1;
            }
        }
        drop(store);
        self.shared.coordinator.wake();
    }

    /// Binds a partition to a member of the group, or to nobody. Members are numbered from 0 in the order of joining.
    pub fn pin(&self, group: &str, topic_partition: &TopicPartition, member: Option<MemberId>) {
        let pin = Some(member);
        self.shared.coordinator.pin(group, topic_partition.clone(), pin);
    }

    /// Leaves a pinned partition to the balance again.
    pub fn unpin(&self, group: &str, topic_partition: &TopicPartition) {
        self.shared.coordinator.pin(group, topic_partition.clone(), None);
    }

    /// Takes everything from a member at once, as an expired session does; others take over, its commits are fenced.
    /// It joins again as soon as it has read of its loss.
    pub fn expel(&self, group: &str, member: MemberId) {
        self.shared.coordinator.expel(group, member);
    }
}
