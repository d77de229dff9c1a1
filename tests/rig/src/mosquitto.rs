//! A real Mosquitto with the configuration of `docker/mosquitto/`. It must never run with settings of its own beyond
//! ports, folders, the account, and what a test names.

use crate::configuration::{self, Style};
use crate::{Daemon, RigError, cache, limits, ports};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use tempfile::TempDir;

/// What a test wants different from `docker/mosquitto/mosquitto.conf`.
#[derive(Clone, Debug, Default)]
pub struct MosquittoOptions {
    /// Settings that replace those of the file, as `(key, value)`.
    pub settings: Vec<(String, String)>,
}

impl MosquittoOptions {
    /// Replaces one setting, for example `("max_inflight_messages", "20")`.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }
}

/// A running Mosquitto broker; stopped when dropped.
pub struct Mosquitto {
    daemon: Daemon,
    port: u16,
    _folder: TempDir,
}

impl Mosquitto {
    /// Starts Mosquitto and waits until it accepts a connection in its protocol.
    ///
    /// # Panics
    /// When it is not installed or does not start; the message says what to do.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(MosquittoOptions::default())
    }

    /// The same with some settings replaced.
    ///
    /// # Panics
    /// As [`Mosquitto::start`].
    #[must_use]
    pub fn start_with(options: MosquittoOptions) -> Self {
        Self::try_start(&options).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start(options: &MosquittoOptions) -> Result<Self, RigError> {
        let program = cache::program("mosquitto")?;
        let folder = tempfile::Builder::new()
            .prefix("meridian-mosquitto-")
            .tempdir()
            .map_err(RigError::io("create a temporary folder"))?;
        let port = ports::free();
        let file = folder.path().join("mosquitto.conf");
        write_configuration(&file, folder.path(), port, options)?;
        let daemon = Daemon::command(program).arg("-c").arg(&file).start()?;
        let mosquitto = Self {
            daemon,
            port,
            _folder: folder,
        };
        mosquitto.wait_until_ready()?;
        Ok(mosquitto)
    }

    /// `mqtt://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process, for its log and memory figures.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Kills it as a power cut would: what it had queued since its last save is lost.
    pub fn kill9(&mut self) {
        self.daemon.kill9();
    }

    /// Stops it with `SIGTERM`: it writes its queues to disk.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop_gracefully(&mut self) {
        self.daemon.terminate().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts it again on the same port and data, stopping it gracefully first if it runs.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn restart(&mut self) {
        self.daemon
            .restart()
            .and_then(|()| self.wait_until_ready())
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Freezes it: connections stay open, nothing moves.
    pub fn pause(&self) {
        self.daemon.pause();
    }

    /// Lets it go on after [`Mosquitto::pause`].
    pub fn resume(&self) {
        self.daemon.resume();
    }

    fn wait_until_ready(&self) -> Result<(), RigError> {
        self.daemon
            .wait_until("a CONNACK", limits::READY_TIMEOUT, || connect(self.port).is_ok())
    }
}

fn write_configuration(file: &Path, folder: &Path, port: u16, options: &MosquittoOptions) -> Result<(), RigError> {
    let text = configuration::read("mosquitto/mosquitto.conf")?;
    let wanted = options
        .settings
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()));
    let text = configuration::replace(&text, Style::Words, wanted);
    let mut own = vec![
        ("listener", format!("{port} 127.0.0.1")),
        ("persistence_location", format!("{}/", folder.display())),
    ];
    // SAFETY: `geteuid` only returns a number.
    if unsafe { libc::geteuid() } == 0 {
        // Started by root it would change to an account that may not write the temporary folder.
        own.push(("user", "root".into()));
    }
    let text = configuration::replace(&text, Style::Words, own);
    std::fs::write(file, text).map_err(RigError::io("write the configuration of Mosquitto"))
}

/// Connects with MQTT 3.1.1 and reads the acceptance.
fn connect(port: u16) -> std::io::Result<()> {
    // CONNECT, protocol level 4, clean session, keep-alive 10 s, client id "rig-ready".
    const CONNECT: &[u8] = b"\x10\x15\x00\x04MQTT\x04\x02\x00\x0a\x00\x09rig-ready";
    const DISCONNECT: &[u8] = b"\xe0\x00";
    const ACCEPTED: [u8; 4] = [0x20, 0x02, 0x00, 0x00];
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(limits::EXCHANGE_TIMEOUT))?;
    stream.write_all(CONNECT)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    stream.write_all(DISCONNECT)?;
    if answer == ACCEPTED {
        Ok(())
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}
