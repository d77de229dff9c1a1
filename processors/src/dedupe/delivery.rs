//! Has the broker delivered this very message before? For events that carry neither `seq` nor `ts`, so that a delivery is
//! all that names them.
//!
//! A message that comes again is marked (DUP), but the mark alone says little: a broker may set it on what it never
//! sent, and packet identifiers are used again and again. What comes again can only be what was on its way when the
//! connection or the process before ended. So a delivery is known only if its last namesake was received not too many
//! messages ago, over all processes since.

use schemas::DeliveryMark;
use serde::{Deserialize, Serialize};

use super::recent::{RecentLimits, RecentMap, RecentMapV1};
use crate::limits::{DELIVERIES_IN_FLIGHT_MAX, RECEIVING_RUNS_MAX};

/// Which message of which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Receiving {
    /// The connection of a process, see [`DeliveryMark::run_of`].
    pub run: u32,
    /// Its count of messages.
    pub number: u64,
}

/// The newest deliveries of a partition.
#[derive(Clone, Debug, Default)]
pub struct RecentDeliveries {
    deliveries: RecentMap<Receiving>,
    /// The highest number of each run, the run heard of last at the end.
    runs: Vec<Receiving>,
}

impl RecentDeliveries {
    /// Remembers a delivery by its fingerprint. True when the same message was delivered before, and can be here again.
    pub fn observe(
        &mut self,
        fingerprint: u64,
        receiving: Receiving,
        redelivered: bool,
        (log_clock_ms, limits): (i64, RecentLimits),
    ) -> bool {
        let before = self.deliveries.get(fingerprint);
        let is_known = before.is_some_and(|before| {
            // The log may hold what came first behind its repetition: until then its packet identifier was not free.
            let is_overtaken = before.run == receiving.run && receiving.number < before.number;
            is_overtaken || (redelivered && self.distance(before, receiving) < DELIVERIES_IN_FLIGHT_MAX)
        });
        self.note_run(receiving);
        self.deliveries.put(fingerprint, receiving, log_clock_ms, limits);
        is_known
    }

    /// Messages that the connection's processes received after one and until the other, as far as this partition knows.
    fn distance(&self, then: Receiving, now: Receiving) -> u64 {
        if then.run == now.run {
            return now.number.saturating_sub(then.number);
        }
        let Some(index) = self.runs.iter().position(|run| run.run == then.run) else {
            return u64::MAX;
        };
        let later = self.runs[index + 1..].iter();
        let between = later.filter(|run| run.run != now.run && DeliveryMark::is_same_connection(run.run, now.run));
        let rest = self.runs[index].number.saturating_sub(then.number);
        rest + between.map(|run| run.number).sum::<u64>() + now.number
    }

    fn note_run(&mut self, receiving: Receiving) {
        let mut newest = receiving;
        if let Some(index) = self.runs.iter().position(|run| run.run == receiving.run) {
            newest.number = newest.number.max(self.runs.remove(index).number);
        } else if self.runs.len() == RECEIVING_RUNS_MAX {
            self.runs.remove(0);
        }
        self.runs.push(newest);
    }

    /// Number of deliveries known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// True when none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// [`RecentDeliveries`] in a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecentDeliveriesV1 {
    deliveries: RecentMapV1<Receiving>,
    runs: Vec<Receiving>,
}

impl From<&RecentDeliveries> for RecentDeliveriesV1 {
    fn from(recent: &RecentDeliveries) -> Self {
        Self {
            deliveries: RecentMapV1::from(&recent.deliveries),
            runs: recent.runs.clone(),
        }
    }
}

impl From<RecentDeliveriesV1> for RecentDeliveries {
    fn from(wire: RecentDeliveriesV1) -> Self {
        Self {
            deliveries: wire.deliveries.into(),
            runs: wire.runs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: (i64, RecentLimits) = (
        0,
        RecentLimits {
            count_max: 1_000_000,
            age_ms: 1_000,
        },
    );

    fn at(run: u32, number: u64) -> Receiving {
        Receiving { run, number }
    }

    #[test]
    fn what_was_on_its_way_is_known_when_it_comes_again() {
        let mut deliveries = RecentDeliveries::default();
        for number in 0..100 {
            assert!(!deliveries.observe(number, at(1, number), false, LIMITS));
        }
        for number in 0..100 {
            assert!(deliveries.observe(number, at(2, number), true, LIMITS), "{number}");
        }
        assert!(!deliveries.observe(7, at(2, 200), false, LIMITS), "not marked");
    }

    #[test]
    fn what_came_first_is_known_when_the_log_has_it_behind_its_repetition() {
        let mut deliveries = RecentDeliveries::default();
        assert!(!deliveries.observe(7, at(1, 2), true, LIMITS));
        assert!(deliveries.observe(7, at(1, 1), false, LIMITS));
        assert!(!deliveries.observe(7, at(2, 1), false, LIMITS), "another process");
    }

    /// The same device says the same thing all day, and packet identifiers come round.
    #[test]
    fn a_packet_identifier_used_again_is_another_delivery() {
        let mut deliveries = RecentDeliveries::default();
        let fingerprint = |number: u64| number % 65_535;
        for number in 0..70_000 {
            deliveries.observe(fingerprint(number), at(1, number), false, LIMITS);
        }
        // The next ones were on their way when the process died, and are in no log.
        for number in 70_000..70_100 {
            let again = deliveries.observe(fingerprint(number), at(2, number - 70_000), true, LIMITS);
            assert!(!again, "{number}");
        }
        assert!(deliveries.observe(fingerprint(69_999), at(2, 200), true, LIMITS));
        // So late nothing comes that was on its way before.
        assert!(!deliveries.observe(fingerprint(69_998), at(2, 65_000), true, LIMITS));
    }

    /// A process that is killed again and again, each time after some thousand messages.
    #[test]
    fn a_packet_identifier_used_again_some_processes_later_is_another_delivery() {
        const PER_RUN: u64 = 13_107;
        let (mut deliveries, mut number) = (RecentDeliveries::default(), 0_u64);
        let mut receive = |run: u32, redelivered: bool| {
            for of_run in 0..PER_RUN {
                let again = deliveries.observe(number % 65_535, at(run, of_run), redelivered, LIMITS);
                assert!(!again, "{of_run} of {run}");
                number += 1;
            }
        };
        (1..=5).for_each(|run| receive(run, false));
        // What the log never got of the last process: never counted, though marked as sent before.
        receive(6, true);
        // Another connection has nothing to do with the distance.
        let elsewhere = DeliveryMark::run_of(7, 7);
        deliveries.observe(999_999, at(elsewhere, 1_000_000), false, LIMITS);
        let last = (number - 1) % 65_535;
        assert!(deliveries.observe(last, at(8, 1), true, LIMITS));
    }

    #[test]
    fn a_checkpoint_restores_the_same_deliveries() {
        let mut deliveries = RecentDeliveries::default();
        for number in 0..80 {
            deliveries.observe(number * 31, at(3, number), false, LIMITS);
        }
        let mut restored = RecentDeliveries::from(RecentDeliveriesV1::from(&deliveries));
        assert!(restored.observe(31, at(4, 1), true, LIMITS));
        assert_eq!(restored.len(), deliveries.len());
    }
}
