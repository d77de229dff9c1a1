//! Reads the embedded log as a member of a group. The store is read on blocking threads, one batch ahead at most.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use tokio::{sync::oneshot, task::JoinHandle};

use super::{OpenLog, chunk, core::Core, queue::CommitRequest, store::StoredOffset};
use crate::{
    AssignedPartition, Consumer, ConsumerEvent, Headers, LogError, RecordBatch, RecordBatchBuilder, Subscription,
    TopicPartition,
    group::{GroupEvent, Membership},
    limits,
};

/// See [`super::EmbeddedLog::consumer`].
pub struct EmbeddedConsumer {
    log: Arc<OpenLog>,
    membership: Membership,
    with_headers: BTreeSet<Arc<str>>,
    /// Next offset of each partition that was started.
    positions: BTreeMap<TopicPartition, u64>,
    reading: Option<Reading>,
    /// Whose turn it was, so that partitions take turns.
    last_read: Option<TopicPartition>,
}

/// A read on its way.
struct Reading {
    topic_partition: TopicPartition,
    offset: u64,
    task: JoinHandle<Result<RecordBatch, LogError>>,
}

impl EmbeddedConsumer {
    pub(super) fn new(log: Arc<OpenLog>, subscription: Subscription) -> Self {
        let topics = subscription.topics.iter().map(|(topic, _)| topic.clone());
        let membership = log.core.coordinator.join(&subscription.group, topics);
        let with_headers = subscription
            .topics
            .into_iter()
            .filter(|(_, headers)| *headers == Headers::Keep)
            .map(|(topic, _)| topic)
            .collect();
        Self {
            log,
            membership,
            with_headers,
            positions: BTreeMap::new(),
            reading: None,
            last_read: None,
        }
    }

    fn group_event(&mut self, event: GroupEvent) -> Result<ConsumerEvent, LogError> {
        match event {
            GroupEvent::Revoked(revocation) => {
                for place in &revocation.partitions {
                    self.positions.remove(place);
                }
                Ok(ConsumerEvent::Revoked(revocation))
            }
            GroupEvent::Assigned(partitions) => {
                let partitions = partitions.into_iter().map(|place| {
                    let bounds = self.log.core.bounds(&place)?;
                    Ok(AssignedPartition {
                        committed: self.membership.committed(&place),
                        topic_partition: place,
                        low: bounds.start,
                        high: bounds.end,
                    })
                });
                let partitions = partitions.collect::<Result<_, LogError>>()?;
                Ok(ConsumerEvent::Assigned(partitions))
            }
        }
    }

    /// Starts reading the partition whose turn it is, if one has something to read.
    fn begin_read(&mut self) -> Result<(), LogError> {
        let after = |place: &&TopicPartition| Some(*place) > self.last_read.as_ref();
        let (later, earlier): (Vec<_>, Vec<_>) = self.positions.keys().partition(after);
        for place in later.into_iter().chain(earlier) {
            let offset = self.positions[place];
            let bounds = self.log.core.bounds(place)?;
            if offset == bounds.end {
                continue;
            }
            let core = self.log.core.clone();
            let place = place.clone();
            let with_headers = self.with_headers.contains(&place.topic);
            self.last_read = Some(place.clone());
            let topic_partition = place.clone();
            let task = tokio::task::spawn_blocking(move || read(&core, &place, offset, bounds.end, with_headers));
            self.reading = Some(Reading {
                topic_partition,
                offset,
                task,
            });
            break;
        }
        Ok(())
    }

    /// What came of a read; nothing when the partition left or was started elsewhere meanwhile.
    fn end_read(
        &mut self,
        topic_partition: &TopicPartition,
        offset: u64,
        result: Result<RecordBatch, LogError>,
    ) -> Result<Option<RecordBatch>, LogError> {
        if self.positions.get(topic_partition) != Some(&offset) {
            return Ok(None);
        }
        let batch = match result {
            Ok(batch) => batch,
            Err(error) => {
                self.positions.remove(topic_partition);
                return Err(error);
            }
        };
        let Some(next) = batch.next_offset() else {
            return Ok(None);
        };
        self.positions.insert(topic_partition.clone(), next);
        Ok(Some(batch))
    }
}

/// Reads one batch that begins at `offset`; there is something to read below `high`.
fn read(
    core: &Core,
    topic_partition: &TopicPartition,
    offset: u64,
    high: u64,
    with_headers: bool,
) -> Result<RecordBatch, LogError> {
    let topic = core.topic(&topic_partition.topic).expect("assigned topics exist");
    let place = topic.place(topic_partition.partition);
    let mut builder = RecordBatchBuilder::new(topic_partition.clone());
    let has_room = |builder: &RecordBatchBuilder| {
        builder.len() < limits::BATCH_RECORDS_MAX && builder.byte_count() < limits::BATCH_BYTES_MAX
    };
    for chunk in core.store.chunks_from(place, offset)? {
        let (key, value) = chunk?;
        if key.base >= high || !has_room(&builder) {
            break;
        }
        chunk::decode(&key, &value, offset, with_headers, &mut builder, has_room)
            .ok_or_else(|| core.store.damaged(&format!("a chunk of `{topic_partition}`")))?;
    }
    let batch = builder.finish();
    let first = batch.iter().next().map(|record| record.offset);
    if first == Some(offset) {
        return Ok(batch);
    }
    let bounds = core.bounds(topic_partition)?;
    check_range(topic_partition, offset, &bounds)?;
    // Within bounds and yet not there: not a matter of retention.
    Err(core.store.damaged(&format!("offset {offset} of `{topic_partition}`")))
}

fn check_range(topic_partition: &TopicPartition, offset: u64, bounds: &Range<u64>) -> Result<(), LogError> {
    if bounds.contains(&offset) || bounds.end == offset {
        return Ok(());
    }
    Err(LogError::OutOfRange {
        what: topic_partition.to_string(),
        offset,
        low: bounds.start,
        high: bounds.end,
    })
}

#[async_trait::async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, LogError> {
        loop {
            // Made before looking: what changes from here on wakes it.
            let changed = self.membership.changed();
            if let Some(event) = self.membership.next_event() {
                return self.group_event(event);
            }
            if self.reading.is_none() {
                self.begin_read()?;
            }
            let Some(reading) = &mut self.reading else {
                changed.await;
                continue;
            };
            tokio::select! {
                biased;
                result = &mut reading.task => {
                    let result = result.expect("reading does not panic and is not aborted");
                    let reading = self.reading.take().expect("just awaited");
                    let batch = self.end_read(&reading.topic_partition, reading.offset, result)?;
                    if let Some(batch) = batch {
                        // The next one is read while the caller works on this one.
                        self.begin_read()?;
                        return Ok(ConsumerEvent::Records(batch));
                    }
                }
                () = changed => {}
            }
        }
    }

    async fn start(&mut self, topic_partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        self.membership.check_holds(topic_partition)?;
        let bounds = self.log.core.bounds(topic_partition)?;
        check_range(topic_partition, offset, &bounds)?;
        self.positions.insert(topic_partition.clone(), offset);
        Ok(())
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, u64)]) -> Result<(), LogError> {
        self.membership.commit(offsets)?;
        let core = &self.log.core;
        let stored = offsets.iter().map(|(place, offset)| {
            let topic = core.topic(&place.topic).expect("owned topics exist");
            StoredOffset {
                group: self.membership.group().to_string(),
                place: topic.place(place.partition),
                offset: *offset,
            }
        });
        let (done, answer) = oneshot::channel();
        core.queue.push_commit(CommitRequest {
            offsets: stored.collect(),
            done,
        });
        answer.await.unwrap_or_else(|_| {
            Err(LogError::Unavailable {
                address: core.store.address().into(),
                reason: "the log was closed".into(),
            })
        })
    }

    async fn bounds(&mut self, topic_partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        self.log.core.bounds(topic_partition)
    }

    async fn close(self: Box<Self>) -> Result<(), LogError> {
        Ok(())
    }
}
