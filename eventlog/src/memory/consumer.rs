//! Reads the log in memory as a member of a group.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::{Shared, Store};
use crate::{
    AssignedPartition, Consumer, ConsumerEvent, Headers, LogError, RecordBatch, RecordBatchBuilder, Subscription,
    TopicPartition,
    group::{GroupEvent, Membership},
    limits,
};

/// See [`super::MemoryLog::consumer`].
#[derive(Debug)]
pub struct MemoryConsumer {
    shared: Arc<Shared>,
    membership: Membership,
    with_headers: BTreeSet<Arc<str>>,
    /// Next offset of each partition that was started.
    positions: BTreeMap<TopicPartition, u64>,
    /// Whose turn it was, so that partitions take turns.
    last_read: Option<TopicPartition>,
}

impl MemoryConsumer {
    pub(super) fn new(shared: Arc<Shared>, subscription: Subscription) -> Self {
        let topics = subscription.topics.iter().map(|(topic, _)| topic.clone());
        let membership = shared.coordinator.join(&subscription.group, topics);
        let with_headers = subscription
            .topics
            .into_iter()
            .filter(|(_, headers)| *headers == Headers::Keep)
            .map(|(topic, _)| topic)
            .collect();
        Self {
            shared,
            membership,
            with_headers,
            positions: BTreeMap::new(),
            last_read: None,
        }
    }

    fn group_event(&mut self, event: GroupEvent) -> ConsumerEvent {
        match event {
            GroupEvent::Revoked(revocation) => {
                for place in &revocation.partitions {
                    self.positions.remove(place);
                }
                ConsumerEvent::Revoked(revocation)
            }
            GroupEvent::Assigned(partitions) => {
                let store = self.shared.lock();
                let partitions = partitions.into_iter().map(|place| {
                    let bounds = store.bounds(&place).expect("assigned partitions exist");
                    AssignedPartition {
                        committed: self.membership.committed(&place),
                        topic_partition: place,
                        low: bounds.start,
                        high: bounds.end,
                    }
                });
                ConsumerEvent::Assigned(partitions.collect())
            }
        }
    }

    /// The next batch of the partition whose turn it is.
    fn read(&mut self) -> Result<Option<RecordBatch>, LogError> {
        let store = self.shared.lock();
        if store.faults.unavailable {
            return Ok(None);
        }
        let after = |place: &&TopicPartition| Some(*place) > self.last_read.as_ref();
        let (later, earlier): (Vec<_>, Vec<_>) = self.positions.keys().partition(after);
        let ready = later.into_iter().chain(earlier).find(|place| {
            let bounds = store.bounds(place).expect("started partitions exist");
            let position = self.positions[*place];
            position < bounds.end
        });
        let Some(place) = ready.cloned() else {
            return Ok(None);
        };
        let position = self.positions[&place];
        if let Err(error) = store.check_range(&place, position) {
            self.positions.remove(&place);
            return Err(error);
        }
        let partition = store.partition(&place).expect("checked above");
        let with_headers = self.with_headers.contains(&place.topic);
        let mut builder = RecordBatchBuilder::new(place.clone());
        partition.copy(position, &mut builder, with_headers, |builder| {
            builder.len() < limits::BATCH_RECORDS_MAX && builder.byte_count() < limits::BATCH_BYTES_MAX
        });
        let batch = builder.finish();
        let next = batch.next_offset().expect("there was a record to read");
        self.positions.insert(place.clone(), next);
        self.last_read = Some(place);
        Ok(Some(batch))
    }
}

#[async_trait::async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, LogError> {
        loop {
            // Made before looking: what changes from here on wakes it.
            let changed = self.membership.changed();
            if let Some(event) = self.membership.next_event() {
                return Ok(self.group_event(event));
            }
            if let Some(batch) = self.read()? {
                return Ok(ConsumerEvent::Records(batch));
            }
            changed.await;
        }
    }

    async fn start(&mut self, topic_partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        self.membership.check_holds(topic_partition)?;
        let store = self.shared.lock();
        store.faults.check_available()?;
        store.check_range(topic_partition, offset)?;
        drop(store);
        self.positions.insert(topic_partition.clone(), offset);
        Ok(())
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, u64)]) -> Result<(), LogError> {
        self.shared.lock().faults.check_available()?;
        self.membership.commit(offsets)
    }

    async fn bounds(&mut self, topic_partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        let store = self.shared.lock();
        store.faults.check_available()?;
        store.bounds(topic_partition).ok_or_else(|| LogError::Unavailable {
            address: "memory".into(),
            reason: format!("there is no `{topic_partition}`"),
        })
    }

    async fn close(self: Box<Self>) -> Result<(), LogError> {
        Ok(())
    }
}

impl Store {
    fn bounds(&self, place: &TopicPartition) -> Option<Range<u64>> {
        let partition = self.partition(place)?;
        Some(partition.low..partition.high())
    }

    fn check_range(&self, place: &TopicPartition, offset: u64) -> Result<(), LogError> {
        let bounds = self.bounds(place).expect("owned partitions exist");
        if bounds.contains(&offset) || bounds.end == offset {
            return Ok(());
        }
        Err(LogError::OutOfRange {
            what: place.to_string(),
            offset,
            low: bounds.start,
            high: bounds.end,
        })
    }
}
