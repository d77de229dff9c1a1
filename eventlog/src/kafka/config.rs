//! What users may say about Kafka, and what librdkafka is told. Must never let a property through that breaks the
//! acknowledgement promise.

use std::collections::BTreeMap;

use crate::LogError;

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
}
