//! The two streams of a rebuild: snapshots and measurements, bucket by bucket in the same order.

use std::{collections::BTreeMap, fmt::Display};

use clickhouse::{Row, RowOwned, RowRead, query::RowCursor};
use serde::Deserialize;

use super::plan::Bucket;
use crate::audit::{AuditError, AuditStore, Window};

/// A row of `rollup_log`.
#[derive(Clone, Debug, Deserialize, Row)]
pub(super) struct Snapshot {
    pub(super) tenant: String,
    pub(super) metric: String,
    pub(super) bucket: u32,
    pub(super) partition: u16,
    pub(super) cell: u64,
    pub(super) generation: u64,
    pub(super) version: u64,
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) bin_keys: Vec<i16>,
    pub(super) bin_counts: Vec<u64>,
    pub(super) device_hashes: Vec<u32>,
    /// 1 when there is a measurement of its cell at its generation.
    pub(super) is_genuine: u8,
}

/// A row of `measurement_log`, as far as rollups use it.
#[derive(Clone, Debug, Deserialize, Row)]
pub(super) struct Measurement {
    tenant: String,
    metric: String,
    bucket: u32,
    pub(super) partition: u16,
    pub(super) offset: u64,
    pub(super) cell: u64,
    pub(super) value: f64,
    pub(super) device_hash: u32,
}

/// A row that belongs to a bucket.
pub(super) trait OfBucket {
    /// Which.
    fn bucket(&self) -> Bucket;
    /// Whether it is this one.
    fn is_of(&self, bucket: &Bucket) -> bool;
}

macro_rules! of_bucket {
    ($row:ident) => {
        impl OfBucket for $row {
            fn bucket(&self) -> Bucket {
                Bucket {
                    tenant: self.tenant.clone(),
                    metric: self.metric.clone(),
                    bucket_seconds: self.bucket,
                }
            }

            fn is_of(&self, bucket: &Bucket) -> bool {
                self.bucket == bucket.bucket_seconds && self.metric == bucket.metric && self.tenant == bucket.tenant
            }
        }
    };
}

of_bucket!(Snapshot);
of_bucket!(Measurement);

/// Rows in the order of their buckets, one looked at ahead.
pub(super) struct BucketStream<T> {
    what: &'static str,
    cursor: RowCursor<T>,
    ahead: Option<T>,
}

impl<T: OfBucket + RowOwned + RowRead> BucketStream<T> {
    /// The bucket of the next row.
    pub(super) async fn head(&mut self) -> Result<Option<Bucket>, AuditError> {
        self.look().await?;
        Ok(self.ahead.as_ref().map(OfBucket::bucket))
    }

    /// The next row, if it is of this bucket.
    pub(super) async fn next_of(&mut self, bucket: &Bucket) -> Result<Option<T>, AuditError> {
        self.look().await?;
        Ok(self.ahead.take_if(|row| row.is_of(bucket)))
    }

    async fn look(&mut self) -> Result<(), AuditError> {
        if self.ahead.is_none() {
            let what = self.what;
            let next = self.cursor.next().await;
            self.ahead = next.map_err(|source| AuditError::Query { what, source })?;
        }
        Ok(())
    }
}

impl AuditStore {
    /// Snapshots of a level, of partitions that have it.
    pub(super) fn snapshots(
        &self,
        level: (u32, u8),
        ends: &BTreeMap<u16, u64>,
        window: &Window,
    ) -> Result<BucketStream<Snapshot>, AuditError> {
        let sql = include_str!("sql/snapshots.sql");
        self.stream("the snapshots to compare", sql, level, ends, window)
    }

    /// Measurements below the checkpoints of partitions that have a level.
    pub(super) fn counted_measurements(
        &self,
        level: (u32, u8),
        ends: &BTreeMap<u16, u64>,
        window: &Window,
    ) -> Result<BucketStream<Measurement>, AuditError> {
        let sql = include_str!("sql/measurements.sql");
        self.stream("the measurements to count", sql, level, ends, window)
    }

    fn stream<T: RowOwned + RowRead>(
        &self,
        what: &'static str,
        sql: &str,
        (period, resolution): (u32, u8),
        ends: &BTreeMap<u16, u64>,
        window: &Window,
    ) -> Result<BucketStream<T>, AuditError> {
        let (of_ts, of_bucket) = window.sql(period);
        let partitions = list(ends.keys());
        let positions = crate::audit::offsets_sql(ends);
        let values = [
            ("{positions}", positions),
            ("{period}", period.to_string()),
            ("{res}", resolution.to_string()),
            ("{buckets_of_ts}", of_ts),
            ("{buckets_of_bucket}", of_bucket),
            ("{partitions}", partitions),
        ];
        let cursor = self.cursor(what, sql, &values)?;
        Ok(BucketStream {
            what,
            cursor,
            ahead: None,
        })
    }
}

fn list(numbers: impl Iterator<Item = impl Display>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// The row of a level in rows that a task has made; there is one.
#[cfg(test)]
pub(super) fn snapshot(rows: &schemas::rows::RollupRows, (period, resolution): (u32, u8)) -> Snapshot {
    let text = |column: &schemas::rows::TextColumn, index| {
        let bytes: &[u8] = column.iter().nth(index).unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let is_it = |index: &usize| (rows.period_seconds[*index], rows.resolution[*index]) == (period, resolution);
    let index = (0..rows.count.len()).find(is_it).unwrap();
    let range = |ends: &[i32]| {
        let start = index.checked_sub(1).map_or(0, |before| ends[before] as usize);
        start..ends[index] as usize
    };
    Snapshot {
        tenant: text(&rows.tenant, index),
        metric: text(&rows.metric, index),
        bucket: rows.bucket_seconds[index],
        partition: rows.partition[index],
        cell: rows.cell[index],
        generation: rows.generation[index],
        version: rows.version[index],
        count: rows.count[index],
        sum: rows.sum[index],
        min: rows.min[index],
        max: rows.max[index],
        bin_keys: rows.bin_keys.items[range(&rows.bin_keys.ends)].to_vec(),
        bin_counts: rows.bin_counts.items[range(&rows.bin_counts.ends)].to_vec(),
        device_hashes: rows.device_hashes.items[range(&rows.device_hashes.ends)].to_vec(),
        is_genuine: 1,
    }
}

/// A measurement without position.
#[cfg(test)]
pub(super) fn measurement(partition: u16, offset: u64, value: f64, key: &[u8]) -> Measurement {
    Measurement {
        tenant: String::new(),
        metric: String::new(),
        bucket: 0,
        partition,
        offset,
        cell: 0,
        value,
        device_hash: xxhash_rust::xxh3::xxh3_64(key) as u32,
    }
}
