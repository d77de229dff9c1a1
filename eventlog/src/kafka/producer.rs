//! Sends to Kafka: idempotent, `acks=all`, in order, with delivery reports gathered by one poll thread.
//!
//! Must never drop librdkafka's producer with messages in it: that would purge them silently.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rdkafka::{
    ClientContext, Message as _,
    config::FromClientConfigAndContext,
    error::KafkaError,
    message::{DeliveryResult, Header as KafkaHeader, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext},
    types::RDKafkaErrorCode as Code,
};
use tokio::sync::{Notify, mpsc};

use super::{KafkaConfig, admin, errors, limits};
use crate::{
    Deliveries, Delivery, DeliveryFailure, LogError, Message, PartitionId, Position, Producer, ProducerLimits,
    SendError, Token,
};

/// See [`crate::Log::producer`].
pub struct KafkaProducer {
    shared: Arc<Shared>,
    poller: Option<JoinHandle<()>>,
    address: String,
}

struct Shared {
    producer: BaseProducer<Reports>,
    closing: AtomicBool,
}

/// What librdkafka reports, until the poll thread passes it on.
struct Reports {
    settled: Mutex<Vec<Delivery>>,
    in_flight_count: AtomicU64,
    idle: Notify,
    fatal: Mutex<Option<String>>,
}

impl KafkaProducer {
    /// Makes a producer; brokers are reached in the background.
    ///
    /// # Errors
    /// [`LogError::Config`] when librdkafka refuses a property.
    pub fn connect(config: &KafkaConfig, limits: ProducerLimits) -> Result<(Self, Deliveries), LogError> {
        config.check()?;
        let reports = Reports {
            settled: Mutex::default(),
            in_flight_count: AtomicU64::new(0),
            idle: Notify::new(),
            fatal: Mutex::default(),
        };
        let client = config.producer(limits);
        let producer = BaseProducer::from_config_and_context(&client, reports)
            .map_err(|error| admin::refused(&error.to_string()))?;
        let shared = Arc::new(Shared {
            producer,
            closing: AtomicBool::new(false),
        });
        let (deliveries, receiver) = mpsc::channel(limits::DELIVERY_BATCHES_MAX);
        let poller = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("kafka-producer".into())
                .spawn(move || shared.poll(&deliveries))
                .map_err(|error| config.unavailable(error))?
        };
        let producer = Self {
            shared,
            poller: Some(poller),
            address: config.brokers.clone(),
        };
        Ok((producer, receiver))
    }

    fn reports(&self) -> &Reports {
        self.shared.producer.context()
    }

    /// A message that librdkafka did not even queue gets its report all the same.
    fn settle_refused(&self, token: Token, failure: DeliveryFailure) {
        self.reports().settle(Delivery {
            token,
            result: Err(failure),
        });
        self.wake();
    }

    fn wake(&self) {
        if let Some(poller) = &self.poller {
            poller.thread().unpark();
        }
    }
}

#[async_trait::async_trait]
impl Producer for KafkaProducer {
    fn send(&self, message: Message) -> Result<(), SendError> {
        let reports = self.reports();
        if let Some(reason) = reports.fatal() {
            return Err(SendError::Fatal(LogError::Fatal { reason }));
        }
        let token = usize::try_from(message.token.0).expect("this runs on 64-bit machines");
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&message.topic, token)
            .payload(&message.value)
            .timestamp(message.timestamp_ms);
        if !message.key.is_empty() {
            record = record.key(&message.key);
        }
        if !message.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(message.headers.len());
            record = record.headers(message.headers.iter().fold(headers, |headers, header| {
                headers.insert(KafkaHeader {
                    key: header.name,
                    value: Some(&header.value[..]),
                })
            }));
        }
        // Counted first: the report may come before `send` returns.
        let before = reports.in_flight_count.fetch_add(1, Ordering::AcqRel);
        let sent = self.shared.producer.send(record).map_err(|(error, _)| error);
        if before == 0 {
            self.wake();
        }
        let Err(error) = sent else {
            return Ok(());
        };
        if error.rdkafka_error_code() == Some(Code::QueueFull) {
            reports.forget_one();
            return Err(SendError::Full(message));
        }
        match errors::delivery_failure(&error) {
            DeliveryFailure::Fatal(reason) => {
                reports.forget_one();
                Err(SendError::Fatal(LogError::Fatal { reason }))
            }
            failure => {
                self.settle_refused(message.token, failure);
                Ok(())
            }
        }
    }

    async fn flush(&self, deadline: Duration) -> Result<(), LogError> {
        let reports = self.reports();
        let all_reported = async {
            loop {
                // Made before looking: what settles from here on wakes it.
                let idle = reports.idle.notified();
                if reports.in_flight_count.load(Ordering::Acquire) == 0 {
                    return;
                }
                idle.await;
            }
        };
        tokio::time::timeout(deadline, all_reported)
            .await
            .map_err(|_| LogError::Unavailable {
                address: self.address.clone(),
                reason: format!(
                    "{} messages are not confirmed yet",
                    reports.in_flight_count.load(Ordering::Acquire)
                ),
            })
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.wake();
        // The thread flushes and drops the rest, so that an async caller does not wait here.
        drop(self.poller.take());
    }
}

impl Shared {
    /// The poll thread: serves librdkafka and passes reports on, a batch per round.
    fn poll(&self, deliveries: &mpsc::Sender<Vec<Delivery>>) {
        let reports = self.producer.context();
        while !self.closing.load(Ordering::Acquire) {
            // Slept here, never in `poll`: it turns what is left of its time into whole milliseconds, and spins through the
            // last one of every call. With a look each millisecond that was most of a core.
            let pause = if reports.in_flight_count.load(Ordering::Acquire) == 0 {
                limits::IDLE_POLL
            } else {
                limits::DELIVERY_POLL
            };
            std::thread::park_timeout(pause);
            self.take_reports();
            reports.pass_on(deliveries);
        }
        if let Err(error) = self.producer.flush(limits::DROP_FLUSH) {
            let in_flight_count = self.producer.in_flight_count();
            tracing::error!(error = %error, in_flight_count, "kafka producer was dropped with messages in flight");
        }
        reports.pass_on(deliveries);
    }

    /// Takes all reports that are there: one look takes those of one batch.
    fn take_reports(&self) {
        let reports = self.producer.context();
        let mut seen_count = reports.settled_count();
        loop {
            self.producer.poll(Duration::ZERO);
            let now_count = reports.settled_count();
            if now_count == seen_count {
                return;
            }
            seen_count = now_count;
        }
    }
}

impl Reports {
    fn settled_count(&self) -> usize {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn settle(&self, delivery: Delivery) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.push(delivery);
    }

    fn forget_one(&self) {
        if self.in_flight_count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }

    fn fatal(&self) -> Option<String> {
        let fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
        fatal.clone()
    }

    fn pass_on(&self, deliveries: &mpsc::Sender<Vec<Delivery>>) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::take(&mut *settled);
        drop(settled);
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        // A caller that does not listen any more is on its way out.
        drop(deliveries.blocking_send(batch));
        if self.in_flight_count.fetch_sub(count, Ordering::AcqRel) == count {
            self.idle.notify_waiters();
        }
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(Code::Fatal) {
            tracing::error!(error = %error, reason, "kafka producer failed for good");
            let mut fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner);
            *fatal = Some(format!("{error}: {reason}"));
        } else {
            tracing::warn!(error = %error, reason, "kafka producer");
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    // Runs inside the poll thread's look at librdkafka: a panic here would end that thread silently.
    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let result = match result {
            Ok(message) => position(message.partition(), message.offset()),
            Err((error, _)) => Err(errors::delivery_failure(error)),
        };
        self.settle(Delivery {
            token: Token(token as u64),
            result,
        });
    }
}

fn position(partition: i32, offset: i64) -> Result<Position, DeliveryFailure> {
    match (u16::try_from(partition), u64::try_from(offset)) {
        (Ok(partition), Ok(offset)) => Ok(Position {
            partition: PartitionId(partition),
            offset,
        }),
        // Stored, but where is unknown: to us that is not a confirmation.
        _ => Err(DeliveryFailure::Ambiguous(format!(
            "confirmed at partition {partition}, offset {offset}"
        ))),
    }
}
