//! Tells a cache what a sink has inserted: the seam between a flush and whoever watches hexagons.
//!
//! Only what ClickHouse has is told, so the cache is never ahead of it, and everything is told before the checkpoint that
//! follows the insert. Must never hold up or fail a flush: the cache takes what it can, and says what it could not.

use std::{collections::HashMap, sync::Arc};

use eventlog::TopicPartition;
use futures::{FutureExt, future::BoxFuture};
use geocache::{Batch, CellCache};
use platform::clock::Clock;
use schemas::rows::Rows;

use crate::{
    recovery::{Books, GoesOn, Mended, Recovery, RecoveryError},
    runner::RowSink,
    task::{Parameters, Remains},
};

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

    fn recovery(&self) -> Option<&dyn Recovery> {
        let recovery: &dyn Recovery = self;
        self.inner.recovery().map(|_| recovery)
    }
}

impl<S: RowSink> CellSink<S> {
    fn inner(&self) -> &dyn Recovery {
        self.inner.recovery().expect("it is only lent where there is one")
    }
}

/// As the sink within; what it mends there, the cache has not heard of.
impl<S: RowSink> Recovery for CellSink<S> {
    fn incarnations(&self) -> BoxFuture<'_, Result<HashMap<TopicPartition, u16>, RecoveryError>> {
        self.inner().incarnations()
    }

    fn books<'call>(
        &'call self,
        topic_partition: &'call TopicPartition,
    ) -> BoxFuture<'call, Result<Option<Books>, RecoveryError>> {
        self.inner().books(topic_partition)
    }

    fn remains<'call>(
        &'call self,
        topic_partition: &'call TopicPartition,
        books: Books,
        counts_from: u64,
        low: u64,
        parameters: &'call Parameters,
    ) -> BoxFuture<'call, Result<Remains, RecoveryError>> {
        self.inner()
            .remains(topic_partition, books, counts_from, low, parameters)
    }

    fn mend<'call>(
        &'call self,
        topic_partition: &'call TopicPartition,
        goes_on: GoesOn,
        parameters: &'call Parameters,
    ) -> BoxFuture<'call, Result<Mended, RecoveryError>> {
        async move {
            let mended = self.inner().mend(topic_partition, goes_on, parameters).await;
            // Also after a failure: some of it may have been written.
            if let Some(cache) = &self.cache {
                cache.lose();
            }
            mended
        }
        .boxed()
    }
}
