//! The one broker that connections and the writer share, and the clock it is told.
//!
//! Held for the time of a few packets, never over an await or a file.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::core::{Batch, Broker, Now};
use crate::limits;

/// What the writer is to do.
#[derive(Debug)]
pub(super) enum Work {
    Batch(Batch),
    /// The broker stops after this one.
    Last(Batch),
    /// Nothing to write; time to look around. Segments with only messages below the offset can go.
    Idle {
        needed_from: u64,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    news: Condvar,
    started: Instant,
    packet_bytes_max: usize,
}

#[derive(Debug)]
struct State {
    broker: Broker,
    writer_waits: bool,
    is_stopping: bool,
    next_removal: Instant,
}

impl Shared {
    pub(super) fn new(broker: Broker, started: Instant) -> Self {
        Self {
            packet_bytes_max: broker.packet_bytes_max(),
            state: Mutex::new(State {
                broker,
                writer_waits: false,
                is_stopping: false,
                next_removal: started,
            }),
            news: Condvar::new(),
            started,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside would be a fault of ours; what is on disk is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time as the broker is told it.
    pub(super) fn now(&self) -> Now {
        now(self.started)
    }

    /// Largest packet that clients may send; asked without the lock.
    pub(super) fn packet_bytes_max(&self) -> usize {
        self.packet_bytes_max
    }

    /// Works on the broker; wakes the writer when there is something for it.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Broker, Now) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        let result = work(&mut state.broker, now);
        let wakes = state.writer_waits && state.broker.has_news();
        if wakes {
            state.writer_waits = false;
        }
        drop(state);
        if wakes {
            self.news.notify_one();
        }
        result
    }

    /// From now on the writer takes one last batch.
    pub(super) fn stop(&self) {
        self.lock().is_stopping = true;
        self.news.notify_one();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.lock().is_stopping
    }

    /// Waits until there is something to write, or for a while.
    pub(super) fn wait_for_work(&self) -> Work {
        let mut state = self.lock();
        if !state.broker.has_news() && !state.is_stopping {
            state.writer_waits = true;
            let patience = match state.broker.has_moves() {
                true => limits::MQTT_POSITION_DELAY,
                false => limits::MQTT_TICK,
            };
            let waited = self
                .news
                .wait_timeout_while(state, patience, |state| !state.broker.has_news() && !state.is_stopping);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.writer_waits = false;
        }
        if state.is_stopping {
            let now = self.now();
            return Work::Last(state.broker.take_last_batch(now));
        }
        if !state.broker.has_news() && !state.broker.has_moves() {
            return Work::Idle {
                needed_from: state.broker.needed_from(),
            };
        }
        let mut batch = state.broker.take_batch();
        let now = Instant::now();
        if now >= state.next_removal {
            state.next_removal = now + limits::MQTT_TICK;
            batch.needed_from = Some(state.broker.needed_from());
        }
        Work::Batch(batch)
    }
}

/// Time since a start, and of the day.
pub(super) fn now(started: Instant) -> Now {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now {
        monotonic_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
    }
}
