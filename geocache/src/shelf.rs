//! Snapshots by place, the newest version of each accumulator, oldest places leaving first when there are too many.
//!
//! Pure: the bound is an argument.

use std::collections::{BTreeMap, HashMap};

use crate::snapshot::{Place, Snapshot, Source};

/// What is held.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    places: BTreeMap<Place, HashMap<(u64, Source), Snapshot>>,
    count: usize,
}

/// What became of snapshots that were put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Put {
    /// Not newer than what was there.
    pub(crate) stale: usize,
    /// Pushed out, since there were too many.
    pub(crate) evicted: usize,
}

impl Shelf {
    pub(crate) fn put(&mut self, place: &Place, snapshots: &[Snapshot], count_max: usize) -> Put {
        let mut put = Put::default();
        if snapshots.is_empty() {
            return put;
        }
        let held = self.places.entry(place.clone()).or_default();
        let before = held.len();
        for snapshot in snapshots {
            let newest = held.entry((snapshot.cell, snapshot.source)).or_insert(*snapshot);
            match newest.version <= snapshot.version {
                true => *newest = *snapshot,
                false => put.stale += 1,
            }
        }
        self.count += held.len() - before;
        while self.count > count_max {
            let Some((_, oldest)) = self.places.pop_first() else {
                break;
            };
            self.count -= oldest.len();
            put.evicted += oldest.len();
        }
        put
    }

    /// Forgets buckets that ended before this time, in Unix seconds.
    pub(crate) fn forget_before(&mut self, seconds: u32) {
        // Long buckets begin early and end late, so the order of places does not tell.
        let count = &mut self.count;
        self.places.retain(|place, held| {
            let stays = place.end_seconds() >= seconds;
            *count -= if stays { 0 } else { held.len() };
            stays
        });
    }

    pub(crate) fn held(&self, place: &Place) -> Vec<Snapshot> {
        if !place.tenant.is_empty() {
            let held = self.places.get(place).into_iter().flat_map(HashMap::values);
            return held.copied().collect();
        }
        let first = place.clone();
        let of_all_tenants = self.places.range(first..).take_while(|(other, _)| {
            (other.bucket_seconds, other.period_seconds, other.resolution)
                == (place.bucket_seconds, place.period_seconds, place.resolution)
        });
        of_all_tenants
            .filter(|(other, _)| other.metric == place.metric)
            .flat_map(|(_, held)| held.values().copied())
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Values;

    fn place(bucket_seconds: u32, tenant: &str) -> Place {
        Place {
            bucket_seconds,
            period_seconds: 60,
            resolution: 9,
            tenant: tenant.into(),
            metric: "speed".into(),
        }
    }

    fn snapshot(cell: u64, version: u64) -> Snapshot {
        Snapshot {
            cell,
            source: Source {
                partition: 0,
                generation: 0,
            },
            version,
            values: Values::NONE,
        }
    }

    #[test]
    fn the_highest_version_stays_and_the_oldest_bucket_goes_first() {
        let mut shelf = Shelf::default();
        assert_eq!(
            shelf.put(&place(60, "a"), &[snapshot(1, 5), snapshot(2, 5)], 3).evicted,
            0
        );
        assert_eq!(shelf.put(&place(60, "a"), &[snapshot(1, 4)], 3).stale, 1);
        assert_eq!(
            shelf.held(&place(60, "a")).iter().map(|one| one.version).sum::<u64>(),
            10
        );
        assert_eq!(
            shelf
                .put(&place(120, "a"), &[snapshot(1, 6), snapshot(2, 6)], 3)
                .evicted,
            2
        );
        assert_eq!((shelf.held(&place(60, "a")).len(), shelf.len()), (0, 2));
        shelf.put(&place(120, "b"), &[snapshot(1, 1)], 3);
        assert_eq!(shelf.held(&place(120, "")).len(), 3);
        shelf.forget_before(181);
        assert_eq!(shelf.len(), 0);
    }
}
