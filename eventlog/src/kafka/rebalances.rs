//! What the group decides about our partitions: librdkafka calls this from inside the poll thread's calls.
//!
//! Must never let a partition go before its revocation is dropped or overdue.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};
use tokio::sync::{mpsc, oneshot};

use super::{membership::Membership, poll::watermarks};
use crate::{ConsumerEvent, LogError, PartitionId, Revocation, TopicPartition};

/// What the reader hears besides records; it hears it first.
pub(super) type Notice = Result<ConsumerEvent, LogError>;

/// What librdkafka calls back. All of it happens inside the poll thread's calls.
pub(super) struct Rebalances {
    membership: Arc<Membership>,
    notices: mpsc::Sender<Notice>,
    /// Assigned by the group, and not announced to the reader yet.
    unannounced: Mutex<BTreeSet<TopicPartition>>,
}

impl Rebalances {
    pub(super) fn new(membership: Arc<Membership>, notices: mpsc::Sender<Notice>) -> Self {
        Self {
            membership,
            notices,
            unannounced: Mutex::default(),
        }
    }

    pub(super) fn unannounced(&self) -> MutexGuard<'_, BTreeSet<TopicPartition>> {
        self.unannounced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Assigned, and paused until the reader says where to begin.
    ///
    /// The offset is a placeholder, of a record that is there: librdkafka may ask for it before it has learned of the pause,
    /// and would give the partition up for good if there were none. A name for an offset, such as the end, would not do: its
    /// answer can come after the reader's own choice, and win.
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        self.unannounced().extend(places(list));
        let assigned = place_at_first_records(consumer, list)
            .and_then(|()| consumer.incremental_assign(list))
            .and_then(|()| consumer.pause(list));
        if let Err(error) = assigned {
            tracing::error!(error = %error, "kafka consumer could not take its assignment");
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let mut leaving = places(list);
        let mut unannounced = self.unannounced();
        leaving.retain(|place| !unannounced.remove(place));
        drop(unannounced);
        if !leaving.is_empty() {
            self.hand_over(consumer, leaving);
        }
        if let Err(error) = consumer.incremental_unassign(list) {
            tracing::error!(error = %error, "kafka consumer could not let its assignment go");
        }
    }

    fn hand_over(&self, consumer: &BaseConsumer<Self>, leaving: Vec<TopicPartition>) {
        let lost = consumer.assignment_lost();
        self.membership.leave(&leaving);
        if lost {
            self.membership.disown(&leaving);
        }
        let (release, mut released) = oneshot::channel::<()>();
        let revocation = Revocation {
            partitions: leaving.clone(),
            lost,
            release: Some(release).filter(|_| !lost),
        };
        let told = self.notices.blocking_send(Ok(ConsumerEvent::Revoked(revocation)));
        if lost || told.is_err() {
            return;
        }
        let began = Instant::now();
        let is_held = |released: &mut oneshot::Receiver<()>| {
            matches!(released.try_recv(), Err(oneshot::error::TryRecvError::Empty))
        };
        while is_held(&mut released)
            && !self.membership.is_closing()
            && began.elapsed() < crate::limits::REVOCATION_WAIT
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.membership.disown(&leaving);
    }
}

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(error = %error, reason, "kafka consumer");
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            // An error of the group ends the assignment as a revocation does.
            _ => self.revoke(consumer, list),
        }
    }
}

/// Where the log does not answer, nothing is fetched either.
fn place_at_first_records(consumer: &BaseConsumer<Rebalances>, list: &mut TopicPartitionList) -> KafkaResult<()> {
    list.set_all_offsets(Offset::Offset(0))?;
    for place in places(list) {
        let low = match watermarks(consumer, &place) {
            Ok((low, _high)) => i64::try_from(low).unwrap_or(0),
            Err(error) => {
                tracing::warn!(error = %error, partition = %place, "kafka watermarks");
                break;
            }
        };
        list.set_partition_offset(&place.topic, i32::from(place.partition.0), Offset::Offset(low))?;
    }
    Ok(())
}

fn places(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    let places = elements.iter().filter_map(|element| {
        Some(TopicPartition {
            topic: element.topic().into(),
            partition: PartitionId(u16::try_from(element.partition()).ok()?),
        })
    });
    places.collect()
}
