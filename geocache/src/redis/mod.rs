//! The cache between processes, in Redis: values under keys that expire, changes on a channel.
//!
//! Nothing here is on the path of an event, and nobody who publishes waits for Redis. One server, or a primary with
//! replicas; a place and its index are two keys, which a Redis Cluster would not have on one node.

mod listen;
mod publish;
mod publishers;
mod wire;

use std::sync::{Arc, atomic::AtomicBool};

use async_trait::async_trait;
use platform::clock::Clock;
use redis::{AsyncConnectionConfig, Client, RedisError, aio::MultiplexedConnection};
use tokio::sync::{Mutex, broadcast};

use self::{listen::Listener, publish::Queue};
use crate::{
    Batch, CacheError, CellCache, Notices, limits,
    metrics::CacheMetrics,
    snapshot::{Place, Snapshot},
};

/// Snapshots shared by processes.
pub struct RedisCache {
    client: Client,
    queue: Queue,
    /// For reading.
    connection: Mutex<Option<MultiplexedConnection>>,
    metrics: CacheMetrics,
}

impl RedisCache {
    /// A cache at `redis://host:port`. Nothing is asked of it yet: it may be away.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn new(url: &str, clock: Arc<dyn Clock>) -> Result<Self, CacheError> {
        let client = Client::open(url).map_err(|error| CacheError::Address(error.to_string()))?;
        let metrics = CacheMetrics::new();
        Ok(Self {
            queue: Queue::start(client.clone(), clock, metrics.clone()),
            client,
            connection: Mutex::default(),
            metrics,
        })
    }

    async fn read(&self, place: &Place) -> Result<Vec<Snapshot>, RedisError> {
        let mut held = self.connection.lock().await;
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => connect(&self.client).await?,
        };
        let mut places = vec![place.clone()];
        if place.tenant.is_empty() {
            let tenants: Vec<String> = redis::cmd("SMEMBERS")
                .arg(wire::tenants_key(place))
                .query_async(&mut connection)
                .await?;
            let of_tenant = |tenant: String| Place {
                tenant: tenant.into(),
                ..place.clone()
            };
            places = tenants.into_iter().map(of_tenant).collect();
        }
        let mut snapshots = Vec::new();
        for place in places {
            let fields: Vec<(Vec<u8>, Vec<u8>)> = redis::cmd("HGETALL")
                .arg(wire::place_key(&place))
                .query_async(&mut connection)
                .await?;
            let read = fields.iter().filter_map(|(field, value)| wire::snapshot(field, value));
            snapshots.extend(read);
        }
        // Only one that works is used again.
        *held = Some(connection);
        Ok(snapshots)
    }
}

#[async_trait]
impl CellCache for RedisCache {
    fn publish(&self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let count = batch.snapshot_count() as u64;
        if !self.queue.put(batch) {
            self.metrics.dropped.increment(count);
        }
    }

    fn watch(&self) -> Notices {
        let notices = broadcast::Sender::new(limits::NOTICES_WAITING_MAX);
        let is_gone = Arc::new(AtomicBool::new(true));
        let watching = Notices::later(notices.subscribe(), is_gone.clone());
        let listener = Listener::new(notices, is_gone, self.metrics.clone());
        tokio::spawn(listener.listen(self.client.clone()));
        watching
    }

    /// What is held stays until it expires: a later incarnation of the partition has higher versions.
    fn lose(&self) {
        self.queue.skip();
    }

    async fn leave(&self) {
        self.queue.leave().await;
    }

    async fn held(&self, place: &Place) -> Result<Vec<Snapshot>, CacheError> {
        let read = self.read(place).await;
        read.map_err(|error| CacheError::Unavailable(error.to_string()))
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limits::CONNECT_MAX))
        .set_response_timeout(Some(limits::ANSWER_MAX));
    client.get_multiplexed_async_connection_with_config(&config).await
}
