//! A real Redis as Meridian uses it: a cache without a disk. Nothing survives a restart, on purpose.

use crate::configuration::{self, Style};
use crate::{Daemon, RigError, cache, limits, ports};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use tempfile::TempDir;

/// A running Redis server; stopped when dropped.
pub struct Redis {
    daemon: Daemon,
    port: u16,
    _folder: TempDir,
}

impl Redis {
    /// Starts Redis and waits until it answers `PING`.
    ///
    /// # Panics
    /// When it is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start() -> Result<Self, RigError> {
        let program = cache::program("redis-server")?;
        let folder = tempfile::tempdir().map_err(RigError::io("create a temporary folder"))?;
        let port = ports::free();
        let file = folder.path().join("redis.conf");
        write_configuration(&file, folder.path(), port)?;
        let daemon = Daemon::command(program).arg(&file).start()?;
        let redis = Self {
            daemon,
            port,
            _folder: folder,
        };
        redis.wait_until_ready()?;
        Ok(redis)
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process, for signals and memory figures.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Starts it again on the same port, stopping it first if it runs. The cache is empty afterwards.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart(&mut self) {
        self.daemon
            .restart()
            .and_then(|()| self.wait_until_ready())
            .unwrap_or_else(|error| panic!("{error}"));
    }

    fn wait_until_ready(&self) -> Result<(), RigError> {
        self.daemon
            .wait_until("an answer to PING", limits::READY_TIMEOUT, || ping(self.port).is_ok())
    }
}

fn write_configuration(file: &Path, folder: &Path, port: u16) -> Result<(), RigError> {
    let text = configuration::replace(
        &configuration::read("redis/redis.conf")?,
        Style::Words,
        [
            ("port", port.to_string()),
            ("bind", "127.0.0.1".into()),
            ("dir", folder.display().to_string()),
        ],
    );
    std::fs::write(file, text).map_err(RigError::io("write the configuration of Redis"))
}

fn ping(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(limits::EXCHANGE_TIMEOUT))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    if &answer == b"+PONG\r\n" {
        Ok(())
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}
