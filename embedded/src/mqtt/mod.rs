//! An MQTT broker in process: rumqttd's router behind a listener of our own, for MQTT 3.1.1 and 5 on one port.
//!
//! rumqttd brings the router (subscriptions, sessions, message log) and the packet codecs. Its own network side is not
//! used: it needs a port per version, refuses keep-alive 0, cannot be stopped, and sends a topic alias that belongs to
//! the whole filter, so that messages of a wildcard subscription arrive under the topic of another device.
//!
//! What to know of the router, from its source and our tests:
//! - messages and sessions are in memory: they end with the process, acknowledged or not. Devices that must not lose
//!   anything to a crash of this process need a broker of their own with persistence;
//! - a message is acknowledged when it is in the log of every filter that matches; without a matching filter it is
//!   acknowledged and gone, so a subscriber's session must exist before the first device publishes;
//! - the log of a filter is bounded (see `limits`); when a subscriber stays away or behind for longer, the oldest
//!   messages are dropped although they were acknowledged, with a warning in the log;
//! - a subscriber has 100 messages in flight, or its Receive Maximum if that is less, and must acknowledge in order;
//! - messages go out with the QoS of the subscription, also when they came in with a lower one;
//! - the router's thread and log stay until the process ends, also after [`MqttBroker::stop`].

mod connection;
mod handshake;
mod sessions;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rumqttd::{Router, RouterConfig};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{Semaphore, watch},
    task::JoinSet,
};

use self::sessions::Sessions;
use crate::{EmbeddedError, limits};

/// Where the broker listens.
#[derive(Clone, Debug)]
pub struct MqttConfig {
    /// Port 0: any free one, see [`MqttBroker::address`].
    pub listen: SocketAddr,
}

/// A running broker.
#[derive(Debug)]
pub struct MqttBroker {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl MqttBroker {
    /// Starts the router and listens.
    ///
    /// # Errors
    /// When the port is taken, or no thread can be started.
    pub async fn start(config: MqttConfig) -> Result<Self, EmbeddedError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await.and_then(TcpListener::into_std);
        let listener = listener.map_err(|source| EmbeddedError::Listen { address, source })?;
        let router = Router::new(
            0,
            RouterConfig {
                max_connections: limits::MQTT_CONNECTIONS_MAX,
                max_outgoing_packet_count: limits::MQTT_QOS0_BATCH_MAX,
                max_segment_size: limits::MQTT_SEGMENT_BYTES,
                max_segment_count: limits::MQTT_SEGMENTS_MAX,
                ..RouterConfig::default()
            },
        );
        let router = router.spawn();
        let sessions = Arc::new(Sessions::new(move |client_id, clean| {
            rumqttd::local::LinkBuilder::new(client_id, router.clone())
                .clean_session(clean)
                .build()
                .map_err(sessions::RouterGone::from)
        }));
        // A runtime of its own: handing packets to the router blocks for a moment when it is busy.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(limits::MQTT_THREADS)
            .thread_name("mqtt-broker")
            .enable_all()
            .build()
            .map_err(|source| EmbeddedError::Thread {
                name: "mqtt-broker",
                source,
            })?;
        let (stop, stopping) = watch::channel(false);
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).map_err(|source| EmbeddedError::Listen { address, source })?
        };
        let address = listener
            .local_addr()
            .map_err(|source| EmbeddedError::Listen { address, source })?;
        runtime.spawn(serve(listener, sessions, stopping));
        Ok(Self {
            address,
            stop,
            runtime: Some(runtime),
        })
    }

    /// The address clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Closes the port and all connections.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its threads blocks. Nothing of value is left in them.
            let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(1))).await;
        }
    }
}

impl Drop for MqttBroker {
    fn drop(&mut self) {
        // Not waiting: a drop may happen on an async thread.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: TcpListener, sessions: Arc<Sessions>, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(limits::MQTT_CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accept = async {
            let place = Arc::clone(&places)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = accept => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let sessions = Arc::clone(&sessions);
                connections.spawn(async move {
                    if let Err(end) = connection::run(stream, &sessions).await {
                        tracing::debug!(%peer, %end, "an MQTT connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an MQTT connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
