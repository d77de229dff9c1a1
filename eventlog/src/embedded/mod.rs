//! The durable log of a single node, for `meridian up` without Kafka: topics in one folder, one process at a time.
//!
//! Appends of all producers meet in one queue ([`queue`]); one thread ([`writer`]) makes them durable in groups and
//! reports them; readers see durable records only. Must never report what a crash could take back.
//!
//! Measured with `examples/throughput.rs` on 4 busy cores and a virtual disk, records of 200 bytes, one producer, one
//! reader: 725,000 to 940,000 durable appends/s and 1.7 to 2.9 million reads/s, at 0.8 and 0.24 us of processor time.

mod chunk;
mod config;
mod consumer;
mod core;
mod limits;
mod producer;
mod queue;
mod retention;
mod store;
mod writer;

pub use config::EmbeddedConfig;
pub use consumer::EmbeddedConsumer;
pub use producer::EmbeddedProducer;
pub use retention::Removed;

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle,
};

use self::core::Core;
use crate::{Deliveries, LogError, ProducerLimits, Subscription, TopicSpec};

/// An open embedded log. Clones share it; the folder is free again when all of them, and all producers and consumers,
/// are gone. The last one to go waits until everything accepted is durable.
#[derive(Clone)]
pub struct EmbeddedLog {
    log: Arc<OpenLog>,
}

/// What an embedded log has done since it was opened, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedStats {
    /// Records made durable.
    pub appended_records: u64,
    /// Records removed by retention.
    pub removed_records: u64,
    /// Of these, records that a group had not committed.
    pub removed_uncommitted_records: u64,
    /// Bytes that the folder takes.
    pub disk_bytes: u64,
}

/// The log with its threads.
struct OpenLog {
    core: Arc<Core>,
    bell: Arc<Bell>,
    threads: Vec<JoinHandle<()>>,
}

/// Ends the pause of the retention thread.
#[derive(Default)]
struct Bell {
    closed: Mutex<bool>,
    rung: Condvar,
}

impl EmbeddedLog {
    /// Opens the log in its folder, and recovers what a crash left.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the folder is in use or cannot be read.
    pub fn open(config: EmbeddedConfig) -> Result<Self, LogError> {
        let core = Arc::new(Core::recover(config)?);
        let bell = Arc::new(Bell::default());
        let writer = {
            let core = core.clone();
            spawn("eventlog-writer", move || writer::run(&core))?
        };
        let retention = {
            let (core, bell) = (core.clone(), bell.clone());
            spawn("eventlog-retention", move || keep_bounded(&core, &bell))?
        };
        let log = OpenLog {
            core,
            bell,
            threads: vec![writer, retention],
        };
        Ok(Self { log: Arc::new(log) })
    }

    /// A producer with its channel of delivery reports.
    #[must_use]
    pub fn producer(&self, limits: ProducerLimits) -> (EmbeddedProducer, Deliveries) {
        let (lane, settled, deliveries) = self.log.core.queue.add_lane(limits);
        let producer = EmbeddedProducer {
            log: self.log.clone(),
            lane,
            settled,
        };
        (producer, deliveries)
    }

    /// A member of a group. Must be called inside a Tokio runtime.
    #[must_use]
    pub fn consumer(&self, subscription: Subscription) -> EmbeddedConsumer {
        EmbeddedConsumer::new(self.log.clone(), subscription)
    }

    /// Creates the topics that do not exist; takes over retention and record size of those that do.
    ///
    /// # Errors
    /// [`LogError::Config`] when one exists with another number of partitions.
    pub async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        for spec in topics {
            self.log.core.ensure_topic(spec)?;
        }
        Ok(())
    }

    /// Removes now what retention allows; also done in the background.
    ///
    /// # Errors
    /// [`LogError::Fatal`] when the store is broken.
    pub fn remove_old(&self) -> Result<Removed, LogError> {
        retention::pass(&self.log.core, retention::now_ms())
    }

    /// Counters and size.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the folder cannot be read.
    pub fn stats(&self) -> Result<EmbeddedStats, LogError> {
        let counters = &self.log.core.counters;
        Ok(EmbeddedStats {
            appended_records: counters.appended_records.load(Ordering::Relaxed),
            removed_records: counters.removed_records.load(Ordering::Relaxed),
            removed_uncommitted_records: counters.removed_uncommitted_records.load(Ordering::Relaxed),
            disk_bytes: self.log.core.store.disk_bytes()?,
        })
    }
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EmbeddedLog")
            .field("config", &self.log.core.config)
            .finish_non_exhaustive()
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LogError> {
    let builder = std::thread::Builder::new().name(name.into());
    builder.spawn(run).map_err(|error| LogError::Unavailable {
        address: name.into(),
        reason: error.to_string(),
    })
}

/// Looks at retention from time to time, until the log closes.
fn keep_bounded(core: &Core, bell: &Bell) {
    loop {
        let closed = bell.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let (closed, _) = bell
            .rung
            .wait_timeout_while(closed, limits::RETENTION_INTERVAL, |closed| !*closed)
            .unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return;
        }
        drop(closed);
        if let Err(error) = retention::pass(core, retention::now_ms()) {
            tracing::error!(error = %error, "event log retention failed");
        }
    }
}

impl Drop for OpenLog {
    fn drop(&mut self) {
        self.core.queue.close();
        *self.bell.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.rung.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the event log panicked");
            }
        }
    }
}
