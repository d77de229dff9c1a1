//! Removes old records. Never the last chunk of a partition (it remembers the next offset), and never what a group that
//! follows the topic has not committed, unless the size bound leaves no choice: that is counted and logged.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    chunk::ChunkKey,
    core::{Core, Head, Topic},
    limits,
};
use crate::{LogError, PartitionId, TopicPartition};

/// What one pass removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Records that are gone.
    pub records: u64,
    /// Of these, records that a group had not committed: the size bound forced it.
    pub uncommitted_records: u64,
}

/// The present, for comparing with record timestamps.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One pass over all partitions.
pub(super) fn pass(core: &Core, now_ms: i64) -> Result<Removed, LogError> {
    let mut removed = Removed::default();
    let topics = core.all_topics();
    for topic in &topics {
        if let Some(retention_ms) = topic.spec.retention_ms {
            let retention_ms = i64::try_from(retention_ms).unwrap_or(i64::MAX);
            let oldest_ms = now_ms.saturating_sub(retention_ms);
            for (partition, head) in topic.partitions() {
                let old = Partition::new(core, topic, partition, head);
                removed.records += old.remove_older(core, oldest_ms)?;
            }
        }
    }
    for forced in [false, true] {
        while total_bytes(&topics) > core.config.retention_bytes_max {
            let records = remove_oldest(core, &topics, forced)?;
            if records == 0 {
                break;
            }
            removed.records += records;
            if forced {
                removed.uncommitted_records += records;
            }
        }
    }
    let counters = &core.counters;
    counters.removed_records.fetch_add(removed.records, Ordering::Relaxed);
    counters
        .removed_uncommitted_records
        .fetch_add(removed.uncommitted_records, Ordering::Relaxed);
    if removed.uncommitted_records > 0 {
        tracing::error!(
            folder = core.store.address(),
            records = removed.uncommitted_records,
            "event log removed records that a group has not committed: its size bound was passed"
        );
    }
    if removed.records > 0 {
        core.coordinator.wake();
    }
    Ok(removed)
}

fn total_bytes(topics: &[Arc<Topic>]) -> u64 {
    let heads = topics.iter().flat_map(|topic| topic.partitions());
    heads.map(|(_, head)| head.byte_count()).sum()
}

/// Removes some chunks of the partition whose records are oldest. Returns how many records; none when nothing may go.
fn remove_oldest(core: &Core, topics: &[Arc<Topic>], forced: bool) -> Result<u64, LogError> {
    let excess = total_bytes(topics).saturating_sub(core.config.retention_bytes_max);
    let mut oldest: Option<(i64, Partition<'_>)> = None;
    for topic in topics {
        for (partition, head) in topic.partitions() {
            let candidate = Partition::new(core, topic, partition, head);
            let Some(first) = candidate.removable(core, forced).next().transpose()? else {
                continue;
            };
            let is_older = oldest
                .as_ref()
                .is_none_or(|(newest_ms, _)| first.newest_ms < *newest_ms);
            if is_older {
                oldest = Some((first.newest_ms, candidate));
            }
        }
    }
    match oldest {
        None => Ok(0),
        Some((_, partition)) => partition.remove_bytes(core, excess, forced),
    }
}

struct Partition<'pass> {
    topic: &'pass Topic,
    partition: PartitionId,
    head: &'pass Head,
    /// Offsets from here on are still needed by a group.
    needed_from: u64,
}

impl<'pass> Partition<'pass> {
    fn new(core: &Core, topic: &'pass Topic, partition: PartitionId, head: &'pass Head) -> Self {
        let topic_partition = TopicPartition {
            topic: topic.spec.name.clone(),
            partition,
        };
        let needed_from = core.coordinator.needed_from(&topic_partition);
        Self {
            topic,
            partition,
            head,
            needed_from: needed_from.unwrap_or(u64::MAX),
        }
    }

    /// Chunks that may go, oldest first.
    fn removable<'core>(
        &self,
        core: &'core Core,
        forced: bool,
    ) -> impl Iterator<Item = Result<ChunkKey, LogError>> + use<'core> {
        let place = self.topic.place(self.partition);
        let bounds = self.head.bounds();
        let needed_from = if forced { u64::MAX } else { self.needed_from };
        core.store
            .oldest_chunks(place)
            // Removed before, and not yet gone from the store.
            .skip_while(move |chunk| chunk.as_ref().is_ok_and(|chunk| chunk.end() <= bounds.start))
            .take_while(move |chunk| {
                chunk
                    .as_ref()
                    .map_or(true, |chunk| chunk.end() < bounds.end && chunk.end() <= needed_from)
            })
    }

    fn remove_older(&self, core: &Core, oldest_ms: i64) -> Result<u64, LogError> {
        let mut records = 0;
        loop {
            let chunks = self
                .removable(core, false)
                .take_while(|chunk| chunk.as_ref().map_or(true, |chunk| chunk.newest_ms < oldest_ms))
                .take(limits::REMOVE_CHUNKS_MAX)
                .collect::<Result<Vec<_>, _>>()?;
            if chunks.is_empty() {
                return Ok(records);
            }
            records += self.remove(core, &chunks)?;
        }
    }

    fn remove_bytes(&self, core: &Core, bytes: u64, forced: bool) -> Result<u64, LogError> {
        let removed_until = self.head.bytes_removed.load(Ordering::Acquire);
        let mut chunks = Vec::new();
        for chunk in self.removable(core, forced).take(limits::REMOVE_CHUNKS_MAX) {
            let chunk = chunk?;
            chunks.push(chunk);
            if chunk.bytes_until.saturating_sub(removed_until) >= bytes {
                break;
            }
        }
        self.remove(core, &chunks)
    }

    fn remove(&self, core: &Core, chunks: &[ChunkKey]) -> Result<u64, LogError> {
        let Some(last) = chunks.last() else {
            return Ok(0);
        };
        let records = last.end() - self.head.low.load(Ordering::Acquire);
        // The low mark moves first: a reader that misses a chunk must find out why.
        self.head.low.store(last.end(), Ordering::Release);
        self.head.bytes_removed.store(last.bytes_until, Ordering::Release);
        core.store.remove(chunks)?;
        Ok(records)
    }
}
