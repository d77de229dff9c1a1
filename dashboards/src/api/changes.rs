//! When what was last changed, as notices tell: by this, answers that are kept in memory are known to hold still.
//!
//! Pure but for a lock. Kept by tenant, metric and stored level, for each of the latest buckets that changed; all earlier ones
//! of a level count as one. Where there are too many, everything counts as changed. Must never forget a change.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use geocache::{Batch, Place};
use tokio::time::Instant;

use super::{
    arrivals::{Arrivals, Reach},
    whole::{LevelName, Whole},
};
use crate::{StoredLevel, limits};

/// What changed when, counted in batches.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    state: Mutex<State>,
}

/// Tenant (the empty one is all of them), metric, period and resolution.
type Key = (String, String, u32, u8);

#[derive(Debug, Default)]
struct State {
    /// None: nobody tells.
    now: Option<u64>,
    /// The last change of all that is not in `levels`.
    floor: u64,
    levels: HashMap<Key, Touched>,
    /// Buckets in all of `levels`.
    bucket_count: usize,
    arrivals: HashMap<String, Arrivals>,
    whole: Whole,
}

/// The last changes of a level.
#[derive(Debug, Default)]
struct Touched {
    /// Of all buckets before those that are named.
    before: u64,
    /// By their start.
    buckets: BTreeMap<u32, u64>,
}

impl Changes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a batch. Does nothing while changes may be missed.
    pub(crate) fn told(&self, batch: &Batch) {
        let mut state = self.state();
        let Some(now) = state.now.as_mut().map(|now| {
            *now += 1;
            *now
        }) else {
            return;
        };
        for group in &batch.groups {
            for tenant in [&*group.place.tenant, ""] {
                state.mark(tenant, &group.place, now);
            }
        }
        let told_at = Instant::now();
        for (tenant, newest_ms) in &batch.newest_ms {
            for tenant in [&**tenant, ""] {
                state.see(tenant, *newest_ms, now, told_at);
            }
        }
        state.whole.tell(batch, now);
        if state.bucket_count > limits::CHANGED_BUCKETS_MAX {
            state.forget();
        }
    }

    /// Changes may have been missed, and are told from now on: everything counts as changed.
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        state.now = Some(state.now.map_or(state.floor, |now| now) + 1);
        state.forget_arrivals();
        state.forget();
    }

    /// Nobody tells any more.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.floor = state.now.take().unwrap_or(state.floor);
        state.forget_arrivals();
        state.forget_levels();
    }

    /// The last change of a range of whole buckets, in Unix seconds; none while nobody tells. As long as it stays the same,
    /// so does what is stored of the range.
    pub(crate) fn version(&self, tenant: &str, metric: &str, level: &StoredLevel, range: Range<u32>) -> Option<u64> {
        let state = self.state();
        state.now?;
        let key = (
            tenant.to_owned(),
            metric.to_owned(),
            level.period_seconds,
            level.resolution,
        );
        let last = state.levels.get(&key).map_or(0, |touched| touched.last(range));
        Some(last.max(state.floor))
    }

    /// True while somebody tells.
    pub(crate) fn are_told(&self) -> bool {
        self.state().now.is_some()
    }

    /// How far the events of a tenant reach that were told since changes are told, and how far a level has them; none where
    /// none were.
    pub(crate) fn reach(&self, tenant: &str, level: LevelName) -> Option<Reach> {
        let state = self.state();
        let arrivals = state.arrivals.get(tenant)?;
        Some(arrivals.reach(state.whole.until(level)))
    }
}

impl Touched {
    fn last(&self, range: Range<u32>) -> u64 {
        let begins_before = self.buckets.keys().next().is_none_or(|first| range.start < *first);
        let before = if begins_before { self.before } else { 0 };
        self.buckets
            .range(range)
            .map(|(_, version)| *version)
            .fold(before, u64::max)
    }

    /// Takes note of a change; returns by how many the named buckets have become more.
    fn mark(&mut self, bucket: u32, now: u64) -> usize {
        let is_new = self.buckets.insert(bucket, now).is_none();
        if self.buckets.len() <= limits::CHANGED_BUCKETS_OF_LEVEL_MAX {
            return usize::from(is_new);
        }
        if let Some((_, version)) = self.buckets.pop_first() {
            self.before = self.before.max(version);
        }
        0
    }
}

impl State {
    fn mark(&mut self, tenant: &str, place: &Place, now: u64) {
        let key = (
            tenant.to_owned(),
            (*place.metric).to_owned(),
            place.period_seconds,
            place.resolution,
        );
        self.bucket_count += self.levels.entry(key).or_default().mark(place.bucket_seconds, now);
    }

    fn see(&mut self, tenant: &str, newest_ms: i64, batch: u64, told_at: Instant) {
        if let Some(arrivals) = self.arrivals.get_mut(tenant) {
            arrivals.see(newest_ms, batch, told_at);
        } else if self.arrivals.len() < limits::TOLD_TENANTS_MAX {
            let arrivals = self.arrivals.entry(tenant.to_owned()).or_default();
            arrivals.see(newest_ms, batch, told_at);
        }
    }

    fn forget_arrivals(&mut self) {
        self.arrivals.clear();
        self.whole = Whole::default();
    }

    fn forget(&mut self) {
        self.floor = self.now.unwrap_or(self.floor);
        self.forget_levels();
    }

    fn forget_levels(&mut self) {
        self.levels.clear();
        self.bucket_count = 0;
    }
}

#[cfg(test)]
mod tests {
    use geocache::Group;

    use super::*;

    const MINUTES: StoredLevel = StoredLevel {
        period_seconds: 60,
        resolution: 9,
        flush_interval_ms: 1_000,
    };

    fn batch(tenant: &str, bucket_seconds: u32) -> Batch {
        let place = Place {
            bucket_seconds,
            period_seconds: 60,
            resolution: 9,
            tenant: tenant.into(),
            metric: "speed".into(),
        };
        Batch {
            groups: vec![Group {
                place,
                snapshots: Vec::new(),
            }],
            newest_ms: vec![(tenant.into(), 5)],
            ..Batch::default()
        }
    }

    #[test]
    fn a_change_is_one_of_its_bucket_its_tenant_and_all_tenants() {
        let changes = Changes::default();
        let version = |tenant: &str, range: Range<u32>| changes.version(tenant, "speed", &MINUTES, range);
        assert_eq!(version("a", 0..7_200), None, "nobody tells yet");
        changes.told(&batch("a", 60));
        assert_eq!(version("a", 0..7_200), None);
        changes.begin();
        let before = version("a", 0..7_200);
        assert!(before.is_some());
        changes.told(&batch("a", 3_660));
        let after = version("a", 3_660..3_720);
        assert!(after > before && version("", 0..7_200) == after && version("a", 0..3_720) == after);
        assert_eq!((version("a", 0..3_660), version("a", 3_720..7_200)), (before, before));
        assert_eq!(version("b", 0..7_200), before);
        let hours = StoredLevel {
            period_seconds: 3_600,
            ..MINUTES
        };
        assert_eq!(changes.version("a", "speed", &hours, 0..7_200), before);
        let newest_ms = |tenant: &str| changes.reach(tenant, (60, 9)).and_then(|reach| reach.newest_ms);
        assert_eq!(
            (newest_ms("a"), newest_ms(""), newest_ms("b")),
            (Some(5), Some(5), None)
        );
        // Whatever happened meanwhile, nothing that was known before holds.
        changes.end();
        assert_eq!((version("a", 0..7_200), newest_ms("a")), (None, None));
        changes.begin();
        assert!(version("b", 0..60) > after);
    }

    #[test]
    fn a_late_change_of_a_bucket_that_is_not_named_any_more_counts_for_all_of_those() {
        let changes = Changes::default();
        let version = |range: Range<u32>| changes.version("a", "speed", &MINUTES, range);
        changes.begin();
        let count = limits::CHANGED_BUCKETS_OF_LEVEL_MAX as u32;
        for minute in 10..10 + count {
            changes.told(&batch("a", minute * 60));
        }
        let (old, recent) = (version(0..300), version(600..660));
        changes.told(&batch("a", 60));
        assert!(version(0..300) > old, "the bucket itself");
        assert!(version(300..360) > old, "whatever is as old");
        assert_eq!(version(600..660), recent, "and nothing else");
        // The newest bucket pushes out the oldest one, whose change is not forgotten.
        changes.told(&batch("a", (10 + count) * 60));
        assert!(version(600..660) >= recent);
        assert_eq!(version((10 + count) * 60..u32::MAX), version(0..u32::MAX));
    }

    #[test]
    fn too_many_buckets_are_forgotten_as_changed() {
        let changes = Changes::default();
        changes.begin();
        let before = changes.version("a", "speed", &MINUTES, 0..60);
        for tenant in 0..=limits::CHANGED_BUCKETS_MAX {
            changes.told(&batch(&tenant.to_string(), 60));
        }
        assert!(changes.version("a", "speed", &MINUTES, 0..60) > before);
        assert!(changes.state().bucket_count <= limits::CHANGED_BUCKETS_MAX);
    }
}
