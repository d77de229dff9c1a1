//! How assigned partitions begin: with their newest checkpoint, and where checkpoints are lost, or older than what the
//! tables know (a copy that was put back), with what the tables hold.
//!
//! First a checkpoint of a higher incarnation is made durable, under a number that no owner with the lost state can
//! reach: from then on it is that incarnation's partition, whoever owns it. Only then is taken back what lost state has
//! written beyond; that is done again at every start until a later checkpoint shows that the partition has gone on.

use std::{cmp::Ordering, ops::Range, pin::pin, time::Duration};

use eventlog::{AssignedPartition, Consumer, LogError, TopicPartition};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use platform::{
    health::HealthReporter,
    retry::{Classify, Retry},
    shutdown::Shutdown,
    units::format_duration,
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Coordinator, ProcessError, RowSink,
    flush::{retry_store, seed_of},
    restore::{self, Step},
};
use crate::{
    checkpoint::{Checkpoint, CheckpointError, CheckpointNumber, CheckpointStore, Found},
    limits,
    recovery::{Books, BooksEnd, Ends, GoesOn, Recovery, RecoveryError},
    task::{Parameters, Task},
};

/// A partition, and what is in the store of it.
type Beginning = (AssignedPartition, Found);

/// Whoever is asked how partitions begin. Answers about different partitions do not wait for each other.
pub(super) struct Recoverer<'run> {
    recovery: Option<&'run dyn Recovery>,
    consumer: Mutex<&'run mut dyn Consumer>,
    store: &'run CheckpointStore,
    parameters: &'run Parameters,
    shutdown: &'run Shutdown,
    health: &'run HealthReporter,
    /// From then on it is worth telling that nothing is read meanwhile.
    slow_at: Instant,
}

impl<S: RowSink> Coordinator<S> {
    pub(super) fn recoverer(&mut self) -> Recoverer<'_> {
        Recoverer {
            recovery: self.sink.recovery(),
            consumer: Mutex::new(self.consumer.as_mut()),
            store: &self.store,
            parameters: &self.settings.parameters,
            shutdown: &self.shutdown,
            health: &self.health,
            slow_at: Instant::now() + limits::BOOKS_ANSWER_MAX,
        }
    }
}

/// Whether records are gone that a task which does not count yet was to learn from.
fn is_quiet_and_cut_off(partition: &AssignedPartition, found: &Found) -> Result<bool, ProcessError> {
    match &found.newest {
        Some(checkpoint) if checkpoint.offset < partition.low => {
            Ok(task_of(&partition.topic_partition, checkpoint)?.is_quiet())
        }
        Some(_) | None => Ok(false),
    }
}

/// Whether the newest checkpoint is not the newest that there was: a copy that was put back. Rows never go beyond the reach of
/// the checkpoint before them, so the books cannot end beyond that of the newest one; those of a task that does not count
/// yet ended before it began.
fn is_outdated(
    partition: &AssignedPartition,
    found: &Found,
    books_end: Option<BooksEnd>,
) -> Result<bool, ProcessError> {
    let (Some(checkpoint), Some(end)) = (&found.newest, books_end) else {
        return Ok(false);
    };
    let is_beyond_reach = checkpoint.reach.is_some_and(|reach| end.offset > reach);
    match checkpoint.incarnation.cmp(&end.incarnation) {
        Ordering::Less => Ok(true),
        Ordering::Equal if is_beyond_reach => Ok(!task_of(&partition.topic_partition, checkpoint)?.is_quiet()),
        Ordering::Equal | Ordering::Greater => Ok(false),
    }
}

fn task_of(place: &TopicPartition, checkpoint: &Checkpoint) -> Result<Task, ProcessError> {
    Task::restore(place.clone(), &checkpoint.state).map_err(|source| ProcessError::Restore {
        topic_partition: place.clone(),
        source,
    })
}

impl Recoverer<'_> {
    /// How each partition begins that is still ours when it is known. `None` when shutdown is requested before anything
    /// was done that would have to be ended.
    pub(super) async fn beginnings(
        &self,
        assigned: Vec<AssignedPartition>,
    ) -> Result<Option<Vec<Beginning>>, ProcessError> {
        let loads = assigned.into_iter().map(|partition| {
            let found = self.read_checkpoints(&partition.topic_partition);
            async move { Ok::<_, ProcessError>(found.await?.map(|found| (partition, found))) }
        });
        // All of them before anything that takes longer: from then on a shutdown finds every partition begun.
        let found: Vec<Option<Beginning>> = stream::iter(loads)
            .buffered(limits::CHECKPOINTS_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        let Some(found) = found.into_iter().collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let Some(ends) = self.books_ends(&found).await? else {
            return Ok(None);
        };
        let beginnings = found.into_iter().map(|(partition, found)| {
            let end = ends.get(&partition.topic_partition).copied();
            self.beginning(partition, found, end).boxed()
        });
        let beginnings: Vec<Option<Beginning>> = stream::iter(beginnings.collect::<Vec<_>>())
            .buffered(limits::RECOVERIES_IN_FLIGHT_MAX)
            .try_collect()
            .await?;
        self.health.ready();
        Ok(Some(beginnings.into_iter().flatten().collect()))
    }

    /// `None` when the partition is not ours any more, or when shutdown is requested meanwhile.
    async fn beginning(
        &self,
        partition: AssignedPartition,
        found: Found,
        books_end: Option<BooksEnd>,
    ) -> Result<Option<Beginning>, ProcessError> {
        let Some(partition) = self.brought_up_to_date(partition, &found).await? else {
            return Ok(None);
        };
        let Some((partition, found)) = self.recovered(partition, found, books_end).await? else {
            return Ok(None);
        };
        // Another owner may have begun anew meanwhile, and be far ahead.
        let partition = self.brought_up_to_date(partition, &found).await?;
        Ok(partition.map(|partition| (partition, found)))
    }

    /// What the store has of a partition; `None` when shutdown is requested before it answers.
    fn read_checkpoints(
        &self,
        topic_partition: &TopicPartition,
    ) -> BoxFuture<'static, Result<Option<Found>, ProcessError>> {
        let (store, topic_partition) = (self.store.clone(), topic_partition.clone());
        let seed = seed_of(&topic_partition);
        retry_store("read checkpoint", self.shutdown.clone(), seed, move || {
            let (store, topic_partition) = (store.clone(), topic_partition.clone());
            async move { store.latest(&topic_partition).await }.boxed()
        })
    }

    /// The bounds of a partition now; `None` when it is not ours any more, or when shutdown is requested meanwhile.
    pub(super) async fn bounds(&self, topic_partition: &TopicPartition) -> Result<Option<Range<u64>>, ProcessError> {
        loop {
            let bounds = self.consumer.lock().await.bounds(topic_partition).await;
            match bounds {
                Ok(bounds) => return Ok(Some(bounds)),
                // Assigned anew sooner or later, to whoever reads its log then.
                Err(LogError::Fenced { .. }) => return Ok(None),
                Err(error @ LogError::Unavailable { .. }) => {
                    tracing::warn!(partition = %topic_partition, %error, "cannot ask for the bounds of the log, trying again");
                }
                Err(error) => return Err(ProcessError::Log(error)),
            }
            if is_stopping_after(self.shutdown, limits::LOG_RETRY_PAUSE).await {
                return Ok(None);
            }
        }
    }

    /// The bounds that came with the assignment, or newer ones where a checkpoint lies beyond them: while it was read,
    /// the owner before us may have gone on. `None` when the partition is not ours any more, or when shutdown is
    /// requested meanwhile.
    async fn brought_up_to_date(
        &self,
        partition: AssignedPartition,
        found: &Found,
    ) -> Result<Option<AssignedPartition>, ProcessError> {
        let is_beyond = |checkpoint: &Checkpoint| checkpoint.offset > partition.high;
        if !found.newest.as_ref().is_some_and(is_beyond) {
            return Ok(Some(partition));
        }
        let bounds = self.bounds(&partition.topic_partition).await?;
        Ok(bounds.map(|bounds| AssignedPartition {
            low: bounds.start,
            high: bounds.end,
            ..partition
        }))
    }

    /// Where the books end, asked if there are checkpoints that could be older. `None` when shutdown is requested before
    /// the tables answer.
    async fn books_ends(&self, beginnings: &[Beginning]) -> Result<Option<Ends>, ProcessError> {
        match self.recovery {
            Some(recovery) if beginnings.iter().any(|(_, found)| found.newest.is_some()) => {
                self.ask("the books", limits::BOOKS_ANSWER_MAX, || recovery.ends())
                    .await
            }
            _ => Ok(Some(Ends::new())),
        }
    }

    /// The same, or with a checkpoint made from the tables where all are lost, or older than the books. `None` when the
    /// partition is not ours any more, or when shutdown is requested meanwhile.
    async fn recovered(
        &self,
        partition: AssignedPartition,
        found: Found,
        books_end: Option<BooksEnd>,
    ) -> Result<Option<Beginning>, ProcessError> {
        let Some(recovery) = self.recovery else {
            return Ok(Some((partition, found)));
        };
        let (mut partition, mut found) = (partition, found);
        let mut is_outdated = is_outdated(&partition, &found, books_end)?;
        if is_outdated {
            // Another owner may have gone on since the checkpoints were read.
            let Some(newer) = self.read_checkpoints(&partition.topic_partition).await? else {
                return Ok(None);
            };
            found = newer;
            is_outdated = self::is_outdated(&partition, &found, books_end)?;
        }
        loop {
            let is_unusable = is_outdated || is_quiet_and_cut_off(&partition, &found)?;
            match restore::step(&found, is_unusable) {
                Step::None => return Ok(Some((partition, found))),
                Step::Mend => {
                    let is_mended = self.mend(recovery, &partition.topic_partition, &found).await?;
                    return Ok(is_mended.then_some((partition, found)));
                }
                Step::AskTables => {
                    // The owner before us may have gone on since the partition was assigned.
                    let Some(bounds) = self.bounds(&partition.topic_partition).await? else {
                        return Ok(None);
                    };
                    (partition.low, partition.high) = (bounds.start, bounds.end);
                    let place = partition.topic_partition.clone();
                    let Some(books) = self
                        .ask("the books", limits::BOOKS_ANSWER_MAX, || recovery.books(&place))
                        .await?
                    else {
                        return Ok(None);
                    };
                    let Some((books, goes_on)) = restore::goes_on(&partition, &found, books)? else {
                        return Ok(Some((partition, found)));
                    };
                    let Some(next) = self.begin_anew(recovery, &partition, books, goes_on).await? else {
                        return Ok(None);
                    };
                    (found, is_outdated) = (next, false);
                }
            }
        }
    }

    /// Makes the first checkpoint of a new incarnation from what the tables hold, and returns what is in the store then.
    async fn begin_anew(
        &self,
        recovery: &dyn Recovery,
        partition: &AssignedPartition,
        books: Books,
        goes_on: GoesOn,
    ) -> Result<Option<Found>, ProcessError> {
        let (place, low) = (partition.topic_partition.clone(), partition.low);
        let remains = self.ask("what is left of a partition", limits::RECOVERY_STEP_MAX, || {
            recovery.remains(&place, books.clone(), goes_on.counts_from, low, self.parameters)
        });
        let Some(remains) = remains.await? else {
            return Ok(None);
        };
        tracing::warn!(
            partition = %place,
            committed = partition.committed,
            offset = goes_on.counts_from,
            learns_from = remains.learns_from,
            devices = remains.devices.len(),
            incarnation = goes_on.incarnation,
            "checkpoints are lost: going on where the tables end, with a state made from them"
        );
        let mut task = Task::from_remains(
            place.clone(),
            goes_on.incarnation,
            self.parameters,
            goes_on.counts_from,
            remains,
        );
        let checkpoint = Checkpoint {
            offset: task.next_offset(),
            // The first rows come after the checkpoint that follows.
            reach: None,
            incarnation: goes_on.incarnation,
            state: task.checkpoint(),
        };
        let (frame, number) = (checkpoint.encode(), CheckpointNumber::beginning_of(goes_on.incarnation));
        let (store, stop) = (self.store.clone(), self.shutdown.clone());
        let to_write = place.clone();
        let written = retry_store("write checkpoint", stop, seed_of(&place), move || {
            let (store, place, frame) = (store.clone(), to_write.clone(), frame.clone());
            async move {
                match store.put(&place, number, frame).await {
                    // Another owner does the same, or our own try before was through: what is there decides.
                    Err(CheckpointError::Fenced { .. }) => Ok(()),
                    done => done,
                }
            }
            .boxed()
        });
        if written.await?.is_none() {
            return Ok(None);
        }
        self.read_checkpoints(&place).await
    }

    /// False when shutdown is requested meanwhile.
    async fn mend(&self, recovery: &dyn Recovery, place: &TopicPartition, found: &Found) -> Result<bool, ProcessError> {
        let Some(checkpoint) = &found.newest else {
            return Ok(true);
        };
        let task = task_of(place, checkpoint)?;
        let goes_on = GoesOn {
            counts_from: task.counts_from(),
            incarnation: checkpoint.incarnation,
        };
        drop(task);
        let what = "it to take back what lost state has written";
        let mended = self.ask(what, limits::RECOVERY_STEP_MAX, || {
            recovery.mend(place, goes_on, self.parameters)
        });
        let Some(mended) = mended.await? else {
            return Ok(false);
        };
        tracing::info!(
            partition = %place,
            offset = goes_on.counts_from,
            remade = mended.remade,
            "what lost state has written beyond is taken back"
        );
        if mended.expired_buckets > 0 {
            tracing::error!(
                partition = %place,
                buckets = mended.expired_buckets,
                "rollups of buckets whose measurements have expired may count events twice: what lost state added to them \
                 last cannot be taken back"
            );
        }
        Ok(true)
    }

    /// Asks the tables until they answer within `answer_max`; `None` when shutdown is requested before.
    async fn ask<'call, T>(
        &self,
        what: &str,
        answer_max: Duration,
        question: impl Fn() -> BoxFuture<'call, Result<T, RecoveryError>>,
    ) -> Result<Option<T>, ProcessError> {
        loop {
            // Who reads the log to its end at shutdown has to know where a partition begins; who gets no answer ends.
            let patience = async {
                self.shutdown.requested().await;
                sleep(limits::ANSWER_AT_SHUTDOWN_MAX).await;
            };
            let answer = async {
                let mut answer = pin!(timeout(answer_max, question()));
                if let Ok(answer) = timeout_at(self.slow_at, &mut answer).await {
                    return answer;
                }
                self.health
                    .degraded(format!("asks ClickHouse for {what}, and reads nothing meanwhile"));
                answer.await
            };
            let answer = tokio::select! {
                biased;
                answer = answer => answer,
                () = patience => return Ok(None),
            };
            match answer {
                Ok(Ok(answer)) => return Ok(Some(answer)),
                Err(_elapsed) => {
                    let error = format!("no answer within {}", format_duration(answer_max));
                    tracing::warn!(%error, "cannot ask ClickHouse for {what}, trying again");
                    self.health.degraded(&error);
                }
                Ok(Err(error)) if error.retry() == Retry::Never => return Err(ProcessError::Recovery(Box::new(error))),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot ask ClickHouse for {what}, trying again");
                    self.health.degraded(&error);
                }
            }
            if is_stopping_after(self.shutdown, limits::LOG_RETRY_PAUSE).await {
                return Ok(None);
            }
        }
    }
}

/// Waits; true when shutdown is requested meanwhile.
pub(super) async fn is_stopping_after(shutdown: &Shutdown, pause: Duration) -> bool {
    tokio::select! {
        biased;
        () = shutdown.requested() => true,
        () = sleep(pause) => false,
    }
}
