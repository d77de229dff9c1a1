//! An MQTT broker in process, for MQTT 3.1.1 and 5 on one port, that keeps what it has acknowledged.
//!
//! ```text
//! listener ─▶ connection (one task a client) ◀──▶ core (the broker itself, no I/O) ──▶ journal (one thread, fsync)
//!                    └── codec, handshake: bytes ◀─▶ packets      └── reads pages of a backlog ──┘
//! ```
//!
//! What clients can rely on:
//! - a message of QoS 1 or 2 for a session that lasts is on disk before PUBACK or PUBREC leaves, and stays there until
//!   every such session has acknowledged it, also when the process is killed at any moment; sessions, subscriptions and
//!   retained messages are on disk before their own acknowledgements;
//! - messages of one publisher reach each subscriber in order, with the lower QoS of publication and subscription; what
//!   is sent again has the DUP flag and its old packet identifier, also after a crash;
//! - QoS 2 is exactly once on both hops for sessions that last;
//! - nobody is dropped for being behind: a backlog is read from disk, in pages. When the disk is full, or the bound of
//!   the store is reached, publishers with QoS 1 and 2 wait, and a warning says for whom.
//!
//! What it does not do:
//! - messages of QoS 0 are dropped for subscribers that are away or read too slowly;
//! - a message that nobody subscribes to is acknowledged and gone: [`MqttConfig::sessions`] exist before the port opens,
//!   so that their clients may come after the first device;
//! - after a crash the first messages of a session come with the DUP flag even if they had not been sent, when the client
//!   was connected; session expiry begins anew; wills of connected clients are forgotten;
//! - no shared subscriptions (an absent member would keep its share to itself), no subscription identifiers, no user
//!   names, no TLS: a broker for the loopback interface. All of it is refused with the reason codes of MQTT 5.

mod codec;
mod connection;
mod core;
mod handshake;
mod journal;
mod message;
mod shared;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{Semaphore, watch},
    task::JoinSet,
};

use self::{
    core::{Broker, StoreLimits, is_filter},
    journal::{Folder, Journal},
    shared::Shared,
};
use crate::{EmbeddedError, limits};

/// Where the broker listens and keeps its data.
#[derive(Clone, Debug)]
pub struct MqttConfig {
    /// Port 0: any free one, see [`MqttBroker::address`].
    pub listen: SocketAddr,
    /// The broker's own folder is `mqtt` below it.
    pub data_dir: PathBuf,
    /// What the store may take on disk before publishers have to wait: [`limits::MQTT_STORED_BYTES_MAX`] by default.
    pub stored_bytes_max: u64,
    /// Largest packet taken, at most [`limits::MQTT_PACKET_BYTES_MAX`]; [`limits::MQTT_PACKET_BYTES_DEFAULT`] by default.
    pub packet_bytes_max: usize,
    /// Sessions that exist before anybody can connect, whether their clients have ever come or not.
    pub sessions: Vec<StandingSession>,
}

/// A session that lasts without end and has these filters, at QoS 1, and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingSession {
    /// The client that it is for.
    pub client_id: String,
    /// What it is subscribed to.
    pub filters: Vec<String>,
}

impl MqttConfig {
    /// With the usual bound of the store.
    #[must_use]
    pub fn new(listen: SocketAddr, data_dir: &Path) -> Self {
        Self {
            listen,
            data_dir: data_dir.to_owned(),
            stored_bytes_max: limits::MQTT_STORED_BYTES_MAX,
            packet_bytes_max: limits::MQTT_PACKET_BYTES_DEFAULT,
            sessions: Vec::new(),
        }
    }
}

/// A running broker.
#[derive(Debug)]
pub struct MqttBroker {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    shared: Arc<Shared>,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
    writer: Option<JoinHandle<()>>,
}

impl MqttBroker {
    /// Goes on where the last process on the folder ended, and listens.
    ///
    /// # Errors
    /// When the port is taken, another process has the folder, it cannot be used, a standing session has a filter that
    /// nobody can subscribe to, or no thread can be started.
    pub async fn start(config: MqttConfig) -> Result<Self, EmbeddedError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await.and_then(TcpListener::into_std);
        let listener = listener.map_err(|source| EmbeddedError::Listen { address, source })?;
        let opening = tokio::task::spawn_blocking(move || open(&config));
        let (folder, shared, journal) = opening.await.map_err(|error| EmbeddedError::Thread {
            name: "mqtt-open",
            source: std::io::Error::other(error),
        })??;
        let shared = Arc::new(shared);
        // A runtime of its own: the broker's lock is taken by threads, not by tasks.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(limits::MQTT_THREADS)
            .thread_name("mqtt-broker")
            .enable_all()
            .build()
            .map_err(|source| EmbeddedError::Thread {
                name: "mqtt-broker",
                source,
            })?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).map_err(|source| EmbeddedError::Listen { address, source })?
        };
        let address = listener
            .local_addr()
            .map_err(|source| EmbeddedError::Listen { address, source })?;
        let writer = {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("mqtt-journal".to_owned());
            let started = thread.spawn(move || journal::run(journal, &shared));
            started.map_err(|source| EmbeddedError::Thread {
                name: "mqtt-journal",
                source,
            })?
        };
        let (stop, stopping) = watch::channel(false);
        runtime.spawn(serve(listener, Arc::clone(&shared), folder, stopping));
        Ok(Self {
            address,
            stop,
            shared,
            runtime: Some(runtime),
            writer: Some(writer),
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

    /// What empties the broker before it is stopped.
    #[must_use]
    pub fn hand_over(&self) -> HandOver {
        HandOver(Arc::clone(&self.shared))
    }

    /// Closes the port and all connections, and writes how far each session has come. The folder is free afterwards.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let (runtime, writer, shared) = (self.runtime.take(), self.writer.take(), Arc::clone(&self.shared));
        // Waiting for threads blocks. A panic in them has been reported by itself.
        let _ = tokio::task::spawn_blocking(move || {
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(Duration::from_secs(1));
            }
            shared.stop();
            writer.map(JoinHandle::join)
        })
        .await;
    }
}

/// See [`MqttBroker::hand_over`].
#[derive(Clone, Debug)]
pub struct HandOver(Arc<Shared>);

impl HandOver {
    /// Sends everybody away but the clients of standing sessions, after the answers to what was stored, and waits until
    /// these clients have acknowledged all that there is for them. Without end while one of them stays away.
    pub async fn complete(&self) {
        self.0.with(|broker, _| broker.drain());
        while !self.0.with(|broker, _| broker.is_handed_over()) {
            tokio::time::sleep(limits::MQTT_HAND_OVER_POLL).await;
        }
    }
}

impl Drop for MqttBroker {
    fn drop(&mut self) {
        // Not waiting: a drop may happen on an async thread. The writer finishes by itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.shared.stop();
    }
}

fn open(config: &MqttConfig) -> Result<(Folder, Shared, Journal), EmbeddedError> {
    let filters = config.sessions.iter().flat_map(|session| &session.filters);
    if let Some(filter) = filters.into_iter().find(|filter| !is_filter(filter)) {
        return Err(EmbeddedError::Filter { filter: filter.clone() });
    }
    let path = config.data_dir.join("mqtt");
    let unusable = |source| EmbeddedError::Storage {
        path: path.clone(),
        source,
    };
    let folder = Folder::open(&path)?;
    let recovery = folder.recover().map_err(unusable)?;
    let retained = folder.read_retained().map_err(unusable)?;
    let limits = StoreLimits {
        stored_bytes_max: config.stored_bytes_max,
        segment_bytes: limits::MQTT_SEGMENT_BYTES.min(config.stored_bytes_max / 8),
        packet_bytes_max: config.packet_bytes_max.min(limits::MQTT_PACKET_BYTES_MAX),
    };
    let started = Instant::now();
    let now = shared::now(started);
    let mut broker = Broker::new(recovery, &retained, limits, now);
    for session in &config.sessions {
        broker.stand_up(session, now);
    }
    let journal = Journal::new(folder.clone(), retained.len() as u64);
    Ok((folder, Shared::new(broker, started), journal))
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, folder: Folder, mut stop: watch::Receiver<bool>) {
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
                let (shared, folder) = (Arc::clone(&shared), folder.clone());
                connections.spawn(async move {
                    if let Err(end) = connection::run(stream, &shared, &folder).await {
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
