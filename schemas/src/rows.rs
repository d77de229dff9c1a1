//! What is written to ClickHouse, column by column: the task pushes, the sink encodes. No row here is ever changed by
//! writing it again: each has a key that follows from the log (see the table of each type).

/// Stands for an unknown coordinate, since it is no coordinate: views show it as NaN.
pub const COORDINATE_UNKNOWN_E7: i32 = i32::MIN;

/// A column of texts in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextColumn {
    /// All texts, one after the other.
    pub bytes: Vec<u8>,
    /// End of each text in `bytes`.
    pub ends: Vec<i32>,
}

impl TextColumn {
    /// Appends a text (or, for payloads, any bytes).
    pub fn push(&mut self, text: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(text.as_ref());
        self.ends
            .push(i32::try_from(self.bytes.len()).expect("a flush is far below 2 GiB: see the runner's limits"));
    }

    /// Moves the texts of another column to the end of this one.
    pub fn append(&mut self, other: &mut Self) {
        append_ends(&mut self.ends, &mut other.ends, self.bytes.len());
        self.bytes.append(&mut other.bytes);
    }

    /// The texts in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.bytes[start as usize..*end as usize])
    }
}

/// A column of lists in one buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct ListColumn<T> {
    /// All items, one list after the other.
    pub items: Vec<T>,
    /// End of each list in `items`.
    pub ends: Vec<i32>,
}

impl<T> Default for ListColumn<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            ends: Vec::new(),
        }
    }
}

impl<T> ListColumn<T> {
    /// Appends a list.
    pub fn push(&mut self, items: impl IntoIterator<Item = T>) {
        self.items.extend(items);
        self.ends
            .push(i32::try_from(self.items.len()).expect("a flush is far below 2^31 items: see the runner's limits"));
    }
}

impl<T> ListColumn<T> {
    /// Moves the lists of another column to the end of this one.
    pub fn append(&mut self, other: &mut Self) {
        append_ends(&mut self.ends, &mut other.ends, self.items.len());
        self.items.append(&mut other.items);
    }
}

fn append_ends(ends: &mut Vec<i32>, other: &mut Vec<i32>, shift: usize) {
    let shift = i32::try_from(shift).expect("a flush is far below 2^31 items: see the runner's limits");
    ends.extend(other.drain(..).map(|end| end + shift));
}

/// What rows do column by column.
macro_rules! columns {
    ($rows:ident { $($column:ident),* $(,)? }) => {
        impl $rows {
            /// Moves the rows of `other` to the end of these.
            pub fn append(&mut self, other: &mut Self) {
                $(self.$column.append(&mut other.$column);)*
            }
        }
    };
}

/// Rows of `measurement_log`: one for each metric of an event. Key: ..., partition, offset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasurementRows {
    /// Owner of the device.
    pub tenant: TextColumn,
    /// Metric name.
    pub metric: TextColumn,
    /// Device identifier.
    pub device: TextColumn,
    /// Event time, Unix milliseconds.
    pub ts_ms: Vec<i64>,
    /// Value.
    pub value: Vec<f64>,
    /// 1e-7 degrees, or [`COORDINATE_UNKNOWN_E7`].
    pub latitude_e7: Vec<i32>,
    /// 1e-7 degrees, or [`COORDINATE_UNKNOWN_E7`].
    pub longitude_e7: Vec<i32>,
    /// H3 cell at the base resolution; 0 where unknown.
    pub cell: Vec<u64>,
    /// The device's count; 0 where absent.
    pub seq: Vec<u64>,
    /// Time of receipt, Unix milliseconds.
    pub received_at_ms: Vec<i64>,
    /// Time as the device claimed it, Unix milliseconds; equal to `ts_ms` unless the clock is suspect.
    pub device_ts_ms: Vec<i64>,
    /// 1 when the device's clock was not believed.
    pub clock_suspect: Vec<u8>,
    /// NaN where absent.
    pub altitude_m: Vec<f32>,
    /// NaN where absent.
    pub speed_mps: Vec<f32>,
    /// NaN where absent.
    pub heading_deg: Vec<f32>,
    /// NaN where absent.
    pub accuracy_m: Vec<f32>,
    /// Log partition.
    pub partition: Vec<u16>,
    /// Log offset.
    pub offset: Vec<u64>,
}

columns!(MeasurementRows {
    tenant,
    metric,
    device,
    ts_ms,
    value,
    latitude_e7,
    longitude_e7,
    cell,
    seq,
    received_at_ms,
    device_ts_ms,
    clock_suspect,
    altitude_m,
    speed_mps,
    heading_deg,
    accuracy_m,
    partition,
    offset
});

/// Rows of `rollup_log`: absolute snapshots of accumulators. Key: tenant, metric, period, res, bucket, cell, partition,
/// generation; of equal keys the highest version holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RollupRows {
    /// Owner of the devices.
    pub tenant: TextColumn,
    /// Metric name.
    pub metric: TextColumn,
    /// Seconds.
    pub period_seconds: Vec<u32>,
    /// H3 resolution.
    pub resolution: Vec<u8>,
    /// Start of the period, Unix seconds.
    pub bucket_seconds: Vec<u32>,
    /// H3 cell at `resolution`; 0 for devices without position.
    pub cell: Vec<u64>,
    /// Log partition.
    pub partition: Vec<u16>,
    /// Offset of the first event in the accumulator.
    pub generation: Vec<u64>,
    /// Offset of the last event in it, below the incarnation of the partition's state (see `processors`).
    pub version: Vec<u64>,
    /// Number of measurements.
    pub count: Vec<u64>,
    /// Their sum.
    pub sum: Vec<f64>,
    /// Their minimum.
    pub min: Vec<f64>,
    /// Their maximum.
    pub max: Vec<f64>,
    /// Keys of the quantile sketch's bins, rising.
    pub bin_keys: ListColumn<i16>,
    /// Counts of the same bins.
    pub bin_counts: ListColumn<u64>,
    /// Smallest hashes of distinct devices, rising.
    pub device_hashes: ListColumn<u32>,
}

columns!(RollupRows {
    tenant,
    metric,
    period_seconds,
    resolution,
    bucket_seconds,
    cell,
    partition,
    generation,
    version,
    count,
    sum,
    min,
    max,
    bin_keys,
    bin_counts,
    device_hashes
});

/// Rows of `device_log`: last known state of devices. Key: tenant, device, partition; highest version holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceRows {
    /// Owner.
    pub tenant: TextColumn,
    /// Device identifier.
    pub device: TextColumn,
    /// Log partition.
    pub partition: Vec<u16>,
    /// As in [`RollupRows::version`].
    pub version: Vec<u64>,
    /// Time of the newest event, Unix milliseconds.
    pub ts_ms: Vec<i64>,
    /// Its time of receipt, Unix milliseconds.
    pub received_at_ms: Vec<i64>,
    /// Last known position, 1e-7 degrees, or [`COORDINATE_UNKNOWN_E7`].
    pub latitude_e7: Vec<i32>,
    /// Last known position, 1e-7 degrees, or [`COORDINATE_UNKNOWN_E7`].
    pub longitude_e7: Vec<i32>,
    /// H3 cell of that position at the base resolution; 0 where unknown.
    pub cell: Vec<u64>,
    /// Count of the newest event; 0 where absent.
    pub seq: Vec<u64>,
    /// 1 when its clock was not believed.
    pub clock_suspect: Vec<u8>,
    /// Events with a time of the device's own.
    pub clock_claim_count: Vec<u64>,
    /// How far its clock is behind, in milliseconds; negative: ahead.
    pub clock_skew_ms: Vec<i64>,
    /// Claims too far ahead to be believed.
    pub clock_future_count: Vec<u64>,
    /// Claims far in the past.
    pub clock_past_count: Vec<u64>,
    /// Receipt of the last claim, Unix milliseconds; 0 where there is none.
    pub clock_seen_at_ms: Vec<i64>,
    /// Broker that it came through.
    pub broker: TextColumn,
    /// Number of metrics of each device, as list ends into the two columns below.
    pub metric_ends: Vec<i32>,
    /// Names of the metrics, newest value each.
    pub metric_names: TextColumn,
    /// Values of the same metrics.
    pub metric_values: Vec<f64>,
    /// Number of attributes of each device, as list ends into the two columns below.
    pub attribute_ends: Vec<i32>,
    /// Names of the attributes of the newest event.
    pub attribute_names: TextColumn,
    /// Their values.
    pub attribute_values: TextColumn,
}

impl DeviceRows {
    /// Moves the rows of `other` to the end of these.
    pub fn append(&mut self, other: &mut Self) {
        self.tenant.append(&mut other.tenant);
        self.device.append(&mut other.device);
        self.partition.append(&mut other.partition);
        self.version.append(&mut other.version);
        self.ts_ms.append(&mut other.ts_ms);
        self.received_at_ms.append(&mut other.received_at_ms);
        self.latitude_e7.append(&mut other.latitude_e7);
        self.longitude_e7.append(&mut other.longitude_e7);
        self.cell.append(&mut other.cell);
        self.seq.append(&mut other.seq);
        self.clock_suspect.append(&mut other.clock_suspect);
        self.clock_claim_count.append(&mut other.clock_claim_count);
        self.clock_skew_ms.append(&mut other.clock_skew_ms);
        self.clock_future_count.append(&mut other.clock_future_count);
        self.clock_past_count.append(&mut other.clock_past_count);
        self.clock_seen_at_ms.append(&mut other.clock_seen_at_ms);
        self.broker.append(&mut other.broker);
        append_ends(&mut self.metric_ends, &mut other.metric_ends, self.metric_values.len());
        self.metric_names.append(&mut other.metric_names);
        self.metric_values.append(&mut other.metric_values);
        append_ends(
            &mut self.attribute_ends,
            &mut other.attribute_ends,
            self.attribute_names.ends.len(),
        );
        self.attribute_names.append(&mut other.attribute_names);
        self.attribute_values.append(&mut other.attribute_values);
    }
}

/// Rows of `dead_letter_log`. Key: id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadLetterRows {
    /// See [`crate::DeadLetter::id`].
    pub id: TextColumn,
    /// Time of receipt, Unix milliseconds.
    pub received_at_ms: Vec<i64>,
    /// See [`crate::Stage`].
    pub stage: TextColumn,
    /// See [`crate::Reason`].
    pub reason: TextColumn,
    /// For people.
    pub detail: TextColumn,
    /// Broker name.
    pub broker: TextColumn,
    /// MQTT topic.
    pub topic: TextColumn,
    /// The original bytes.
    pub payload: TextColumn,
    /// The letter that it was at first; empty for one that was not published again.
    pub replay_of: TextColumn,
    /// How often it was published again.
    pub replay_count: Vec<u16>,
    /// When the message was first received, Unix milliseconds.
    pub first_received_at_ms: Vec<i64>,
    /// Log partition (of the dead-letter topic, or of the events topic for stage `process`).
    pub partition: Vec<u16>,
    /// Log offset.
    pub offset: Vec<u64>,
}

columns!(DeadLetterRows {
    id,
    received_at_ms,
    stage,
    reason,
    detail,
    broker,
    topic,
    payload,
    replay_of,
    replay_count,
    first_received_at_ms,
    partition,
    offset
});

/// Rows of `ledger_log`: what a task did with the records of one chunk of a partition. Key: topic, partition, chunk; of
/// equal keys the highest version holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LedgerRows {
    /// Topic of the partition.
    pub topic: TextColumn,
    /// Log partition.
    pub partition: Vec<u16>,
    /// Offset divided by the length of a chunk.
    pub chunk: Vec<u64>,
    /// As in [`RollupRows::version`].
    pub version: Vec<u64>,
    /// The first record of the chunk that was counted here.
    pub first_offset: Vec<u64>,
    /// The last one.
    pub last_offset: Vec<u64>,
    /// Records: events, duplicates and dead letters together.
    pub records: Vec<u64>,
    /// Events counted.
    pub events: Vec<u64>,
    /// Events left out since they were counted before.
    pub duplicates: Vec<u64>,
    /// Rows of `dead_letter_log`.
    pub dead_letters: Vec<u64>,
    /// Rows of `measurement_log`.
    pub measurements: Vec<u64>,
    /// Earliest event time, Unix milliseconds; 0 without events.
    pub ts_min_ms: Vec<i64>,
    /// Latest event time, Unix milliseconds; 0 without events.
    pub ts_max_ms: Vec<i64>,
    /// Sum over the measurements of a number that follows from each row: see `processors`.
    pub checksum: Vec<u64>,
    /// Period of each rollup level in force, in seconds.
    pub level_periods: ListColumn<u32>,
    /// H3 resolution of the same levels.
    pub level_resolutions: ListColumn<u8>,
    /// Offset from which on the same levels hold everything.
    pub level_sinces: ListColumn<u64>,
}

columns!(LedgerRows {
    topic,
    partition,
    chunk,
    version,
    first_offset,
    last_offset,
    records,
    events,
    duplicates,
    dead_letters,
    measurements,
    ts_min_ms,
    ts_max_ms,
    checksum,
    level_periods,
    level_resolutions,
    level_sinces
});

/// Tables that the pipeline writes.
pub const TABLE_COUNT: usize = 5;

/// Rows for all tables, gathered for one flush.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// For `measurement_log`.
    pub measurements: MeasurementRows,
    /// For `rollup_log`.
    pub rollups: RollupRows,
    /// For `device_log`.
    pub devices: DeviceRows,
    /// For `dead_letter_log`.
    pub dead_letters: DeadLetterRows,
    /// For `ledger_log`: in only after all others.
    pub ledger: LedgerRows,
    /// For no table: what is whole once these are written.
    pub whole: Vec<WholeLevel>,
}

/// A rollup level that has all events of a log partition up to some offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeLevel {
    /// Of the log.
    pub partition: u16,
    /// Length of its buckets.
    pub period_seconds: u32,
    /// Of its cells.
    pub resolution: u8,
    /// Of a row of the last of these events.
    pub version: u64,
}

impl Rows {
    /// Rows for each table: measurements, rollups, devices, dead letters, ledger.
    #[must_use]
    pub fn counts(&self) -> [usize; TABLE_COUNT] {
        [
            self.measurements.ts_ms.len(),
            self.rollups.count.len(),
            self.devices.ts_ms.len(),
            self.dead_letters.offset.len(),
            self.ledger.chunk.len(),
        ]
    }

    /// Moves the rows of `other` to the end of these. Free when there are none yet.
    pub fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        self.measurements.append(&mut other.measurements);
        self.rollups.append(&mut other.rollups);
        self.devices.append(&mut other.devices);
        self.dead_letters.append(&mut other.dead_letters);
        self.ledger.append(&mut other.ledger);
        self.whole.append(&mut other.whole);
    }

    /// True when there is nothing to write, nor to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts() == [0; TABLE_COUNT] && self.whole.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_columns_keep_their_items() {
        let (mut texts, mut more) = (TextColumn::default(), TextColumn::default());
        ["a", ""].into_iter().for_each(|text| texts.push(text));
        ["bc", "d"].into_iter().for_each(|text| more.push(text));
        texts.append(&mut more);
        assert_eq!(texts.iter().collect::<Vec<_>>(), [b"a".as_slice(), b"", b"bc", b"d"]);
        assert_eq!(more, TextColumn::default());
        let (mut lists, mut more) = (ListColumn::default(), ListColumn::default());
        lists.push([1, 2]);
        more.push([]);
        more.push([3]);
        lists.append(&mut more);
        assert_eq!((lists.items, lists.ends), (vec![1, 2, 3], vec![2, 2, 3]));
    }
}
