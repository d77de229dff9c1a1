//! A real Apache Kafka: one KRaft node with the configuration of `docker/kafka/`, from the jars that `cargo xtask setup`
//! fetched. It must never replace the client under test: what it can say to Kafka is just enough to prepare and to check.

mod java;
mod protocol;

use crate::configuration::{self, Style};
use crate::{Daemon, RigError, limits, ports};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

pub use java::{record_shared_classes, shared_classes_file};

/// Any valid id will do; a fixed one makes logs comparable.
const CLUSTER_ID: &str = "MeridianTestCluster001";

/// One more way into Kafka, for clients that reach it through something in between. Kafka tells its clients where to
/// connect, so each way needs a listener of its own.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name: capital letters.
    pub name: String,
    /// The port that Kafka listens on.
    pub port: u16,
    /// The port that clients are told to connect to.
    pub advertised_port: u16,
}

/// A running Kafka node; stopped when dropped.
pub struct Kafka {
    daemon: Daemon,
    port: u16,
    _folder: TempDir,
}

impl Kafka {
    /// Starts Kafka on empty storage and waits until it serves clients.
    ///
    /// # Panics
    /// When a part is missing or it does not start; the message says what to do.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with some properties replaced, as `(key, value)`.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[must_use]
    pub fn start_with(properties: &[(&str, &str)]) -> Self {
        Self::try_start(properties, &[], None).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same with more listeners.
    ///
    /// # Panics
    /// As [`Kafka::start`].
    #[must_use]
    pub fn start_behind(listeners: &[Listener]) -> Self {
        Self::try_start(&[], listeners, None).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `record_to` asks Java to write its loaded classes there when Kafka ends.
    fn try_start(
        properties: &[(&str, &str)],
        listeners: &[Listener],
        record_to: Option<&Path>,
    ) -> Result<Self, RigError> {
        let folder = tempfile::Builder::new()
            .prefix("meridian-kafka-")
            .tempdir()
            .map_err(RigError::io("create a temporary folder"))?;
        let port = ports::free();
        let file = write_properties(folder.path(), port, properties, listeners)?;
        java::format_storage(&file, CLUSTER_ID)?;
        let daemon = java::kafka(record_to)?.arg(&file).start()?;
        let kafka = Self {
            daemon,
            port,
            _folder: folder,
        };
        kafka.wait_until_ready()?;
        Ok(kafka)
    }

    /// `127.0.0.1:PORT`, for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The process, for its log and memory figures.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    /// Creates a topic and waits until every partition has a leader.
    ///
    /// # Panics
    /// When Kafka refuses, for example because the topic exists.
    pub fn create_topic(&self, name: &str, partitions: u32) {
        protocol::create_topic(self.port, name, partitions).unwrap_or_else(|error| panic!("{error}"));
        for partition in 0..partitions {
            let _ = self.end_offset(name, partition);
        }
    }

    /// Appends one record without a key and returns its offset; Kafka has it when this returns (`acks=all`).
    ///
    /// # Panics
    /// When Kafka does not take it.
    #[must_use]
    pub fn append(&self, topic: &str, partition: u32, value: &[u8]) -> u64 {
        protocol::produce(self.port, topic, partition, value).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The offset that the next record of the partition will get.
    ///
    /// # Panics
    /// When Kafka does not answer, or the topic does not exist.
    #[must_use]
    pub fn end_offset(&self, topic: &str, partition: u32) -> u64 {
        until_led(|| protocol::end_offset(self.port, topic, partition))
    }

    /// Removes the records of a partition before an offset, as retention does.
    ///
    /// # Panics
    /// When Kafka refuses.
    pub fn delete_records(&self, topic: &str, partition: u32, before: u64) {
        until_led(|| protocol::delete_records(self.port, topic, partition, before));
    }

    /// The offset that a group has committed of a partition; 0 where it has none.
    ///
    /// # Panics
    /// When Kafka does not answer.
    #[must_use]
    pub fn committed_offset(&self, group: &str, topic: &str, partition: u32) -> u64 {
        let committed = until_led(|| protocol::committed_offset(self.port, group, topic, partition));
        committed.unwrap_or(0)
    }

    /// Records of all topics of users that the group has not committed.
    ///
    /// # Errors
    /// When Kafka does not answer, or is not ready to.
    pub fn lag(&self, group: &str) -> Result<u64, RigError> {
        protocol::find_coordinator(self.port, group)?;
        let mut lag = 0;
        for topic in protocol::topics(self.port)? {
            // Kafka's own.
            if topic.name.starts_with("__") {
                continue;
            }
            for partition in 0..topic.partitions {
                let end = protocol::end_offset(self.port, &topic.name, partition)?;
                let committed = protocol::committed_offset(self.port, group, &topic.name, partition)?;
                lag += end.saturating_sub(committed.unwrap_or(0));
            }
        }
        Ok(lag)
    }

    /// Removes what a group has committed of all topics of users, but for the newest `kept` records of each partition.
    ///
    /// # Errors
    /// When Kafka does not answer, or is not ready to.
    pub fn expire(&self, group: &str, kept: u64) -> Result<(), RigError> {
        protocol::find_coordinator(self.port, group)?;
        for topic in protocol::topics(self.port)? {
            // Kafka's own.
            if topic.name.starts_with("__") {
                continue;
            }
            for partition in 0..topic.partitions {
                let committed = protocol::committed_offset(self.port, group, &topic.name, partition)?;
                let before = committed.unwrap_or(0).saturating_sub(kept);
                if before > 0 {
                    protocol::delete_records(self.port, &topic.name, partition, before)?;
                }
            }
        }
        Ok(())
    }

    /// Kills it as a power cut of the process would. Acknowledged records are in the page cache and survive.
    pub fn kill9(&mut self) {
        self.daemon.kill9();
    }

    /// Stops it with `SIGTERM`.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn stop_gracefully(&mut self) {
        self.daemon.terminate().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts it again on the same ports and data, stopping it gracefully first if it runs.
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

    /// Lets it go on after [`Kafka::pause`].
    pub fn resume(&self) {
        self.daemon.resume();
    }

    /// Ready: the broker is registered and leads every partition there is.
    fn wait_until_ready(&self) -> Result<(), RigError> {
        let leads_all = || -> Result<(), RigError> {
            for topic in protocol::topics(self.port)? {
                for partition in 0..topic.partitions {
                    protocol::end_offset(self.port, &topic.name, partition)?;
                }
            }
            Ok(())
        };
        self.daemon
            .wait_until("a broker that leads its partitions", limits::READY_TIMEOUT, || {
                leads_all().is_ok()
            })
    }
}

/// Asks again while the partition has no leader, as every Kafka client does.
fn until_led<T>(mut ask: impl FnMut() -> Result<T, RigError>) -> T {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(RigError::NoLeaderYet { .. }) if started.elapsed() < limits::READY_TIMEOUT => {
                thread::sleep(limits::POLL_INTERVAL);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn write_properties(
    folder: &Path,
    port: u16,
    properties: &[(&str, &str)],
    more: &[Listener],
) -> Result<PathBuf, RigError> {
    let controller = ports::free();
    let text = configuration::read("kafka/server.properties")?;
    let wanted = properties.iter().map(|(key, value)| (*key, (*value).to_owned()));
    let text = configuration::replace(&text, Style::Properties, wanted);
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
    let mut advertised = format!("PLAINTEXT://127.0.0.1:{port}");
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for listener in more {
        let name = &listener.name;
        listeners.push_str(&format!(",{name}://127.0.0.1:{}", listener.port));
        advertised.push_str(&format!(",{name}://127.0.0.1:{}", listener.advertised_port));
        protocols.push_str(&format!(",{name}:PLAINTEXT"));
    }
    let text = configuration::replace(
        &text,
        Style::Properties,
        [
            ("listeners", listeners),
            ("advertised.listeners", advertised),
            ("listener.security.protocol.map", protocols),
            ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
            ("log.dirs", folder.join("data").display().to_string()),
        ],
    );
    let file = folder.join("server.properties");
    std::fs::write(&file, text).map_err(RigError::io("write the configuration of Kafka"))?;
    Ok(file)
}
