//! The loss ledger: what came in and what became of it, per broker. It always adds up.
//!
//! Counts only; nothing here decides anything.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use schemas::Reason;

/// The counts of all brokers. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    brokers: Arc<Mutex<BTreeMap<String, Vec<Arc<ConnectionCounts>>>>>,
}

/// What happened to the messages of one broker since the start of the process.
///
/// `received = acknowledged + dead_lettered + returned + in_flight`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerTotals {
    /// Messages received, redeliveries included.
    pub received: u64,
    /// Messages whose events the log has and that were acknowledged (QoS 0: that need no acknowledgement).
    pub acknowledged: u64,
    /// Messages whose dead letter the log has and that were acknowledged.
    pub dead_lettered: u64,
    /// Messages that the log has, but whose connection was gone before the acknowledgement: the broker sends them
    /// again, and then they are received again.
    pub returned: u64,
    /// Messages not yet confirmed by the log, or confirmed and waiting for their turn to be acknowledged.
    pub in_flight: u64,
    /// Event records that the log has.
    pub events: u64,
    /// Messages that the broker marked as sent before.
    pub redelivered: u64,
    /// Records that were sent to the log again, since it did not confirm them.
    pub resent: u64,
    /// Connections that came up.
    pub connections: u64,
    /// Connections that came up to a broker that had lost our session: what was published meanwhile is gone.
    pub session_gaps: u64,
    /// Dead letters by reason; reasons without any are left out.
    pub dead_letters_by_reason: BTreeMap<&'static str, u64>,
}

impl Ledger {
    /// The totals by name of broker.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<String, BrokerTotals> {
        let brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        brokers
            .iter()
            .map(|(name, connections)| {
                let mut totals = BrokerTotals::default();
                for counts in connections {
                    counts.add_to(&mut totals);
                }
                (name.clone(), totals)
            })
            .collect()
    }

    /// Adds a connection of a broker.
    #[must_use]
    pub fn connection(&self, broker: &str) -> Arc<ConnectionCounts> {
        let counts = Arc::new(ConnectionCounts::default());
        let mut brokers = self.brokers.lock().unwrap_or_else(PoisonError::into_inner);
        brokers.entry(broker.to_owned()).or_default().push(counts.clone());
        counts
    }
}

/// The counts of one connection. Each has one writer: the subscriber or the forwarder.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    /// Subscriber.
    pub(crate) received: AtomicU64,
    /// Subscriber.
    pub(crate) redelivered: AtomicU64,
    /// Subscriber.
    pub(crate) connections: AtomicU64,
    /// Subscriber.
    pub(crate) session_gaps: AtomicU64,
    acknowledged: AtomicU64,
    dead_lettered: AtomicU64,
    returned: AtomicU64,
    events: AtomicU64,
    resent: AtomicU64,
    by_reason: [AtomicU64; Reason::ALL.len()],
}

/// What the forwarder counts; plain numbers, published as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseCounts {
    /// See [`BrokerTotals::acknowledged`].
    pub acknowledged: u64,
    /// See [`BrokerTotals::dead_lettered`].
    pub dead_lettered: u64,
    /// See [`BrokerTotals::returned`].
    pub returned: u64,
    /// See [`BrokerTotals::events`].
    pub events: u64,
    /// See [`BrokerTotals::resent`].
    pub resent: u64,
    /// In the order of [`Reason::ALL`].
    pub by_reason: [u64; Reason::ALL.len()],
}

impl ReleaseCounts {
    /// Messages that are no longer on their way.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.acknowledged + self.dead_lettered + self.returned
    }

    /// Counts a dead letter.
    pub fn count_reason(&mut self, reason: Reason) {
        let index = Reason::ALL.iter().position(|known| *known == reason);
        self.by_reason[index.expect("the list holds all reasons")] += 1;
    }
}

impl ConnectionCounts {
    /// Publishes the counts of the forwarder.
    pub fn publish(&self, counts: &ReleaseCounts) {
        self.events.store(counts.events, Relaxed);
        self.acknowledged.store(counts.acknowledged, Relaxed);
        self.dead_lettered.store(counts.dead_lettered, Relaxed);
        self.returned.store(counts.returned, Relaxed);
        self.resent.store(counts.resent, Relaxed);
        for (shown, count) in self.by_reason.iter().zip(counts.by_reason) {
            shown.store(count, Relaxed);
        }
    }

    fn add_to(&self, totals: &mut BrokerTotals) {
        // What was released is read before what was received, so that the difference is never below zero.
        let acknowledged = self.acknowledged.load(Relaxed);
        let dead_lettered = self.dead_lettered.load(Relaxed);
        let returned = self.returned.load(Relaxed);
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        let received = self.received.load(Relaxed);
        totals.acknowledged += acknowledged;
        totals.dead_lettered += dead_lettered;
        totals.returned += returned;
        totals.received += received;
        totals.in_flight += received.saturating_sub(acknowledged + dead_lettered + returned);
        totals.events += self.events.load(Relaxed);
        totals.redelivered += self.redelivered.load(Relaxed);
        totals.resent += self.resent.load(Relaxed);
        totals.connections += self.connections.load(Relaxed);
        totals.session_gaps += self.session_gaps.load(Relaxed);
        for (reason, count) in Reason::ALL.iter().zip(&self.by_reason) {
            let count = count.load(Relaxed);
            if count > 0 {
                *totals.dead_letters_by_reason.entry(reason.as_str()).or_default() += count;
            }
        }
    }
}
