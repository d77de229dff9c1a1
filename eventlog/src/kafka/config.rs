//! What users may say about Kafka, and what librdkafka is told. Must never let a property through that breaks the
//! acknowledgement promise.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

use super::limits;
use crate::{LogError, ProducerLimits};

/// How to reach a Kafka cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Bootstrap brokers: `host:port`, separated by commas.
    pub brokers: String,
    /// Name of this process in broker logs and quotas; may be empty.
    pub client_id: String,
    /// Passed on to librdkafka as they are (security, timeouts, compression).
    pub properties: BTreeMap<String, String>,
}

/// Properties that users may set to these values only, with the reason.
const FIXED: &[(&str, &[&str], &str)] = &[
    ("acks", &["all", "-1"], ACKS),
    ("request.required.acks", &["all", "-1"], ACKS),
    ("enable.idempotence", &["true"], IDEMPOTENCE),
    ("enable.auto.commit", &["false"], COMMIT),
    ("auto.commit.enable", &["false"], COMMIT),
    ("enable.auto.offset.store", &["false"], COMMIT),
    ("partitioner", &["murmur2_random", "murmur2"], PARTITIONER),
    ("auto.offset.reset", &["error"], RESET),
    ("topic.auto.offset.reset", &["error"], RESET),
];

/// Properties that are ours altogether, with the reason.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `[kafka] brokers`"),
    ("metadata.broker.list", "set `[kafka] brokers`"),
    ("group.id", "set `[kafka] group`"),
    ("transactional.id", "no transactions are used"),
    ("message.timeout.ms", TIMEOUT),
    ("delivery.timeout.ms", TIMEOUT),
    (
        "partition.assignment.strategy",
        "partitions move one by one, cooperatively",
    ),
    ("group.protocol", "partitions move one by one, cooperatively"),
    (
        "enable.gapless.guarantee",
        "a refused message must not stop its neighbours",
    ),
];

const ACKS: &str = "a message is acknowledged only when all replicas in sync have it";
const IDEMPOTENCE: &str = "retries must neither duplicate nor reorder";
const COMMIT: &str = "offsets are committed after checkpoints, never by a timer";
const PARTITIONER: &str = "a key must stay in its partition";
const RESET: &str = "a gap must be noticed, never skipped";
const TIMEOUT: &str = "messages wait in order until the brokers are back; a timeout would reorder them";

impl KafkaConfig {
    /// Checks the properties against the promise; librdkafka checks the rest.
    ///
    /// # Errors
    /// [`LogError::Config`] names the property.
    pub fn check(&self) -> Result<(), LogError> {
        let refuse = |what: &str, reason: String| {
            Err(LogError::Config {
                what: what.into(),
                reason,
            })
        };
        if self.brokers.trim().is_empty() {
            return refuse("kafka.brokers", "name at least one `host:port`".into());
        }
        for (name, value) in &self.properties {
            if let Some((_, reason)) = OURS.iter().find(|(ours, _)| ours == name) {
                return refuse(&format!("kafka.properties.{name}"), format!("{reason}: remove it"));
            }
            let fixed = FIXED.iter().find(|(fixed, ..)| fixed == name);
            if let Some((_, allowed, reason)) = fixed
                && !allowed.contains(&value.as_str())
            {
                let allowed = allowed[0];
                let reason = format!("`{value}` is not possible, since {reason}: set `{allowed}` or remove it");
                return refuse(&format!("kafka.properties.{name}"), reason);
            }
        }
        Ok(())
    }

    /// What a producer is told.
    ///
    /// Messages wait without end (`message.timeout.ms` 0) while brokers are away: a timeout would hand them back as
    /// ambiguous, and sending them again would duplicate what had arrived and put them behind their successors. The
    /// bounded queue is what callers notice of an outage.
    pub(super) fn producer(&self, limits: ProducerLimits) -> ClientConfig {
        let mut config = self.client();
        let messages = limits.queue_messages_max.clamp(1, MESSAGES_MAX);
        let kilobytes = limits.queue_bytes_max.div_ceil(1024).clamp(1, KILOBYTES_MAX);
        // Room for keys, headers and framing around the largest value.
        let message_bytes = crate::limits::MESSAGE_BYTES_MAX + (64 << 10);
        self.finish(
            &mut config,
            &[
                ("acks", "all"),
                ("enable.idempotence", "true"),
                ("message.timeout.ms", "0"),
                ("partitioner", "murmur2_random"),
                ("linger.ms", "5"),
                ("batch.size", "524288"),
                ("compression.type", "lz4"),
                ("message.max.bytes", &message_bytes.to_string()),
                ("queue.buffering.max.messages", &messages.to_string()),
                ("queue.buffering.max.kbytes", &kilobytes.to_string()),
            ],
        )
    }

    /// What a member of a group is told.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        let session_ms = crate::limits::SESSION_TIMEOUT.as_millis().to_string();
        let request_ms = limits::REQUEST_TIMEOUT.as_millis().to_string();
        let fetch_ms = limits::FETCH_WAIT_MAX.as_millis().to_string();
        config.set("group.id", group);
        self.finish(
            &mut config,
            &[
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("session.timeout.ms", &session_ms),
                ("heartbeat.interval.ms", "2000"),
                // A commit waits for as long as a broker is silent that seems to be there.
                ("socket.timeout.ms", &request_ms),
                ("fetch.wait.max.ms", &fetch_ms),
                ("queued.max.messages.kbytes", &limits::QUEUED_KBYTES_MAX.to_string()),
                ("fetch.queue.backoff.ms", "20"),
                ("allow.auto.create.topics", "false"),
            ],
        )
    }

    /// What a client that only administers is told.
    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.client();
        self.finish(&mut config, &[])
    }

    /// The broker list and the message, as an error.
    pub(super) fn unavailable(&self, reason: impl ToString) -> LogError {
        LogError::Unavailable {
            address: self.brokers.clone(),
            reason: reason.to_string(),
        }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        if !self.client_id.is_empty() {
            config.set("client.id", &self.client_id);
        }
        config
    }

    /// Ours first, so that users may change what is not fixed.
    fn finish(&self, config: &mut ClientConfig, ours: &[(&str, &str)]) -> ClientConfig {
        for (name, value) in ours {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.clone()
    }
}

/// The largest value that librdkafka takes for `queue.buffering.max.messages`.
const MESSAGES_MAX: usize = 10_000_000;

/// The largest value that librdkafka takes for `queue.buffering.max.kbytes`.
const KILOBYTES_MAX: usize = 2_147_483_647;
