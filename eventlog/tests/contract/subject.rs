//! The three logs under one contract, and what every test needs to drive them.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use eventlog::{
    Consumer, ConsumerEvent, Deliveries, Delivery, EmbeddedConfig, Header, Headers, KafkaConfig, Log, LogConfig,
    MemoryLog, Message, PartitionId, Position, Producer, ProducerLimits, SendError, Subscription, Token,
    TopicPartition, TopicSpec, embedded::EmbeddedLog,
};

/// Longer than anything takes on a busy machine: only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Which implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Embedded,
    Kafka,
}

/// A log of one kind, with a topic named after the test.
pub(crate) struct Subject {
    pub(crate) kind: Kind,
    pub(crate) log: Log,
    pub(crate) topic: Arc<str>,
    memory: Option<MemoryLog>,
    embedded: Option<EmbeddedLog>,
    _folder: Option<tempfile::TempDir>,
}

/// One record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) partition: u16,
    pub(crate) offset: u64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

fn kafka() -> &'static rig::Kafka {
    static KAFKA: OnceLock<rig::Kafka> = OnceLock::new();
    KAFKA.get_or_init(rig::Kafka::start)
}

impl Subject {
    pub(crate) async fn open(kind: Kind, test: &str, partitions: u16) -> Self {
        let topic: Arc<str> = test.into();
        let subject = match kind {
            Kind::Memory => {
                let memory = MemoryLog::new();
                Self {
                    kind,
                    log: Log::open(LogConfig::Memory(memory.clone())).unwrap(),
                    topic,
                    memory: Some(memory),
                    embedded: None,
                    _folder: None,
                }
            }
            Kind::Embedded => {
                let folder = tempfile::tempdir().unwrap();
                let mut config = EmbeddedConfig::new(folder.path());
                config.retention_bytes_max = 100 << 20;
                let embedded = EmbeddedLog::open(config).unwrap();
                Self {
                    kind,
                    log: Log::from(embedded.clone()),
                    topic,
                    memory: None,
                    embedded: Some(embedded),
                    _folder: Some(folder),
                }
            }
            Kind::Kafka => {
                let bootstrap = tokio::task::spawn_blocking(|| kafka().bootstrap());
                let config = KafkaConfig {
                    brokers: bootstrap.await.unwrap(),
                    ..KafkaConfig::default()
                };
                Self {
                    kind,
                    log: Log::open(LogConfig::Kafka(config)).unwrap(),
                    topic,
                    memory: None,
                    embedded: None,
                    _folder: None,
                }
            }
        };
        let mut spec = TopicSpec::new(&subject.topic, partitions);
        if kind == Kind::Embedded {
            // For `remove_oldest`. Kafka looks for old records half a minute after its start, in the middle of any test.
            spec.retention_ms = Some(3_600_000);
        }
        subject.log.ensure_topics(&[spec]).await.unwrap();
        subject
    }

    pub(crate) fn place(&self, partition: u16) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: PartitionId(partition),
        }
    }

    pub(crate) fn producer(&self) -> Sender {
        self.producer_with(ProducerLimits::default())
    }

    pub(crate) fn producer_with(&self, limits: ProducerLimits) -> Sender {
        let (producer, deliveries) = self.log.producer(limits).unwrap();
        Sender {
            producer,
            deliveries,
            topic: self.topic.clone(),
            next_token: 0,
        }
    }

    pub(crate) fn member(&self, group: &str) -> Member {
        self.member_with(group, Headers::Keep)
    }

    pub(crate) fn member_with(&self, group: &str, headers: Headers) -> Member {
        let subscription = Subscription {
            group: format!("{}-{group}", self.topic),
            topics: vec![(self.topic.clone(), headers)],
        };
        Member {
            consumer: self.log.consumer(subscription).unwrap(),
            positions: BTreeMap::new(),
            reads: Vec::new(),
        }
    }

    /// Removes the oldest records of partition 0 as this kind of log does: some, not all.
    pub(crate) async fn remove_oldest(&self) {
        match self.kind {
            Kind::Memory => {
                let memory = self.memory.as_ref().unwrap();
                memory.truncate_before(&self.place(0), 10);
            }
            Kind::Embedded => {
                // Records of the test are years old, and the topic keeps an hour.
                let removed = self.embedded.as_ref().unwrap().remove_old().unwrap();
                assert!(removed.records > 0, "nothing was old");
                assert_eq!(removed.uncommitted_records, 0);
            }
            Kind::Kafka => {
                use rdkafka::{
                    ClientConfig, Offset, TopicPartitionList,
                    admin::{AdminClient, AdminOptions},
                    client::DefaultClientContext,
                };
                let client: AdminClient<DefaultClientContext> = ClientConfig::new()
                    .set("bootstrap.servers", kafka().bootstrap())
                    .create()
                    .unwrap();
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&self.topic, 0, Offset::Offset(10)).unwrap();
                let done = client.delete_records(&list, &AdminOptions::new()).await;
                done.unwrap();
            }
        }
    }
}

/// A producer with its reports.
pub(crate) struct Sender {
    pub(crate) producer: Box<dyn Producer>,
    pub(crate) deliveries: Deliveries,
    topic: Arc<str>,
    next_token: u64,
}

impl Sender {
    pub(crate) fn message(&mut self, key: &str, value: impl Into<Bytes>) -> Message {
        let token = Token(self.next_token);
        self.next_token += 1;
        Message {
            topic: self.topic.clone(),
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: value.into(),
            headers: vec![Header {
                name: "content-type",
                value: Bytes::from_static(b"application/json"),
            }],
            timestamp_ms: 1_600_000_000_000 + i64::try_from(token.0).unwrap(),
            token,
        }
    }

    /// Sends and waits for all reports, which must be good. Positions by token.
    pub(crate) async fn send_all(
        &mut self,
        messages: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> BTreeMap<u64, Position> {
        let mut positions = BTreeMap::new();
        let mut sent = 0;
        for (key, value) in messages {
            let mut message = self.message(&key, value);
            sent += 1;
            loop {
                match self.producer.send(message) {
                    Ok(()) => break,
                    Err(SendError::Full(back)) => {
                        message = back;
                        self.receive(&mut positions).await;
                    }
                    Err(SendError::Fatal(error)) => panic!("{error}"),
                }
            }
            while let Ok(batch) = self.deliveries.try_recv() {
                note(batch, &mut positions);
            }
        }
        while positions.len() < sent {
            self.receive(&mut positions).await;
        }
        positions
    }

    async fn receive(&mut self, positions: &mut BTreeMap<u64, Position>) {
        let batch = tokio::time::timeout(PATIENCE, self.deliveries.recv()).await;
        note(batch.expect("a report in time").expect("an open channel"), positions);
    }
}

fn note(batch: Vec<Delivery>, positions: &mut BTreeMap<u64, Position>) {
    for delivery in batch {
        let position = delivery.result.expect("a good report");
        let twice = positions.insert(delivery.token.0, position);
        assert_eq!(twice, None, "one report per message");
    }
}

/// A consumer that starts where the group stands, and remembers what it read.
pub(crate) struct Member {
    pub(crate) consumer: Box<dyn Consumer>,
    /// Next offset of the partitions it owns.
    pub(crate) positions: BTreeMap<u16, u64>,
    pub(crate) reads: Vec<Read>,
}

impl Member {
    pub(crate) async fn next(&mut self) -> ConsumerEvent {
        let event = tokio::time::timeout(PATIENCE, self.consumer.next()).await;
        event.expect("an event in time").expect("a good event")
    }

    /// Handles one event as a processor would: starts at the committed offset, commits on revocation.
    pub(crate) async fn step(&mut self) {
        let event = self.next().await;
        self.handle(event).await;
    }

    pub(crate) async fn handle(&mut self, event: ConsumerEvent) {
        match event {
            ConsumerEvent::Assigned(partitions) => {
                for assigned in partitions {
                    let offset = assigned.committed.unwrap_or(assigned.low);
                    let place = assigned.topic_partition;
                    self.consumer.start(&place, offset).await.unwrap();
                    self.positions.insert(place.partition.0, offset);
                }
            }
            ConsumerEvent::Revoked(revocation) => {
                assert!(!revocation.lost, "nobody was slow here");
                let offsets: Vec<(TopicPartition, u64)> = revocation
                    .partitions
                    .iter()
                    .filter_map(|place| {
                        let position = self.positions.remove(&place.partition.0)?;
                        Some((place.clone(), position))
                    })
                    .collect();
                self.consumer.commit(&offsets).await.unwrap();
                drop(revocation);
            }
            ConsumerEvent::Records(batch) => {
                let partition = batch.topic_partition().partition.0;
                for record in batch.iter() {
                    let position = self.positions.get_mut(&partition).expect("owned");
                    assert_eq!(record.offset, *position, "partition {partition}: no gap");
                    *position += 1;
                    self.reads.push(Read {
                        partition,
                        offset: record.offset,
                        timestamp_ms: record.timestamp_ms,
                        key: record.key.to_vec(),
                        value: record.value.to_vec(),
                        headers: record
                            .headers()
                            .map(|(name, value)| (name.to_owned(), value.to_vec()))
                            .collect(),
                    });
                }
            }
        }
    }

    pub(crate) async fn read(&mut self, count: usize) {
        while self.reads.len() < count {
            self.step().await;
        }
    }

    pub(crate) async fn wait_for_partitions(&mut self, count: usize) {
        while self.positions.len() != count {
            self.step().await;
        }
    }

    /// Asserts that nothing comes for a while.
    pub(crate) async fn expect_silence(&mut self, duration: Duration) {
        let event = tokio::time::timeout(duration, self.consumer.next()).await;
        assert!(event.is_err(), "unexpected {event:?}");
    }

    pub(crate) async fn commit_all(&mut self, topic: &Arc<str>) {
        let offsets: Vec<(TopicPartition, u64)> = self
            .positions
            .iter()
            .map(|(partition, offset)| {
                let place = TopicPartition {
                    topic: topic.clone(),
                    partition: PartitionId(*partition),
                };
                (place, *offset)
            })
            .collect();
        self.consumer.commit(&offsets).await.unwrap();
    }
}
