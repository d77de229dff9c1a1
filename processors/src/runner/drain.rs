//! Letting go: of partitions that move to another instance, and of everything at shutdown. Bounded: what is not done
//! in time is done again by the next owner, from the last checkpoint.

use std::{collections::BTreeSet, time::Duration};

use eventlog::{LogError, Revocation};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{Coordinator, ProcessError, RowSink, coordinator::Wake, worker::CollectPlan};
use crate::limits;

impl<S: RowSink> Coordinator<S> {
    /// Flushes, checkpoints and commits what leaves us, drops it, and tells the group.
    pub(super) async fn on_revoked(&mut self, revocation: Revocation) -> Result<(), ProcessError> {
        let leaving = &revocation.partitions;
        if !revocation.lost {
            let deadline = Instant::now() + limits::REVOCATION_DRAIN_MAX;
            let only: BTreeSet<_> = leaving.iter().cloned().collect();
            let mut checkpoints = self.ownership.farewells();
            checkpoints.retain(|topic_partition, _| only.contains(topic_partition));
            let plan = CollectPlan {
                checkpoints,
                only: Some(only),
                ..CollectPlan::default()
            };
            let is_saved = self.flush_until(deadline, plan).await?;
            if !is_saved {
                tracing::warn!(
                    count = leaving.len(),
                    "partitions leave before they were flushed; their next owner goes on from the last checkpoint"
                );
            }
        }
        for topic_partition in leaving {
            tracing::debug!(partition = %topic_partition, lost = revocation.lost, "a partition leaves");
            self.release(topic_partition).await?;
        }
        // Released on drop, after everything above.
        drop(revocation);
        Ok(())
    }

    /// Goes on until everything has been read that is in the log now, or for `max`.
    pub(super) async fn read_to_end(&mut self, max: Duration) -> Result<(), ProcessError> {
        let deadline = Instant::now() + max;
        let owned: Vec<_> = self.ownership.iter().map(|(name, _)| name.clone()).collect();
        let mut ends = Vec::new();
        for topic_partition in owned {
            if let Some(bounds) = self.recoverer().bounds(&topic_partition).await? {
                ends.push((topic_partition, bounds.end));
            }
        }
        while !self.ownership.has_reached(&ends) {
            self.begin_due_flush().await?;
            match self.wake(sleep_until(deadline)).await {
                Wake::Flushed(flushed) => self.on_flushed(flushed).await?,
                Wake::Log(Ok(event)) => self.on_event(event).await?,
                Wake::Log(Err(LogError::Unavailable { .. })) | Wake::Stop => {
                    tracing::warn!("stopped before the log was read to its end; that is done at the next start");
                    return Ok(());
                }
                Wake::Log(Err(error)) => return Err(ProcessError::Log(error)),
                Wake::Tick => {}
            }
        }
        Ok(())
    }

    /// Ends the instance. After work that ended well: flushes, checkpoints and commits everything.
    pub(super) async fn finish(mut self, worked: Result<(), ProcessError>) -> Result<(), ProcessError> {
        let drained = match worked {
            Ok(()) => self.drain(limits::SHUTDOWN_DRAIN_MAX).await,
            Err(error) => Err(error),
        };
        let left = self.leave().await;
        drained.and(left)
    }

    /// Ends the instance as it is: what it holds is given up, and the group told.
    pub(super) async fn leave(mut self) -> Result<(), ProcessError> {
        self.flushes.shutdown().await;
        match timeout(limits::CLOSE_MAX, self.consumer.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the group was not told that we leave, it will notice"),
            Err(_) => tracing::warn!("leaving the group took too long, it will notice"),
        }
        self.pool.stop().await
    }

    async fn drain(&mut self, max: Duration) -> Result<(), ProcessError> {
        let deadline = Instant::now() + max;
        let plan = CollectPlan {
            checkpoints: self.ownership.farewells(),
            ..CollectPlan::default()
        };
        if self.flush_until(deadline, plan).await? {
            tracing::info!("everything consumed is inserted, checkpointed and committed");
        } else {
            tracing::warn!("stopped before everything was inserted; it is done again at the next start");
        }
        Ok(())
    }

    /// Waits for the flush under way, then for one by this plan. False when the deadline came first.
    async fn flush_until(&mut self, deadline: Instant, plan: CollectPlan) -> Result<bool, ProcessError> {
        if !self.settle_until(deadline).await? {
            return Ok(false);
        }
        self.begin_flush(plan).await?;
        self.settle_until(deadline).await
    }

    async fn settle_until(&mut self, deadline: Instant) -> Result<bool, ProcessError> {
        while !self.flushes.is_empty() {
            match timeout_at(deadline, self.flushes.join_next()).await {
                Ok(Some(flushed)) => {
                    // Whoever is ahead with a partition goes on with it: we are on our way out.
                    let _fenced = self.settle(flushed)?;
                    // What is not committed in time is so later: the checkpoints are the truth.
                    if let Ok(committed) = timeout_at(deadline, self.commit()).await {
                        committed?;
                    }
                }
                Ok(None) => {}
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}
