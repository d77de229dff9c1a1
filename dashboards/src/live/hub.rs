//! The one task behind all live streams: it hears what changes, keeps the watches up to date, and ends their rounds.
//!
//! A watch is registered before the store is read for it, and a change is told only after the store has it. So whatever
//! the reading misses is told afterwards, and merging by version makes the two one. Where changes may have been missed the
//! store is read again, and while nothing is told it is read every few seconds. Must never wait for the store itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use clickhouse::Row;
use geocache::{Batch, CellCache, Notice, Notices, Place, Snapshot, Values, snapshot::Source};
use platform::shutdown::Shutdown;
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    event::View,
    pulse::Pulse,
    watch::{Key, News, Stage, Watch},
};
use crate::{
    api::{
        Api,
        arrivals::Reach,
        problem::{Kind, Problem},
        sql,
    },
    limits,
    metrics::LiveMetrics,
};

/// All watches.
pub(crate) struct Hub {
    api: Arc<Api>,
    cache: Option<Arc<dyn CellCache>>,
    watches: Mutex<HashMap<Key, Held>>,
    pulses: Mutex<Vec<Weak<Pulse>>>,
    started: Instant,
    metrics: LiveMetrics,
}

/// A watch, and what the hub remembers of it.
struct Held {
    watch: Arc<Watch>,
    /// Who had it begun, where callers can be told apart.
    share: Option<String>,
    read_at: Instant,
    followed_at: Instant,
}

/// A snapshot as the store has it.
#[derive(Debug, Deserialize, Row)]
struct StoredSnapshot {
    cell: u64,
    partition: u16,
    generation: u64,
    version: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Hub {
    /// A hub, and its task begins. What is published from now on is heard.
    pub(crate) fn start(api: Arc<Api>, cache: Option<Arc<dyn CellCache>>, shutdown: Shutdown) -> Arc<Self> {
        let notices = cache.as_ref().map(|cache| cache.watch());
        tokio::spawn(api.nearby.clone().run(api.clone(), shutdown.clone()));
        let hub = Arc::new(Self {
            api,
            cache,
            watches: Mutex::default(),
            pulses: Mutex::default(),
            started: Instant::now(),
            metrics: LiveMetrics::new(),
        });
        tokio::spawn(hub.clone().run(notices, shutdown));
        hub
    }

    pub(crate) fn metrics(&self) -> &LiveMetrics {
        &self.metrics
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn wall_ms(&self) -> i64 {
        self.api.clock.wall_ms()
    }

    /// How far what a view shows reaches, of which the newest event is known.
    pub(crate) fn reach(&self, view: &View, newest_ms: Option<i64>) -> Reach {
        let told = self
            .api
            .changes
            .reach(&view.key.tenant, (view.key.period, view.key.resolution));
        // Where nobody has told anything, what is stored is believed to have been so for long.
        let settled_ms = told.is_none().then_some(i64::MAX);
        Reach::stored(newest_ms, settled_ms, told)
    }

    /// Has an eye on a client from now on, for as long as its pulse lives.
    pub(crate) fn mind(&self, pulse: &Arc<Pulse>) {
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.push(Arc::downgrade(pulse));
    }

    /// The watch of a key, once it can be shown. Where it has to be begun, it counts as one of this share.
    ///
    /// # Errors
    /// When it cannot, or there are too many, of the share or at all.
    pub(crate) async fn join(
        self: &Arc<Self>,
        key: &Key,
        share: Option<&str>,
    ) -> Result<(Arc<Watch>, tokio::sync::watch::Receiver<Arc<News>>), Problem> {
        let (watch, mut news) = self.enter(key, share)?;
        let stage = {
            let known = news.wait_for(|news| news.stage != Stage::Loading).await;
            known
                .map(|news| news.stage.clone())
                .map_err(|_| Problem::new(Kind::Internal, "the watch has ended"))?
        };
        match stage {
            Stage::Failed(problem) => Err(problem),
            Stage::Loading | Stage::Ready { .. } => Ok((watch, news)),
        }
    }

    fn enter(
        self: &Arc<Self>,
        key: &Key,
        share: Option<&str>,
    ) -> Result<(Arc<Watch>, tokio::sync::watch::Receiver<Arc<News>>), Problem> {
        let mut watches = self.watches();
        if let Some(held) = watches.get(key) {
            return Ok((held.watch.clone(), held.watch.follow()));
        }
        check_room(&watches, share)?;
        let watch = Arc::new(Watch::new(key.clone(), rand::random(), self.wall_ms()));
        let news = watch.follow();
        let now = Instant::now();
        let held = Held {
            watch: watch.clone(),
            share: share.map(str::to_owned),
            read_at: now,
            followed_at: now,
        };
        watches.insert(key.clone(), held);
        drop(watches);
        self.read(&watch, false);
        Ok((watch, news))
    }

    fn watches(&self) -> MutexGuard<'_, HashMap<Key, Held>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, mut notices: Option<Notices>, shutdown: Shutdown) {
        let mut rounds = interval(limits::LIVE_ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Until the first notice says that something is told.
        let mut is_told = false;
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                notice = next(&mut notices) => {
                    let notice = notice.unwrap_or(Notice::Gone);
                    self.api.nearby.told(&notice);
                    match notice {
                        Notice::Changed(batch) => self.changed(&batch),
                        Notice::Lost => {
                            is_told = true;
                            self.api.changes.begin();
                            self.read_all();
                        }
                        Notice::Gone => {
                            is_told = false;
                            self.api.changes.end();
                        }
                    }
                }
                _ = rounds.tick() => self.end_round(is_told),
            }
        }
    }

    fn changed(&self, batch: &Batch) {
        self.api.changes.told(batch);
        let watches = self.watches();
        if watches.is_empty() {
            return;
        }
        let of_tenant = |place: &Place, tenant: &str| {
            watches.get(&Key {
                tenant: tenant.to_owned(),
                metric: (*place.metric).to_owned(),
                period: place.period_seconds,
                resolution: place.resolution,
            })
        };
        for group in &batch.groups {
            for tenant in [&*group.place.tenant, ""] {
                if let Some(held) = of_tenant(&group.place, tenant) {
                    held.watch.told(group.place.bucket_seconds, &group.snapshots);
                }
            }
        }
        for (tenant, newest_ms) in &batch.newest_ms {
            let looks = |key: &Key| key.tenant.is_empty() || *key.tenant == **tenant;
            for (_, held) in watches.iter().filter(|(key, _)| looks(key)) {
                held.watch.told_newest(*newest_ms);
            }
        }
    }

    fn end_round(self: &Arc<Self>, is_told: bool) {
        let (now, wall_ms) = (Instant::now(), self.wall_ms());
        let read_after = match is_told {
            true => limits::WATCH_RECHECK_INTERVAL,
            false => limits::WATCH_POLL_INTERVAL,
        };
        let mut unread = Vec::new();
        let mut watches = self.watches();
        watches.retain(|_, held| {
            if held.watch.followers() > 0 {
                held.followed_at = now;
            }
            now - held.followed_at < limits::WATCH_LINGER
        });
        for held in watches.values_mut() {
            let has_rolled = held.watch.roll(wall_ms);
            if has_rolled || now - held.read_at >= read_after {
                held.read_at = now;
                unread.push(held.watch.clone());
            }
            held.watch.end_round();
        }
        // Whoever asks next has it made anew.
        watches.retain(|_, held| !held.watch.has_failed());
        self.metrics.watches.set(watches.len() as f64);
        drop(watches);
        // While nobody tells, what is read is all there is: without an answer it is old.
        unread.iter().for_each(|watch| self.read(watch, !is_told));
        self.check_pulses();
    }

    fn check_pulses(&self) {
        let now_ms = self.now_ms();
        let silent_max_ms = u64::try_from(limits::LIVE_SILENT_MAX.as_millis()).unwrap_or(u64::MAX);
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.retain(|pulse| {
            let Some(pulse) = pulse.upgrade() else {
                return false;
            };
            let is_silent = pulse.check(now_ms, silent_max_ms);
            if is_silent {
                self.metrics.stalled.increment(1);
            }
            !is_silent
        });
    }

    fn read_all(self: &Arc<Self>) {
        let watches: Vec<_> = self.watches().values().map(|held| held.watch.clone()).collect();
        watches.iter().for_each(|watch| self.read(watch, true));
    }

    /// Has the store read for a watch, beside everything else.
    fn read(self: &Arc<Self>, watch: &Arc<Watch>, is_lost: bool) {
        if watch.want(is_lost) {
            tokio::spawn(self.clone().keep_reading(watch.clone()));
        }
    }

    async fn keep_reading(self: Arc<Self>, watch: Arc<Watch>) {
        while let Some((bucket, wish)) = watch.wish() {
            match self.stored(&watch.key, bucket).await {
                Ok((snapshots, newest_ms)) => {
                    let corrected = watch.loaded(bucket, wish, &snapshots, newest_ms);
                    self.metrics.corrected.increment(corrected);
                }
                Err(problem) => {
                    let held = self.held(&watch.key, bucket).await;
                    watch.not_loaded(bucket, held.as_deref(), problem);
                    watch.tell_stage();
                    sleep(limits::WATCH_READ_PAUSE).await;
                    // Nobody looks at it any more.
                    if Arc::strong_count(&watch) == 1 {
                        return;
                    }
                }
            }
            watch.tell_stage();
        }
    }

    async fn stored(&self, key: &Key, bucket: u32) -> Result<(Vec<Snapshot>, Option<i64>), Problem> {
        // First, so that it never claims what the rest lacks.
        let newest_ms = self.api.freshness_ms(&key.tenant).await?;
        let query = self
            .api
            .store
            .query(sql::LIVE)
            .param("tenant", &key.tenant)
            .param("metric", &key.metric)
            .param("stored_period", key.period)
            .param("stored_res", key.resolution)
            .param("from", bucket)
            .param("rows_max", limits::WATCHED_ROWS_MAX);
        let rows: Vec<StoredSnapshot> = self.api.store.rows(query).await?;
        if rows.len() >= limits::WATCHED_ROWS_MAX as usize {
            return Err(Problem::new(
                Kind::TooLarge,
                "too many hexagons of this level are open: ask for a coarser `res` or one tenant",
            ));
        }
        Ok((rows.into_iter().map(Snapshot::from).collect(), newest_ms))
    }

    async fn held(&self, key: &Key, bucket: u32) -> Option<Vec<Snapshot>> {
        let place = Place {
            bucket_seconds: bucket,
            period_seconds: key.period,
            resolution: key.resolution,
            tenant: key.tenant.as_str().into(),
            metric: key.metric.as_str().into(),
        };
        match self.cache.as_ref()?.held(&place).await {
            Ok(held) => Some(held),
            Err(error) => {
                tracing::debug!(%error, "neither the store nor the cache answers");
                None
            }
        }
    }
}

/// # Errors
/// When there is no room for one more watch, of this share or at all.
fn check_room(watches: &HashMap<Key, Held>, share: Option<&str>) -> Result<(), Problem> {
    let of_share = |share| {
        let held = watches.values().filter_map(|held| held.share.as_deref());
        held.filter(|held| *held == share).count()
    };
    if share.is_some_and(|share| of_share(share) >= limits::WATCHES_OF_SHARE_MAX) {
        let detail = format!(
            "your tenant or credential watches {} different metrics and levels already, which is all it may: close the \
             streams of some, and come back once they are forgotten",
            limits::WATCHES_OF_SHARE_MAX
        );
        return Err(Problem {
            retry_after_seconds: u32::try_from(limits::WATCH_LINGER.as_secs()).ok(),
            ..Problem::new(Kind::ShareTaken, detail)
        });
    }
    match watches.len() < limits::WATCHES_MAX {
        true => Ok(()),
        false => Err(Problem::new(
            Kind::Crowded,
            "too many different metrics and levels are being watched; come back in a moment",
        )),
    }
}

/// The next notice; waits for ever where none will come.
async fn next(notices: &mut Option<Notices>) -> Option<Notice> {
    let Some(open) = notices else {
        return std::future::pending().await;
    };
    let notice = open.next().await;
    if notice.is_none() {
        *notices = None;
    }
    notice
}

impl From<StoredSnapshot> for Snapshot {
    fn from(row: StoredSnapshot) -> Self {
        Self {
            cell: row.cell,
            source: Source {
                partition: row.partition,
                generation: row.generation,
            },
            version: row.version,
            values: Values {
                count: row.count,
                sum: row.sum,
                min: row.min,
                max: row.max,
            },
        }
    }
}

const _: () = assert!(
    limits::LIVE_ROUND.as_millis() < Duration::from_secs(1).as_millis(),
    "what is told with a flush is shown before the next one"
);
