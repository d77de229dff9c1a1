//! The log in memory, for simulation and tests: deterministic, no clock of its own, with faults on demand.
//!
//! Must never be offered to users: nothing survives the process.

mod consumer;
mod faults;
mod producer;
#[cfg(test)]
mod tests;

pub use consumer::MemoryConsumer;
pub use faults::DeliveryFault;
pub use producer::MemoryProducer;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{
    Deliveries, Header, LogError, Message, PartitionId, Position, ProducerLimits, RecordBatch, RecordBatchBuilder,
    Subscription, TopicPartition, TopicSpec, group::Coordinator, partitioner,
};
use faults::Faults;

/// A log in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    store: Mutex<Store>,
    coordinator: Arc<Coordinator>,
    /// Woken when a held delivery report goes out.
    delivered: Notify,
}

#[derive(Debug, Default)]
struct Store {
    topics: BTreeMap<Arc<str>, Topic>,
    faults: Faults,
}

#[derive(Debug)]
struct Topic {
    partitions: Vec<Partition>,
    max_message_bytes: u32,
    keyless_count: u64,
}

#[derive(Debug, Default)]
struct Partition {
    low: u64,
    records: VecDeque<Record>,
}

#[derive(Debug)]
struct Record {
    timestamp_ms: i64,
    key: Bytes,
    value: Bytes,
    headers: Vec<Header>,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A producer with its channel of delivery reports.
    #[must_use]
    pub fn producer(&self, limits: ProducerLimits) -> (MemoryProducer, Deliveries) {
        MemoryProducer::new(self.shared.clone(), limits)
    }

    /// A member of a group. Must be called inside a Tokio runtime.
    #[must_use]
    pub fn consumer(&self, subscription: Subscription) -> MemoryConsumer {
        MemoryConsumer::new(self.shared.clone(), subscription)
    }

    /// Creates topics that do not exist.
    ///
    /// # Errors
    /// [`LogError::Config`] when one exists with another number of partitions.
    pub fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        for spec in topics {
            spec.check()?;
            let mut store = self.shared.lock();
            match store.topics.get(&spec.name) {
                Some(topic) if topic.partitions.len() == usize::from(spec.partitions) => continue,
                Some(topic) => return Err(spec.partition_mismatch(topic.partitions.len())),
                None => {}
            }
            let partitions = (0..spec.partitions).map(|_| Partition::default()).collect();
            let topic = Topic {
                partitions,
                max_message_bytes: spec.max_message_bytes,
                keyless_count: 0,
            };
            store.topics.insert(spec.name.clone(), topic);
            drop(store);
            self.shared.coordinator.add_topic(spec.name.clone(), spec.partitions);
        }
        Ok(())
    }

    /// Everything that a partition holds; `None` when there is no such partition.
    #[must_use]
    pub fn records(&self, topic_partition: &TopicPartition) -> Option<RecordBatch> {
        let store = self.shared.lock();
        let partition = store.partition(topic_partition)?;
        let mut builder = RecordBatchBuilder::new(topic_partition.clone());
        partition.copy(partition.low, &mut builder, true, |_| true);
        Some(builder.finish())
    }

    /// The committed offset of a group.
    #[must_use]
    pub fn committed(&self, group: &str, topic_partition: &TopicPartition) -> Option<u64> {
        self.shared.coordinator.committed(group, topic_partition)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn partition(&self, place: &TopicPartition) -> Option<&Partition> {
        let topic = self.topics.get(&place.topic)?;
        topic.partitions.get(usize::from(place.partition.0))
    }

    fn partition_mut(&mut self, place: &TopicPartition) -> Option<&mut Partition> {
        let topic = self.topics.get_mut(&place.topic)?;
        topic.partitions.get_mut(usize::from(place.partition.0))
    }

    /// Appends a message, or says why it can never be.
    fn append(&mut self, message: Message) -> Result<Position, String> {
        let Some(topic) = self.topics.get_mut(&message.topic) else {
            return Err(format!("topic `{}` does not exist", message.topic));
        };
        let bytes = message.byte_count();
        if bytes > topic.max_message_bytes as usize {
            let max = topic.max_message_bytes;
            return Err(format!("{bytes} bytes, and the topic takes {max}"));
        }
        let id = topic.choose(&message.key);
        let partition = &mut topic.partitions[usize::from(id.0)];
        let offset = partition.high();
        partition.records.push_back(Record {
            timestamp_ms: message.timestamp_ms,
            key: message.key,
            value: message.value,
            headers: message.headers,
        });
        Ok(Position { partition: id, offset })
    }
}

impl Topic {
    fn choose(&mut self, key: &[u8]) -> PartitionId {
        let count = u16::try_from(self.partitions.len()).expect("checked at creation");
        if !key.is_empty() {
            return partitioner::partition_of(key, count);
        }
        let next = self.keyless_count % u64::from(count);
        self.keyless_count += 1;
        PartitionId(u16::try_from(next).expect("less than the count"))
    }
}

impl Partition {
    fn high(&self) -> u64 {
        self.low + self.records.len() as u64
    }

    /// Copies records from `offset` on while `room` says so.
    fn copy(
        &self,
        offset: u64,
        builder: &mut RecordBatchBuilder,
        with_headers: bool,
        room: impl Fn(&RecordBatchBuilder) -> bool,
    ) {
        let skip = usize::try_from(offset - self.low).expect("within the records in memory");
        for (index, record) in self.records.iter().enumerate().skip(skip) {
            if !room(builder) {
                return;
            }
            let headers = if with_headers { &record.headers[..] } else { &[] };
            builder.push(
                self.low + index as u64,
                record.timestamp_ms,
                &record.key,
                &record.value,
                headers.iter().map(|header| (header.name, &header.value[..])),
            );
        }
    }
}
