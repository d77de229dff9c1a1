//! How often somebody may ask: so many requests at once, and so many each second after that.
//!
//! Pure: time comes as an argument. Keeps one moment for each client: when it would have been through if it had kept to the
//! rate. Must never need more memory the more clients there are: those who do not fit in share one place.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// On average, in the long run.
    pub per_second: u32,
    /// At once, by who was silent before.
    pub at_once: u32,
}

/// Where each client is.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    interval: Duration,
    tolerance: Duration,
    clients: HashMap<K, Duration>,
    clients_max: usize,
    /// Of all who do not fit in.
    others: Duration,
    swept_at: Duration,
}

/// Pause between two looks for clients that can be forgotten, while there are too many.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

impl<K: Eq + Hash> Buckets<K> {
    pub(crate) fn new(rate: Rate, clients_max: usize) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.max(1);
        Self {
            interval,
            tolerance: interval * rate.at_once.max(1),
            clients: HashMap::new(),
            clients_max,
            others: Duration::ZERO,
            swept_at: Duration::ZERO,
        }
    }

    /// Counts one request; or says how long to wait for it.
    pub(crate) fn take(&mut self, client: K, now: Duration) -> Result<(), Duration> {
        let (interval, tolerance) = (self.interval, self.tolerance);
        let through_at = self.place(client, now);
        let next = (*through_at).max(now) + interval;
        match next.checked_sub(now + tolerance) {
            Some(wait) if wait > Duration::ZERO => Err(wait),
            _ => {
                *through_at = next;
                Ok(())
            }
        }
    }

    fn place(&mut self, client: K, now: Duration) -> &mut Duration {
        let is_full = self.clients.len() >= self.clients_max;
        if is_full && !self.clients.contains_key(&client) {
            if now >= self.swept_at + SWEEP_PAUSE {
                self.swept_at = now;
                // Who is through has nothing to be remembered.
                self.clients.retain(|_, through_at| *through_at > now);
            }
            if self.clients.len() >= self.clients_max {
                return &mut self.others;
            }
        }
        self.clients.entry(client).or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        at_once: 5,
    };

    #[test]
    fn so_many_at_once_and_then_at_the_rate() {
        let mut buckets = Buckets::new(RATE, 8);
        let start = Duration::from_secs(100);
        assert!((0..5).all(|_| buckets.take("a", start).is_ok()));
        assert_eq!(buckets.take("a", start), Err(Duration::from_millis(100)));
        assert!(buckets.take("b", start).is_ok(), "another client is another count");
        assert_eq!(
            buckets.take("a", start + Duration::from_millis(60)),
            Err(Duration::from_millis(40))
        );
        assert!(buckets.take("a", start + Duration::from_millis(100)).is_ok());
        assert!(buckets.take("a", start + Duration::from_millis(100)).is_err());
    }

    proptest! {
        #[test]
        fn no_window_lets_more_through_than_was_said(
            per_second in 1_u32..50,
            at_once in 1_u32..20,
            pauses_ms in prop::collection::vec(0_u64..300, 1..200),
        ) {
            let mut buckets = Buckets::new(Rate { per_second, at_once }, 4);
            let (mut now, mut passed) = (Duration::from_secs(5), Vec::new());
            for pause_ms in pauses_ms {
                now += Duration::from_millis(pause_ms);
                if buckets.take(0, now).is_ok() {
                    passed.push(now);
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let most = f64::from(at_once) + (*to - *from).as_secs_f64() * f64::from(per_second) + 1e-6;
                    prop_assert!((last - first + 1) as f64 <= most, "{from:?} {to:?}");
                }
            }
        }

        #[test]
        fn who_waits_as_told_is_let_through(asks in prop::collection::vec((0_u8..3, 0_u64..50), 1..200)) {
            let mut buckets = Buckets::new(RATE, 4);
            let mut now = Duration::ZERO;
            for (client, pause_ms) in asks {
                now += Duration::from_millis(pause_ms);
                if let Err(wait) = buckets.take(client, now) {
                    prop_assert!(wait <= Duration::from_millis(100));
                    now += wait;
                    prop_assert_eq!(buckets.take(client, now), Ok(()));
                }
            }
        }

        #[test]
        fn who_keeps_to_the_rate_is_never_refused(jitters_ms in prop::collection::vec(0_u64..400, 1..200)) {
            // One each tenth of a second, each up to four turns late: five at once are allowed.
            let turns = (0_u64..).zip(&jitters_ms);
            let mut times: Vec<u64> = turns.map(|(turn, jitter_ms)| turn * 100 + jitter_ms).collect();
            times.sort_unstable();
            let mut buckets = Buckets::new(RATE, 4);
            for time_ms in times {
                prop_assert!(buckets.take(0, Duration::from_millis(time_ms)).is_ok());
            }
        }

        #[test]
        fn many_clients_need_no_more_memory_and_get_no_more_than_one_place(clients in prop::collection::vec(any::<u32>(), 1..500)) {
            let mut buckets = Buckets::new(RATE, 16);
            let now = Duration::from_secs(1);
            let passed = clients.iter().filter(|client| buckets.take(**client, now).is_ok()).count();
            prop_assert!(buckets.clients.len() <= 16);
            prop_assert!(passed <= 17 * 5);
            // When they are through, there is room again.
            let later = now + Duration::from_secs(60);
            prop_assert!(buckets.take(7, later).is_ok() && buckets.clients.contains_key(&7));
        }
    }
}
