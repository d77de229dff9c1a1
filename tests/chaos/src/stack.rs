//! The whole path as processes of their own: Mosquitto, ingest, Kafka, two processors, ClickHouse. Between any two of
//! them lies a [`Proxy`]. All on loopback, with data in temporary folders, stopped when dropped.

mod configuration;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rig::{Daemon, Kafka, Mosquitto, MosquittoOptions, kafka::Listener, ports};
use tempfile::TempDir;

use crate::{
    disk::SmallDisk,
    fault::{Disk, Hop, Part, Setting},
    limits,
    proxy::Proxy,
};

/// Of the processors, as by default.
const GROUP: &str = "meridian";

/// One of the processes.
pub enum Process {
    /// The broker.
    Mosquitto(Mosquitto),
    /// The log.
    Kafka(Kafka),
    /// A role, or the engine.
    Meridian(Daemon),
}

impl Process {
    /// The child process.
    pub fn daemon(&mut self) -> &mut Daemon {
        match self {
            Self::Mosquitto(mosquitto) => mosquitto.daemon(),
            Self::Kafka(kafka) => kafka.daemon(),
            Self::Meridian(daemon) => daemon,
        }
    }
}

/// All processes and what lies between them.
pub struct Stack {
    // In the order of stopping: readers first.
    processes: BTreeMap<Part, Mutex<Process>>,
    proxies: BTreeMap<Hop, Proxy>,
    disks: BTreeMap<Disk, SmallDisk>,
    engine_port: u16,
    folder: TempDir,
}

impl Stack {
    /// Starts everything and waits until it is ready. Needs a runtime, and blocks.
    ///
    /// # Errors
    /// When a process does not start.
    ///
    /// # Panics
    /// When a daemon is missing or does not start; the message says what to do.
    pub fn start(program: &Path, with_disks: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("meridian-chaos-").tempdir()?;
        let mut disks = BTreeMap::new();
        if with_disks {
            for (disk, name, bytes) in [
                (Disk::Checkpoints, "checkpoints", limits::CHECKPOINT_DISK_BYTES),
                (Disk::Engine, "engine", limits::ENGINE_DISK_BYTES),
            ] {
                disks.insert(disk, SmallDisk::mount(&folder.path().join(name), bytes)?);
            }
        }
        let save_seconds = limits::BROKER_SAVE_INTERVAL.as_secs().to_string();
        let mosquitto = Mosquitto::start_with(MosquittoOptions::default().with("autosave_interval", &save_seconds));
        let engine_port = ports::free();
        let kafka_hops = [Hop::IngestToKafka, Hop::ProcessOneToKafka, Hop::ProcessTwoToKafka];
        let listeners = ["INGEST", "ONE", "TWO"].map(|name| Listener {
            name: name.to_owned(),
            port: ports::free(),
            advertised_port: ports::free(),
        });
        let mut proxies = BTreeMap::new();
        for hop in [Hop::DevicesToMosquitto, Hop::IngestToMosquitto] {
            proxies.insert(hop, Proxy::start(ports::free(), mosquitto.port())?);
        }
        for (hop, listener) in kafka_hops.into_iter().zip(&listeners) {
            proxies.insert(hop, Proxy::start(listener.advertised_port, listener.port)?);
        }
        for hop in [Hop::ProcessOneToClickHouse, Hop::ProcessTwoToClickHouse] {
            proxies.insert(hop, Proxy::start(ports::free(), engine_port)?);
        }
        let kafka = Kafka::start_behind(&listeners);
        let mut stack = Self {
            processes: BTreeMap::new(),
            proxies,
            disks,
            engine_port,
            folder,
        };
        stack.add(Part::Mosquitto, Process::Mosquitto(mosquitto));
        stack.add(Part::Kafka, Process::Kafka(kafka));
        stack.start_ours(program)?;
        Ok(stack)
    }

    fn start_ours(&mut self, program: &Path) -> Result<()> {
        let port = self.engine_port.to_string();
        let clock_library = rig::cache::clock_library()?;
        for (part, role, ready) in [
            (Part::ClickHouse, "", "ready at "),
            (Part::ProcessOne, "process", "meridian process is ready"),
            (Part::ProcessTwo, "process", "meridian process is ready"),
            (Part::Ingest, "ingest", "meridian ingest is ready"),
        ] {
            let file = configuration_file(part);
            let arguments = if part == Part::ClickHouse {
                vec!["embedded", "clickhouse", "--port", &port, "--data-dir", "engine"]
            } else {
                self.configure(part, Setting::default())?;
                vec![role, "--config", &file, "--metrics-port", "0"]
            };
            let mut daemon = Daemon::command(program).args(&arguments).current_dir(self.folder());
            if part != Part::ClickHouse {
                self.shift_clock(part, 0)?;
                daemon = daemon
                    .env("LD_PRELOAD", &clock_library)
                    .env("FAKETIME_TIMESTAMP_FILE", self.clock_file(part))
                    .env("FAKETIME_CACHE_DURATION", limits::CLOCK_LOOK_SECONDS.to_string())
                    // What a jump moves is the time of day; waiting goes on as before, as on a machine.
                    .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            }
            let daemon = daemon
                .start()
                .with_context(|| format!("cannot start {}", part.name()))?;
            daemon.wait_for_line(ready, limits::READY_MAX)?;
            self.add(part, Process::Meridian(daemon));
        }
        Ok(())
    }

    /// Writes the configuration of a role, for its next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, part: Part, setting: Setting) -> std::io::Result<()> {
        let text = configuration::of(part, setting, &self.proxies);
        fs::write(self.folder().join(configuration_file(part)), text)
    }

    /// Sets the clock of one of ours ahead, or back where negative. It notices within a second or so.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn shift_clock(&self, part: Part, seconds: i32) -> std::io::Result<()> {
        let file = self.clock_file(part);
        let new = file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        // It may be read at any moment.
        fs::rename(new, file)
    }

    fn clock_file(&self, part: Part) -> PathBuf {
        self.folder().join(format!("{}.clock", part.name()))
    }

    fn add(&mut self, part: Part, process: Process) {
        self.processes.insert(part, Mutex::new(process));
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A process, for one who does something with it.
    ///
    /// # Panics
    /// Never: all parts were started.
    pub fn process(&self, part: Part) -> MutexGuard<'_, Process> {
        // A restart that failed is reported by who asked for it; the others go on.
        self.processes[&part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process, unless somebody is busy with it.
    pub fn idle_process(&self, part: Part) -> Option<MutexGuard<'_, Process>> {
        self.processes[&part].try_lock().ok()
    }

    /// What lies in a hop.
    #[must_use]
    pub fn proxy(&self, hop: Hop) -> &Proxy {
        &self.proxies[&hop]
    }

    /// A small disk, if there are any.
    #[must_use]
    pub fn disk(&self, disk: Disk) -> Option<&SmallDisk> {
        self.disks.get(&disk)
    }

    /// Where devices publish.
    #[must_use]
    pub fn mqtt_url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.proxy(Hop::DevicesToMosquitto).port())
    }

    /// ClickHouse, past all proxies.
    #[must_use]
    pub fn clickhouse_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.engine_port)
    }

    /// Records that the processors have not committed; None when Kafka does not answer.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        match &*self.process(Part::Kafka) {
            Process::Kafka(kafka) => kafka.lag(GROUP).ok(),
            Process::Mosquitto(_) | Process::Meridian(_) => None,
        }
    }

    /// Kafka removes the first records of what the processors have committed.
    ///
    /// # Errors
    /// When Kafka does not do so.
    pub fn expire_records(&self) -> Result<()> {
        match &*self.process(Part::Kafka) {
            Process::Kafka(kafka) => Ok(kafka.expire(GROUP, limits::RECORDS_KEPT)?),
            Process::Mosquitto(_) | Process::Meridian(_) => bail!("the log is not Kafka"),
        }
    }

    /// Whether ClickHouse answers.
    #[must_use]
    pub fn engine_answers(&self) -> bool {
        let ask = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.engine_port))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
    }

    /// The folder with the checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.folder().join("checkpoints")
    }

    /// Copies what the processes wrote, for who wants to know why.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_logs(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        for part in Part::ALL {
            let log = self.process(part).daemon().log_path();
            fs::copy(log, to.join(format!("{}.log", part.name())))?;
        }
        Ok(())
    }
}

fn configuration_file(part: Part) -> String {
    format!("{}.toml", part.name())
}
