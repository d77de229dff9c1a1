//! Tells a cache what a sink has inserted: the seam between a flush and whoever watches hexagons.
//!
//! Only what ClickHouse has is told, so the cache is never ahead of it, and everything is told before the checkpoint that
//! follows the insert. Must never hold up or fail a flush: the cache takes what it can, and says what it could not.

use std::sync::Arc;

use geocache::{Batch, CellCache};
use platform::clock::Clock;
use schemas::rows::Rows;

use crate::runner::RowSink;

/// A sink whose inserts a cache hears of.
pub struct CellSink<S> {
    inner: S,
    cache: Option<Arc<dyn CellCache>>,
    clock: Arc<dyn Clock>,
}

impl<S> CellSink<S> {
    /// Nobody hears where there is no cache. `clock` says which buckets are recent.
    #[must_use]
    pub fn new(inner: S, cache: Option<Arc<dyn CellCache>>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, cache, clock }
    }
}

impl<S: RowSink> RowSink for CellSink<S> {
    type Encoded = (S::Encoded, Batch);
    type Error = S::Error;

    fn encode(&self, rows: Rows) -> Self::Encoded {
        let batch = match self.cache {
            Some(_) => Batch::of(&rows, self.clock.wall_ms()),
            None => Batch::default(),
        };
        (self.inner.encode(rows), batch)
    }

    async fn insert(&self, batches: Vec<Self::Encoded>) -> Result<(), Self::Error> {
        let (encoded, changes): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        self.inner.insert(encoded).await?;
        if let Some(cache) = &self.cache {
            changes.into_iter().for_each(|batch| cache.publish(batch));
        }
        Ok(())
    }
}
