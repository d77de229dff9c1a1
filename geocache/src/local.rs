//! The cache within one process.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use platform::clock::Clock;
use tokio::sync::broadcast;

use crate::{
    Batch, CacheError, CellCache, Notice, Notices, limits,
    metrics::CacheMetrics,
    shelf::Shelf,
    snapshot::{Place, Snapshot},
};

/// Snapshots of this process.
pub struct LocalCache {
    shelf: Mutex<Shelf>,
    snapshots_max: usize,
    notices: broadcast::Sender<Notice>,
    clock: Arc<dyn Clock>,
    metrics: CacheMetrics,
}

impl LocalCache {
    /// An empty cache of the usual size.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_bound(clock, limits::SNAPSHOTS_HELD_MAX)
    }

    /// An empty cache for at most so many snapshots.
    #[must_use]
    pub fn with_bound(clock: Arc<dyn Clock>, snapshots_max: usize) -> Self {
        Self {
            shelf: Mutex::default(),
            snapshots_max,
            notices: broadcast::Sender::new(limits::NOTICES_WAITING_MAX),
            clock,
            metrics: CacheMetrics::new(),
        }
    }
}

#[async_trait]
impl CellCache for LocalCache {
    fn publish(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let now_seconds = u32::try_from(self.clock.wall_ms() / 1_000).unwrap_or(0);
        {
            let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
            shelf.forget_before(now_seconds.saturating_sub(limits::RECENT_SECONDS));
            for group in &batch.groups {
                let put = shelf.put(&group.place, &group.snapshots, self.snapshots_max);
                self.metrics.stale.increment(put.stale as u64);
                self.metrics.evicted.increment(put.evicted as u64);
            }
            self.metrics.held.set(shelf.len() as f64);
        }
        self.metrics.published.increment(batch.snapshot_count() as u64);
        // Nobody may be watching.
        let _ = self.notices.send(Notice::Changed(Arc::new(batch)));
    }

    fn watch(&self) -> Notices {
        Notices::from_now_on(self.notices.subscribe())
    }

    fn lose(&self) {
        *self.shelf.lock().unwrap_or_else(PoisonError::into_inner) = Shelf::default();
        let _ = self.notices.send(Notice::Lost);
    }

    async fn held(&self, place: &Place) -> Result<Vec<Snapshot>, CacheError> {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(shelf.held(place))
    }
}
