//! Gathers records into batches per partition. Pure: what librdkafka hands out goes in, batches come out.
//!
//! Must never let a record through that is not of the current start of its partition, or that was let through before.

use std::{collections::BTreeMap, sync::Arc};

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use super::membership::{StartId, Started};
use crate::{Headers, PartitionId, RecordBatch, RecordBatchBuilder, TopicPartition, limits};

/// A batch, with the start of its partition that it belongs to.
#[derive(Debug)]
pub(super) struct StartedBatch {
    pub(super) start: StartId,
    pub(super) batch: RecordBatch,
}

#[derive(Debug)]
pub(super) struct Batches {
    headers: BTreeMap<Arc<str>, Headers>,
    partitions: Vec<Partition>,
    /// The partition of the last record: records come in runs.
    last: usize,
    /// True when a batch holds records.
    filled: bool,
}

#[derive(Debug)]
struct Partition {
    topic_partition: TopicPartition,
    start: StartId,
    next: u64,
    with_headers: bool,
    builder: RecordBatchBuilder,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Taken,
    /// Its batch is full now.
    Full,
    /// It is not of the current start of its partition.
    Stale,
}

impl Batches {
    pub(super) fn new(headers: BTreeMap<Arc<str>, Headers>) -> Self {
        Self {
            headers,
            partitions: Vec::new(),
            last: 0,
            filled: false,
        }
    }

    /// Takes over what is started now; records of what is not are dropped.
    pub(super) fn set_started(&mut self, started: Vec<(TopicPartition, Started)>) {
        let mut before = std::mem::take(&mut self.partitions);
        let partitions = started.into_iter().map(|(topic_partition, started)| {
            let known = before.iter().position(|partition| partition.start == started.id);
            if let Some(index) = known {
                return before.swap_remove(index);
            }
            let headers = self.headers.get(&topic_partition.topic);
            Partition {
                start: started.id,
                next: started.offset,
                with_headers: headers == Some(&Headers::Keep),
                builder: RecordBatchBuilder::new(topic_partition.clone()),
                topic_partition,
            }
        });
        self.partitions = partitions.collect();
        self.last = 0;
        self.filled = self.partitions.iter().any(|partition| !partition.builder.is_empty());
    }

    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>) -> Pushed {
        let (Ok(number), Ok(offset)) = (u16::try_from(message.partition()), u64::try_from(message.offset())) else {
            return Pushed::Stale;
        };
        let Some(index) = self.find(message.topic(), PartitionId(number)) else {
            return Pushed::Stale;
        };
        self.last = index;
        let partition = &mut self.partitions[index];
        if offset < partition.next {
            return Pushed::Stale;
        }
        partition.next = offset + 1;
        let headers = message.headers().filter(|_| partition.with_headers);
        let headers = headers.into_iter().flat_map(|headers| headers.iter());
        partition.builder.push(
            offset,
            message.timestamp().to_millis().unwrap_or(0),
            message.key().unwrap_or_default(),
            message.payload().unwrap_or_default(),
            headers.map(|header| (header.key, header.value.unwrap_or_default())),
        );
        self.filled = true;
        let full = partition.builder.len() >= limits::BATCH_RECORDS_MAX
            || partition.builder.byte_count() >= limits::BATCH_BYTES_MAX;
        if full { Pushed::Full } else { Pushed::Taken }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.filled
    }

    /// All batches that hold records, each of one partition.
    pub(super) fn take(&mut self) -> Vec<StartedBatch> {
        self.filled = false;
        let filled = self
            .partitions
            .iter_mut()
            .filter(|partition| !partition.builder.is_empty());
        let batches = filled.map(|partition| {
            let empty = RecordBatchBuilder::new(partition.topic_partition.clone());
            StartedBatch {
                start: partition.start,
                batch: std::mem::replace(&mut partition.builder, empty).finish(),
            }
        });
        batches.collect()
    }

    /// The next offset expected of each partition.
    pub(super) fn positions(&self) -> Vec<(TopicPartition, u64)> {
        let partitions = self.partitions.iter();
        partitions
            .map(|partition| (partition.topic_partition.clone(), partition.next))
            .collect()
    }

    fn find(&self, topic: &str, number: PartitionId) -> Option<usize> {
        let is_it = |partition: &Partition| {
            partition.topic_partition.partition == number && &*partition.topic_partition.topic == topic
        };
        if self.partitions.get(self.last).is_some_and(is_it) {
            return Some(self.last);
        }
        self.partitions.iter().position(is_it)
    }
}
