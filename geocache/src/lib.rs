//! The geospatial cache: the newest snapshots of hexagons, kept while their bucket is recent, and told to whoever watches,
//! together with where devices were last.
//!
//! Processors publish what ClickHouse has just taken; servers watch. One seam, two implementations that pass one contract
//! suite: in process, and Redis between processes.
//!
//! It is a cache: nothing in it is needed to be exact. Must never hold up or fail a flush, and must never lose a change
//! without saying so: whoever watches hears [`Notice::Lost`] and reads ClickHouse again.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

pub mod batch;
pub mod limits;
pub mod local;
pub mod metrics;
pub mod notice;
pub mod position;
pub mod redis;
mod shelf;
pub mod snapshot;

pub use batch::{Batch, Group};
pub use local::LocalCache;
pub use notice::{Notice, Notices};
pub use position::{Position, Positions};
pub use redis::RedisCache;
pub use snapshot::{Place, Snapshot, Values};

use async_trait::async_trait;

/// Where snapshots of hexagons are kept and told.
#[async_trait]
pub trait CellCache: Send + Sync + 'static {
    /// Takes in snapshots that ClickHouse has, and tells those who watch. Of one accumulator the highest version stays,
    /// in whatever order they come. Returns at once: what cannot be taken is dropped, counted, and told as
    /// [`Notice::Lost`].
    fn publish(&self, batch: Batch);

    /// Everything that is published from now on, as soon as that can be heard: it begins with [`Notice::Lost`], since what
    /// was before is not told. Between processes that is once somebody who publishes is heard.
    fn watch(&self) -> Notices;

    /// ClickHouse was changed in another way than by what is published: nothing that is held counts any more, and whoever
    /// watches is told [`Notice::Lost`].
    fn lose(&self);

    /// This process publishes no more: whoever watches need not miss it. Waits a moment for what was published before to be
    /// told.
    async fn leave(&self) {}

    /// What is held of a bucket; of all tenants together when that of the place is empty. May lack what was published
    /// before the cache began or was pushed out of it.
    ///
    /// # Errors
    /// When the cache does not answer.
    async fn held(&self, place: &Place) -> Result<Vec<Snapshot>, CacheError>;
}

/// Why a cache did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CacheError {
    /// It is away or too slow.
    #[error("the cache does not answer: {0}; see `[cache] redis_url`")]
    Unavailable(String),
    /// Its address cannot be used.
    #[error("`[cache] redis_url` cannot be used: {0}; it looks like `redis://host:6379`")]
    Address(String),
}
