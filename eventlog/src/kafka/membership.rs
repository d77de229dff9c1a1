//! What this member owns: shared by the poll thread, which learns it from rebalances, and the reader, which acts on it.
//!
//! Kafka takes a commit from any live member for any partition; this is where a partition that left is fenced.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{LogError, TopicPartition};

/// One start of one partition: records of an earlier start are not mixed with those of a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StartId(u64);

/// Where delivery of a partition began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Started {
    pub(super) id: StartId,
    pub(super) offset: u64,
}

#[derive(Debug, Default)]
pub(super) struct Membership {
    owned: Mutex<BTreeMap<TopicPartition, Owned>>,
    start_count: AtomicU64,
    /// Rises with every change of what is started, so that the poll thread looks only then.
    version: AtomicU64,
    closing: AtomicBool,
    /// Held during a commit, and while ownership ends: no commit is on its way when a partition is let go.
    committing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Owned {
    /// On its way to another member: commits are still ours, starts are not.
    leaving: bool,
    started: Option<Started>,
}

impl Membership {
    pub(super) fn own(&self, places: impl IntoIterator<Item = TopicPartition>) {
        let mut owned = self.lock();
        owned.extend(places.into_iter().map(|place| (place, Owned::default())));
    }

    /// Stops delivery; commits stay possible until [`Membership::disown`].
    pub(super) fn leave(&self, places: &[TopicPartition]) {
        let mut owned = self.lock();
        for place in places {
            if let Some(owned) = owned.get_mut(place) {
                owned.leaving = true;
                owned.started = None;
            }
        }
        drop(owned);
        self.touch();
    }

    /// Ends ownership, after a commit that is on its way.
    pub(super) fn disown(&self, places: &[TopicPartition]) {
        let _committing = self.commit_guard();
        let mut owned = self.lock();
        for place in places {
            owned.remove(place);
        }
        drop(owned);
        self.touch();
    }

    pub(super) fn commit_guard(&self) -> MutexGuard<'_, ()> {
        self.committing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses commits of partitions that are not ours.
    pub(super) fn check_owned(&self, offsets: &[(TopicPartition, u64)]) -> Result<(), LogError> {
        let owned = self.lock();
        let foreign = offsets.iter().find(|(place, _)| !owned.contains_key(place));
        foreign.map_or(Ok(()), |(place, _)| Err(fenced(place)))
    }

    /// Refuses starts of partitions that are not ours or are leaving.
    pub(super) fn check_stays(&self, place: &TopicPartition) -> Result<(), LogError> {
        let owned = self.lock();
        match owned.get(place) {
            Some(owned) if !owned.leaving => Ok(()),
            Some(_) | None => Err(fenced(place)),
        }
    }

    pub(super) fn set_started(&self, place: &TopicPartition, offset: u64) -> Result<StartId, LogError> {
        let id = StartId(self.start_count.fetch_add(1, Ordering::AcqRel));
        let mut owned = self.lock();
        match owned.get_mut(place) {
            Some(owned) if !owned.leaving => owned.started = Some(Started { id, offset }),
            Some(_) | None => return Err(fenced(place)),
        }
        drop(owned);
        self.touch();
        Ok(id)
    }

    pub(super) fn set_stopped(&self, place: &TopicPartition) {
        if let Some(owned) = self.lock().get_mut(place) {
            owned.started = None;
        }
        self.touch();
    }

    pub(super) fn started(&self) -> Vec<(TopicPartition, Started)> {
        let owned = self.lock();
        let started = owned
            .iter()
            .filter_map(|(place, owned)| Some((place.clone(), owned.started?)));
        started.collect()
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn touch(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fenced(place: &TopicPartition) -> LogError {
    LogError::Fenced {
        what: place.to_string(),
        reason: "the group gave it to another member".into(),
    }
}
