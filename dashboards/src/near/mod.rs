//! Where devices were last, kept in memory from what flushes tell: what `/nearby` and searches are answered from.
//!
//! ```text
//! cache ──notices──▶ hub ──64 waiting──▶ task ──▶ index ──▶ /nearby, /devices
//! ClickHouse ──read in pages, whenever notices may be missing──▶ ┘
//! ```
//!
//! It is merged like live hexagons: the task hears what is told before it begins to read, and of what is read and told the
//! newer version holds. It answers only while nothing can be missing; else whoever asks has to ask the store. Must never
//! hold up the hub.

mod fleet;
mod index;
mod read;
mod sphere;

pub(crate) use fleet::Filter;
pub(crate) use index::{Around, Near};

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use geocache::{Notice, Position, Positions};
use platform::shutdown::Shutdown;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use self::{index::Index, read::Reading};
use crate::{api::Api, limits, metrics::NearMetrics};

/// Where devices were last.
pub(crate) struct Nearby {
    held: RwLock<Held>,
    /// How often something may have been missed; and whether changes are told since. Both are set before the task is woken,
    /// so that no full queue hides them.
    losses: AtomicU64,
    is_told: AtomicBool,
    sender: mpsc::Sender<Notice>,
    receiver: std::sync::Mutex<Option<mpsc::Receiver<Notice>>>,
    metrics: NearMetrics,
}

#[derive(Default)]
struct Held {
    index: Index,
    /// It has everything unless something was missed since: as many losses as there were.
    complete_after: Option<u64>,
}

impl Nearby {
    pub(crate) fn new() -> Arc<Self> {
        let (sender, receiver) = mpsc::channel(limits::POSITION_NOTICES_WAITING_MAX);
        Arc::new(Self {
            held: RwLock::default(),
            losses: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
            sender,
            receiver: std::sync::Mutex::new(Some(receiver)),
            metrics: NearMetrics::new(),
        })
    }

    /// Hands a notice on. Never waits: what finds no room counts as missed.
    pub(crate) fn told(&self, notice: &Notice) {
        match notice {
            Notice::Changed(batch) if batch.positions.is_empty() => return,
            Notice::Changed(_) => {}
            Notice::Lost => self.is_told.store(true, Ordering::Release),
            Notice::Gone => self.is_told.store(false, Ordering::Release),
        }
        if !matches!(notice, Notice::Changed(_)) {
            self.losses.fetch_add(1, Ordering::AcqRel);
        }
        if self.sender.try_send(notice.clone()).is_err() {
            self.losses.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The nearest devices; none while only the store knows.
    pub(crate) async fn nearest(self: &Arc<Self>, around: Around) -> Option<Vec<Near>> {
        self.ask(move |index| index.nearest(&around)).await
    }

    /// The first so many names of tenants and devices after one; none while only the store knows.
    pub(crate) async fn names(
        self: &Arc<Self>,
        tenant: String,
        filter: Filter,
        after: (String, String),
        count_max: usize,
    ) -> Option<Vec<(String, String)>> {
        self.ask(move |index| index.names(&tenant, &filter, &after, count_max))
            .await
    }

    /// Beside everything else: a large fleet may take a tenth of a second.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Index) -> T + Send + 'static,
    ) -> Option<T> {
        if !self.is_complete() {
            self.metrics.from_store.increment(1);
            return None;
        }
        let nearby = self.clone();
        let answer = move || {
            let held = nearby.held.read().unwrap_or_else(PoisonError::into_inner);
            // It may have been emptied meanwhile.
            (held.complete_after == Some(nearby.losses.load(Ordering::Acquire))).then(|| question(&held.index))
        };
        let answer = tokio::task::spawn_blocking(answer).await.ok().flatten();
        match answer {
            Some(_) => self.metrics.from_index.increment(1),
            None => self.metrics.from_store.increment(1),
        }
        answer
    }

    fn is_complete(&self) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.complete_after == Some(self.losses.load(Ordering::Acquire))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in what is told and read until shutdown. Does nothing where it runs already.
    pub(crate) async fn run(self: Arc<Self>, api: Arc<Api>, shutdown: Shutdown) {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut notices) = receiver else { return };
        let mut task = Task {
            nearby: self,
            losses: 0,
            is_told: false,
            is_full: false,
            reading: None,
            read_at: Instant::now(),
            measured: 0,
        };
        loop {
            let read_at = task.read_at;
            tokio::select! {
                biased;
                () = shutdown.requested() => return,
                notice = notices.recv() => match notice {
                    Some(Notice::Changed(batch)) if task.is_told && !task.is_full => task.take(&batch.positions).await,
                    Some(_) => {}
                    None => return,
                },
                page = read::next(&mut task.reading) => task.take_page(page).await,
                () = sleep_until(read_at), if task.reading.is_none() && task.is_told && !task.is_full => {
                    task.reading = Some(Reading::start(api.clone()));
                }
            }
            task.check();
        }
    }
}

/// Keeps the index.
struct Task {
    nearby: Arc<Nearby>,
    /// Losses that are known here.
    losses: u64,
    /// Changes are told.
    is_told: bool,
    /// There are more devices than may be held: until the next loss nothing is done.
    is_full: bool,
    reading: Option<Reading>,
    /// When the store is read next.
    read_at: Instant,
    /// Devices when their bytes were last counted.
    measured: usize,
}

impl Task {
    /// Begins anew where something was missed.
    fn check(&mut self) {
        let losses = self.nearby.losses.load(Ordering::Acquire);
        if losses == self.losses {
            return;
        }
        self.losses = losses;
        self.is_told = self.nearby.is_told.load(Ordering::Acquire);
        self.is_full = false;
        let had_read = self.reading.take().is_some() || self.nearby.change(|held| held.index.len() > 0);
        self.nearby.change(|held| *held = Held::default());
        self.measure();
        self.read_at = match had_read {
            true => Instant::now() + limits::POSITIONS_READ_PAUSE,
            false => Instant::now(),
        };
    }

    async fn take_page(&mut self, page: read::Page) {
        match page {
            Ok((positions, is_last)) => {
                self.take(&positions).await;
                if is_last && !self.is_full {
                    self.reading = None;
                    self.read_at = Instant::now() + limits::POSITIONS_RECHECK_INTERVAL;
                    self.nearby.change(|held| held.complete_after = Some(self.losses));
                    self.measure();
                }
            }
            Err(problem) => {
                tracing::debug!(detail = problem.detail, "positions of devices cannot be read now");
                self.reading = None;
                self.read_at = Instant::now() + limits::POSITIONS_READ_PAUSE;
            }
        }
    }

    /// In small parts, so that nobody waits long.
    async fn take(&mut self, positions: &Positions) {
        let mut positions = positions.iter();
        loop {
            let part: Vec<Position<'_>> = positions.by_ref().take(limits::POSITIONS_TOGETHER).collect();
            if part.is_empty() {
                self.count();
                return;
            }
            let has_room = self.nearby.change(|held| {
                let mut take = |position| held.index.take(position, limits::POSITIONS_MAX);
                part.iter().all(&mut take)
            });
            if !has_room {
                tracing::warn!(
                    devices = limits::POSITIONS_MAX,
                    "there are too many devices to keep their positions in memory: ClickHouse is asked for each search"
                );
                self.is_full = true;
                self.reading = None;
                self.nearby.change(|held| *held = Held::default());
                self.measure();
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Counts devices, and bytes as well where there are many more of them: that looks at all nodes.
    fn count(&mut self) {
        let count = self.nearby.change(|held| held.index.len());
        self.nearby.metrics.devices.set(count as f64);
        if count > self.measured + self.measured / 8 {
            self.measure();
        }
    }

    fn measure(&mut self) {
        let held = self.nearby.held.read().unwrap_or_else(PoisonError::into_inner);
        self.measured = held.index.len();
        self.nearby.metrics.devices.set(self.measured as f64);
        self.nearby.metrics.bytes.set(held.index.weight_bytes() as f64);
    }
}

const _: () = assert!(
    limits::POSITIONS_READ_PAUSE.as_millis() < Duration::from_secs(60).as_millis(),
    "after a loss the index is back within a minute"
);
