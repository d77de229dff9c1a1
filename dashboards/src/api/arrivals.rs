//! How far the events of a tenant reach, and how far levels have them.
//!
//! What arrives late arrives fast: hours of events within a second, after an outage or from a device that was out of reach.
//! Rollups wait by the clock on the wall, so that an event time says nothing about them until the level is known to have
//! what was told with it. Pure.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::view::TimeRange;
use crate::limits;

/// How long a change waits until it can be read, where it is flushed at this interval: only a guess, for where nobody
/// tells.
pub(crate) fn wait_max(flush_interval_ms: u64) -> Duration {
    Duration::from_millis(flush_interval_ms) + limits::FLUSH_TIME
}

/// How far a tenant's events reach, and how far a level that is flushed now and then has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// The newest event time; none before the first event.
    pub(crate) newest_ms: Option<i64>,
    /// What is newer came just now, and may still wait; none where that is so of all that is known.
    settled_ms: Option<i64>,
}

impl Reach {
    /// As the store says it, and somebody told it: what is known to have settled by either has.
    pub(crate) fn stored(newest_ms: Option<i64>, settled_ms: Option<i64>, told: Option<Self>) -> Self {
        let settled_ms = settled_ms.max(told.and_then(|told| told.settled_ms));
        Self { newest_ms, settled_ms }
    }

    /// The same of what holds still, where this was told meanwhile.
    pub(crate) fn and_told(self, told: Option<Self>) -> Self {
        let newest_ms = told.and_then(|told| told.newest_ms);
        Self::stored(self.newest_ms.max(newest_ms), self.settled_ms, told)
    }

    /// The event time up to which the level has everything, if events come as they happen.
    pub(crate) fn fresh_ms(self, flush_interval_ms: u64) -> Option<i64> {
        self.newest_ms
            .map(|newest_ms| newest_ms.saturating_sub_unsigned(flush_interval_ms))
    }

    /// True when only late events change a range of such a level.
    pub(crate) fn completes(self, range: TimeRange, flush_interval_ms: u64, now_ms: i64) -> bool {
        let is_settled = range.is_before(self.settled_ms);
        is_settled && range.is_complete(self.fresh_ms(flush_interval_ms), now_ms)
    }
}

/// Newest event times as they were told, each newer than the one before.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    all: VecDeque<Arrival>,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    began_at: Instant,
    /// The last batch that is in this.
    batch: u64,
    newest_ms: i64,
}

impl Arrivals {
    /// The newest event time that was told, and the one of which a level has everything that has what was told until this
    /// batch.
    pub(crate) fn reach(&self, batch: u64) -> Reach {
        let settled = self.all.iter().rev().find(|arrival| arrival.batch <= batch);
        Reach {
            newest_ms: self.all.back().map(|arrival| arrival.newest_ms),
            settled_ms: settled.map(|arrival| arrival.newest_ms),
        }
    }

    /// Takes note of an event time. What is not newer than others changes nothing.
    pub(crate) fn see(&mut self, newest_ms: i64, batch: u64, now: Instant) {
        match self.all.back_mut() {
            Some(last) if newest_ms <= last.newest_ms => {}
            Some(last) if now - last.began_at < limits::ARRIVAL_LASTS => {
                last.batch = batch;
                last.newest_ms = newest_ms;
            }
            _ => self.all.push_back(Arrival {
                began_at: now,
                batch,
                newest_ms,
            }),
        }
        if self.all.len() > limits::ARRIVALS_MAX {
            self.all.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_settled_once_a_level_has_it() {
        let (mut arrivals, began) = (Arrivals::default(), Instant::now());
        let found = |arrivals: &Arrivals, batch| {
            let reach = arrivals.reach(batch);
            (reach.newest_ms, reach.settled_ms)
        };
        assert_eq!(found(&arrivals, 9), (None, None));
        arrivals.see(1_000, 1, began);
        arrivals.see(900, 2, began + Duration::from_secs(1));
        assert_eq!(found(&arrivals, 0), (Some(1_000), None));
        assert_eq!(found(&arrivals, 1), (Some(1_000), Some(1_000)));
        // A backlog of an hour within a fifth of a second.
        arrivals.see(2_000_000, 3, began + Duration::from_secs(2));
        arrivals.see(3_600_000, 4, began + Duration::from_millis(2_200));
        assert_eq!(found(&arrivals, 3), (Some(3_600_000), Some(1_000)));
        assert_eq!(found(&arrivals, 4), (Some(3_600_000), Some(3_600_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_is_complete_once_what_reaches_its_end_is_settled() {
        let hour = TimeRange { from: 0, to: 3_600 };
        let completes = |reach: Reach| reach.completes(hour, 5_000, 3_700_000);
        let newest_ms = Some(3_605_000);
        assert!(completes(Reach::stored(newest_ms, Some(3_600_000), None)));
        let early = Reach::stored(Some(3_604_999), Some(3_600_000), None);
        assert!(!completes(early), "a change of before may wait");
        let too_early = Reach::stored(Some(3_604_999), Some(3_599_999), None);
        let just_received = Reach::stored(newest_ms, Some(3_599_999), None);
        assert!(!completes(just_received) && !completes(just_received.and_told(None)));
        let (mut arrivals, began) = (Arrivals::default(), Instant::now());
        arrivals.see(3_605_000, 7, began);
        for (batch, is_complete) in [(0, false), (6, false), (7, true)] {
            let told = Some(arrivals.reach(batch));
            for reach in [just_received, too_early] {
                assert_eq!(completes(reach.and_told(told)), is_complete, "until {batch}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_tells_without_a_pause_settles_all_the_same_in_bounded_memory() {
        let (mut arrivals, began) = (Arrivals::default(), Instant::now());
        for batch in 0..60_000 {
            let ms = 10 * batch;
            arrivals.see(ms as i64, batch, began + Duration::from_millis(ms));
        }
        let settled_ms = arrivals.reach(59_300).settled_ms.unwrap();
        assert!((592_000..=593_000).contains(&settled_ms), "{settled_ms}");
        assert!(arrivals.all.len() <= limits::ARRIVALS_MAX);
    }
}
