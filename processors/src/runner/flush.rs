//! One flush: gather what the workers collected, insert it, and only then write the checkpoints.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use eventlog::TopicPartition;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use platform::{
    retry::{Backoff, RetryEnd, retry_forever},
    shutdown::Shutdown,
};
use rand::{SeedableRng, rngs::StdRng};
use schemas::rows::TABLE_COUNT;
use tokio::{sync::oneshot, time::Instant};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    ProcessError, RowSink,
    ownership::Episode,
    worker::{Gathered, Taken},
};
use crate::{
    checkpoint::{CheckpointError, CheckpointNumber, CheckpointStore},
    limits,
    metrics::freshness::TenantWatermarks,
    task::TaskStats,
};

/// A flush under way.
pub(super) struct Flush<S: RowSink> {
    pub(super) sink: Arc<S>,
    pub(super) store: CheckpointStore,
    pub(super) parts: Vec<oneshot::Receiver<Gathered<S::Encoded>>>,
    /// Every partition that was ours when the flush began.
    pub(super) claims: BTreeMap<TopicPartition, Claim>,
    /// Requested when the instance is gone.
    pub(super) gone: Shutdown,
}

/// The right to write the next checkpoint of a partition, while its episode lasts.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) number: CheckpointNumber,
    pub(super) episode: Episode,
}

/// What a flush has done.
pub(super) struct Flushed {
    pub(super) row_counts: [usize; TABLE_COUNT],
    pub(super) snapshots: BTreeMap<(u32, u8), u64>,
    pub(super) stats: Vec<(TopicPartition, TaskStats)>,
    pub(super) tenants: Vec<(TopicPartition, TenantWatermarks)>,
    pub(super) checkpoints: Vec<Written>,
    pub(super) claims: BTreeMap<TopicPartition, Claim>,
    pub(super) insert_took: Duration,
    pub(super) checkpoint_took: Duration,
}

/// What became of one checkpoint.
pub(super) struct Written {
    pub(super) topic_partition: TopicPartition,
    pub(super) offset: u64,
    pub(super) reach: u64,
    pub(super) size_bytes: usize,
    pub(super) outcome: Outcome,
}

/// See [`Written`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is durable.
    Durable,
    /// Another owner was ahead.
    Fenced,
    /// The partition left us before it was written.
    Released,
}

impl<S: RowSink> Flush<S> {
    pub(super) async fn run(self) -> Result<Flushed, ProcessError> {
        let started = Instant::now();
        let mut flushed = Flushed {
            row_counts: [0; TABLE_COUNT],
            snapshots: BTreeMap::new(),
            stats: Vec::new(),
            tenants: Vec::new(),
            checkpoints: Vec::new(),
            claims: self.claims,
            insert_took: Duration::ZERO,
            checkpoint_took: Duration::ZERO,
        };
        let mut batches = Vec::new();
        let mut taken: Vec<Taken> = Vec::new();
        for part in self.parts {
            let part = part.await.map_err(|_| ProcessError::WorkerLost)?;
            flushed.count(&part.row_counts, part.snapshots);
            flushed.stats.extend(part.stats);
            flushed.tenants.extend(part.tenants);
            batches.extend(part.encoded);
            taken.extend(part.checkpoints);
        }
        #[cfg(feature = "sabotage")]
        if platform::sabotage::Rule::InsertBeforeCheckpoint.is_broken() {
            let taken = std::mem::take(&mut taken);
            flushed.checkpoints = write_all(&self.store, &self.gone, &flushed.claims, taken).await?;
        }
        if !batches.is_empty() {
            let inserted = self.sink.insert(batches).await;
            inserted.map_err(|error| ProcessError::Sink(Box::new(error)))?;
        }
        flushed.insert_took = started.elapsed();
        let written = write_all(&self.store, &self.gone, &flushed.claims, taken).await?;
        flushed.checkpoints.extend(written);
        flushed.checkpoint_took = started.elapsed() - flushed.insert_took;
        Ok(flushed)
    }
}

impl Flushed {
    fn count(&mut self, row_counts: &[usize; TABLE_COUNT], snapshots: BTreeMap<(u32, u8), u64>) {
        for (total, count) in self.row_counts.iter_mut().zip(row_counts) {
            *total += count;
        }
        for (level, count) in snapshots {
            *self.snapshots.entry(level).or_default() += count;
        }
    }
}

/// Writes the checkpoints of all partitions that are still ours.
async fn write_all(
    store: &CheckpointStore,
    gone: &Shutdown,
    claims: &BTreeMap<TopicPartition, Claim>,
    taken: Vec<Taken>,
) -> Result<Vec<Written>, ProcessError> {
    let writes = taken.into_iter().filter_map(|taken| {
        let claim = claims.get(&taken.topic_partition)?.clone();
        Some(write(store.clone(), gone.clone(), claim, taken).boxed())
    });
    let writes: Vec<_> = writes.collect();
    stream::iter(writes)
        .buffer_unordered(limits::CHECKPOINTS_IN_FLIGHT_MAX)
        .try_collect()
        .await
}

/// Writes one checkpoint, without end: until it is durable, nothing that was made after it may be inserted.
async fn write(store: CheckpointStore, gone: Shutdown, claim: Claim, taken: Taken) -> Result<Written, ProcessError> {
    let Taken {
        topic_partition,
        offset,
        reach,
        frame,
    } = taken;
    let Claim { number, episode } = claim;
    let size_bytes = frame.len();
    let place = topic_partition.clone();
    let result = retry_store("write checkpoint", gone, seed_of(&place), move || {
        let (store, episode) = (store.clone(), episode.clone());
        let (topic_partition, frame) = (place.clone(), frame.clone());
        async move {
            if episode.is_over() {
                return Ok(Outcome::Released);
            }
            store.put(&topic_partition, number, frame).await?;
            Ok(Outcome::Durable)
        }
        .boxed()
    });
    let outcome = match result.await {
        Err(ProcessError::Checkpoint(CheckpointError::Fenced { .. })) => Outcome::Fenced,
        result => result?.unwrap_or(Outcome::Released),
    };
    Ok(Written {
        topic_partition,
        offset,
        reach,
        size_bytes,
        outcome,
    })
}

/// A seed for the pauses between tries: differs between partitions and thus between instances, and a simulation that
/// is run again makes the same pauses.
pub(super) fn seed_of(topic_partition: &TopicPartition) -> u64 {
    xxh3_64(topic_partition.to_string().as_bytes())
}

/// Uses the checkpoint store until it answers; `None` when `stop` is requested before.
pub(super) fn retry_store<T: Send + 'static>(
    what: &'static str,
    stop: Shutdown,
    seed: u64,
    mut operation: impl FnMut() -> BoxFuture<'static, Result<T, CheckpointError>> + Send + 'static,
) -> BoxFuture<'static, Result<Option<T>, ProcessError>> {
    async move {
        let mut delays = Backoff::for_services().delays(StdRng::seed_from_u64(seed));
        #[allow(
            clippy::redundant_closure,
            reason = "a closure is an `AsyncFnMut`; what is only known to be `FnMut` is not"
        )]
        let answer = retry_forever(what, &stop, &mut delays, move || operation()).await;
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(RetryEnd::Refused(error)) => Err(ProcessError::Checkpoint(error)),
            Err(RetryEnd::Shutdown(_)) => Ok(None),
        }
    }
    .boxed()
}
