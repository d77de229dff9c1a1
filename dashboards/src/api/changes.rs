//! When what was last changed, as notices tell: by this, answers that are kept in memory are known to hold still.
//!
//! Pure but for a lock. Kept by tenant, metric and hour of the bucket's start; where there are too many, everything counts
//! as changed. Must never forget a change.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use geocache::Batch;

use crate::limits;

const HOUR: u32 = 3_600;

/// What changed when, counted in batches.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// None: nobody tells.
    now: Option<u64>,
    /// The last change of all that is not in `hours`.
    floor: u64,
    /// By tenant, where the empty one is all of them, and metric: the last change by hour.
    hours: HashMap<(String, String), BTreeMap<u32, u64>>,
    hour_count: usize,
    newest_ms: HashMap<String, i64>,
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
            let hour = group.place.bucket_seconds / HOUR;
            for tenant in [&*group.place.tenant, ""] {
                state.mark(tenant, &group.place.metric, hour, now);
            }
        }
        for (tenant, newest_ms) in &batch.newest_ms {
            for tenant in [&**tenant, ""] {
                state.see(tenant, *newest_ms);
            }
        }
        if state.hour_count > limits::CHANGED_HOURS_MAX {
            state.forget();
        }
    }

    /// Changes may have been missed, and are told from now on: everything counts as changed.
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        state.now = Some(state.now.map_or(state.floor, |now| now) + 1);
        state.forget();
    }

    /// Nobody tells any more.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.floor = state.now.take().unwrap_or(state.floor);
        state.forget_hours();
    }

    /// The last change of a range, in Unix seconds; none while nobody tells. As long as it stays the same, so does what
    /// is stored of the range.
    pub(crate) fn version(&self, tenant: &str, metric: &str, range: Range<u32>) -> Option<u64> {
        let state = self.state();
        state.now?;
        let hours = range.start / HOUR..range.end.div_ceil(HOUR);
        let touched = state.hours.get(&(tenant.to_owned(), metric.to_owned()));
        let last = touched.and_then(|touched| touched.range(hours).map(|(_, version)| *version).max());
        Some(last.unwrap_or(0).max(state.floor))
    }

    /// The newest event time of a tenant that was told.
    pub(crate) fn newest_ms(&self, tenant: &str) -> Option<i64> {
        self.state().newest_ms.get(tenant).copied()
    }
}

impl State {
    fn mark(&mut self, tenant: &str, metric: &str, hour: u32, now: u64) {
        let touched = self.hours.entry((tenant.to_owned(), metric.to_owned())).or_default();
        if touched.insert(hour, now).is_none() {
            self.hour_count += 1;
        }
    }

    fn see(&mut self, tenant: &str, newest_ms: i64) {
        if let Some(held) = self.newest_ms.get_mut(tenant) {
            *held = (*held).max(newest_ms);
        } else if self.newest_ms.len() < limits::CHANGED_HOURS_MAX {
            self.newest_ms.insert(tenant.to_owned(), newest_ms);
        }
    }

    fn forget(&mut self) {
        self.floor = self.now.unwrap_or(self.floor);
        self.forget_hours();
    }

    fn forget_hours(&mut self) {
        self.hours.clear();
        self.hour_count = 0;
    }
}

#[cfg(test)]
mod tests {
    use geocache::{Group, Place};

    use super::*;

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
        }
    }

    #[test]
    fn a_change_is_one_of_its_hour_its_tenant_and_all_tenants() {
        let changes = Changes::default();
        let version = |tenant: &str, range: Range<u32>| changes.version(tenant, "speed", range);
        assert_eq!(version("a", 0..7_200), None, "nobody tells yet");
        changes.told(&batch("a", 60));
        assert_eq!(version("a", 0..7_200), None);
        changes.begin();
        let before = version("a", 0..7_200);
        assert!(before.is_some());
        changes.told(&batch("a", 3_660));
        let after = version("a", 3_600..3_720);
        assert!(after > before && version("", 0..7_200) == after && version("a", 0..3_601) == after);
        assert_eq!((version("a", 0..3_600), version("b", 0..7_200)), (before, before));
        assert_eq!((changes.newest_ms("a"), changes.newest_ms("b")), (Some(5), None));
        // Whatever happened meanwhile, nothing that was known before holds.
        changes.end();
        assert_eq!(version("a", 0..7_200), None);
        changes.begin();
        assert!(version("b", 0..60) > after);
    }

    #[test]
    fn too_many_hours_are_forgotten_as_changed() {
        let changes = Changes::default();
        changes.begin();
        let before = changes.version("a", "speed", 0..60);
        for hour in 0..=limits::CHANGED_HOURS_MAX as u32 {
            changes.told(&batch("b", hour * HOUR));
        }
        assert!(changes.version("a", "speed", 0..60) > before);
        assert!(changes.state().hour_count <= limits::CHANGED_HOURS_MAX);
    }
}
