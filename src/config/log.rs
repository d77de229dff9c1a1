//! `[kafka]` and `[log]`: which event log, and what its topics are like.

use std::time::Duration;

use eventlog::{KafkaConfig, LogError, TopicSpec};
use platform::config::Section;
use schemas::record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC};

use super::limits;

/// Group of the processors where no Kafka is configured.
const GROUP_DEFAULT: &str = "meridian";

/// Which log, and its topics.
#[derive(Clone, Debug)]
pub(crate) struct LogSettings {
    /// The cluster; none: a log of our own.
    pub(crate) kafka: Option<KafkaSettings>,
    partitions: u16,
    retention: Duration,
}

/// A Kafka cluster.
#[derive(Clone, Debug)]
pub(crate) struct KafkaSettings {
    /// How to reach it.
    pub(crate) client: KafkaConfig,
    /// Group of the processors.
    pub(crate) group: String,
    replication: u16,
}

impl LogSettings {
    /// Group of the processors.
    pub(crate) fn group(&self) -> &str {
        self.kafka.as_ref().map_or(GROUP_DEFAULT, |kafka| &kafka.group)
    }

    /// The topics that must exist.
    pub(crate) fn topics(&self) -> Vec<TopicSpec> {
        let retention_ms = u64::try_from(self.retention.as_millis()).expect("ages are bounded");
        let spec = |name| TopicSpec {
            retention_ms: Some(retention_ms),
            replication: self.kafka.as_ref().map_or(1, |kafka| kafka.replication),
            ..TopicSpec::new(name, self.partitions)
        };
        [EVENTS_TOPIC, DEAD_LETTERS_TOPIC].map(spec).into()
    }
}

/// Reads which log.
pub(super) fn read(root: &Section<'_>) -> LogSettings {
    let log = root.section("log");
    let partitions = log.required("partitions");
    let partitions = partitions.integer(1..=u64::from(eventlog::limits::PARTITIONS_MAX));
    LogSettings {
        kafka: root.optional_section("kafka").map(|section| read_kafka(&section)),
        partitions: u16::try_from(partitions).expect("the range was checked"),
        retention: log.required("retention").duration(limits::AGE),
    }
}

fn read_kafka(section: &Section<'_>) -> KafkaSettings {
    let brokers = section.required("brokers").host_ports();
    let brokers: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    let client = KafkaConfig {
        brokers: brokers.join(","),
        client_id: section.required("client_id").text(),
        properties: section.properties("properties"),
    };
    if !client.brokers.is_empty()
        && let Err(LogError::Config { what, reason }) = client.check()
    {
        section.fault("properties", format!("of `{what}` is refused: {reason}"));
    }
    let group_field = section.required("group");
    let group = group_field.text();
    if group.is_empty() {
        group_field.fault("is empty; name the consumer group of the processors");
    }
    let replication = section.required("replication").integer(limits::REPLICATION);
    KafkaSettings {
        client,
        group,
        replication: u16::try_from(replication).expect("the range was checked"),
    }
}
