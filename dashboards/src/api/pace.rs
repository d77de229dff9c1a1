//! Whether the store keeps up, and for whom: from how long queries took lately, and how many wait.
//!
//! Pure: time comes as an argument. *Lite mode* is for the share whose own queries are slow: whoever asks much waits for
//! itself. It is for everybody while queries are slow even without those of the slowest share, or many wait. It begins at
//! once and ends only after a calm while, so that it does not flicker. Queries that are old say nothing.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use crate::limits;

/// What is known of the store.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    everybody: Mode,
    shares: HashMap<String, Share>,
    /// Queries of nobody in particular: without credentials, and of shares that do not fit in.
    others: Recent,
}

#[derive(Debug, Default)]
struct Share {
    recent: Recent,
    mode: Mode,
}

#[derive(Debug, Default)]
struct Mode {
    is_lite: bool,
    calm_since: Option<Duration>,
}

/// Queries of late: when each ended, and all of them counted.
#[derive(Debug, Default)]
struct Recent {
    ended: VecDeque<(Duration, Count)>,
    count: Count,
}

/// How many queries took how long. The one with the most slow ones is the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    slow: usize,
    not_quick: usize,
    all: usize,
}

/// What a mode follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strain {
    Calm,
    /// Not enough to begin lite mode, and too much to end it.
    Some,
    Much,
}

impl Pace {
    /// A query of a share has ended; one without a name is nobody's.
    pub(crate) fn ended(&mut self, share: &str, now: Duration, took: Duration) {
        let is_told_apart = self.shares.contains_key(share) || self.shares.len() < limits::LITE_SHARES_MAX;
        let recent = match !share.is_empty() && is_told_apart {
            true => &mut self.shares.entry(share.to_owned()).or_default().recent,
            false => &mut self.others,
        };
        recent.add(now, took);
    }

    /// Whether to answer a share coarser, while so many wait.
    pub(crate) fn is_lite(&mut self, share: &str, now: Duration, waiting: usize) -> bool {
        self.look(now, waiting);
        self.everybody.is_lite || self.shares.get(share).is_some_and(|share| share.mode.is_lite)
    }

    /// Whether everybody is answered coarser, and how many shares are for their own queries.
    pub(crate) fn lite(&mut self, now: Duration, waiting: usize) -> (bool, usize) {
        self.look(now, waiting);
        let shares = self.shares.values().filter(|share| share.mode.is_lite);
        (self.everybody.is_lite, shares.count())
    }

    fn look(&mut self, now: Duration, waiting: usize) {
        let (mut all, mut slowest) = (self.others.count(now), Count::default());
        self.shares.retain(|_, share| {
            let count = share.recent.count(now);
            share.mode.follow(now, count.strain());
            all.add(count);
            slowest = slowest.max(count);
            count.all > 0 || share.mode.is_lite
        });
        all.subtract(slowest);
        let queue = match waiting {
            limits::LITE_QUEUE_LONG.. => Strain::Much,
            waiting if waiting > limits::LITE_QUEUE_SHORT => Strain::Some,
            _ => Strain::Calm,
        };
        self.everybody.follow(now, all.strain().max(queue));
    }
}

impl Mode {
    fn follow(&mut self, now: Duration, strain: Strain) {
        match strain {
            Strain::Much => {
                self.is_lite = true;
                self.calm_since = None;
            }
            Strain::Some => self.calm_since = None,
            Strain::Calm => {
                let calm_since = *self.calm_since.get_or_insert(now);
                self.is_lite &= now < calm_since + limits::LITE_CALM;
            }
        }
    }
}

impl Recent {
    fn add(&mut self, now: Duration, took: Duration) {
        if self.ended.len() == limits::LITE_QUERIES_MAX {
            self.remove_oldest();
        }
        let one = Count {
            slow: usize::from(took > limits::LITE_SLOW),
            not_quick: usize::from(took > limits::LITE_QUICK),
            all: 1,
        };
        self.ended.push_back((now, one));
        self.count.add(one);
    }

    fn count(&mut self, now: Duration) -> Count {
        let is_old = |(ended, _): &(Duration, Count)| *ended + limits::LITE_WINDOW < now;
        while self.ended.front().is_some_and(is_old) {
            self.remove_oldest();
        }
        self.count
    }

    fn remove_oldest(&mut self) {
        if let Some((_, one)) = self.ended.pop_front() {
            self.count.subtract(one);
        }
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.slow += other.slow;
        self.not_quick += other.not_quick;
        self.all += other.all;
    }

    fn subtract(&mut self, other: Self) {
        self.slow -= other.slow;
        self.not_quick -= other.not_quick;
        self.all -= other.all;
    }

    /// By what more than one of twenty took; few queries say nothing.
    fn strain(self) -> Strain {
        let is_common = |count: usize| self.all >= limits::LITE_QUERIES_MIN && count * 20 > self.all;
        match (is_common(self.slow), is_common(self.not_quick)) {
            (true, _) => Strain::Much,
            (false, true) => Strain::Some,
            (false, false) => Strain::Calm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: &str = "";

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// So many queries of a share end, each after so long.
    fn ask(pace: &mut Pace, share: &str, count: usize, at: f64, took: f64) {
        for _ in 0..count {
            pace.ended(share, seconds(at), seconds(took));
        }
    }

    #[test]
    fn it_begins_when_one_of_twenty_is_slow_and_ends_after_a_calm_while() {
        for share in [NOBODY, "acme"] {
            let mut pace = Pace::default();
            ask(&mut pace, share, 20, 0.0, 0.01);
            assert!(!pace.is_lite(share, seconds(1.0), 0));
            ask(&mut pace, share, 1, 1.0, 3.0);
            assert!(!pace.is_lite(share, seconds(1.0), 0), "one of them may be bad luck");
            ask(&mut pace, share, 1, 1.0, 3.0);
            assert!(pace.is_lite(share, seconds(1.0), 0));
            // Neither slow nor quick: it stays as it is.
            ask(&mut pace, share, limits::LITE_QUERIES_MAX, 2.0, 1.5);
            assert!(pace.is_lite(share, seconds(20.0), 0));
            ask(&mut pace, share, limits::LITE_QUERIES_MAX, 21.0, 0.01);
            assert!(pace.is_lite(share, seconds(21.0), 0) && pace.is_lite(share, seconds(30.9), 0));
            assert!(!pace.is_lite(share, seconds(31.1), 0));
            assert!(!pace.is_lite(share, seconds(32.0), 0));
        }
    }

    #[test]
    fn a_share_whose_queries_are_slow_is_alone_with_that() {
        let mut pace = Pace::default();
        ask(&mut pace, "greedy", limits::LITE_QUERIES_MAX, 0.0, 10.0);
        ask(&mut pace, "modest", 20, 0.0, 0.1);
        assert!(pace.is_lite("greedy", seconds(1.0), 0));
        assert!(!pace.is_lite("modest", seconds(1.0), 0) && !pace.is_lite("new", seconds(1.0), 0));
        assert_eq!(pace.lite(seconds(1.0), 0), (false, 1));
        assert!(!pace.is_lite(NOBODY, seconds(1.0), 0));
    }

    #[test]
    fn what_several_shares_wait_for_is_the_store() {
        let mut pace = Pace::default();
        ask(&mut pace, "greedy", limits::LITE_QUERIES_MAX, 0.0, 10.0);
        // Each of them asks too little to be judged alone.
        for share in 0..20 {
            ask(&mut pace, &share.to_string(), 1, 0.0, 0.1);
        }
        assert_eq!(pace.lite(seconds(1.0), 0), (false, 1));
        for share in 0..2 {
            ask(&mut pace, &share.to_string(), 1, 1.0, 3.0);
        }
        assert_eq!(pace.lite(seconds(1.0), 0), (true, 1));
        assert!(pace.is_lite("new", seconds(1.0), 0));
        // They are forgotten, and it ends for everybody.
        assert_eq!(pace.lite(seconds(40.0), 0), (true, 1));
        assert_eq!(pace.lite(seconds(50.0), 0), (false, 0));
    }

    #[test]
    fn a_long_queue_begins_it_for_everybody_and_any_queue_keeps_it() {
        let mut pace = Pace::default();
        let mut is_lite = |at: f64, waiting| pace.is_lite("acme", seconds(at), waiting);
        assert!(!is_lite(0.0, limits::LITE_QUEUE_LONG - 1));
        assert!(is_lite(1.0, limits::LITE_QUEUE_LONG));
        assert!(is_lite(60.0, limits::LITE_QUEUE_SHORT + 1));
        assert!(is_lite(61.0, 0));
        assert!(is_lite(70.0, limits::LITE_QUEUE_SHORT));
        assert!(!is_lite(71.0, 0));
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut pace = Pace::default();
        ask(&mut pace, NOBODY, 20, 0.0, 9.0);
        assert!(pace.is_lite(NOBODY, seconds(1.0), 0));
        assert!(pace.is_lite(NOBODY, seconds(31.0), 0));
        assert!(
            !pace.is_lite(NOBODY, seconds(41.1), 0),
            "nobody asked since, and nobody is kept waiting"
        );
    }

    #[test]
    fn many_shares_need_bounded_memory_and_those_that_do_not_fit_in_are_nobody_in_particular() {
        let mut pace = Pace::default();
        for share in 0..limits::LITE_SHARES_MAX + 20 {
            ask(&mut pace, &share.to_string(), 200, 0.0, 0.1);
        }
        assert_eq!(pace.shares.len(), limits::LITE_SHARES_MAX);
        let kept = pace.shares.values().map(|share| &share.recent).chain([&pace.others]);
        assert!(
            kept.into_iter()
                .all(|recent| recent.ended.len() == limits::LITE_QUERIES_MAX)
        );
        // When the others are silent, there is room again.
        assert_eq!(pace.lite(seconds(31.0), 0), (false, 0));
        assert_eq!(pace.shares.len(), 0);
        ask(&mut pace, "late", 20, 31.0, 3.0);
        assert!(pace.is_lite("late", seconds(31.0), 0) && !pace.is_lite("0", seconds(31.0), 0));
    }
}
