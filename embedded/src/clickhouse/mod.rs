//! The ClickHouse engine in process, behind the HTTP interface that ClickHouse clients use.
//!
//! What clients may rely on: queries by GET (read only) and POST, in URL, body or both; inserts in every input format;
//! `database`, `default_format`, settings, `param_*`, forms; sessions; compression both ways, by HTTP coding and by
//! native blocks; error numbers, texts, statuses and headers of a server; results streamed with bounded memory; an
//! INSERT applied only when its whole body has arrived. Data survives a kill of the process.
//!
//! What differs from a server: one server per process (the engine holds one folder); no replicated tables, no
//! asynchronous inserts (they are done when answered), no external tables, no `INSERT ... SELECT ... FROM input()`;
//! `query_id` is echoed but not known to the engine; settings named by the server's name only.
//! Formats that need a tail (JSON, Parquet, Pretty, ...) are held in memory up to a bound of `limits`.
//!
//! Measured on 4 busy cores with the official Rust client, inserts of 100,000 measurements of 11 columns: 0.6 to 1.4
//! million rows/s as an Arrow stream (0.8 with LZ4), 0.4 to 0.5 as RowBinary with LZ4; a statement of its own costs about
//! 1 ms. clickhouse-connect 1.12 and clickhouse-go 2 were tried by hand with every compression they have.
//!
//! This module must never run an engine call on an async thread, nor let a request see what another one set.

mod body;
mod codec;
mod engine;
mod execute;
mod exit;
mod fault;
mod flush;
mod formats;
mod library;
mod native;
mod reply;
mod request;
mod server;
mod session;
mod settings;
mod statement;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};

pub use engine::{ENGINE_RELEASE, library_path};

use self::{engine::Engine, server::Shared, session::Sessions};
use crate::{EmbeddedError, limits};

/// Where the server listens and keeps its data.
#[derive(Clone, Debug)]
pub struct ClickHouseConfig {
    /// Port 0: any free one, see [`ClickHouseServer::address`].
    pub listen: SocketAddr,
    /// The data goes to the folder `clickhouse` in here.
    pub data_dir: PathBuf,
    /// The engine's library; `None`: where [`library_path`] finds it.
    pub library: Option<PathBuf>,
    /// Name and password that clients must give; `None`: anyone may ask.
    pub user: Option<(String, String)>,
}

/// A running server.
#[derive(Debug)]
pub struct ClickHouseServer {
    address: SocketAddr,
    version: String,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    ending_sessions: JoinHandle<()>,
    places: Arc<Semaphore>,
}

impl ClickHouseServer {
    /// Starts the engine on its folder and serves it.
    ///
    /// # Errors
    /// When the library is missing, the folder belongs to another process, this process runs an engine already, the
    /// engine refuses the folder, or the port is taken.
    pub async fn start(config: ClickHouseConfig) -> Result<Self, EmbeddedError> {
        let ClickHouseConfig {
            listen,
            data_dir,
            library,
            user,
        } = config;
        // The port first: it is the cheap thing to fail on.
        let failed = |source| EmbeddedError::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let starting = tokio::task::spawn_blocking(move || Engine::start(&data_dir, library.as_deref()));
        let engine = starting.await.map_err(|error| EmbeddedError::Thread {
            name: "clickhouse-start",
            source: std::io::Error::other(error),
        })??;
        let version = engine.version().to_owned();
        let sessions = Arc::new(Sessions::default());
        let places = Arc::new(Semaphore::new(limits::STATEMENTS_MAX));
        let ending_sessions = tokio::spawn(end_sessions(Arc::clone(&sessions)));
        let shared = Arc::new(Shared {
            engine,
            sessions,
            places: Arc::clone(&places),
            user,
            is_loopback: address.ip().to_canonical().is_loopback(),
            server_name: server_name(),
        });
        let (stop, stopping) = watch::channel(false);
        let serving = tokio::spawn(async move {
            server::serve(listener, Arc::clone(&shared), stopping).await;
            // Closing sessions and stopping the engine blocks. A failure to join is a panic that has been reported.
            let _ = tokio::task::spawn_blocking(move || {
                shared.sessions.end_all();
                drop(shared);
            })
            .await;
        });
        Ok(Self {
            address,
            version,
            stop,
            serving,
            ending_sessions,
            places,
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
        format!("http://{}", self.address)
    }

    /// What `SELECT version()` answers.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Takes no more requests, waits for those that run, and stops the engine.
    ///
    /// # Errors
    /// When requests were still running at the deadline. Their connections are cut; the engine stops when the last of
    /// their threads ends.
    pub async fn stop(self, deadline: Duration) -> Result<(), EmbeddedError> {
        let Self {
            stop,
            mut serving,
            ending_sessions,
            places,
            ..
        } = self;
        stop.send_replace(true);
        ending_sessions.abort();
        let until = tokio::time::Instant::now() + deadline;
        let in_time = tokio::time::timeout_at(until, &mut serving).await.is_ok();
        if !in_time {
            serving.abort();
            // Wait for the abort itself, so that the port is free.
            let _ = serving.await;
        }
        let all = u32::try_from(limits::STATEMENTS_MAX).expect("the bound is a small number");
        let idle = tokio::time::timeout_at(until, places.acquire_many(all)).await.is_ok();
        if in_time && idle {
            return Ok(());
        }
        let running = limits::STATEMENTS_MAX - places.available_permits();
        Err(EmbeddedError::StopTimeout {
            service: "ClickHouse",
            running,
        })
    }
}

async fn end_sessions(sessions: Arc<Sessions>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let sessions = Arc::clone(&sessions);
        if tokio::task::spawn_blocking(move || sessions.end_idle()).await.is_err() {
            return;
        }
    }
}

fn server_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "meridian".to_owned()
    } else {
        name.to_owned()
    }
}
