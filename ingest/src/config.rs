//! What ingest must be told: plain values, checked here once, built from the configuration by the root crate.
//!
//! Nothing in here reads files or the environment.

use std::{fmt, path::PathBuf, time::Duration};

use schemas::{limits as schema_limits, topic::TopicPattern};

use crate::{IngestError, limits, source::address::BrokerAddress};

/// Everything that ingest must be told.
#[derive(Clone, Debug)]
pub struct IngestSettings {
    /// Name of this instance, stable over restarts: part of the MQTT client ids, so that a restarted instance gets
    /// its session back. Unique among the instances that share a broker.
    pub instance: String,
    /// The brokers to read from.
    pub brokers: Vec<BrokerSettings>,
    /// What to subscribe to, and how to read it.
    pub routes: Vec<Route>,
    /// Largest payload that is decoded; a larger one becomes a dead letter.
    pub payload_bytes_max: usize,
    /// How far ahead of receipt a device's clock may be before it is not believed.
    pub future_skew_max: Duration,
    /// Largest record that the log takes (key, value and headers).
    pub record_bytes_max: usize,
    /// How much may be on its way, for each connection.
    pub window: WindowSettings,
    /// How long a shutdown may wait for what was taken in.
    pub drain_max: Duration,
}

/// One MQTT broker.
#[derive(Clone)]
pub struct BrokerSettings {
    /// Name in events, metrics and the ledger.
    pub name: String,
    /// `mqtt://host:port`, or `mqtts://host:port` for TLS.
    pub url: String,
    /// Which MQTT it speaks.
    pub protocol: Protocol,
    /// User name, if it wants one.
    pub username: Option<String>,
    /// Password, if it wants one.
    pub password: Option<String>,
    /// Fixed client id instead of `meridian-{instance}-{broker}`.
    pub client_id: Option<String>,
    /// Certificates for `mqtts`.
    pub tls: TlsFiles,
    /// Messages that the broker may send ahead of our acknowledgements (MQTT 5).
    pub receive_maximum: u16,
    /// An idle connection is probed this often; twice this without any sign of life and it is replaced.
    pub keep_alive: Duration,
    /// How long the broker keeps our session while we are away; `None` asks for ever (MQTT 5).
    pub session_expiry: Option<Duration>,
    /// Largest packet that we let the broker send.
    pub packet_bytes_max: u32,
    /// One connection per entry, each with its own share of the filters; empty: one connection with the filters of
    /// all routes. Shares must not overlap, or messages arrive twice.
    pub connections: Vec<Vec<Filter>>,
}

/// An MQTT topic filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(pub String);

/// Version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 5.
    V5,
    /// MQTT 3.1.1.
    V311,
}

/// Files in PEM format for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust instead of those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, if the broker wants one.
    pub certificate_file: Option<PathBuf>,
    /// The key of our certificate.
    pub key_file: Option<PathBuf>,
}

/// What to subscribe to, and how to read it.
#[derive(Clone, Debug)]
pub struct Route {
    /// What to subscribe to.
    pub filter: Filter,
    /// Where tenant and device stand in the topic.
    pub topic: TopicPattern,
    /// How the payload is written.
    pub format: PayloadFormat,
}

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFormat {
    /// A JSON object, or an array of them.
    Json,
}

/// How much one connection may have on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSettings {
    /// Messages received and not yet released.
    pub messages_max: usize,
    /// Bytes of those messages; their decoded records may take as much again.
    pub bytes_max: usize,
}

impl IngestSettings {
    /// Settings with every bound at its default.
    #[must_use]
    pub fn new(instance: &str, brokers: Vec<BrokerSettings>, routes: Vec<Route>) -> Self {
        Self {
            instance: instance.to_owned(),
            brokers,
            routes,
            payload_bytes_max: schema_limits::PAYLOAD_BYTES_MAX_DEFAULT,
            future_skew_max: Duration::from_millis(schema_limits::FUTURE_SKEW_MS_MAX_DEFAULT.unsigned_abs()),
            record_bytes_max: limits::RECORD_BYTES_MAX_DEFAULT,
            window: WindowSettings::default(),
            drain_max: limits::DRAIN_MAX_DEFAULT,
        }
    }

    /// Finds every fault at once.
    ///
    /// # Errors
    /// [`IngestError::Settings`] lists them.
    pub fn check(&self) -> Result<(), IngestError> {
        let mut faults = Vec::new();
        let mut fault = |key: String, what: &str| faults.push(format!("`{key}` {what}"));
        if self.instance.is_empty() {
            fault("instance".into(), "is empty: name this instance");
        }
        if self.brokers.is_empty() {
            fault("mqtt.brokers".into(), "is empty: name at least one broker");
        }
        if self.routes.is_empty() {
            fault("ingest.routes".into(), "is empty: name at least one route");
        }
        if !(1..=limits::PAYLOAD_BYTES_MAX).contains(&self.payload_bytes_max) {
            fault("ingest.payload_bytes_max".into(), "is not between 1 byte and 16 MiB");
        }
        if self.record_bytes_max < limits::RECORD_BYTES_MIN {
            fault("record_bytes_max".into(), "is below 64 KiB, and dead letters need room");
        }
        if self.window.messages_max == 0 || self.window.bytes_max < self.payload_bytes_max {
            fault(
                "ingest.window".into(),
                "must hold at least one message of the largest size",
            );
        }
        let mut client_ids = std::collections::BTreeSet::new();
        for (index, broker) in self.brokers.iter().enumerate() {
            let key = |name: &str| format!("mqtt.brokers[{index}].{name}");
            broker.check(&mut |name, what| fault(key(name), what));
            for connection in 0..broker.connections.len().max(1) {
                let client_id = self.client_id(broker, connection);
                if !client_ids.insert((broker.url.clone(), client_id)) {
                    fault(
                        key("client_id"),
                        "is used twice at one broker: the two would disconnect each other",
                    );
                }
            }
        }
        for filter in self.routes.iter().map(|route| &route.filter) {
            if filter.0.is_empty() {
                fault("ingest.routes.filter".into(), "is empty");
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(IngestError::Settings { faults })
        }
    }

    /// The client id of a connection: the same at every start, so that the session is found again.
    #[must_use]
    pub fn client_id(&self, broker: &BrokerSettings, connection: usize) -> String {
        let base = broker
            .client_id
            .clone()
            .unwrap_or_else(|| format!("meridian-{}-{}", self.instance, broker.name));
        if broker.connections.len() > 1 {
            format!("{base}-{connection}")
        } else {
            base
        }
    }

    /// The filters of each connection of a broker.
    #[must_use]
    pub fn filters(&self, broker: &BrokerSettings) -> Vec<Vec<Filter>> {
        if broker.connections.is_empty() {
            return vec![self.routes.iter().map(|route| route.filter.clone()).collect()];
        }
        broker.connections.clone()
    }
}

impl BrokerSettings {
    /// A broker with every setting at its default.
    #[must_use]
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            protocol: Protocol::V5,
            username: None,
            password: None,
            client_id: None,
            tls: TlsFiles::default(),
            receive_maximum: limits::RECEIVE_MAXIMUM_DEFAULT,
            keep_alive: limits::KEEP_ALIVE_DEFAULT,
            session_expiry: None,
            packet_bytes_max: limits::PACKET_BYTES_MAX,
            connections: Vec::new(),
        }
    }

    fn check(&self, fault: &mut impl FnMut(&'static str, &str)) {
        if self.name.is_empty() {
            fault("name", "is empty");
        }
        if let Err(error) = BrokerAddress::parse(&self.url) {
            fault("url", &error.to_string());
        }
        if self.receive_maximum == 0 {
            fault("receive_maximum", "is 0: the broker could send nothing");
        }
        if !(limits::KEEP_ALIVE_MIN..=limits::KEEP_ALIVE_MAX).contains(&self.keep_alive) {
            fault("keep_alive", "is not between 5s and 18h");
        }
        if self.password.is_some() && self.username.is_none() {
            fault("password", "is given without `username`");
        }
        if self.tls.certificate_file.is_some() != self.tls.key_file.is_some() {
            fault("cert_file", "and `key_file` go together: give both or none");
        }
        if self.connections.iter().any(Vec::is_empty) {
            fault("connections", "has an entry without filters");
        }
    }
}

impl fmt::Debug for BrokerSettings {
    /// All but the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BrokerSettings")
            .field("name", &self.name)
            .field("url", &self.url)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl Default for WindowSettings {
    fn default() -> Self {
        Self {
            messages_max: limits::WINDOW_MESSAGES_DEFAULT,
            bytes_max: limits::WINDOW_BYTES_DEFAULT,
        }
    }
}

#[cfg(test)]
mod tests;
