//! What happened to each message that was handed to the publisher.

use std::collections::BTreeMap;

/// The fate of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// The broker took it: from now on it must be counted.
    Acknowledged,
    /// The broker took it and has nobody to give it to: nothing is promised.
    Unrouted,
    /// The broker refused it: it must not be counted.
    Refused,
    /// Sent, and no answer: it may be counted once, or not at all.
    Unknown,
    /// Never sent.
    Unsent,
}

/// One line of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number that the caller gave it.
    pub number: u64,
    /// What became of it.
    pub fate: Fate,
    /// How often it was written to a connection; more than 1 after a reconnect.
    pub sent_count: u32,
    /// From the intended time of sending to the acknowledgement, microseconds; 0 without one.
    pub latency_us: u32,
}

/// All messages of a run and the events of its connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// One entry for each message, unless only counts were asked for. Not ordered.
    pub entries: Vec<Entry>,
    /// Messages by fate.
    pub counts: BTreeMap<Fate, u64>,
    /// Messages that were written again after a reconnect.
    pub resent_count: u64,
    /// Connections that were lost and built anew.
    pub reconnect_count: u64,
    /// Acknowledgements for nothing that was on the wire.
    pub unsolicited_count: u64,
    /// Reason codes of refusals, as the broker named them.
    pub refusals: BTreeMap<String, u64>,
    keeps_entries: bool,
}

impl Ledger {
    /// An empty ledger. Without entries it stays small however long the run.
    #[must_use]
    pub fn new(keeps_entries: bool) -> Self {
        Self {
            keeps_entries,
            ..Self::default()
        }
    }

    /// Writes one line.
    pub fn record(&mut self, entry: Entry) {
        *self.counts.entry(entry.fate).or_default() += 1;
        self.resent_count += u64::from(entry.sent_count.saturating_sub(1));
        if self.keeps_entries {
            self.entries.push(entry);
        }
    }

    /// Messages of one fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> u64 {
        self.counts.get(&fate).copied().unwrap_or_default()
    }

    /// Messages in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Takes in the ledger of another connection.
    pub fn merge(&mut self, other: Self) {
        self.entries.extend(other.entries);
        for (fate, count) in other.counts {
            *self.counts.entry(fate).or_default() += count;
        }
        for (refusal, count) in other.refusals {
            *self.refusals.entry(refusal).or_default() += count;
        }
        self.resent_count += other.resent_count;
        self.reconnect_count += other.reconnect_count;
        self.unsolicited_count += other.unsolicited_count;
    }

    /// Latency at these shares (0 to 1) of the acknowledged messages, in milliseconds. Needs entries.
    #[must_use]
    pub fn latencies_ms(&self, shares: &[f64]) -> Vec<f64> {
        let acknowledged = self.entries.iter().filter(|entry| entry.fate == Fate::Acknowledged);
        let mut latencies: Vec<u32> = acknowledged.map(|entry| entry.latency_us).collect();
        latencies.sort_unstable();
        let at = |share: &f64| {
            let index = (share * latencies.len().saturating_sub(1) as f64).round() as usize;
            latencies.get(index).map_or(0.0, |us| f64::from(*us) / 1000.0)
        };
        shares.iter().map(at).collect()
    }
}
