//! The loop of one instance: what the log says, what the workers made, what is due. Everything that must happen in
//! order happens here, one after the other; everything that takes long happens elsewhere, and is waited for here.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use eventlog::{Consumer, ConsumerEvent, LogError, RecordBatch, TopicPartition};
use platform::{
    clock::Clock,
    health::HealthReporter,
    shutdown::{Shutdown, ShutdownTrigger},
};
use tokio::{
    sync::oneshot,
    task::{JoinError, JoinSet},
    time::{Instant, sleep},
};

use super::{
    ProcessError, RowSink,
    flush::{Claim, Flush, Flushed, Outcome},
    ownership::Ownership,
    pool::WorkerPool,
    recover::is_stopping_after,
    schedule::Schedule,
    worker::{CollectPlan, Command},
};
use crate::{checkpoint::CheckpointStore, config::ProcessSettings, limits, metrics::InstanceMetrics};

/// One instance at work.
pub(crate) struct Coordinator<S: RowSink> {
    pub(super) settings: ProcessSettings,
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) sink: Arc<S>,
    pub(super) store: CheckpointStore,
    pub(super) shutdown: Shutdown,
    pub(super) health: HealthReporter,
    pub(super) pool: WorkerPool<S::Encoded>,
    pub(super) ownership: Ownership,
    pub(super) schedule: Schedule,
    /// At most one.
    pub(super) flushes: JoinSet<Result<Flushed, ProcessError>>,
    pub(super) flush_began: Instant,
    /// Durable in a checkpoint, and not known to the group yet.
    pub(super) uncommitted: BTreeMap<TopicPartition, u64>,
    /// Records beyond what the newest checkpoint of their partition reaches. Nothing is read meanwhile.
    pub(super) held: Option<RecordBatch>,
    /// When committing was last tried.
    commit_tried: Instant,
    pub(super) metrics: InstanceMetrics,
    gone: Shutdown,
    /// Tells flushes that we are gone, by being dropped.
    _alive: ShutdownTrigger,
}

/// What the loop woke up for.
pub(super) enum Wake {
    Stop,
    Flushed(Result<Result<Flushed, ProcessError>, JoinError>),
    Log(Result<ConsumerEvent, LogError>),
    Tick,
}

impl<S: RowSink> Coordinator<S> {
    pub(crate) fn new(
        settings: ProcessSettings,
        consumer: Box<dyn Consumer>,
        sink: S,
        store: CheckpointStore,
        shutdown: Shutdown,
        health: HealthReporter,
    ) -> Result<Self, ProcessError> {
        let sink = Arc::new(sink);
        let now = Instant::now();
        let (alive, gone) = Shutdown::new();
        Ok(Self {
            consumer,
            store,
            shutdown,
            health,
            pool: WorkerPool::start(settings.workers, &sink)?,
            sink,
            ownership: Ownership::default(),
            schedule: Schedule::new(&settings, now),
            settings,
            flushes: JoinSet::new(),
            flush_began: now,
            uncommitted: BTreeMap::new(),
            held: None,
            commit_tried: now,
            metrics: InstanceMetrics::new(),
            gone,
            _alive: alive,
        })
    }

    /// Works until shutdown is requested, then drains.
    pub(crate) async fn run(mut self, clock: Arc<dyn Clock>) -> Result<(), ProcessError> {
        self.health.ready();
        let freshness = self.metrics.freshness.clone();
        let stop = self.shutdown.clone();
        let overdue = async {
            stop.requested().await;
            sleep(limits::STEP_AT_SHUTDOWN_MAX).await;
        };
        let mut worked = tokio::select! {
            biased;
            worked = self.work() => worked,
            () = freshness.keep(clock) => unreachable!("it never ends"),
            () = overdue => {
                tracing::warn!("stopped in the middle of a step that does not end; it is done again at the next start");
                return self.leave().await;
            }
        };
        if worked.is_ok() && self.settings.reads_to_end {
            worked = self.read_to_end(limits::READ_TO_END_MAX).await;
        }
        if let Err(error) = &worked {
            self.health.failed(error);
        }
        self.finish(worked).await
    }

    async fn work(&mut self) -> Result<(), ProcessError> {
        loop {
            self.begin_due_flush().await?;
            self.report_health();
            let stop = self.shutdown.clone();
            match self.wake(stop.requested()).await {
                Wake::Stop => return Ok(()),
                Wake::Flushed(flushed) => self.on_flushed(flushed).await?,
                Wake::Log(Ok(event)) => self.on_event(event).await?,
                // The log waits out short outages by itself; this one is longer.
                Wake::Log(Err(error @ LogError::Unavailable { .. })) => {
                    tracing::warn!(%error, "the log does not answer, trying again");
                    is_stopping_after(&self.shutdown, limits::LOG_RETRY_PAUSE).await;
                }
                Wake::Log(Err(error)) => return Err(ProcessError::Log(error)),
                // Nothing else may ever come that would have it tried again.
                Wake::Tick if self.commit_tried.elapsed() >= limits::LOG_RETRY_PAUSE => self.commit().await?,
                Wake::Tick => {}
            }
        }
    }

    pub(super) async fn wake(&mut self, stop: impl Future<Output = ()>) -> Wake {
        let may_read = self.held.is_none()
            && self.pool.pressure().rows() < limits::PENDING_ROWS_MAX
            && self.pool.pressure().bytes() < limits::PENDING_BYTES_MAX;
        let is_waiting =
            !self.flushes.is_empty() || !self.uncommitted.is_empty() || self.schedule.is_waiting(&self.ownership);
        tokio::select! {
            // In the order of who can go on only after us: those who stop, the flush that holds back the next one.
            biased;
            () = stop => Wake::Stop,
            Some(flushed) = self.flushes.join_next() => Wake::Flushed(flushed),
            event = self.consumer.next(), if may_read => Wake::Log(event),
            () = sleep(limits::SCHEDULE_TICK), if is_waiting => Wake::Tick,
        }
    }

    pub(super) async fn on_flushed(
        &mut self,
        flushed: Result<Result<Flushed, ProcessError>, JoinError>,
    ) -> Result<(), ProcessError> {
        let fenced = self.settle(flushed)?;
        self.commit().await?;
        for topic_partition in fenced {
            self.reclaim(topic_partition).await?;
        }
        match self.held.take() {
            Some(batch) => self.on_records(batch).await,
            None => Ok(()),
        }
    }

    pub(super) async fn on_event(&mut self, event: ConsumerEvent) -> Result<(), ProcessError> {
        match event {
            ConsumerEvent::Records(batch) => self.on_records(batch).await,
            ConsumerEvent::Assigned(assigned) => self.on_assigned(assigned).await,
            ConsumerEvent::Revoked(revocation) => self.on_revoked(revocation).await,
        }
    }

    async fn on_records(&mut self, batch: RecordBatch) -> Result<(), ProcessError> {
        let Some(next_offset) = batch.next_offset() else {
            return Ok(());
        };
        let Some(owned) = self.ownership.get_mut(batch.topic_partition()) else {
            return Ok(());
        };
        let is_within_reach = next_offset <= owned.reach;
        #[cfg(feature = "sabotage")]
        let is_within_reach = is_within_reach || platform::sabotage::Rule::ReachBoundsRows.is_broken();
        if !is_within_reach {
            owned.wanted_offset = next_offset;
            self.held = Some(batch);
            return Ok(());
        }
        let is_new = |offset: u64| offset >= owned.handed_offset;
        let new_count = batch.iter().filter(|record| is_new(record.offset)).count() as u64;
        owned.handed_offset = owned.handed_offset.max(next_offset);
        owned.ledger.hand(new_count, owned.handed_offset);
        let worker = owned.worker;
        self.pool.pressure().add_bytes(batch.byte_count());
        self.schedule.on_records(Instant::now());
        self.pool.send(worker, Command::Apply(batch)).await
    }

    pub(super) async fn begin_due_flush(&mut self) -> Result<(), ProcessError> {
        let pressure = self.pool.pressure();
        let waiting = (pressure.rows(), pressure.bytes());
        self.metrics.pending_rows.set(waiting.0 as f64);
        if !self.flushes.is_empty() {
            return Ok(());
        }
        match self.schedule.plan(Instant::now(), waiting, &self.ownership) {
            Some(plan) => self.begin_flush(plan).await,
            None => Ok(()),
        }
    }

    /// Begins a flush. There must be none under way: rows of the next one may only follow the checkpoints of this one.
    pub(super) async fn begin_flush(&mut self, plan: CollectPlan) -> Result<(), ProcessError> {
        assert!(self.flushes.is_empty(), "one flush at a time");
        self.flush_began = Instant::now();
        self.schedule.on_flush(self.flush_began, &plan);
        let plan = Arc::new(plan);
        let mut parts = Vec::new();
        for worker in self.pool.worker_ids() {
            let (reply, part) = oneshot::channel();
            let plan = plan.clone();
            self.pool.send(worker, Command::Collect { plan, reply }).await?;
            parts.push(part);
        }
        let claims = self.ownership.iter().map(|(topic_partition, owned)| {
            let claim = Claim {
                number: owned.next_number,
                episode: owned.episode.clone(),
            };
            (topic_partition.clone(), claim)
        });
        let flush = Flush {
            sink: self.sink.clone(),
            store: self.store.clone(),
            parts,
            claims: claims.collect(),
            gone: self.gone.clone(),
        };
        self.flushes.spawn(flush.run());
        Ok(())
    }

    /// A flush is through: counts it. Its checkpoints wait to be committed. Returns the partitions that another owner is
    /// ahead with.
    pub(super) fn settle(
        &mut self,
        flushed: Result<Result<Flushed, ProcessError>, JoinError>,
    ) -> Result<Vec<TopicPartition>, ProcessError> {
        // A flush that panicked took its rows with it.
        let flushed = flushed.map_err(|_| ProcessError::WorkerLost)??;
        self.health.ready();
        self.metrics
            .inserted(flushed.row_counts, &flushed.snapshots, flushed.insert_took);
        let sizes = flushed.checkpoints.iter().map(|written| written.size_bytes);
        self.metrics.checkpointed(sizes, flushed.checkpoint_took);
        let tenants = flushed.tenants.iter().map(|(_, tenants)| tenants);
        for ((topic_partition, stats), tenants) in flushed.stats.iter().zip(tenants) {
            if let Some(owned) = self.ownership.still(topic_partition, &flushed.claims) {
                owned.ledger.settle(stats);
                let freshness = &self.metrics.freshness;
                freshness.settle(topic_partition, stats.watermark_ms, tenants);
            }
        }
        let mut fenced = Vec::new();
        for written in flushed.checkpoints {
            let Some(owned) = self.ownership.still(&written.topic_partition, &flushed.claims) else {
                continue;
            };
            match written.outcome {
                Outcome::Durable => {
                    owned.save(written.offset, written.reach, self.settings.reach_records_min);
                    self.uncommitted.insert(written.topic_partition, written.offset);
                }
                Outcome::Fenced => fenced.push(written.topic_partition),
                Outcome::Released => {}
            }
        }
        Ok(fenced)
    }

    /// Tells the group what is durable. The checkpoints are the truth, so what cannot be committed now can wait.
    pub(super) async fn commit(&mut self) -> Result<(), ProcessError> {
        let offsets: Vec<_> = self.uncommitted.clone().into_iter().collect();
        if offsets.is_empty() {
            return Ok(());
        }
        self.commit_tried = Instant::now();
        match self.consumer.commit(&offsets).await {
            Ok(()) => self.uncommitted.clear(),
            Err(error @ LogError::Unavailable { .. }) => tracing::warn!(%error, "offsets are committed later"),
            Err(LogError::Fenced { .. }) => {
                self.uncommitted.clear();
                for offset in offsets {
                    if let Err(error) = self.consumer.commit(std::slice::from_ref(&offset)).await {
                        tracing::warn!(partition = %offset.0, %error, "offset not committed");
                    }
                }
            }
            Err(error) => return Err(ProcessError::Log(error)),
        }
        Ok(())
    }

    fn report_health(&self) {
        if self.flushes.is_empty() {
            return;
        }
        let age = self.flush_began.elapsed();
        let seconds = age.as_secs();
        if age >= limits::FLUSH_DEAF_AFTER {
            self.health.failed(format!(
                "a flush has not been accepted for {seconds} s: see the log for ClickHouse or checkpoints"
            ));
        } else if age >= limits::FLUSH_SLOW_AFTER {
            self.health
                .degraded(format!("a flush has not been accepted for {seconds} s"));
        }
    }
}
