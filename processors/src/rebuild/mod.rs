//! Makes the rollups of a range of time what the measurements say, while the pipeline goes on.
//!
//! A snapshot must be the aggregate of its partition's measurements of its cell, from its generation on and up to its
//! version. So it can be made again at any time, by the same arithmetic in the same order, under the same key and a
//! version that is no lower: ClickHouse keeps the one inserted last of equal versions, and a task that goes on with the
//! same accumulator writes a higher one, which is absolute and right as well. What tasks hold is known from their newest
//! checkpoints; nothing from there on is touched. See ADR 8.
//!
//! Must never write a snapshot from which a task will count an event a second time.

mod live;
mod plan;
mod store;

use std::{collections::BTreeMap, fmt};

use eventlog::{PartitionId, TopicPartition};
use schemas::{
    record::EVENTS_TOPIC,
    rows::{RollupRows, Rows},
    timestamp::show_bucket,
};

use self::{
    live::LivePartition,
    plan::{Bucket, Change, Kind},
    store::{BucketStream, Measurement, Snapshot},
};
use crate::{
    audit::{AuditError, AuditStore, Window},
    checkpoint::{CheckpointError, CheckpointStore},
    limits::REBUILD_ROWS,
    rollup::accumulator::Origin,
    runner::RowSink,
    sink::{ClickHouseSink, SinkError},
    task::RestoreError,
};

/// Why rollups could not be made again. What was written before stays, and is right.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// ClickHouse does not answer.
    #[error(transparent)]
    Store(#[from] AuditError),
    /// The checkpoints, which say what tasks hold, cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint is of another version.
    #[error("the newest checkpoint of `{partition}` cannot be read: {source}; run the version that wrote it")]
    Restore {
        /// Whose.
        partition: TopicPartition,
        /// Why.
        source: RestoreError,
    },
    /// Rows cannot be inserted.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// What is to be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuildOptions {
    /// Unix seconds; widened to whole buckets.
    pub from_seconds: u64,
    /// Unix seconds, exclusive; widened to whole buckets.
    pub to_seconds: u64,
    /// Only say what would change.
    pub dry_run: bool,
}

/// What was changed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Rebuilt {
    /// By period and resolution.
    pub levels: Vec<RebuiltLevel>,
    /// Partitions left out, since they have no checkpoint that says what their tasks hold.
    pub skipped: Vec<u16>,
}

/// Snapshots of one level.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RebuiltLevel {
    /// Seconds.
    pub period: u32,
    /// H3 resolution.
    pub resolution: u8,
    /// As they should be.
    pub unchanged: u64,
    /// With other values than they should have.
    pub corrected: u64,
    /// That were not there.
    pub created: u64,
    /// That should not be there.
    pub withdrawn: u64,
    /// Partitions whose newest checkpoint does not know the level yet: they are left out.
    pub waiting: Vec<u16>,
}

impl Rebuilt {
    /// Snapshots that were changed, or would be.
    #[must_use]
    pub fn changed_count(&self) -> u64 {
        let levels = self.levels.iter();
        levels
            .map(|level| level.corrected + level.created + level.withdrawn)
            .sum()
    }
}

/// One snapshot that is changed, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeLine<'a> {
    level: (u32, u8),
    bucket: &'a Bucket,
    change: &'a Change,
}

impl fmt::Display for ChangeLine<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            level: (period, resolution),
            bucket,
            change,
        } = self;
        let what = match change.kind {
            Kind::Corrected => "correct",
            Kind::Created => "create",
            Kind::Withdrawn => "withdraw",
        };
        write!(
            formatter,
            "{what} tenant `{}`, metric `{}`, period {period}, res {resolution}, bucket {}, cell {:x}, partition {}, \
             generation {}: count {} becomes {}",
            bucket.tenant,
            bucket.metric,
            show_bucket(bucket.bucket_seconds),
            change.cell,
            change.partition,
            change.accumulator.generation,
            change.count_before,
            change.accumulator.count,
        )
    }
}

/// Makes the rollups of a range of time what the measurements say. `on_change` hears of every snapshot that is changed.
///
/// # Errors
/// [`RebuildError`].
pub async fn rebuild(
    store: &AuditStore,
    checkpoints: &CheckpointStore,
    sink: &ClickHouseSink,
    options: RebuildOptions,
    mut on_change: impl FnMut(ChangeLine<'_>),
) -> Result<Rebuilt, RebuildError> {
    let mut rebuilt = Rebuilt::default();
    let mut partitions: BTreeMap<u16, LivePartition> = BTreeMap::new();
    for partition in store.partitions().await? {
        match live(checkpoints, partition).await? {
            Some(live) => drop(partitions.insert(partition, live)),
            None => rebuilt.skipped.push(partition),
        }
    }
    let mut levels: Vec<(u32, u8)> = partitions.values().flat_map(LivePartition::levels).collect();
    levels.sort_unstable();
    levels.dedup();
    let horizon = store.bucket_horizon().await?;
    for level in levels {
        let window = Window::range(options.from_seconds, options.to_seconds, level.0).not_before(horizon);
        let work = LevelWork {
            store,
            sink: (!options.dry_run).then_some(sink),
            partitions: &partitions,
            level,
            only_from: 0,
        };
        rebuilt.levels.push(work.run(&window, &mut on_change).await?);
    }
    Ok(rebuilt)
}

/// Snapshots of one level that lost state has written up to an offset or beyond, in some buckets.
#[derive(Clone, Debug)]
pub(crate) struct CutBack {
    /// Whose.
    pub(crate) partition: u16,
    /// From here on the task counts anew.
    pub(crate) counts_from: u64,
    /// Of the task that goes on.
    pub(crate) incarnation: u16,
    /// Period and resolution.
    pub(crate) level: (u32, u8),
    /// Their starts, Unix seconds.
    pub(crate) buckets: Vec<u32>,
}

/// Makes snapshots what they were before an offset, from the measurements. Returns how many.
///
/// # Errors
/// [`RebuildError`].
pub(crate) async fn cut_back(store: &AuditStore, sink: &ClickHouseSink, cut: CutBack) -> Result<u64, RebuildError> {
    let live = LivePartition::without_state(cut.counts_from, cut.incarnation, vec![cut.level]);
    let partitions = BTreeMap::from([(cut.partition, live)]);
    let work = LevelWork {
        store,
        sink: Some(sink),
        partitions: &partitions,
        level: cut.level,
        only_from: cut.counts_from,
    };
    let rebuilt = work.run(&Window::Buckets(cut.buckets), &mut |_| {}).await?;
    Ok(rebuilt.corrected + rebuilt.created + rebuilt.withdrawn)
}

/// What the task of a partition holds, by its newest checkpoint.
async fn live(checkpoints: &CheckpointStore, partition: u16) -> Result<Option<LivePartition>, RebuildError> {
    let place = TopicPartition {
        topic: EVENTS_TOPIC.into(),
        partition: PartitionId(partition),
    };
    let Some(checkpoint) = checkpoints.latest(&place).await?.newest else {
        return Ok(None);
    };
    LivePartition::read(place.clone(), &checkpoint)
        .map(Some)
        .map_err(|source| RebuildError::Restore {
            partition: place,
            source,
        })
}

/// One level of all partitions that have it.
struct LevelWork<'a> {
    store: &'a AuditStore,
    /// None: only look.
    sink: Option<&'a ClickHouseSink>,
    partitions: &'a BTreeMap<u16, LivePartition>,
    level: (u32, u8),
    /// Only snapshots that reach this offset are changed.
    only_from: u64,
}

impl LevelWork<'_> {
    async fn run(
        &self,
        window: &Window,
        on_change: &mut impl FnMut(ChangeLine<'_>),
    ) -> Result<RebuiltLevel, RebuildError> {
        let mut rebuilt = RebuiltLevel {
            period: self.level.0,
            resolution: self.level.1,
            waiting: self.without_level(),
            ..RebuiltLevel::default()
        };
        let ends: BTreeMap<u16, u64> = self
            .partitions
            .iter()
            .filter(|(_, live)| live.has_level(self.level))
            .map(|(partition, live)| (*partition, live.next_offset()))
            .collect();
        let mut snapshots: BucketStream<Snapshot> = self.store.snapshots(self.level, &ends, window)?;
        let mut measurements: BucketStream<Measurement> = self.store.counted_measurements(self.level, &ends, window)?;
        let mut rows = RollupRows::default();
        loop {
            // The streams have the same order: the next bucket is the lower of the two heads.
            let next = [snapshots.head().await?, measurements.head().await?];
            let Some(bucket) = next.into_iter().flatten().min() else {
                break;
            };
            let mut plan = plan::BucketPlan::new(self.level, bucket.clone(), self.partitions);
            while let Some(snapshot) = snapshots.next_of(&bucket).await? {
                plan.snapshot(snapshot);
            }
            plan.decide_owners();
            while let Some(measurement) = measurements.next_of(&bucket).await? {
                plan.measurement(&measurement);
            }
            let (mut changes, unchanged) = plan.finish();
            changes.retain(|change| Origin::offset_of(change.version_before) >= self.only_from);
            rebuilt.unchanged += unchanged;
            for change in &changes {
                match change.kind {
                    Kind::Corrected => rebuilt.corrected += 1,
                    Kind::Created => rebuilt.created += 1,
                    Kind::Withdrawn => rebuilt.withdrawn += 1,
                }
                on_change(ChangeLine {
                    level: self.level,
                    bucket: &bucket,
                    change,
                });
                change.write(self.level, &bucket, &mut rows);
            }
            if rows.count.len() >= REBUILD_ROWS {
                self.insert(std::mem::take(&mut rows)).await?;
            }
        }
        self.insert(rows).await?;
        Ok(rebuilt)
    }

    fn without_level(&self) -> Vec<u16> {
        let without = self.partitions.iter().filter(|(_, live)| !live.has_level(self.level));
        without.map(|(partition, _)| *partition).collect()
    }

    async fn insert(&self, rollups: RollupRows) -> Result<(), RebuildError> {
        let Some(sink) = self.sink.filter(|_| !rollups.count.is_empty()) else {
            return Ok(());
        };
        let rows = Rows {
            rollups,
            ..Rows::default()
        };
        sink.insert(vec![sink.encode(rows)]).await?;
        Ok(())
    }
}
