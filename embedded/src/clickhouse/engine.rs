//! The engine on one data folder: found, configured, started, kept open, stopped.
//!
//! Facts that shape this module, measured with 26.7.3-stable.1:
//! - one process holds one data folder at a time; sessions on it are many, and opening one takes 0.1 ms, so every
//!   request gets a session of its own and nothing can leak from one to the next;
//! - closing the last session stops the engine, so one is held outside for as long as the server lives;
//! - the engine reads `./config.xml` or a file of the home folder unless it is given a file: it always is;
//! - its only user may read any file and URL unless its grants say otherwise: ours may not.

use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    exit,
    library::{Api, BoundStatement, Connection},
};
use crate::{EmbeddedError, limits};

/// Release of the engine that this crate is written for and tested with.
pub const ENGINE_RELEASE: &str = "26.7.3-stable.1";

/// What the engine's user may do: everything inside the database, nothing outside. Files, URLs, other databases and
/// programs of the machine are left out, since anyone who reaches the loopback port is this user.
const GRANTS: &str = "SHOW, SELECT, INSERT, ALTER, CREATE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, KILL QUERY, SYSTEM, \
    dictGet, INTROSPECTION, displaySecretsInShowAndSelect";

/// The folder of the engine that runs in this process. The library itself is process-wide, so this must be too.
static RUNNING: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The engine, open on its folder.
pub(super) struct Engine {
    api: &'static Api,
    arguments: Vec<String>,
    version: String,
    data_dir: PathBuf,
    /// Keeps the engine alive while no request runs. Dropped in [`Drop`] before the lock.
    keeper: Mutex<Option<Connection>>,
    _lock: File,
}

/// Whether an engine is open in this process; taken as open while it starts or stops.
pub(super) fn is_running() -> bool {
    RUNNING.try_lock().map_or(true, |running| running.is_some())
}

/// Where the library is: an explicit path, else `MERIDIAN_LIBCHDB`, else the place where `cargo xtask setup` puts it.
#[must_use]
pub fn library_path(explicit: Option<&Path>) -> PathBuf {
    if let Some(path) = explicit {
        return path.to_owned();
    }
    if let Some(path) = std::env::var_os("MERIDIAN_LIBCHDB").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = variable("MERIDIAN_CACHE_DIR")
        .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("meridian")))
        .or_else(|| variable("HOME").map(|path| path.join(".cache/meridian")))
        .unwrap_or_else(|| PathBuf::from("/var/cache/meridian"));
    cache.join("libchdb").join(ENGINE_RELEASE).join("libchdb.so")
}

impl Engine {
    /// Starts the engine with its data under `data_dir`/clickhouse. Blocks for about 0.2 s, more on a large folder.
    pub(super) fn start(data_dir: &Path, library: Option<&Path>) -> Result<Arc<Self>, EmbeddedError> {
        let api = Api::load(&library_path(library))?;
        let folder = data_dir.join("clickhouse");
        let storage = |path: &Path| {
            let path = path.to_owned();
            move |source| EmbeddedError::Storage { path, source }
        };
        fs::create_dir_all(&folder).map_err(storage(&folder))?;
        let folder = folder.canonicalize().map_err(storage(&folder))?;
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = running.as_ref() {
            return Err(EmbeddedError::AlreadyRunning { path: path.clone() });
        }
        let lock = lock(&folder)?;
        let configuration = write_configuration(&folder).map_err(storage(&folder))?;
        let arguments = vec![
            format!("--path={}", folder.display()),
            format!("--config-file={}", configuration.display()),
        ];
        let failed = |detail: String| EmbeddedError::EngineStart {
            path: folder.clone(),
            detail,
        };
        let mut keeper = api
            .connect(&arguments)
            .ok_or_else(|| failed("it gave no reason; its own message is on the standard error output".to_owned()))?;
        let version = keeper
            .query(BoundStatement {
                text: b"SELECT version()",
                format: "TabSeparatedRaw",
                parameters: &[],
            })
            .map(|answer| String::from_utf8_lossy(answer.bytes()).trim().to_owned())
            .map_err(failed)?;
        *running = Some(folder.clone());
        exit::leave_engine_behind();
        let keeper = Mutex::new(Some(keeper));
        Ok(Arc::new(Self {
            api,
            arguments,
            version,
            data_dir: folder,
            keeper,
            _lock: lock,
        }))
    }

    /// Opens a session. Must not run on an async thread, as nothing of the engine may.
    pub(super) fn connect(&self) -> Result<Connection, String> {
        // What the engine has registered since would otherwise be taken down first.
        exit::leave_engine_behind();
        self.api
            .connect(&self.arguments)
            .ok_or_else(|| "Code: 439. DB::Exception: the engine opened no session. (CANNOT_SCHEDULE_TASK)".to_owned())
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Where request bodies that are too large for memory wait.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take());
        *running = None;
    }
}

fn lock(folder: &Path) -> Result<File, EmbeddedError> {
    let path = folder.join("meridian.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| EmbeddedError::Storage {
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EmbeddedError::DataDirInUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(EmbeddedError::Storage { path, source }),
    }
}

/// Writes the engine's configuration: memory bounds, and its one user with settings and grants.
fn write_configuration(folder: &Path) -> std::io::Result<PathBuf> {
    let users = folder.join("meridian-users.xml");
    let server = folder.join("meridian-engine.xml");
    let server_text = format!(
        "<clickhouse>\n\
         <!-- Half of the memory: brokers, log and processors live in the same machine. -->\n\
         <max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>\n\
         <mark_cache_size>268435456</mark_cache_size>\n\
         <!-- Parts that it writes when the last room goes end up empty: it stops before that. -->\n\
         <storage_configuration><disks><default>\n\
         <keep_free_space_bytes>{}</keep_free_space_bytes>\n\
         </default></disks></storage_configuration>\n\
         <users_config>{}</users_config>\n\
         </clickhouse>\n",
        limits::CLICKHOUSE_FREE_BYTES_MIN,
        escape_xml(&users.display().to_string())
    );
    // The profile holds what a server has and the embedded engine has not: UTC, no bare expressions as statements,
    // inserts that are in the table when they are answered, statistics in formats that carry them.
    let users_text = format!(
        "<clickhouse>\n\
         <profiles><default>\n\
         <session_timezone>UTC</session_timezone>\n\
         <implicit_select>0</implicit_select>\n\
         <async_insert>0</async_insert>\n\
         </default></profiles>\n\
         <users><default>\n\
         <password></password><networks><ip>::/0</ip></networks>\n\
         <profile>default</profile><quota>default</quota>\n\
         <grants><query>GRANT {GRANTS} ON *.*</query></grants>\n\
         </default></users>\n\
         <quotas><default></default></quotas>\n\
         </clickhouse>\n"
    );
    for (path, text) in [(&users, users_text), (&server, server_text)] {
        File::create(path)?.write_all(text.as_bytes())?;
    }
    Ok(server)
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
