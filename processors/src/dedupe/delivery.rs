//! Has the broker delivered this very message before? For events that carry neither `seq` nor `ts`, so that a delivery is
//! all that names them.
//!
//! A message that comes again is marked (DUP), but the mark alone says little: a broker may set it on what it never
//! sent, and packet identifiers are used again and again. What comes again can only be what was on its way when the
//! connection or the process before ended. So a delivery is known only if its last namesake was received not too many
//! messages ago, over all processes since.

use schemas::DeliveryMark;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

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

/// What all processes have in common that use a session of a broker one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection(u64);

impl Connection {
    /// The connection of a run, to the broker of this name.
    #[must_use]
    pub fn new(broker: &str, run: u32) -> Self {
        Self(xxh3_64_with_seed(
            broker.as_bytes(),
            u64::from(DeliveryMark::client_of(run)),
        ))
    }
}

/// What a partition has heard of a run.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Its highest number.
    newest: Receiving,
    connection: Connection,
}

/// The newest deliveries of a partition.
#[derive(Clone, Debug, Default)]
pub struct RecentDeliveries {
    deliveries: RecentMap<Receiving>,
    /// In the order in which they were first heard of.
    runs: Vec<Run>,
}

impl RecentDeliveries {
    /// Remembers a delivery by its fingerprint. True when the same message was delivered before, and can be here again.
    pub fn observe(
        &mut self,
        fingerprint: u64,
        (receiving, connection): (Receiving, Connection),
        redelivered: bool,
        (log_clock_ms, limits): (i64, RecentLimits),
    ) -> bool {
        self.note_run(receiving, connection);
        let before = self.deliveries.get(fingerprint);
        let is_known = before.is_some_and(|before| {
            self.is_overtaken(before, receiving)
                || (redelivered && self.distance(before, receiving) < DELIVERIES_IN_FLIGHT_MAX)
        });
        self.deliveries.put(fingerprint, receiving, log_clock_ms, limits);
        is_known
    }

    /// Has the log what came first behind its repetition? Within a run, the packet identifier was not free until then. A
    /// process that lost its session to another one may still hand over what the other was given again.
    fn is_overtaken(&self, before: Receiving, receiving: Receiving) -> bool {
        if before.run == receiving.run {
            return receiving.number < before.number;
        }
        let (Some(earlier), Some(later)) = (self.place(receiving.run), self.place(before.run)) else {
            return false;
        };
        let is_taken_over = self.runs[earlier].connection == self.runs[later].connection;
        earlier < later && is_taken_over && before.number < DELIVERIES_IN_FLIGHT_MAX
    }

    /// Messages that the connection's processes received after one and until the other, as far as this partition knows.
    fn distance(&self, then: Receiving, now: Receiving) -> u64 {
        if then.run == now.run {
            return now.number.saturating_sub(then.number);
        }
        let (Some(earlier), Some(later)) = (self.place(then.run), self.place(now.run)) else {
            return u64::MAX;
        };
        if later < earlier {
            return u64::MAX;
        }
        let connection = self.runs[later].connection;
        let between = self.runs[earlier + 1..later].iter();
        let between = between.filter(|run| run.connection == connection);
        let rest = self.runs[earlier].newest.number.saturating_sub(then.number);
        rest + between.map(|run| run.newest.number).sum::<u64>() + now.number
    }

    fn place(&self, run: u32) -> Option<usize> {
        // Newest first: it is mostly one of those.
        self.runs.iter().rposition(|known| known.newest.run == run)
    }

    fn note_run(&mut self, receiving: Receiving, connection: Connection) {
        if let Some(place) = self.place(receiving.run) {
            let newest = &mut self.runs[place].newest;
            newest.number = newest.number.max(receiving.number);
            return;
        }
        if self.runs.len() == RECEIVING_RUNS_MAX {
            self.runs.remove(0);
        }
        self.runs.push(Run {
            newest: receiving,
            connection,
        });
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

impl RecentDeliveries {
    /// In the two parts that a checkpoint has of it: the connections of the runs came later.
    #[must_use]
    pub fn to_wire(&self) -> (RecentDeliveriesV1, Vec<u64>) {
        let deliveries = RecentDeliveriesV1 {
            deliveries: RecentMapV1::from(&self.deliveries),
            runs: self.runs.iter().map(|run| run.newest).collect(),
        };
        (deliveries, self.runs.iter().map(|run| run.connection.0).collect())
    }

    /// Runs whose connections are not told are of one that nobody uses.
    #[must_use]
    pub fn from_wire(wire: RecentDeliveriesV1, connections: Vec<u64>) -> Self {
        let connections = connections.into_iter().chain(std::iter::repeat(0));
        let runs = wire.runs.into_iter().zip(connections);
        let runs = runs.map(|(newest, connection)| Run {
            newest,
            connection: Connection(connection),
        });
        Self {
            deliveries: wire.deliveries.into(),
            runs: runs.collect(),
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

    /// The message with this number of a process of the one connection there is.
    fn at(run: u32, number: u64) -> (Receiving, Connection) {
        (Receiving { run, number }, Connection(1))
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

    /// A process that hung lost its session to the next one, and goes on with what it had received.
    #[test]
    fn what_a_process_that_was_replaced_hands_over_late_is_known() {
        let mut deliveries = RecentDeliveries::default();
        deliveries.observe(0, at(1, 0), false, LIMITS);
        for number in 1..100 {
            assert!(!deliveries.observe(number, at(2, number), true, LIMITS), "{number}");
        }
        for number in 1..100 {
            assert!(deliveries.observe(number, at(1, number), false, LIMITS), "{number}");
        }
        // So does a third one that is given them again.
        for number in 1..100 {
            assert!(deliveries.observe(number, at(3, number), true, LIMITS), "{number}");
        }
        let elsewhere = (at(4, 5).0, Connection(2));
        assert!(!deliveries.observe(7, elsewhere, false, LIMITS), "another connection");
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
        let elsewhere = (at(7, 1_000_000).0, Connection(2));
        deliveries.observe(999_999, elsewhere, false, LIMITS);
        let last = (number - 1) % 65_535;
        assert!(deliveries.observe(last, at(8, 1), true, LIMITS));
    }

    #[test]
    fn a_checkpoint_restores_the_same_deliveries() {
        let mut deliveries = RecentDeliveries::default();
        for number in 0..80 {
            deliveries.observe(number * 31, at(3, number), false, LIMITS);
        }
        let (wire, connections) = deliveries.to_wire();
        assert_eq!(connections, [1]);
        let mut restored = RecentDeliveries::from_wire(wire, connections);
        assert!(restored.observe(31, at(4, 1), true, LIMITS));
        assert_eq!(restored.len(), deliveries.len());
    }
}
