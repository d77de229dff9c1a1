//! The metrics of this crate: one closed list, and the ledger of each partition.
//!
//! The ledger adds up at every flush: consumed = inserted + duplicates + buffered + abandoned, in records.

pub(crate) mod freshness;

use std::{collections::BTreeMap, time::Duration};

use ::metrics::{Counter, Gauge, Histogram};
use eventlog::TopicPartition;
use platform::telemetry::{MetricKind, MetricSpec, MetricUnit};
use schemas::{arrow::Table, rows::TABLE_COUNT};

use self::freshness::Freshness;
use crate::task::TaskStats;

const COUNT: MetricUnit = MetricUnit::Count;

/// Name of the metric, for who compares.
pub const TABLES_INFO: &str = "meridian_process_tables_info";
const TABLES: MetricSpec = MetricSpec::new_gauge(
    TABLES_INFO,
    COUNT,
    "Always 1. Its `id` is that of the tables that this process writes to: `system.tables` has it as `uuid` of `measurement_log`.",
);
const CONSUMED: MetricSpec = MetricSpec::new_counter(
    "meridian_process_consumed_total",
    COUNT,
    "Records handed to a partition's task.",
);
const INSERTED: MetricSpec = MetricSpec::new_counter(
    "meridian_process_inserted_total",
    COUNT,
    "Records whose rows ClickHouse has, dead letters included.",
);
const DUPLICATES: MetricSpec = MetricSpec::new_counter(
    "meridian_process_duplicates_total",
    COUNT,
    "Events left out since they were counted before.",
);
const ABANDONED: MetricSpec = MetricSpec::new_counter(
    "meridian_process_abandoned_total",
    COUNT,
    "Records given up before they were inserted; the next owner of the partition processes them again.",
);
const DEAD_LETTERS: MetricSpec = MetricSpec::new_counter(
    "meridian_process_dead_letters_total",
    COUNT,
    "Records of the events topic that are no events.",
);
const RESTARTS: MetricSpec = MetricSpec::new_counter(
    "meridian_process_device_restarts_total",
    COUNT,
    "Devices that began to count again.",
);
const BUFFERED: MetricSpec = MetricSpec::new_gauge(
    "meridian_process_buffered",
    COUNT,
    "Records consumed and not inserted yet.",
);
const OFFSET: MetricSpec = MetricSpec::new_gauge(
    "meridian_process_checkpoint_offset",
    COUNT,
    "Offset up to which everything is inserted and checkpointed.",
);
const LOG_END: MetricSpec = MetricSpec::new_gauge(
    "meridian_process_log_end_offset",
    COUNT,
    "End of a partition's log as far as its processor knows: no table may hold anything from there on.",
);
const WATERMARK: MetricSpec = MetricSpec::new_gauge(
    "meridian_process_watermark_seconds",
    MetricUnit::Seconds,
    "Unix time up to which a partition's events have come in, by their own clocks.",
);
const FRESHNESS: MetricSpec = MetricSpec::new_gauge(
    "meridian_process_freshness_seconds",
    MetricUnit::Seconds,
    "How long ago a partition's watermark was.",
);
const TENANT_WATERMARK: MetricSpec = MetricSpec::new_gauge(
    "meridian_process_tenant_watermark_seconds",
    MetricUnit::Seconds,
    "Unix time up to which a tenant's events have come in; tenants beyond the first hundred are `_other`.",
);
const TENANT_FRESHNESS: MetricSpec = MetricSpec::new_gauge(
    "meridian_process_tenant_freshness_seconds",
    MetricUnit::Seconds,
    "How long ago a tenant's watermark was.",
);
const ACCUMULATORS: MetricSpec =
    MetricSpec::new_gauge("meridian_process_accumulators", COUNT, "Rollup cells held in memory.");
const DEVICES: MetricSpec = MetricSpec::new_gauge("meridian_process_devices", COUNT, "Devices held in memory.");
const PARTITIONS: MetricSpec = MetricSpec::new_gauge(
    "meridian_process_partitions",
    COUNT,
    "Partitions that this instance owns.",
);
const PENDING_ROWS: MetricSpec = MetricSpec::new_gauge(
    "meridian_process_pending_rows",
    COUNT,
    "Rows waiting for the next flush.",
);
const ROWS_INSERTED: MetricSpec = MetricSpec::new_counter(
    "meridian_process_rows_inserted_total",
    COUNT,
    "Rows inserted, by table.",
);
const SNAPSHOTS: MetricSpec = MetricSpec::new_counter(
    "meridian_process_snapshots_total",
    COUNT,
    "Rollup rows inserted, by period and resolution: divided by the measurements, the write amplification.",
);
const FLUSH: MetricSpec = MetricSpec::new_latency(
    "meridian_process_flush_seconds",
    "From the beginning of a flush until ClickHouse has its rows.",
);
const ROWS_PER_FLUSH: MetricSpec = MetricSpec {
    name: "meridian_process_rows_per_flush",
    kind: MetricKind::Histogram(ROWS_BUCKETS),
    unit: COUNT,
    help: "Rows of one flush, all tables together.",
};
const CHECKPOINT: MetricSpec = MetricSpec::new_latency(
    "meridian_process_checkpoint_seconds",
    "Writing the checkpoints of one flush.",
);
const CHECKPOINT_SIZE: MetricSpec =
    MetricSpec::new_size("meridian_process_checkpoint_bytes", "Size of one checkpoint.");
const CHECKPOINTS_FENCED: MetricSpec = MetricSpec::new_counter(
    "meridian_process_checkpoints_fenced_total",
    COUNT,
    "Checkpoints refused since another owner of the partition was ahead.",
);
const CHECKPOINTS_DAMAGED: MetricSpec = MetricSpec::new_counter(
    "meridian_process_checkpoints_damaged_total",
    COUNT,
    "Checkpoints passed over when a partition was taken over, since they were torn.",
);

/// From a trickle to the largest flush.
const ROWS_BUCKETS: &[f64] = &[
    1.0,
    10.0,
    100.0,
    1_000.0,
    10_000.0,
    30_000.0,
    100_000.0,
    300_000.0,
    1_000_000.0,
];

/// Every metric of this crate: hand it to `Metrics::install`.
pub const METRICS: &[MetricSpec] = &[
    TABLES,
    CONSUMED,
    INSERTED,
    DUPLICATES,
    ABANDONED,
    DEAD_LETTERS,
    RESTARTS,
    BUFFERED,
    OFFSET,
    LOG_END,
    WATERMARK,
    FRESHNESS,
    TENANT_WATERMARK,
    TENANT_FRESHNESS,
    ACCUMULATORS,
    DEVICES,
    PARTITIONS,
    PENDING_ROWS,
    ROWS_INSERTED,
    SNAPSHOTS,
    FLUSH,
    ROWS_PER_FLUSH,
    CHECKPOINT,
    CHECKPOINT_SIZE,
    CHECKPOINTS_FENCED,
    CHECKPOINTS_DAMAGED,
];

/// Tells which tables this process writes to, so that nobody compares its counts with others.
pub fn tell_tables(id: &str) {
    TABLES.gauge(&[("id", id)]).set(1.0);
}

/// Handles of one partition, and what they have counted of its task.
#[derive(Debug)]
pub(crate) struct PartitionLedger {
    consumed: Counter,
    inserted: Counter,
    duplicates: Counter,
    abandoned: Counter,
    dead_letters: Counter,
    restarts: Counter,
    buffered: Gauge,
    offset: Gauge,
    log_end: Gauge,
    accumulators: Gauge,
    devices: Gauge,
    log_end_offset: u64,
    /// Records handed to the task.
    handed_count: u64,
    /// The task as it was at the last flush that is through.
    settled: TaskStats,
}

impl PartitionLedger {
    pub(crate) fn new(topic_partition: &TopicPartition) -> Self {
        let partition = topic_partition.partition.0.to_string();
        let labels = [("topic", &*topic_partition.topic), ("partition", partition.as_str())];
        let labels = &labels;
        Self {
            consumed: CONSUMED.counter(labels),
            inserted: INSERTED.counter(labels),
            duplicates: DUPLICATES.counter(labels),
            abandoned: ABANDONED.counter(labels),
            dead_letters: DEAD_LETTERS.counter(labels),
            restarts: RESTARTS.counter(labels),
            buffered: BUFFERED.gauge(labels),
            offset: OFFSET.gauge(labels),
            log_end: LOG_END.gauge(labels),
            accumulators: ACCUMULATORS.gauge(labels),
            devices: DEVICES.gauge(labels),
            log_end_offset: 0,
            handed_count: 0,
            settled: TaskStats::default(),
        }
    }

    /// The log goes at least up to this offset. Known before anything from there on can be in a table.
    pub(crate) fn extend(&mut self, log_end: u64) {
        self.log_end_offset = self.log_end_offset.max(log_end);
        self.log_end.set(self.log_end_offset as f64);
    }

    /// Records up to this offset were handed to the task.
    pub(crate) fn hand(&mut self, record_count: u64, next_offset: u64) {
        self.extend(next_offset);
        self.handed_count += record_count;
        self.consumed.increment(record_count);
        self.show_buffered();
    }

    /// Everything that the task had made when it was like this is inserted.
    pub(crate) fn settle(&mut self, stats: &TaskStats) {
        let before = std::mem::replace(&mut self.settled, *stats);
        let duplicates = stats.duplicates - before.duplicates;
        self.inserted.increment(stats.consumed - before.consumed - duplicates);
        self.duplicates.increment(duplicates);
        self.dead_letters.increment(stats.dead_letters - before.dead_letters);
        self.restarts.increment(stats.restarts - before.restarts);
        self.accumulators.set(stats.accumulators as f64);
        self.devices.set(stats.devices as f64);
        self.show_buffered();
    }

    /// The state at this offset is durable.
    pub(crate) fn checkpoint(&self, offset: u64) {
        self.offset.set(offset as f64);
    }

    /// The task is dropped.
    pub(crate) fn abandon(self) {
        self.abandoned.increment(self.handed_count - self.settled.consumed);
        for gauge in [self.buffered, self.accumulators, self.devices] {
            gauge.set(0.0);
        }
    }

    fn show_buffered(&self) {
        self.buffered.set((self.handed_count - self.settled.consumed) as f64);
    }
}

/// Handles of the instance as a whole.
#[derive(Debug)]
pub(crate) struct InstanceMetrics {
    tables: [Counter; TABLE_COUNT],
    snapshots: BTreeMap<(u32, u8), Counter>,
    flush: Histogram,
    rows_per_flush: Histogram,
    checkpoint: Histogram,
    checkpoint_size: Histogram,
    pub(crate) partitions: Gauge,
    pub(crate) pending_rows: Gauge,
    pub(crate) checkpoints_fenced: Counter,
    pub(crate) checkpoints_damaged: Counter,
    pub(crate) freshness: Freshness,
}

impl InstanceMetrics {
    pub(crate) fn new() -> Self {
        Self {
            tables: Table::ALL.map(|table| ROWS_INSERTED.counter(&[("table", table.name())])),
            snapshots: BTreeMap::new(),
            flush: FLUSH.histogram(&[]),
            rows_per_flush: ROWS_PER_FLUSH.histogram(&[]),
            checkpoint: CHECKPOINT.histogram(&[]),
            checkpoint_size: CHECKPOINT_SIZE.histogram(&[]),
            partitions: PARTITIONS.gauge(&[]),
            pending_rows: PENDING_ROWS.gauge(&[]),
            checkpoints_fenced: CHECKPOINTS_FENCED.counter(&[]),
            checkpoints_damaged: CHECKPOINTS_DAMAGED.counter(&[]),
            freshness: Freshness::default(),
        }
    }

    /// The rows of a flush are in ClickHouse.
    pub(crate) fn inserted(
        &mut self,
        row_counts: [usize; TABLE_COUNT],
        snapshots: &BTreeMap<(u32, u8), u64>,
        took: Duration,
    ) {
        for (counter, count) in self.tables.iter().zip(row_counts) {
            counter.increment(count as u64);
        }
        for (&(period_seconds, resolution), count) in snapshots {
            let counter = self.snapshots.entry((period_seconds, resolution)).or_insert_with(|| {
                let (period, resolution) = (period_seconds.to_string(), resolution.to_string());
                SNAPSHOTS.counter(&[("period", period.as_str()), ("resolution", resolution.as_str())])
            });
            counter.increment(*count);
        }
        self.flush.record(took.as_secs_f64());
        self.rows_per_flush.record(row_counts.iter().sum::<usize>() as f64);
    }

    /// Checkpoints of these sizes were written.
    pub(crate) fn checkpointed(&self, sizes_bytes: impl Iterator<Item = usize>, took: Duration) {
        for size_bytes in sizes_bytes {
            self.checkpoint_size.record(size_bytes as f64);
        }
        self.checkpoint.record(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
