//! Tells members of in-process groups what they own, and waits (bounded) while one lets go.
//!
//! Callers must be inside a Tokio runtime: hand overs are timed there, so a paused clock makes them deterministic.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::OwnedNotified, oneshot};

use super::{
    MemberId,
    assignment::{Episode, Group, Notice},
};
use crate::{LogError, Revocation, TopicPartition, limits};

/// All groups of one log.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    state: Mutex<State>,
    /// Woken when any member may have something new to hear.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<Arc<str>, u16>,
    groups: BTreeMap<Arc<str>, Group>,
}

/// What a member hears.
#[derive(Debug)]
pub(crate) enum GroupEvent {
    Assigned(Vec<TopicPartition>),
    Revoked(Revocation),
}

impl Coordinator {
    /// Makes a topic known; groups that subscribed to it get its partitions.
    pub(crate) fn add_topic(self: &Arc<Self>, name: Arc<str>, partitions: u16) {
        let mut state = self.lock();
        state.partitions.insert(name, partitions);
        let groups: Vec<Arc<str>> = state.groups.keys().cloned().collect();
        for group in groups {
            self.rebalance(&mut state, &group);
        }
    }

    /// Restores a committed offset when a log opens.
    pub(crate) fn restore(&self, group: &str, topic_partition: TopicPartition, offset: u64) {
        let mut state = self.lock();
        let group = state.groups.entry(group.into()).or_default();
        group.set_committed(topic_partition, offset);
    }

    /// The lowest offset that a group which follows the topic still needs; `None` when no group does.
    pub(crate) fn needed_from(&self, topic_partition: &TopicPartition) -> Option<u64> {
        let state = self.lock();
        let following = state
            .groups
            .values()
            .filter(|group| group.follows(&topic_partition.topic));
        following
            .map(|group| group.committed(topic_partition).unwrap_or(0))
            .min()
    }

    pub(crate) fn committed(&self, group: &str, topic_partition: &TopicPartition) -> Option<u64> {
        self.lock().groups.get(group)?.committed(topic_partition)
    }

    /// Takes everything from a member, as an expired session does.
    pub(crate) fn expel(self: &Arc<Self>, group: &str, member: MemberId) {
        self.change(group, |group| group.expel(member));
    }

    /// See [`Group::pin`].
    pub(crate) fn pin(self: &Arc<Self>, group: &str, topic_partition: TopicPartition, pin: Option<Option<MemberId>>) {
        self.change(group, |group| group.pin(topic_partition, pin));
    }

    /// Wakes every member, when records came in.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }

    pub(crate) fn join(self: &Arc<Self>, group: &str, topics: impl IntoIterator<Item = Arc<str>>) -> Membership {
        let member = self.change(group, |group| group.join(topics));
        Membership {
            coordinator: self.clone(),
            group: group.into(),
            member,
        }
    }

    fn change<T>(self: &Arc<Self>, group: &str, change: impl FnOnce(&mut Group) -> T) -> T {
        let mut state = self.lock();
        let result = change(state.groups.entry(group.into()).or_default());
        self.rebalance(&mut state, group);
        result
    }

    fn rebalance(self: &Arc<Self>, state: &mut State, name: &str) {
        let group = state.groups.get_mut(name).expect("caller made it");
        for episode in group.rebalance(&state.partitions) {
            let coordinator = self.clone();
            let name: Arc<str> = name.into();
            tokio::spawn(async move {
                tokio::time::sleep(limits::REVOCATION_WAIT).await;
                coordinator.release(&name, episode);
            });
        }
        self.changed.notify_waiters();
    }

    fn release(self: &Arc<Self>, group: &str, episode: Episode) {
        let mut state = self.lock();
        let ended = state.groups.get_mut(group).is_some_and(|group| group.release(episode));
        if ended {
            self.rebalance(&mut state, group);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One member's place in its group; leaves on drop.
#[derive(Debug)]
pub(crate) struct Membership {
    coordinator: Arc<Coordinator>,
    group: Arc<str>,
    member: MemberId,
}

impl Membership {
    /// Resolves when this member may have something new to hear or read. Make it before looking.
    pub(crate) fn changed(&self) -> OwnedNotified {
        self.coordinator.changed.clone().notified_owned()
    }

    pub(crate) fn next_event(&self) -> Option<GroupEvent> {
        let mut state = self.coordinator.lock();
        let notice = state.groups.get_mut(&self.group)?.next_notice(self.member)?;
        Some(match notice {
            Notice::Assigned(partitions) => GroupEvent::Assigned(partitions),
            Notice::Revoked(partitions, episode) => {
                let (release, released) = oneshot::channel::<()>();
                let coordinator = self.coordinator.clone();
                let group = self.group.clone();
                tokio::spawn(async move {
                    // Dropped or sent: both mean that the member let go.
                    drop(released.await);
                    coordinator.release(&group, episode);
                });
                GroupEvent::Revoked(Revocation {
                    partitions,
                    lost: false,
                    release: Some(release),
                })
            }
            Notice::Lost(partitions) => {
                self.coordinator.rebalance(&mut state, &self.group);
                GroupEvent::Revoked(Revocation {
                    partitions,
                    lost: true,
                    release: None,
                })
            }
        })
    }

    pub(crate) fn committed(&self, topic_partition: &TopicPartition) -> Option<u64> {
        self.coordinator.committed(&self.group, topic_partition)
    }

    pub(crate) fn group(&self) -> &Arc<str> {
        &self.group
    }

    /// Refuses work on a partition that is not ours, or is on its way out.
    pub(crate) fn check_holds(&self, topic_partition: &TopicPartition) -> Result<(), LogError> {
        let state = self.coordinator.lock();
        let held = state
            .groups
            .get(&self.group)
            .is_some_and(|group| group.holds(self.member, topic_partition));
        if held {
            Ok(())
        } else {
            Err(self.fenced(topic_partition))
        }
    }

    /// Takes note of committed offsets, all or none.
    pub(crate) fn commit(&self, offsets: &[(TopicPartition, u64)]) -> Result<(), LogError> {
        let mut state = self.coordinator.lock();
        let group = state.groups.get_mut(&self.group).expect("we are a member of it");
        let foreign = offsets.iter().find(|(place, _)| !group.owns(self.member, place));
        if let Some((place, _)) = foreign {
            return Err(self.fenced(place));
        }
        for (place, offset) in offsets {
            group.set_committed(place.clone(), *offset);
        }
        Ok(())
    }

    fn fenced(&self, topic_partition: &TopicPartition) -> LogError {
        LogError::Fenced {
            what: topic_partition.to_string(),
            reason: format!("member {} does not own it now", self.member.0),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // Outside a runtime the process is on its way out, and so is the group.
        if tokio::runtime::Handle::try_current().is_ok() {
            let member = self.member;
            self.coordinator.change(&self.group, |group| group.leave(member));
        }
    }
}
