//! A member of a Kafka consumer group. Requests go to librdkafka from blocking threads; events come from the poll
//! thread.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::Arc,
    thread::Thread,
    time::Instant,
};

use rdkafka::{
    Offset, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    types::RDKafkaErrorCode as Code,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    KafkaConfig, admin,
    batches::{Batches, StartedBatch},
    errors::{self, CommitFailure},
    limits,
    membership::{Membership, StartId},
    poll::{Poller, watermarks},
    rebalances::{Notice, Rebalances},
};
use crate::{Consumer, ConsumerEvent, LogError, Subscription, TopicPartition};

/// See [`crate::Log::consumer`].
pub struct KafkaConsumer {
    config: KafkaConfig,
    consumer: Arc<BaseConsumer<Rebalances>>,
    membership: Arc<Membership>,
    poll_thread: Thread,
    notices: mpsc::Receiver<Notice>,
    records: mpsc::Receiver<StartedBatch>,
    /// The current start of each partition: records of an earlier one may still be on their way.
    starts: BTreeMap<TopicPartition, StartId>,
    left: Option<oneshot::Receiver<()>>,
}

impl KafkaConsumer {
    /// Joins the group in the background.
    ///
    /// # Errors
    /// [`LogError::Config`] when librdkafka refuses a property.
    pub fn connect(config: &KafkaConfig, subscription: Subscription) -> Result<Self, LogError> {
        config.check()?;
        let membership = Arc::<Membership>::default();
        let (notices, notice_receiver) = mpsc::channel(limits::NOTICES_MAX);
        let (records, record_receiver) = mpsc::channel(limits::RECORD_BATCHES_MAX);
        let rebalances = Rebalances::new(membership.clone(), notices.clone());
        let client = config.consumer(&subscription.group);
        let refused = |error: rdkafka::error::KafkaError| admin::refused(&error.to_string());
        let consumer = BaseConsumer::from_config_and_context(&client, rebalances).map_err(refused)?;
        let topics: Vec<&str> = subscription.topics.iter().map(|(topic, _)| &**topic).collect();
        consumer.subscribe(&topics).map_err(refused)?;
        let consumer = Arc::new(consumer);
        let poller = Poller {
            consumer: consumer.clone(),
            membership: membership.clone(),
            notices,
            records,
            batches: Batches::new(subscription.topics.into_iter().collect()),
            outbox: VecDeque::new(),
            seen_version: 0,
            waiting_since: None,
            paused: false,
        };
        let (left_sender, left) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("kafka-consumer".into())
            .spawn(move || poller.run(left_sender))
            .map_err(|error| config.unavailable(error))?;
        Ok(Self {
            config: config.clone(),
            consumer,
            membership,
            poll_thread: thread.thread().clone(),
            notices: notice_receiver,
            records: record_receiver,
            starts: BTreeMap::new(),
            left: Some(left),
        })
    }

    fn follow(&mut self, notice: &Notice) {
        if let Ok(ConsumerEvent::Revoked(revocation)) = notice {
            for place in &revocation.partitions {
                self.starts.remove(place);
            }
        }
    }

    /// Runs a blocking request.
    async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(&BaseConsumer<Rebalances>, &Membership) -> T + Send + 'static,
    ) -> T {
        let consumer = self.consumer.clone();
        let membership = self.membership.clone();
        let asked = tokio::task::spawn_blocking(move || request(&consumer, &membership));
        asked.await.expect("requests do not panic")
    }
}

#[async_trait::async_trait]
impl Consumer for KafkaConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, LogError> {
        loop {
            tokio::select! {
                biased;
                notice = self.notices.recv() => {
                    let Some(notice) = notice else {
                        return Err(LogError::Fatal {
                            reason: "the thread of the kafka consumer ended".into(),
                        });
                    };
                    self.follow(&notice);
                    return notice;
                }
                Some(started) = self.records.recv() => {
                    self.poll_thread.unpark();
                    let current = self.starts.get(started.batch.topic_partition());
                    if current == Some(&started.start) {
                        return Ok(ConsumerEvent::Records(started.batch));
                    }
                }
            }
        }
    }

    async fn start(&mut self, topic_partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        let config = self.config.clone();
        let place = topic_partition.clone();
        let id = self
            .ask(move |consumer, membership| start(&config, consumer, membership, &place, offset))
            .await?;
        self.starts.insert(topic_partition.clone(), id);
        Ok(())
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, u64)]) -> Result<(), LogError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let config = self.config.clone();
        let offsets = offsets.to_vec();
        self.ask(move |consumer, membership| commit(&config, consumer, membership, &offsets))
            .await
    }

    async fn bounds(&mut self, topic_partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        let place = topic_partition.clone();
        let bounds = self.ask(move |consumer, _| watermarks(consumer, &place)).await;
        bounds
            .map(|(low, high)| low..high)
            .map_err(|error| self.config.unavailable(error))
    }

    async fn close(mut self: Box<Self>) -> Result<(), LogError> {
        let left = self.left.take().expect("closed once");
        let config = self.config.clone();
        drop(self);
        match tokio::time::timeout(limits::CLOSE_WAIT, left).await {
            Ok(_) => Ok(()),
            Err(_) => Err(config.unavailable("the group was not left in time; it will notice")),
        }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        // The poll thread leaves the group, so that nobody waits here.
        self.membership.close();
        self.poll_thread.unpark();
    }
}

/// Seeks while paused, marks the partition as started, and lets it run: no record from before the seek gets through,
/// since nothing of a partition that is not started does, and librdkafka drops what it fetched before the seek.
fn start(
    config: &KafkaConfig,
    consumer: &BaseConsumer<Rebalances>,
    membership: &Membership,
    place: &TopicPartition,
    offset: u64,
) -> Result<StartId, LogError> {
    membership.check_stays(place)?;
    let (low, high) = watermarks(consumer, place).map_err(|error| config.unavailable(error))?;
    if offset < low || offset > high {
        return Err(out_of_range(place, offset, low, high));
    }
    let position = i64::try_from(offset).map_err(|_| out_of_range(place, offset, low, high))?;
    let partition = i32::from(place.partition.0);
    let mut list = TopicPartitionList::new();
    list.add_partition(&place.topic, partition);
    membership.set_stopped(place);
    consumer.pause(&list).map_err(|error| config.unavailable(error))?;
    let began = Instant::now();
    loop {
        let sought = consumer.seek(
            &place.topic,
            partition,
            Offset::Offset(position),
            limits::REQUEST_TIMEOUT,
        );
        membership.check_stays(place)?;
        match sought {
            Ok(()) => break,
            // The assignment has not reached all of librdkafka yet.
            Err(error) if error.rdkafka_error_code() == Some(Code::State) && began.elapsed() < limits::RETRY_FOR => {
                std::thread::sleep(limits::RETRY_PAUSE / 10);
            }
            Err(error) => return Err(config.unavailable(error)),
        }
    }
    let id = membership.set_started(place, offset)?;
    consumer.resume(&list).map_err(|error| config.unavailable(error))?;
    Ok(id)
}

fn commit(
    config: &KafkaConfig,
    consumer: &BaseConsumer<Rebalances>,
    membership: &Membership,
    offsets: &[(TopicPartition, u64)],
) -> Result<(), LogError> {
    let mut list = TopicPartitionList::new();
    for (place, offset) in offsets {
        let position = i64::try_from(*offset).map_err(|_| LogError::Config {
            what: place.to_string(),
            reason: format!("offset {offset} is not one of kafka"),
        })?;
        list.add_partition_offset(&place.topic, i32::from(place.partition.0), Offset::Offset(position))
            .map_err(|error| config.unavailable(error))?;
    }
    let began = Instant::now();
    loop {
        let committing = membership.commit_guard();
        membership.check_owned(offsets)?;
        let Err(error) = consumer.commit(&list, CommitMode::Sync) else {
            return Ok(());
        };
        drop(committing);
        let fenced = || LogError::Fenced {
            what: format!("{offsets:?}"),
            reason: error.to_string(),
        };
        match errors::commit_failure(&error) {
            CommitFailure::Fenced => return Err(fenced()),
            CommitFailure::Rebalancing if began.elapsed() > limits::RETRY_FOR => {
                return Err(fenced());
            }
            CommitFailure::Rebalancing => std::thread::sleep(limits::RETRY_PAUSE),
            CommitFailure::Unavailable => return Err(config.unavailable(error)),
        }
    }
}

pub(super) fn out_of_range(place: &TopicPartition, offset: u64, low: u64, high: u64) -> LogError {
    LogError::OutOfRange {
        what: place.to_string(),
        offset,
        low,
        high,
    }
}
