//! What is remembered of the newest entries, bounded in count and age, without a queue beside it.
//!
//! Entries live in two generations. When the young one is full, or old by the log clock, it becomes the old one and
//! the former old one is forgotten. So between N/2 and N of the newest entries are known at any time, and nothing but
//! the order of entries and the log clock decides.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// Fingerprints are uniform already: hashing them again would be work for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only 64 bit fingerprints are hashed");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Entries<V> = HashMap<u64, V, BuildHasherDefault<Identity>>;

/// The newest fingerprints of a partition, each with what is remembered of it.
#[derive(Clone, Debug)]
pub struct RecentMap<V> {
    young: Entries<V>,
    old: Entries<V>,
    /// Log clock when the young generation began.
    young_since_ms: i64,
}

/// The newest fingerprints of a partition, at 9 to 18 bytes each.
pub type RecentSet = RecentMap<()>;

/// Bounds of a [`RecentMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentLimits {
    /// Most entries known at any time.
    pub count_max: usize,
    /// Entries are known at least this long by the log clock, unless the count forces them out.
    pub age_ms: i64,
}

impl<V> Default for RecentMap<V> {
    fn default() -> Self {
        Self {
            young: Entries::default(),
            old: Entries::default(),
            young_since_ms: 0,
        }
    }
}

impl<V: Copy> RecentMap<V> {
    /// What is remembered of a fingerprint.
    #[must_use]
    pub fn get(&self, fingerprint: u64) -> Option<V> {
        self.young
            .get(&fingerprint)
            .or_else(|| self.old.get(&fingerprint))
            .copied()
    }

    /// Remembers a fingerprint as the newest one.
    pub fn put(&mut self, fingerprint: u64, value: V, log_clock_ms: i64, limits: RecentLimits) {
        let full = self.young.len() >= limits.count_max / 2;
        let aged = log_clock_ms.saturating_sub(self.young_since_ms) >= limits.age_ms;
        if full || aged {
            self.old = std::mem::take(&mut self.young);
            self.young_since_ms = log_clock_ms;
        }
        self.young.insert(fingerprint, value);
    }

    /// Number of fingerprints known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// True when none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl RecentSet {
    /// Remembers a fingerprint; true when it was known.
    pub fn insert(&mut self, fingerprint: u64, log_clock_ms: i64, limits: RecentLimits) -> bool {
        let is_known = self.contains(fingerprint);
        if !is_known {
            self.put(fingerprint, (), log_clock_ms, limits);
        }
        is_known
    }

    /// True when the fingerprint is known.
    #[must_use]
    pub fn contains(&self, fingerprint: u64) -> bool {
        self.get(fingerprint).is_some()
    }
}

/// A [`RecentMap`] in a checkpoint: sorted, so that equal maps have equal bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RecentMapV1<V> {
    young: Vec<(u64, V)>,
    old: Vec<(u64, V)>,
    young_since_ms: i64,
}

/// A [`RecentSet`] in a checkpoint.
pub type RecentSetV1 = RecentMapV1<()>;

impl<V> RecentMapV1<V> {
    /// The same map with other values.
    pub fn map<W>(self, other: impl Fn(V) -> W) -> RecentMapV1<W> {
        let map = |entries: Vec<(u64, V)>| entries.into_iter().map(|(key, value)| (key, other(value))).collect();
        RecentMapV1 {
            young: map(self.young),
            old: map(self.old),
            young_since_ms: self.young_since_ms,
        }
    }
}

impl<V: Copy> From<&RecentMap<V>> for RecentMapV1<V> {
    fn from(map: &RecentMap<V>) -> Self {
        let sorted = |entries: &Entries<V>| {
            let mut sorted: Vec<(u64, V)> = entries.iter().map(|(key, value)| (*key, *value)).collect();
            sorted.sort_unstable_by_key(|entry| entry.0);
            sorted
        };
        Self {
            young: sorted(&map.young),
            old: sorted(&map.old),
            young_since_ms: map.young_since_ms,
        }
    }
}

impl<V> From<RecentMapV1<V>> for RecentMap<V> {
    fn from(wire: RecentMapV1<V>) -> Self {
        #[cfg(feature = "sabotage")]
        if platform::sabotage::Rule::IdentitiesAreRestored.is_broken() {
            return Self::default();
        }
        Self {
            young: wire.young.into_iter().collect(),
            old: wire.old.into_iter().collect(),
            young_since_ms: wire.young_since_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RecentLimits = RecentLimits {
        count_max: 100,
        age_ms: 1_000,
    };

    #[test]
    fn at_least_half_of_the_bound_is_remembered_and_never_more_than_the_bound() {
        let mut set = RecentSet::default();
        for fingerprint in 0..10_000u64 {
            assert!(!set.insert(fingerprint, 0, LIMITS));
            assert!(set.len() <= 100);
            for recent in fingerprint.saturating_sub(49)..=fingerprint {
                assert!(set.contains(recent));
            }
        }
    }

    #[test]
    fn entries_are_known_for_their_age_and_forgotten_within_twice_of_it() {
        let mut set = RecentSet::default();
        assert!(!set.insert(7, 5_000, LIMITS));
        assert!(set.insert(7, 5_999, LIMITS));
        set.insert(8, 6_500, LIMITS);
        assert!(set.contains(7), "moved to the old generation, still known");
        set.insert(9, 7_600, LIMITS);
        assert!(!set.contains(7));
    }

    #[test]
    fn a_checkpoint_restores_the_same_set() {
        let mut set = RecentSet::default();
        (0..80).for_each(|fingerprint| {
            set.insert(fingerprint * 31, 0, LIMITS);
        });
        let restored = RecentSet::from(RecentSetV1::from(&set));
        assert_eq!((restored.young, restored.old), (set.young, set.old));
    }
}
