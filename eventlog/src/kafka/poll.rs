//! The thread of one consumer: drives librdkafka, follows rebalances, passes records on.
//!
//! It keeps polling while the reader does not read (the group must see us alive), with partitions paused. Must never
//! deliver a record of a partition that was not started.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode as Code,
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    batches::{Batches, Pushed, StartedBatch},
    consumer::out_of_range,
    errors, limits,
    membership::Membership,
    rebalances::{Notice, Rebalances},
};
use crate::{AssignedPartition, ConsumerEvent, LogError, TopicPartition};

pub(super) struct Poller {
    pub(super) consumer: Arc<BaseConsumer<Rebalances>>,
    pub(super) membership: Arc<Membership>,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) records: mpsc::Sender<StartedBatch>,
    pub(super) batches: Batches,
    pub(super) outbox: VecDeque<StartedBatch>,
    pub(super) seen_version: u64,
    /// Since when the outbox has been waiting for the reader.
    pub(super) waiting_since: Option<Instant>,
    pub(super) paused: bool,
}

impl Poller {
    /// Runs until the reader closes, then leaves the group.
    pub(super) fn run(mut self, left: oneshot::Sender<()>) {
        while !self.membership.is_closing() {
            self.announce();
            self.pass_on();
            if self.outbox.is_empty() || self.paused {
                self.poll();
            } else {
                // The reader wakes us when it has read.
                std::thread::park_timeout(limits::DELIVERY_POLL);
            }
        }
        // Dropping the last handle leaves the group; the reader's requests may still hold theirs for a moment.
        let began = Instant::now();
        while Arc::strong_count(&self.consumer) > 1 && began.elapsed() < limits::CLOSE_WAIT {
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(self);
        // A reader that does not wait for us needs no word.
        left.send(()).ok();
    }

    fn poll(&mut self) {
        let timeout = if self.batches.is_empty() {
            limits::CONSUMER_POLL
        } else {
            Duration::ZERO
        };
        let began = Instant::now();
        let consumer = self.consumer.clone();
        let mut next = consumer.poll(timeout);
        self.follow_starts();
        loop {
            match next {
                None => break self.flush(),
                Some(Err(error)) => break self.handle(&error),
                Some(Ok(message)) => match self.batches.push(&message) {
                    Pushed::Full => break self.flush(),
                    Pushed::Taken if self.paused => {
                        self.pause(true);
                        break self.flush();
                    }
                    Pushed::Taken | Pushed::Stale => {}
                },
            }
            if began.elapsed() > timeout + limits::BATCH_DELAY {
                break self.flush();
            }
            next = consumer.poll(Duration::ZERO);
            self.follow_starts();
        }
    }

    /// Notices what the reader started or a rebalance stopped.
    fn follow_starts(&mut self) {
        let version = self.membership.version();
        if version != self.seen_version {
            self.seen_version = version;
            self.batches.set_started(self.membership.started());
        }
    }

    fn flush(&mut self) {
        self.outbox.extend(self.batches.take());
        self.pass_on();
    }

    /// Hands batches to the reader; pauses everything when it has been too slow, and resumes when it has caught up.
    fn pass_on(&mut self) {
        while let Some(batch) = self.outbox.pop_front() {
            match self.records.try_send(batch) {
                Ok(()) => {}
                Err(TrySendError::Full(batch)) => {
                    self.outbox.push_front(batch);
                    let since = *self.waiting_since.get_or_insert_with(Instant::now);
                    if !self.paused && since.elapsed() > limits::READER_PATIENCE {
                        self.pause(true);
                    }
                    return;
                }
                Err(TrySendError::Closed(_)) => {
                    self.outbox.clear();
                    self.membership.close();
                }
            }
        }
        self.waiting_since = None;
        if self.paused {
            self.pause(false);
        }
    }

    fn pause(&mut self, pause: bool) {
        let mut list = TopicPartitionList::new();
        for (place, _) in self.membership.started() {
            list.add_partition(&place.topic, i32::from(place.partition.0));
        }
        let done = if pause {
            self.consumer.pause(&list)
        } else {
            self.consumer.resume(&list)
        };
        if let Err(error) = done {
            tracing::warn!(error = %error, pause, "kafka consumer could not pause or resume");
        }
        self.paused = pause;
    }

    fn handle(&mut self, error: &KafkaError) {
        self.flush();
        if errors::is_out_of_range(error) {
            self.stop_what_is_out_of_range();
            return;
        }
        let fatal =
            matches!(error, KafkaError::MessageConsumptionFatal(_)) || error.rdkafka_error_code() == Some(Code::Fatal);
        if fatal {
            self.notify(Err(LogError::Fatal {
                reason: error.to_string(),
            }));
        } else {
            // librdkafka goes on by itself: brokers come back, topics appear.
            tracing::warn!(error = %error, "kafka consumer");
        }
    }

    /// librdkafka says that an offset is out of range, and not which.
    fn stop_what_is_out_of_range(&mut self) {
        for (place, next) in self.batches.positions() {
            match watermarks(&self.consumer, &place) {
                Ok((low, high)) if next < low || next > high => {
                    self.membership.set_stopped(&place);
                    self.notify(Err(out_of_range(&place, next, low, high)));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "kafka watermarks"),
            }
        }
    }

    /// Tells the reader what the group assigned, with what it needs to choose a start.
    fn announce(&mut self) {
        let unannounced = self.consumer.context().unannounced().clone();
        if unannounced.is_empty() {
            return;
        }
        match describe(&self.consumer, &unannounced) {
            Ok(assigned) => {
                self.membership.own(unannounced.iter().cloned());
                self.consumer.context().unannounced().clear();
                self.notify(Ok(ConsumerEvent::Assigned(assigned)));
            }
            Err(error) => {
                tracing::warn!(error = %error, "kafka committed offsets and watermarks");
                std::thread::sleep(limits::RETRY_PAUSE);
            }
        }
    }

    fn notify(&self, notice: Notice) {
        if self.notices.blocking_send(notice).is_err() {
            self.membership.close();
        }
    }
}

fn describe(
    consumer: &BaseConsumer<Rebalances>,
    places: &BTreeSet<TopicPartition>,
) -> KafkaResult<Vec<AssignedPartition>> {
    let mut list = TopicPartitionList::new();
    for place in places {
        list.add_partition(&place.topic, i32::from(place.partition.0));
    }
    let committed = consumer.committed_offsets(list, limits::REQUEST_TIMEOUT)?;
    let assigned = places.iter().map(|place| {
        let (low, high) = watermarks(consumer, place)?;
        let found = committed.find_partition(&place.topic, i32::from(place.partition.0));
        let committed = match found.map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => u64::try_from(offset).ok(),
            Some(_) | None => None,
        };
        Ok(AssignedPartition {
            topic_partition: place.clone(),
            committed,
            low,
            high,
        })
    });
    assigned.collect()
}

/// Oldest and next offset of a partition.
pub(super) fn watermarks(consumer: &BaseConsumer<Rebalances>, place: &TopicPartition) -> KafkaResult<(u64, u64)> {
    let partition = i32::from(place.partition.0);
    let (low, high) = consumer.fetch_watermarks(&place.topic, partition, limits::REQUEST_TIMEOUT)?;
    let offset = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok((offset(low), offset(high)))
}
