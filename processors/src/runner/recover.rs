//! A partition whose checkpoints are lost, or are those of an earlier incarnation than the tables know (a copy that was
//! put back): goes on from what the tables hold.
//!
//! First a checkpoint of a higher incarnation is made durable, under a number that no owner with the lost state can
//! reach: from then on it is that incarnation's partition, whoever owns it. Only then is taken back what lost state has
//! written beyond; that is done again at every start until a later checkpoint shows that the partition has gone on.

use std::{collections::HashMap, time::Duration};

use eventlog::{AssignedPartition, TopicPartition};
use futures::{FutureExt, future::BoxFuture};
use platform::{
    retry::{Classify, Retry},
    units::format_duration,
};
use tokio::time::{sleep, timeout};

use super::{
    Coordinator, ProcessError, RowSink,
    flush::{retry_store, seed_of},
    restore::{self, Step},
};
use crate::{
    checkpoint::{Checkpoint, CheckpointError, CheckpointNumber, Found},
    limits,
    recovery::{Books, GoesOn, Recovery, RecoveryError},
    task::Task,
};

/// Whether records are gone that a task which does not count yet was to learn from.
fn is_quiet_and_cut_off(partition: &AssignedPartition, found: &Found) -> Result<bool, ProcessError> {
    match &found.newest {
        Some(checkpoint) if checkpoint.offset < partition.low => {
            Ok(task_of(&partition.topic_partition, checkpoint)?.is_quiet())
        }
        Some(_) | None => Ok(false),
    }
}

fn task_of(place: &TopicPartition, checkpoint: &Checkpoint) -> Result<Task, ProcessError> {
    Task::restore(place.clone(), &checkpoint.state).map_err(|source| ProcessError::Restore {
        topic_partition: place.clone(),
        source,
    })
}

impl<S: RowSink> Coordinator<S> {
    /// The newest incarnations in the books of partitions that have checkpoints. `None` when shutdown is requested before
    /// the tables answer.
    pub(super) async fn newest_incarnations(
        &mut self,
        beginnings: &[(AssignedPartition, Found)],
    ) -> Result<Option<HashMap<TopicPartition, u16>>, ProcessError> {
        let sink = self.sink.clone();
        match sink.recovery() {
            Some(recovery) if beginnings.iter().any(|(_, found)| found.newest.is_some()) => {
                self.ask("the books", limits::BOOKS_ANSWER_MAX, || recovery.incarnations())
                    .await
            }
            _ => Ok(Some(HashMap::new())),
        }
    }

    /// The same, or with a checkpoint made from the tables where all are lost, or older than an incarnation that has
    /// written books. `None` when the partition is not ours any more, or when shutdown is requested meanwhile.
    pub(super) async fn recovered(
        &mut self,
        partition: AssignedPartition,
        found: Found,
        incarnation_in_books: Option<u16>,
    ) -> Result<Option<(AssignedPartition, Found)>, ProcessError> {
        let sink = self.sink.clone();
        let Some(recovery) = sink.recovery() else {
            return Ok(Some((partition, found)));
        };
        let (mut partition, mut found) = (partition, found);
        let is_of_an_earlier_life = |found: &Found| {
            let newest = found.newest.as_ref().map(|checkpoint| checkpoint.incarnation);
            newest.is_some() && newest < incarnation_in_books
        };
        if is_of_an_earlier_life(&found) {
            // Another owner may have begun anew since the checkpoints were read.
            let Some(newer) = self.read_checkpoints(&partition.topic_partition).await? else {
                return Ok(None);
            };
            found = newer;
        }
        loop {
            let is_unusable = is_of_an_earlier_life(&found) || is_quiet_and_cut_off(&partition, &found)?;
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
                    found = next;
                }
            }
        }
    }

    /// Makes the first checkpoint of a new incarnation from what the tables hold, and returns what is in the store then.
    async fn begin_anew(
        &mut self,
        recovery: &dyn Recovery,
        partition: &AssignedPartition,
        books: Books,
        goes_on: GoesOn,
    ) -> Result<Option<Found>, ProcessError> {
        let (place, low) = (partition.topic_partition.clone(), partition.low);
        let parameters = self.settings.parameters.clone();
        let remains = self.ask("what is left of a partition", limits::RECOVERY_STEP_MAX, || {
            recovery.remains(&place, books.clone(), goes_on.counts_from, low, &parameters)
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
            &parameters,
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
    async fn mend(
        &mut self,
        recovery: &dyn Recovery,
        place: &TopicPartition,
        found: &Found,
    ) -> Result<bool, ProcessError> {
        let Some(checkpoint) = &found.newest else {
            return Ok(true);
        };
        let task = task_of(place, checkpoint)?;
        let goes_on = GoesOn {
            counts_from: task.counts_from(),
            incarnation: checkpoint.incarnation,
        };
        drop(task);
        let parameters = self.settings.parameters.clone();
        let what = "it to take back what lost state has written";
        let mended = self.ask(what, limits::RECOVERY_STEP_MAX, || {
            recovery.mend(place, goes_on, &parameters)
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
        &mut self,
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
            let answer = tokio::select! {
                biased;
                answer = timeout(answer_max, question()) => answer,
                () = patience => return Ok(None),
            };
            match answer {
                Ok(Ok(answer)) => {
                    self.health.ready();
                    return Ok(Some(answer));
                }
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
            if self.is_stopping_after(limits::LOG_RETRY_PAUSE).await {
                return Ok(None);
            }
        }
    }
}
