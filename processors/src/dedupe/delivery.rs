//! Has the broker delivered this very message before? For events that carry neither `seq` nor `ts`, so that a delivery is
//! all that names them.
//!
//! A message that comes again is marked (DUP), but the mark alone says little: a broker may set it on what it never
//! sent, and packet identifiers are used again and again. What comes again can only be what was on its way when the
//! connection or the process before ended. So a delivery is known only if its last namesake was received not too many
//! messages ago by the client, over all connections of all processes.

use std::collections::BTreeMap;

use schemas::{DeliveryMark, Event};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::recent::{RecentLimits, RecentMap, RecentMapV1};
use crate::limits::{DELIVERIES_IN_FLIGHT_MAX, RECEIVING_RUNS_MAX};

/// The client of runs whose checkpoint does not tell.
const CLIENT_UNKNOWN: u64 = 0;

/// How a message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiving {
    /// See [`DeliveryMark::run`].
    pub run: u64,
    /// See [`DeliveryMark::number`].
    pub number: u64,
    /// See [`DeliveryMark::redelivered`].
    pub redelivered: bool,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// The client: whoever connects as it goes on where the one before was.
    pub client: u64,
}

impl Receiving {
    /// How an event with this mark was received.
    #[must_use]
    pub fn of(event: &Event<'_>, mark: DeliveryMark) -> Self {
        Self {
            run: mark.run,
            number: mark.number,
            redelivered: mark.redelivered,
            at_ms: event.received_at_ms,
            client: xxh3_64_with_seed(event.broker.as_bytes(), DeliveryMark::client_of(mark.run)),
        }
    }
}

/// What is remembered of a delivery.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Delivered {
    run: u64,
    number: u64,
    redelivered: bool,
    at_ms: i64,
    /// Messages that the client received until then, over all connections, as far as this partition knows.
    total: u64,
}

/// What a partition has heard of a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Run {
    run: u64,
    /// Its highest number.
    number: u64,
    client: u64,
}

/// The newest deliveries of a partition.
#[derive(Clone, Debug, Default)]
pub struct RecentDeliveries {
    deliveries: RecentMap<Delivered>,
    /// In the order in which they were first heard of.
    runs: Vec<Run>,
    /// Messages received by each client of these runs.
    totals: BTreeMap<u64, u64>,
}

impl RecentDeliveries {
    /// Remembers a delivery by its fingerprint. True when the same message was delivered before, and can be here again.
    pub fn observe(
        &mut self,
        fingerprint: u64,
        receiving: Receiving,
        (log_clock_ms, limits): (i64, RecentLimits),
    ) -> bool {
        let now = Delivered {
            run: receiving.run,
            number: receiving.number,
            redelivered: receiving.redelivered,
            at_ms: receiving.at_ms,
            total: self.count(receiving),
        };
        let before = self.deliveries.get(fingerprint);
        let is_known = before.is_some_and(|before| self.is_same(before, now, receiving));
        self.deliveries.put(fingerprint, now, log_clock_ms, limits);
        is_known
    }

    fn is_same(&self, before: Delivered, now: Delivered, receiving: Receiving) -> bool {
        let is_near = distance(before.total, now.total) < DELIVERIES_IN_FLIGHT_MAX;
        if before.run == now.run {
            // The log may hold what came first behind its repetition: until then its packet identifier was not free.
            return now.number < before.number || (now.redelivered && is_near);
        }
        let (Some(then), Some(place)) = (self.place(before.run), self.place(now.run)) else {
            return false;
        };
        let is_same_client = [receiving.client, CLIENT_UNKNOWN].contains(&self.runs[then].client);
        // A process that lost its session to another one may still hand over what the other was given again. It read it
        // from the network before that, or later and was heard of before.
        let is_overtaken = before.redelivered && (place < then || now.at_ms < before.at_ms);
        is_same_client && is_near && (now.redelivered || is_overtaken)
    }

    /// Counts what the client received; returns its total as of this message.
    fn count(&mut self, receiving: Receiving) -> u64 {
        let place = self.place(receiving.run).unwrap_or_else(|| self.begin(receiving));
        let run = &mut self.runs[place];
        let total = self.totals.entry(run.client).or_default();
        if receiving.number < run.number {
            return total.wrapping_sub(run.number - receiving.number);
        }
        *total = total.wrapping_add(receiving.number - run.number);
        run.number = receiving.number;
        *total
    }

    fn begin(&mut self, receiving: Receiving) -> usize {
        if self.runs.len() == RECEIVING_RUNS_MAX {
            self.forget_run();
        }
        self.runs.push(Run {
            run: receiving.run,
            number: 0,
            client: receiving.client,
        });
        self.runs.len() - 1
    }

    /// The oldest one that its client has no use for; a client that connects again and again pushes out nobody else.
    fn forget_run(&mut self) {
        let is_over = |place: &usize| {
            let mut later = self.runs[place + 1..].iter();
            later.any(|run| run.client == self.runs[*place].client)
        };
        match (0..self.runs.len()).find(is_over) {
            Some(place) => {
                self.runs.remove(place);
            }
            None => {
                let client = self.runs.remove(0).client;
                self.totals.remove(&client);
            }
        }
    }

    fn place(&self, run: u64) -> Option<usize> {
        // Newest first: it is mostly one of those.
        self.runs.iter().rposition(|known| known.run == run)
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

/// Between two totals of a client, whichever is the later one.
fn distance(one: u64, other: u64) -> u64 {
    one.wrapping_sub(other).min(other.wrapping_sub(one))
}

/// [`RecentDeliveries`] in a checkpoint of the first version.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RecentDeliveriesV1 {
    deliveries: RecentMapV1<ReceivingV1>,
    runs: Vec<ReceivingV1>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct ReceivingV1 {
    run: u32,
    number: u64,
}

/// [`RecentDeliveries`] in a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecentDeliveriesV2 {
    deliveries: RecentMapV1<Delivered>,
    runs: Vec<Run>,
    totals: BTreeMap<u64, u64>,
}

impl From<&RecentDeliveries> for RecentDeliveriesV2 {
    fn from(recent: &RecentDeliveries) -> Self {
        Self {
            deliveries: RecentMapV1::from(&recent.deliveries),
            runs: recent.runs.clone(),
            totals: recent.totals.clone(),
        }
    }
}

impl From<RecentDeliveriesV2> for RecentDeliveries {
    fn from(wire: RecentDeliveriesV2) -> Self {
        Self {
            deliveries: wire.deliveries.into(),
            runs: wire.runs,
            totals: wire.totals,
        }
    }
}

impl From<RecentDeliveriesV1> for RecentDeliveriesV2 {
    /// As if all runs had ended just before the clients that are heard of next begin to count.
    fn from(wire: RecentDeliveriesV1) -> Self {
        let highest: BTreeMap<u32, u64> = wire.runs.iter().map(|run| (run.run, run.number)).collect();
        let deliveries = wire.deliveries.map(|receiving| {
            let number = highest.get(&receiving.run).copied().unwrap_or(u64::MAX / 2);
            Delivered {
                run: receiving.run.into(),
                number: receiving.number,
                redelivered: false,
                at_ms: i64::MIN,
                total: 0_u64.wrapping_sub(number.saturating_sub(receiving.number)),
            }
        });
        let runs = wire.runs.into_iter().map(|run| Run {
            run: run.run.into(),
            number: run.number,
            client: CLIENT_UNKNOWN,
        });
        Self {
            deliveries,
            runs: runs.collect(),
            totals: BTreeMap::new(),
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

    const CLIENT: u64 = 1;

    /// The first time that a process is given a message.
    fn fresh(run: u64, number: u64) -> Receiving {
        Receiving {
            run,
            number,
            redelivered: false,
            at_ms: i64::try_from(run * 10_000_000 + number).unwrap(),
            client: CLIENT,
        }
    }

    /// The broker may have sent it before.
    fn again(run: u64, number: u64) -> Receiving {
        Receiving {
            redelivered: true,
            ..fresh(run, number)
        }
    }

    #[test]
    fn what_was_on_its_way_is_known_when_it_comes_again() {
        let mut deliveries = RecentDeliveries::default();
        for number in 1..=100 {
            assert!(!deliveries.observe(number, fresh(1, number), LIMITS));
        }
        for number in 1..=100 {
            assert!(deliveries.observe(number, again(2, number), LIMITS), "{number}");
        }
        assert!(!deliveries.observe(7, fresh(2, 200), LIMITS), "not marked");
    }

    #[test]
    fn what_came_first_is_known_when_the_log_has_it_behind_its_repetition() {
        let mut deliveries = RecentDeliveries::default();
        assert!(!deliveries.observe(7, again(1, 2), LIMITS));
        assert!(deliveries.observe(7, fresh(1, 1), LIMITS));
        assert!(!deliveries.observe(7, fresh(2, 1), LIMITS), "another process");
    }

    /// A process that hung lost its session to the next one, and goes on with what it had received.
    #[test]
    fn what_a_process_that_was_replaced_hands_over_late_is_known() {
        let mut deliveries = RecentDeliveries::default();
        deliveries.observe(0, fresh(1, 1), LIMITS);
        for number in 2..100 {
            assert!(!deliveries.observe(number, again(2, number), LIMITS), "{number}");
        }
        for number in 2..100 {
            assert!(deliveries.observe(number, fresh(1, number), LIMITS), "{number}");
        }
        // So does a third one that is given them again.
        for number in 2..100 {
            assert!(deliveries.observe(number, again(3, number), LIMITS), "{number}");
        }
        let elsewhere = Receiving {
            client: 2,
            at_ms: 0,
            ..again(4, 5)
        };
        assert!(!deliveries.observe(7, elsewhere, LIMITS), "another client");
    }

    /// The old process takes its session back from the new one before it ends, after millions of messages.
    #[test]
    fn a_session_that_goes_to_and_fro_brings_nothing_twice() {
        const MANY: u64 = 2_000_000;
        let mut deliveries = RecentDeliveries::default();
        for number in MANY - 100..MANY {
            assert!(!deliveries.observe(number, fresh(1, number), LIMITS));
        }
        for number in MANY - 50..MANY {
            let of_run = number - (MANY - 51);
            assert!(deliveries.observe(number, again(2, of_run), LIMITS), "{number}");
        }
        assert!(!deliveries.observe(MANY, fresh(2, 51), LIMITS));
        for number in MANY - 20..=MANY {
            let of_run = number - (MANY - 21);
            assert!(deliveries.observe(number, again(3, of_run), LIMITS), "{number}");
        }
        // By the second one, late, and by one that was not heard of yet.
        assert!(deliveries.observe(MANY - 1, fresh(2, 50), LIMITS));
        let unheard = Receiving {
            at_ms: 0,
            ..fresh(4, 1)
        };
        assert!(deliveries.observe(MANY - 2, unheard, LIMITS));
        assert!(!deliveries.observe(MANY - 3, fresh(5, 1), LIMITS), "a new one");
    }

    /// The same device says the same thing all day, and packet identifiers come round.
    #[test]
    fn a_packet_identifier_used_again_is_another_delivery() {
        let mut deliveries = RecentDeliveries::default();
        let fingerprint = |number: u64| number % 65_535;
        for number in 0..70_000 {
            deliveries.observe(fingerprint(number), fresh(1, number), LIMITS);
        }
        // The next ones were on their way when the process died, and are in no log.
        for number in 70_000..70_100 {
            let known = deliveries.observe(fingerprint(number), again(2, number - 70_000), LIMITS);
            assert!(!known, "{number}");
        }
        assert!(deliveries.observe(fingerprint(69_999), again(2, 200), LIMITS));
        // So late nothing comes that was on its way before.
        assert!(!deliveries.observe(fingerprint(69_998), again(2, 65_000), LIMITS));
    }

    /// A process that is killed again and again, each time after some thousand messages.
    #[test]
    fn a_packet_identifier_used_again_some_processes_later_is_another_delivery() {
        const PER_RUN: u64 = 13_107;
        let (mut deliveries, mut number) = (RecentDeliveries::default(), 0_u64);
        let mut receive = |run: u64, redelivered: bool| {
            for of_run in 1..=PER_RUN {
                let receiving = Receiving {
                    redelivered,
                    ..fresh(run, of_run)
                };
                let known = deliveries.observe(number % 65_535, receiving, LIMITS);
                assert!(!known, "{of_run} of {run}");
                number += 1;
            }
        };
        (1..=5).for_each(|run| receive(run, false));
        // What the log never got of the last process: never counted, though marked as sent before.
        receive(6, true);
        // Another client has nothing to do with the distance.
        let elsewhere = Receiving {
            client: 2,
            ..fresh(7, 1_000_000)
        };
        deliveries.observe(999_999, elsewhere, LIMITS);
        let last = (number - 1) % 65_535;
        assert!(deliveries.observe(last, again(8, 1), LIMITS));
    }

    #[test]
    fn clients_are_forgotten_with_the_last_of_their_runs() {
        let of_client = |client: u64, run: u64| Receiving {
            client,
            ..fresh(run, 5)
        };
        let mut deliveries = RecentDeliveries::default();
        for run in 0..2 * RECEIVING_RUNS_MAX as u64 {
            deliveries.observe(run, of_client(run + 1, run), LIMITS);
        }
        assert_eq!(deliveries.runs.len(), RECEIVING_RUNS_MAX);
        assert_eq!(deliveries.totals.len(), RECEIVING_RUNS_MAX);
        // One that connects again and again pushes out its own, and keeps the last two: what the one before brought may come
        // again.
        let one = 2 * RECEIVING_RUNS_MAX as u64;
        for run in one + 1..2 * one {
            deliveries.observe(run, of_client(one, run), LIMITS);
        }
        assert_eq!(deliveries.runs.len(), RECEIVING_RUNS_MAX);
        assert_eq!(deliveries.totals.len(), RECEIVING_RUNS_MAX - 1);
    }

    #[test]
    fn a_checkpoint_restores_the_same_deliveries() {
        let mut deliveries = RecentDeliveries::default();
        for number in 0..80 {
            deliveries.observe(number * 31, fresh(3, number), LIMITS);
        }
        let mut restored = RecentDeliveries::from(RecentDeliveriesV2::from(&deliveries));
        assert_eq!(restored.len(), deliveries.len());
        assert!(restored.observe(31, again(4, 1), LIMITS));
    }

    #[test]
    fn what_was_on_its_way_is_known_across_the_first_version_of_a_checkpoint() {
        let received = |run, number| ReceivingV1 { run, number };
        let mut deliveries = RecentMap::default();
        for number in 0..70_000 {
            let (clock_ms, limits) = LIMITS;
            deliveries.put(number % 65_535, received(3, number), clock_ms, limits);
        }
        let first = RecentDeliveriesV1 {
            deliveries: RecentMapV1::from(&deliveries),
            runs: vec![received(3, 69_999)],
        };
        let mut restored = RecentDeliveries::from(RecentDeliveriesV2::from(first));
        assert!(restored.observe(69_990 % 65_535, again(4, 1), LIMITS));
        assert!(!restored.observe(10_000, again(4, 2), LIMITS), "long ago");
    }
}
