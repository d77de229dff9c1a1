//! What ClickHouse would hold: rows by key, the newest version of each, as the tables' engines keep them.

use std::collections::{BTreeMap, BTreeSet};

use eventlog::{MemoryLog, RecordBatchBuilder, TopicPartition};
use schemas::rows::{Rows, TextColumn};

use crate::task::{Due, Parameters, Task};

/// What ClickHouse would hold. Keys as in the tables; values as text, so that NaN equals NaN.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tables {
    /// By partition, offset, metric.
    pub(super) measurements: BTreeMap<(u16, u64, String), String>,
    /// By everything up to the generation; the newest version.
    pub(super) rollups: BTreeMap<(String, u16, u64), (u64, String)>,
    pub(super) devices: BTreeMap<(String, u16), (u64, String)>,
    pub(super) dead_letters: BTreeSet<(String, u16, u64)>,
}

fn texts(column: &TextColumn) -> Vec<String> {
    column
        .iter()
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

impl Tables {
    /// Replaces by key, as the tables do; equal versions must be equal rows.
    pub(super) fn insert(&mut self, rows: &Rows) {
        let m = &rows.measurements;
        let (metrics, devices) = (texts(&m.metric), texts(&m.device));
        for index in 0..m.offset.len() {
            let key = (m.partition[index], m.offset[index], metrics[index].clone());
            let row = format!(
                "{} {} {:?} {}",
                devices[index], m.ts_ms[index], m.value[index], m.cell[index]
            );
            let before = self.measurements.insert(key, row.clone());
            assert!(before.is_none_or(|before| before == row), "a measurement changed");
        }
        let r = &rows.rollups;
        let (tenants, metrics) = (texts(&r.tenant), texts(&r.metric));
        for index in 0..r.count.len() {
            let (period, resolution) = (r.period_seconds[index], r.resolution[index]);
            let (bucket, cell) = (r.bucket_seconds[index], r.cell[index]);
            let name = format!(
                "{} {} {period} {resolution} {bucket} {cell}",
                tenants[index], metrics[index]
            );
            let key = (name, r.partition[index], r.generation[index]);
            let row = format!(
                "{} {:?} {:?} {:?}",
                r.count[index], r.sum[index], r.min[index], r.max[index]
            );
            replace(&mut self.rollups, key, r.version[index], row);
        }
        let d = &rows.devices;
        let (tenants, devices) = (texts(&d.tenant), texts(&d.device));
        for index in 0..d.ts_ms.len() {
            let key = (format!("{}/{}", tenants[index], devices[index]), d.partition[index]);
            let row = format!("{} {}", d.ts_ms[index], d.latitude_e7[index]);
            replace(&mut self.devices, key, d.version[index], row);
        }
        let l = &rows.dead_letters;
        for (index, id) in texts(&l.id).into_iter().enumerate() {
            self.dead_letters.insert((id, l.partition[index], l.offset[index]));
        }
    }

    /// Sum of `count` over the cells of each level.
    pub(super) fn counts_by_level(&self) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        for ((name, ..), (_, row)) in &self.rollups {
            let mut words = name.split(' ').skip(2).map(str::to_owned);
            let level = (words.next().unwrap(), words.next().unwrap());
            let count: u64 = row.split(' ').next().unwrap().parse().unwrap();
            *counts.entry(level).or_default() += count;
        }
        counts
    }
}

fn replace<K: Ord + std::fmt::Debug>(table: &mut BTreeMap<K, (u64, String)>, key: K, version: u64, row: String) {
    if let Some((before, same)) = table.get(&key) {
        assert!(
            version != *before || row == *same,
            "two rows of one version at {key:?}: {row} and {same}"
        );
        if version < *before {
            return;
        }
    }
    table.insert(key, (version, row));
}

/// Rows of a partition's records below `end`, as a single task makes them.
pub(super) fn replay(log: &MemoryLog, parameters: &Parameters, place: &TopicPartition, end: u64) -> Rows {
    let records = log.records(place).unwrap();
    let mut builder = RecordBatchBuilder::new(place.clone());
    for record in records.iter().filter(|record| record.offset < end) {
        builder.push(
            record.offset,
            record.timestamp_ms,
            record.key,
            record.value,
            record.headers(),
        );
    }
    let mut task = Task::new(place.clone(), 0, 0, parameters);
    let mut rows = Rows::default();
    task.apply(&builder.finish());
    task.collect(Due::All, &mut rows);
    rows
}
