//! What can go wrong while a backing service starts or stops.
//!
//! Faults of one request never come here: they are answered to that request.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why an embedded service could not start, or did not stop as asked.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The engine's shared library is not where it is looked for.
    #[error("no ClickHouse engine library at `{}`: run `cargo xtask setup`, or set `MERIDIAN_LIBCHDB` to its path", path.display())]
    LibraryMissing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The library is there and cannot be used.
    #[error("cannot load the ClickHouse engine library `{}`: {detail}; run `cargo xtask setup` to install it afresh", path.display())]
    LibraryUnusable {
        /// The file that was loaded.
        path: PathBuf,
        /// What the loader said.
        detail: String,
    },
    /// Another process owns the data folder.
    #[error("data folder `{}` is in use by another process: stop that process or choose another `--data-dir`", path.display())]
    DataDirInUse {
        /// The folder.
        path: PathBuf,
    },
    /// This process already runs an engine: it can hold one data folder at a time.
    #[error("this process already runs a ClickHouse engine on `{}`: stop it first, or start the second one in its own process", path.display())]
    AlreadyRunning {
        /// The folder of the running engine.
        path: PathBuf,
    },
    /// The engine refused to start on the data folder.
    #[error("the ClickHouse engine cannot open `{}`: {detail}", path.display())]
    EngineStart {
        /// The folder.
        path: PathBuf,
        /// What is known of the reason.
        detail: String,
    },
    /// A file or folder the service needs could not be made or read.
    #[error("cannot use `{}`: {source}", path.display())]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// The fault.
        source: io::Error,
    },
    /// The listening socket could not be opened.
    #[error("cannot listen on `{address}`: {source}; free the port or choose another one")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The fault.
        source: io::Error,
    },
    /// Nobody can subscribe to the filter.
    #[error(
        "`{filter}` is no filter that the embedded MQTT broker takes: `+` and `#` stand alone between slashes, `#` last, and shared subscriptions need a broker of their own"
    )]
    Filter {
        /// As configured.
        filter: String,
    },
    /// A thread could not be started.
    #[error("cannot start thread `{name}`: {source}")]
    Thread {
        /// Name of the thread.
        name: &'static str,
        /// The fault.
        source: io::Error,
    },
    /// Work was still running when the time to stop was over.
    #[error("`{service}` still had {running} requests running when its time to stop was over: they were cut off")]
    StopTimeout {
        /// The service.
        service: &'static str,
        /// How many.
        running: usize,
    },
}
