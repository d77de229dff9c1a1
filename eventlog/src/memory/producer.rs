//! Appends to the log in memory. A slot of the report channel is taken before a message is accepted, so that every
//! accepted message can be reported and the channel bounds what is in flight.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc::{self, error::TrySendError};

use super::{DeliveryFault, Shared};
use crate::{Deliveries, Delivery, DeliveryFailure, LogError, Message, Producer, ProducerLimits, SendError};

/// See [`super::MemoryLog::producer`].
#[derive(Debug)]
pub struct MemoryProducer {
    shared: Arc<Shared>,
    deliveries: mpsc::Sender<Vec<Delivery>>,
}

impl MemoryProducer {
    pub(super) fn new(shared: Arc<Shared>, limits: ProducerLimits) -> (Self, Deliveries) {
        let (deliveries, receiver) = mpsc::channel(limits.queue_messages_max);
        let producer = Self { shared, deliveries };
        (producer, receiver)
    }
}

#[async_trait::async_trait]
impl Producer for MemoryProducer {
    fn send(&self, message: Message) -> Result<(), SendError> {
        let permit = match self.deliveries.clone().try_reserve_owned() {
            Ok(permit) => permit,
            Err(TrySendError::Full(_)) => return Err(SendError::Full(message)),
            Err(TrySendError::Closed(_)) => {
                return Err(SendError::Fatal(LogError::Fatal {
                    reason: "nobody reads the delivery reports any more".into(),
                }));
            }
        };
        let token = message.token;
        let mut store = self.shared.lock();
        let ambiguous = || Err(DeliveryFailure::Ambiguous("made by a fault".into()));
        let result = match store.faults.deliveries.pop_front() {
            None => store.append(message).map_err(DeliveryFailure::Refused),
            Some(DeliveryFault::AmbiguousLost) => ambiguous(),
            Some(DeliveryFault::Refused) => Err(DeliveryFailure::Refused("made by a fault".into())),
            Some(DeliveryFault::AmbiguousStored) => match store.append(message) {
                Ok(_) => ambiguous(),
                Err(refusal) => Err(DeliveryFailure::Refused(refusal)),
            },
        };
        let delivery = Delivery { token, result };
        if store.faults.holding {
            store.faults.held.push_back((permit, delivery));
        } else {
            permit.send(vec![delivery]);
        }
        drop(store);
        self.shared.coordinator.wake();
        Ok(())
    }

    async fn flush(&self, deadline: Duration) -> Result<(), LogError> {
        let all_out = async {
            loop {
                let delivered = self.shared.delivered.notified();
                tokio::pin!(delivered);
                delivered.as_mut().enable();
                if self.shared.lock().faults.held.is_empty() {
                    return;
                }
                delivered.await;
            }
        };
        tokio::time::timeout(deadline, all_out)
            .await
            .map_err(|_| LogError::Unavailable {
                address: "memory".into(),
                reason: "delivery reports are held back".into(),
            })
    }
}
