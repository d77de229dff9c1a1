//! What one flush changed, as those who watch need it.
//!
//! Made of the rows that ClickHouse gets, so that the two never say different things. Quantiles and numbers of devices
//! are left out: their sketches are many times as large as all the rest. Of devices only where they are is told.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use schemas::rows::{DeviceRows, RollupRows, Rows, WholeLevel};

use crate::{
    limits,
    position::Positions,
    snapshot::{Place, Snapshot, Source, Values},
};

/// Snapshots of one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Whose they are.
    pub place: Place,
    /// None for a bucket that is not recent any more: it has changed, and is not held.
    pub snapshots: Vec<Snapshot>,
}

/// What one flush changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// By place.
    pub groups: Vec<Group>,
    /// The newest event time of tenants, believed and not later than its receipt, Unix milliseconds.
    pub newest_ms: Vec<(Arc<str>, i64)>,
    /// Log partitions of the events in `newest_ms`, with the newest version of their rows.
    pub newest_of: BTreeMap<u16, u64>,
    /// Levels of partitions that have all of their events. Nothing is known of others.
    pub whole: Vec<WholeLevel>,
    /// Where devices were last.
    pub positions: Positions,
}

impl Batch {
    /// What these rows change. `now_ms` says which buckets are recent.
    #[must_use]
    pub fn of(rows: &Rows, now_ms: i64) -> Self {
        Self {
            groups: groups(&rows.rollups, now_ms),
            newest_ms: newest(&rows.devices),
            newest_of: newest_of(&rows.devices),
            whole: rows.whole.clone(),
            positions: Positions::of(&rows.devices),
        }
    }

    /// True when there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.newest_ms.is_empty() && self.whole.is_empty() && self.positions.is_empty()
    }

    /// Snapshots in all groups.
    #[must_use]
    pub fn snapshot_count(&self) -> usize {
        self.groups.iter().map(|group| group.snapshots.len()).sum()
    }

    /// Log partitions that it tells of.
    #[must_use]
    pub fn partitions(&self) -> BTreeSet<u16> {
        let snapshots = self.groups.iter().flat_map(|group| &group.snapshots);
        let of_snapshots = snapshots.map(|snapshot| snapshot.source.partition);
        of_snapshots.chain(self.positions.partitions()).collect()
    }
}

fn groups(rows: &RollupRows, now_ms: i64) -> Vec<Group> {
    let mut names = Names::default();
    let mut numbers: HashMap<Place, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut number = 0;
    for (index, (tenant, metric)) in rows.tenant.iter().zip(rows.metric.iter()).enumerate() {
        // Rows of one place mostly follow each other.
        if !groups
            .get(number)
            .is_some_and(|group| is_of(&group.place, rows, index, (tenant, metric)))
        {
            let place = Place {
                bucket_seconds: rows.bucket_seconds[index],
                period_seconds: rows.period_seconds[index],
                resolution: rows.resolution[index],
                tenant: names.of(tenant),
                metric: names.of(metric),
            };
            number = *numbers.entry(place.clone()).or_insert(groups.len());
            if number == groups.len() {
                groups.push(Group {
                    place,
                    snapshots: Vec::new(),
                });
            }
        }
        let group = &mut groups[number];
        let kept_until = i64::from(group.place.end_seconds()) + i64::from(limits::RECENT_SECONDS);
        // Cell 0 is where nobody knows: no map shows it.
        if now_ms / 1_000 < kept_until && rows.cell[index] != 0 {
            group.snapshots.push(snapshot(rows, index));
        }
    }
    groups
}

fn is_of(place: &Place, rows: &RollupRows, index: usize, (tenant, metric): (&[u8], &[u8])) -> bool {
    place.bucket_seconds == rows.bucket_seconds[index]
        && place.period_seconds == rows.period_seconds[index]
        && place.resolution == rows.resolution[index]
        && place.tenant.as_bytes() == tenant
        && place.metric.as_bytes() == metric
}

fn snapshot(rows: &RollupRows, index: usize) -> Snapshot {
    Snapshot {
        cell: rows.cell[index],
        source: Source {
            partition: rows.partition[index],
            generation: rows.generation[index],
        },
        version: rows.version[index],
        values: Values {
            count: rows.count[index],
            sum: rows.sum[index],
            min: rows.min[index],
            max: rows.max[index],
        },
    }
}

fn newest(rows: &DeviceRows) -> Vec<(Arc<str>, i64)> {
    let mut newest: HashMap<&[u8], i64> = HashMap::new();
    for (index, tenant) in rows.tenant.iter().enumerate() {
        let believed_ms = rows.ts_ms[index].min(rows.received_at_ms[index]);
        let held = newest.entry(tenant).or_insert(believed_ms);
        *held = (*held).max(believed_ms);
    }
    let mut newest: Vec<_> = newest
        .into_iter()
        .map(|(tenant, ms)| (Arc::from(String::from_utf8_lossy(tenant)), ms))
        .collect();
    newest.sort_unstable();
    newest
}

fn newest_of(rows: &DeviceRows) -> BTreeMap<u16, u64> {
    let mut newest: BTreeMap<u16, u64> = BTreeMap::new();
    for (partition, version) in rows.partition.iter().zip(&rows.version) {
        let held = newest.entry(*partition).or_default();
        *held = (*held).max(*version);
    }
    newest
}

/// Names that come again and again, each kept once.
#[derive(Default)]
struct Names {
    known: HashMap<Vec<u8>, Arc<str>>,
}

impl Names {
    fn of(&mut self, bytes: &[u8]) -> Arc<str> {
        if let Some(name) = self.known.get(bytes) {
            return name.clone();
        }
        let name: Arc<str> = Arc::from(String::from_utf8_lossy(bytes));
        self.known.insert(bytes.to_vec(), name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(rows: &mut RollupRows, tenant: &str, bucket_seconds: u32, cell: u64) {
        rows.tenant.push(tenant);
        rows.metric.push("speed");
        rows.period_seconds.push(60);
        rows.resolution.push(9);
        rows.bucket_seconds.push(bucket_seconds);
        rows.cell.push(cell);
        rows.partition.push(3);
        rows.generation.push(10);
        rows.version.push(12);
        rows.count.push(2);
        rows.sum.push(3.0);
        rows.min.push(1.0);
        rows.max.push(2.0);
    }

    #[test]
    fn rows_are_grouped_and_old_buckets_are_only_named() {
        let mut rows = Rows::default();
        for (tenant, bucket, cell) in [
            ("a", 6_000, 7),
            ("b", 6_000, 7),
            ("a", 6_000, 8),
            ("a", 60, 7),
            ("a", 6_000, 0),
        ] {
            add(&mut rows.rollups, tenant, bucket, cell);
        }
        let batch = Batch::of(&rows, 6_030_000);
        let found: Vec<_> = batch
            .groups
            .iter()
            .map(|group| (&*group.place.tenant, group.place.bucket_seconds, group.snapshots.len()))
            .collect();
        assert_eq!(found, [("a", 6_000, 2), ("b", 6_000, 1), ("a", 60, 0)]);
        let snapshot = batch.groups[0].snapshots[0];
        assert_eq!((snapshot.cell, snapshot.version, snapshot.values.count), (7, 12, 2));
    }
}
