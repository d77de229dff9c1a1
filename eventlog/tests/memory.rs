//! A reader that does not read costs bounded memory. The only test of its process, since it looks at the whole of it.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::time::Duration;

use bytes::Bytes;
use eventlog::{
    Consumer, ConsumerEvent, EmbeddedConfig, Headers, KafkaConfig, Log, LogConfig, Message, ProducerLimits, SendError,
    Subscription, Token, TopicSpec,
};

const RECORDS: u64 = 200_000;
const RECORD_BYTES: usize = 1000;
/// What a reader may hold: librdkafka's read-ahead or the store's cache, and our batches on their way.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_holds_a_bounded_part_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig::Embedded(EmbeddedConfig::new(folder.path()));
    fill(&Log::open(config.clone()).unwrap()).await;
    check("embedded", &Log::open(config).unwrap()).await;

    let kafka = tokio::task::spawn_blocking(rig::Kafka::start);
    let kafka = kafka.await.unwrap();
    let log = Log::open(LogConfig::Kafka(KafkaConfig {
        brokers: kafka.bootstrap(),
        ..KafkaConfig::default()
    }));
    let log = log.unwrap();
    fill(&log).await;
    check("kafka", &log).await;
}

/// 200 MB.
async fn fill(log: &Log) {
    log.ensure_topics(&[TopicSpec::new("events", 2)]).await.unwrap();
    let (producer, mut deliveries) = log.producer(ProducerLimits::default()).unwrap();
    let counting = tokio::spawn(async move {
        let mut count = 0;
        while let Some(batch) = deliveries.recv().await {
            assert!(batch.iter().all(|delivery| delivery.result.is_ok()));
            count += batch.len() as u64;
        }
        count
    });
    for token in 0..RECORDS {
        let mut message = Message {
            topic: "events".into(),
            key: Bytes::from(token.to_be_bytes().to_vec()),
            value: Bytes::from(
                token
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                    .to_be_bytes()
                    .repeat(RECORD_BYTES / 8),
            ),
            headers: Vec::new(),
            timestamp_ms: 1_700_000_000_000,
            token: Token(token),
        };
        while let Err(error) = producer.send(message) {
            let SendError::Full(back) = error else {
                panic!("{error:?}");
            };
            message = back;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    producer.flush(Duration::from_secs(60)).await.unwrap();
    drop(producer);
    assert_eq!(counting.await.unwrap(), RECORDS);
}

async fn check(name: &str, log: &Log) {
    let mut consumer = log
        .consumer(Subscription {
            group: "group".into(),
            topics: vec![("events".into(), Headers::Skip)],
        })
        .unwrap();
    let ConsumerEvent::Assigned(assigned) = next(&mut consumer).await else {
        panic!("the assignment comes first");
    };
    let before = resident_bytes();
    for one in assigned {
        consumer.start(&one.topic_partition, one.low).await.unwrap();
    }
    let mut read = records(next(&mut consumer).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let growth = resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "{name}: {growth} bytes");
    while read < RECORDS {
        read += records(next(&mut consumer).await);
    }
    consumer.close().await.unwrap();
}

async fn next(consumer: &mut Box<dyn Consumer>) -> ConsumerEvent {
    let event = tokio::time::timeout(Duration::from_secs(60), consumer.next()).await;
    event.expect("an event in time").unwrap()
}

fn records(event: ConsumerEvent) -> u64 {
    match event {
        ConsumerEvent::Records(batch) => batch.len() as u64,
        other => panic!("unexpected {other:?}"),
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024
}
