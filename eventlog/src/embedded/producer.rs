//! Sends to the embedded log. Dropping it loses nothing: what was accepted is still written.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{OpenLog, queue::LaneId};
use crate::{LogError, Message, Producer, SendError};

/// See [`super::EmbeddedLog::producer`].
pub struct EmbeddedProducer {
    pub(super) log: Arc<OpenLog>,
    pub(super) lane: LaneId,
    pub(super) settled: Arc<Notify>,
}

#[async_trait::async_trait]
impl Producer for EmbeddedProducer {
    fn send(&self, message: Message) -> Result<(), SendError> {
        self.log.core.queue.push(self.lane, message)
    }

    async fn flush(&self, deadline: Duration) -> Result<(), LogError> {
        let queue = &self.log.core.queue;
        let all_settled = async {
            loop {
                // Made before looking: what settles from here on wakes it.
                let settled = self.settled.notified();
                if queue.in_flight_count(self.lane) == 0 {
                    return;
                }
                settled.await;
            }
        };
        tokio::time::timeout(deadline, all_settled)
            .await
            .map_err(|_| LogError::Unavailable {
                address: self.log.core.store.address().into(),
                reason: format!("{} messages are not durable yet", queue.in_flight_count(self.lane)),
            })
    }
}

impl Drop for EmbeddedProducer {
    fn drop(&mut self) {
        self.log.core.queue.drop_lane(self.lane);
    }
}
