//! Whether the store keeps up: from how long queries took lately, and how many wait.
//!
//! Pure: time comes as an argument. *Lite mode* begins at once and ends only after a calm while, so that it does not
//! flicker. Queries that are old say nothing.

use std::{collections::VecDeque, time::Duration};

use crate::limits;

/// What is known of the store.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When each query ended and how long it took.
    recent: VecDeque<(Duration, Duration)>,
    is_lite: bool,
    calm_since: Option<Duration>,
}

impl Pace {
    /// A query has ended.
    pub(crate) fn ended(&mut self, now: Duration, took: Duration) {
        if self.recent.len() == limits::LITE_QUERIES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((now, took));
    }

    /// Whether to answer coarser, while so many wait.
    pub(crate) fn is_lite(&mut self, now: Duration, waiting: usize) -> bool {
        let slowest = self.slowest(now);
        let is_over = |bound: Duration| slowest.is_some_and(|slowest| slowest > bound);
        if is_over(limits::LITE_SLOW) || waiting >= limits::LITE_QUEUE_LONG {
            self.is_lite = true;
            self.calm_since = None;
        } else if is_over(limits::LITE_QUICK) || waiting > limits::LITE_QUEUE_SHORT {
            self.calm_since = None;
        } else {
            let calm_since = *self.calm_since.get_or_insert(now);
            self.is_lite &= now < calm_since + limits::LITE_CALM;
        }
        self.is_lite
    }

    /// What nineteen of twenty queries of late stayed below; none when there were too few.
    fn slowest(&mut self, now: Duration) -> Option<Duration> {
        while self
            .recent
            .front()
            .is_some_and(|(ended, _)| *ended + limits::LITE_WINDOW < now)
        {
            self.recent.pop_front();
        }
        if self.recent.len() < limits::LITE_QUERIES_MIN {
            return None;
        }
        let mut took: Vec<Duration> = self.recent.iter().map(|(_, took)| *took).collect();
        let rank = (took.len() * 95).div_ceil(100) - 1;
        Some(*took.select_nth_unstable(rank).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn it_begins_when_one_of_twenty_is_slow_and_ends_after_a_calm_while() {
        let mut pace = Pace::default();
        for turn in 0..20 {
            pace.ended(seconds(f64::from(turn) / 100.0), seconds(0.01));
        }
        assert!(!pace.is_lite(seconds(1.0), 0));
        pace.ended(seconds(1.0), seconds(3.0));
        assert!(!pace.is_lite(seconds(1.0), 0), "one of them may be bad luck");
        pace.ended(seconds(1.0), seconds(3.0));
        assert!(pace.is_lite(seconds(1.0), 0));
        // Neither slow nor quick: it stays as it is.
        for _ in 0..128 {
            pace.ended(seconds(2.0), seconds(1.5));
        }
        assert!(pace.is_lite(seconds(20.0), 0));
        for _ in 0..128 {
            pace.ended(seconds(21.0), seconds(0.01));
        }
        assert!(pace.is_lite(seconds(21.0), 0) && pace.is_lite(seconds(30.9), 0));
        assert!(!pace.is_lite(seconds(31.1), 0));
        assert!(!pace.is_lite(seconds(32.0), 0));
    }

    #[test]
    fn a_long_queue_begins_it_and_any_queue_keeps_it() {
        let mut pace = Pace::default();
        assert!(!pace.is_lite(seconds(0.0), limits::LITE_QUEUE_LONG - 1));
        assert!(pace.is_lite(seconds(1.0), limits::LITE_QUEUE_LONG));
        assert!(pace.is_lite(seconds(60.0), limits::LITE_QUEUE_SHORT + 1));
        assert!(pace.is_lite(seconds(61.0), 0));
        assert!(pace.is_lite(seconds(70.0), limits::LITE_QUEUE_SHORT));
        assert!(!pace.is_lite(seconds(71.0), 0));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.ended(seconds(0.0), seconds(9.0));
        }
        assert!(pace.is_lite(seconds(1.0), 0));
        assert!(pace.is_lite(seconds(31.0), 0));
        assert!(
            !pace.is_lite(seconds(41.1), 0),
            "nobody asked since, and nobody is kept waiting"
        );
    }
}
