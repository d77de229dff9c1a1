//! What the running roles and the log say: counts of messages by broker, and how far each partition has come.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use eventlog::{Headers, LogError, PartitionId, Subscription, TopicPartition};
use processors::{
    audit::{Hole, HoleKind, Known},
    metrics::TABLES_INFO,
};
use schemas::record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC};
use serde::Serialize;

use crate::{config::ValidConfig, endpoints::Endpoints, limits, pipeline, scrape::Scrape};

/// Messages of one broker, as one process counts them since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Messages {
    pub(super) broker: String,
    /// Where the process was asked.
    pub(super) metrics: String,
    pub(super) received: u64,
    pub(super) acknowledged: u64,
    pub(super) dead_lettered: u64,
    pub(super) returned: u64,
    pub(super) in_flight: u64,
}

impl Messages {
    fn accounted(&self) -> u64 {
        self.acknowledged + self.dead_lettered + self.returned + self.in_flight
    }
}

/// The first identity: of every broker of every process that answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    pub(super) brokers: Vec<Messages>,
    /// Processes that did not answer, and why.
    pub(super) unanswered: Vec<String>,
    pub(super) holes: Vec<Hole>,
}

/// Who can be asked.
pub(super) struct Roles {
    config: ValidConfig,
    metrics: Vec<String>,
    /// Of the tables that are audited.
    tables_id: Option<String>,
    /// A single process has every partition.
    is_one_process: bool,
}

impl Roles {
    pub(super) fn new(
        config: &ValidConfig,
        endpoints: Option<&Endpoints>,
        given: &[String],
        tables_id: Option<String>,
    ) -> Self {
        let metrics = match endpoints {
            _ if !given.is_empty() => given.to_vec(),
            Some(endpoints) => vec![endpoints.metrics.clone()],
            None => vec![format!("http://{}/metrics", config.metrics_listen)],
        };
        Self {
            config: config.clone(),
            metrics,
            tables_id,
            is_one_process: given.is_empty() && config.log.kafka.is_none(),
        }
    }

    /// What a process counts, unless it works for other tables: its counts tell nothing about these.
    async fn ask(&self, url: &str) -> Result<Scrape, String> {
        let scrape = Scrape::of(url).await?;
        match is_stranger(self.tables_id.as_deref(), &scrape) {
            false => Ok(scrape),
            true => Err(format!(
                "metrics at {url}: they are of another pipeline, which writes to other tables than those that are audited; \
                 name the metrics of this one with `--metrics`, or its data folder with `--data-dir`"
            )),
        }
    }

    /// Counts of messages. The numbers of one answer are taken one after the other while messages pass, so what does
    /// not add up is asked again: only what stays is a hole.
    pub(super) async fn received(&self) -> Received {
        let mut received = Received::default();
        for url in &self.metrics {
            for attempt in 1.. {
                let brokers = match self.ask(url).await {
                    Ok(scrape) => messages(url, &scrape),
                    Err(reason) => {
                        received.unanswered.push(reason);
                        break;
                    }
                };
                let adds_up = brokers.iter().all(|one| one.received == one.accounted());
                if !adds_up && attempt < limits::AUDIT_ATTEMPTS_MAX {
                    tokio::time::sleep(limits::AUDIT_PAUSE).await;
                    continue;
                }
                received.holes.extend(brokers.iter().filter_map(hole));
                received.brokers.extend(brokers);
                break;
            }
        }
        received
    }

    /// How far the partitions have come; and who did not answer.
    pub(super) async fn known(&self) -> (Known, Vec<String>) {
        let mut known = Known::default();
        let mut unanswered = Vec::new();
        for url in &self.metrics {
            // Who does not answer was named before.
            let Ok(scrape) = self.ask(url).await else { continue };
            for (partition, offset) in scrape.by_partition("meridian_process_log_end_offset") {
                let end = known.ends.entry(partition).or_default();
                *end = (*end).max(offset);
            }
            for (partition, count) in scrape.by_partition("meridian_process_buffered") {
                *known.buffered.entry(partition).or_default() += count;
            }
        }
        // A process that starts takes its partitions over one after the other.
        let partition_count: usize = self
            .config
            .log
            .topics()
            .iter()
            .map(|topic| usize::from(topic.partitions))
            .sum();
        known.is_complete = self.is_one_process && known.ends.len() >= partition_count;
        if self.config.log.kafka.is_some() {
            match self.kafka_bounds().await {
                Ok(bounds) => {
                    for (partition, bounds) in bounds {
                        known.ends.insert(partition.clone(), bounds.end);
                        known.lows.insert(partition, bounds.start);
                    }
                    known.is_complete = true;
                }
                Err(reason) => unanswered.push(format!("the log does not answer: {reason}")),
            }
        }
        (known, unanswered)
    }

    async fn kafka_bounds(&self) -> Result<BTreeMap<(String, u16), std::ops::Range<u64>>, String> {
        let log = pipeline::open_log(&self.config, PathBuf::new())
            .await
            .map_err(|failure| failure.to_string())?;
        let said = |error: LogError| error.to_string();
        // A group of its own takes nothing from anybody.
        let subscription = Subscription {
            group: format!("meridian-audit-{:016x}", rand::random::<u64>()),
            topics: [EVENTS_TOPIC, DEAD_LETTERS_TOPIC]
                .map(|topic| (topic.into(), Headers::Skip))
                .into(),
        };
        let mut consumer = log.consumer(subscription).map_err(said)?;
        let mut bounds = BTreeMap::new();
        for topic in self.config.log.topics() {
            for partition in 0..topic.partitions {
                let place = TopicPartition {
                    topic: topic.name.clone(),
                    partition: PartitionId(partition),
                };
                let range = consumer.bounds(&place).await.map_err(said)?;
                bounds.insert((topic.name.to_string(), partition), range);
            }
        }
        if let Err(error) = consumer.close().await {
            tracing::debug!(%error, "the group notices by itself that we are gone");
        }
        Ok(bounds)
    }
}

/// Whether a process says that it writes to tables, and to others. `ingest` alone writes to none.
fn is_stranger(tables_id: Option<&str>, scrape: &Scrape) -> bool {
    let ids = scrape.by_label(TABLES_INFO, "id");
    tables_id.is_some_and(|id| !ids.is_empty() && !ids.contains_key(id))
}

fn messages(url: &str, scrape: &Scrape) -> Vec<Messages> {
    let of = |what: &str| scrape.by_label(&format!("meridian_ingest_messages_{what}"), "broker");
    let (acknowledged, dead_lettered) = (of("acknowledged_total"), of("dead_lettered_total"));
    let (returned, in_flight) = (of("returned_total"), of("in_flight"));
    let count = |counts: &BTreeMap<String, u64>, broker: &String| counts.get(broker).copied().unwrap_or(0);
    of("received_total")
        .into_iter()
        .map(|(broker, received)| Messages {
            acknowledged: count(&acknowledged, &broker),
            dead_lettered: count(&dead_lettered, &broker),
            returned: count(&returned, &broker),
            in_flight: count(&in_flight, &broker),
            metrics: url.to_owned(),
            received,
            broker,
        })
        .collect()
}

fn hole(messages: &Messages) -> Option<Hole> {
    (messages.received != messages.accounted()).then(|| Hole {
        kind: HoleKind::Received,
        place: format!("broker `{}` at {}", messages.broker, messages.metrics),
        offsets: None,
        expected: messages.received,
        found: messages.accounted(),
    })
}

const _: () = assert!(
    limits::AUDIT_PAUSE.as_millis() * (limits::AUDIT_ATTEMPTS_MAX as u128) < Duration::from_secs(5).as_millis(),
    "a hole is told within seconds"
);
