//! What the Kafka log promises beyond the contract of every log: outages, and properties that would break the promise.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use eventlog::{
    ConsumerEvent, Delivery, DeliveryFailure, Headers, KafkaConfig, Log, LogConfig, LogError, Message, PartitionId,
    Position, ProducerLimits, SendError, Subscription, Token, TopicPartition, TopicSpec,
};

const PATIENCE: Duration = Duration::from_secs(120);

fn open(brokers: &str, properties: &[(&str, &str)]) -> Result<Log, LogError> {
    let properties = properties.iter();
    Log::open(LogConfig::Kafka(KafkaConfig {
        brokers: brokers.into(),
        client_id: "test".into(),
        properties: properties
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_costs_neither_a_message_nor_order() {
    const COUNT: u64 = 100_000;
    let kafka = tokio::task::spawn_blocking(rig::Kafka::start).await.unwrap();
    let log = open(&kafka.bootstrap(), &[]).unwrap();
    log.ensure_topics(&[TopicSpec::new("events", 4)]).await.unwrap();
    let limits = ProducerLimits {
        queue_messages_max: 20_000,
        queue_bytes_max: 16 << 20,
    };
    let (producer, mut deliveries) = log.producer(limits).unwrap();
    let mut positions = BTreeMap::<u64, Position>::new();
    let mut note = |batch: Vec<Delivery>| {
        for delivery in batch {
            let position = delivery.result.expect("outages are waited out");
            let before = positions.insert(delivery.token.0, position);
            assert_eq!(before, None, "one report per message");
        }
        positions.len() as u64
    };
    let mut reported = 0;
    let mut outage = None;
    let mut kafka = Some(kafka);
    for token in 0..COUNT {
        let mut message = Message {
            topic: "events".into(),
            key: Bytes::from(format!("device-{}", token % 97)),
            value: Bytes::from(token.to_be_bytes().repeat(25)),
            headers: Vec::new(),
            timestamp_ms: 1_700_000_000_000,
            token: Token(token),
        };
        loop {
            match producer.send(message) {
                Ok(()) => break,
                Err(SendError::Fatal(error)) => panic!("{error}"),
                Err(SendError::Full(back)) => {
                    message = back;
                    let batch = tokio::time::timeout(PATIENCE, deliveries.recv()).await;
                    reported = note(batch.expect("the broker is back in time").unwrap());
                }
            }
        }
        while let Ok(batch) = deliveries.try_recv() {
            reported = note(batch);
        }
        if reported > COUNT / 5 && kafka.is_some() {
            let mut broker = kafka.take().unwrap();
            outage = Some(tokio::task::spawn_blocking(move || {
                broker.kill9();
                std::thread::sleep(Duration::from_secs(2));
                broker.restart();
                broker
            }));
        }
    }
    while reported < COUNT {
        let batch = tokio::time::timeout(PATIENCE, deliveries.recv()).await;
        reported = note(batch.expect("the broker is back in time").unwrap());
    }
    let _broker = outage.expect("the broker was killed in the middle").await.unwrap();

    let mut consumer = log
        .consumer(Subscription {
            group: "check".into(),
            topics: vec![("events".into(), Headers::Skip)],
        })
        .unwrap();
    let mut seen = BTreeSet::new();
    let mut last_of_key = BTreeMap::<Vec<u8>, u64>::new();
    let mut expected = None;
    // A broker killed between storing a batch and answering may get it again: see `Delivery::result`. So the first
    // of each message counts here, as it does downstream.
    let mut read = 0;
    while expected != Some(read) {
        let event = tokio::time::timeout(PATIENCE, consumer.next()).await;
        match event.expect("an event in time").unwrap() {
            ConsumerEvent::Assigned(partitions) => {
                for one in partitions {
                    consumer.start(&one.topic_partition, one.low).await.unwrap();
                    *expected.get_or_insert(0) += one.high - one.low;
                }
            }
            ConsumerEvent::Records(batch) => {
                for record in batch.iter() {
                    let token = u64::from_be_bytes(record.value[..8].try_into().unwrap());
                    read += 1;
                    if !seen.insert(token) {
                        continue;
                    }
                    assert_eq!(positions[&token].partition, batch.topic_partition().partition);
                    if let Some(before) = last_of_key.insert(record.key.to_vec(), token) {
                        assert!(before < token, "{before} lies before {token}");
                    }
                }
            }
            ConsumerEvent::Revoked(_) => panic!("the only member keeps all"),
        }
    }
    assert_eq!(seen.len() as u64, COUNT);
    consumer.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_while_no_broker_answers_and_the_queue_fills_up() {
    // Nothing listens here: the port belongs to a listener that is closed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let log = open(&format!("127.0.0.1:{port}"), &[]).unwrap();
    let limits = ProducerLimits {
        queue_messages_max: 50,
        queue_bytes_max: 1 << 20,
    };
    let (producer, mut deliveries) = log.producer(limits).unwrap();
    let send = |token| {
        producer.send(Message {
            topic: "events".into(),
            key: Bytes::from_static(b"device"),
            value: Bytes::from_static(b"{}"),
            headers: Vec::new(),
            timestamp_ms: 1,
            token: Token(token),
        })
    };
    for token in 0..50 {
        assert!(send(token).is_ok());
    }
    assert!(matches!(send(50), Err(SendError::Full(_))));
    let flushed = producer.flush(Duration::from_secs(1)).await;
    assert!(matches!(flushed, Err(LogError::Unavailable { .. })), "{flushed:?}");
    assert!(deliveries.try_recv().is_err(), "they wait");
}

#[test]
fn properties_that_break_the_promise_are_refused_by_name() {
    let cases = [
        ("acks", "1"),
        ("enable.idempotence", "false"),
        ("enable.auto.commit", "true"),
        ("partitioner", "consistent"),
        ("bootstrap.servers", "elsewhere:9092"),
        ("message.timeout.ms", "1000"),
    ];
    for (name, value) in cases {
        let opened = open("127.0.0.1:9092", &[(name, value)]);
        let Err(LogError::Config { what, reason }) = opened else {
            panic!("{name}: {opened:?}");
        };
        assert_eq!(what, format!("kafka.properties.{name}"));
        assert!(reason.contains("remove it"), "{reason}");
    }
    let unknown = open("127.0.0.1:9092", &[("no.such.property", "1")]).unwrap();
    let producer = unknown.producer(ProducerLimits::default());
    let Err(LogError::Config { reason, .. }) = producer.map(|_| ()) else {
        panic!("librdkafka refuses it");
    };
    assert!(reason.contains("no.such.property"), "{reason}");
    assert!(open("127.0.0.1:9092", &[("acks", "all"), ("linger.ms", "1")]).is_ok());
    assert!(open("", &[]).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_far_ahead_of_kafkas_is_told_and_another_one_is_taken() {
    let kafka = tokio::task::spawn_blocking(rig::Kafka::start).await.unwrap();
    let log = open(&kafka.bootstrap(), &[]).unwrap();
    log.ensure_topics(&[TopicSpec::new("events", 1)]).await.unwrap();
    let (producer, mut deliveries) = log.producer(ProducerLimits::default()).unwrap();
    let now_ms = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let mut deliver = async |times_ms: &[i64]| {
        for (token, timestamp_ms) in (0..).zip(times_ms) {
            let message = Message {
                topic: "events".into(),
                key: Bytes::from_static(b"device"),
                value: Bytes::from_static(b"value"),
                headers: Vec::new(),
                timestamp_ms: *timestamp_ms,
                token: Token(token),
            };
            producer.send(message).unwrap();
        }
        let mut results = BTreeMap::new();
        while results.len() < times_ms.len() {
            let batch = tokio::time::timeout(PATIENCE, deliveries.recv()).await;
            let batch = batch.unwrap().unwrap().into_iter();
            results.extend(batch.map(|delivery| (delivery.token.0, delivery.result)));
        }
        results
    };
    let ahead_ms = now_ms + 2 * 3_600_000;
    let mut stored = 0;
    // Alone, several in a batch, and with others that nothing is wrong with but for their neighbours.
    for times_ms in [
        vec![ahead_ms],
        vec![ahead_ms; 20],
        [vec![now_ms; 10], vec![ahead_ms; 10]].concat(),
    ] {
        for (token, result) in deliver(&times_ms).await {
            let is_ahead = times_ms[token as usize] == ahead_ms;
            match result {
                Err(DeliveryFailure::Misdated(_)) => assert!(is_ahead),
                Err(DeliveryFailure::Ambiguous(_)) => assert!(!is_ahead),
                Ok(_) if !is_ahead => stored += 1,
                other => panic!("{token}: {other:?}"),
            }
        }
    }
    assert_eq!(
        deliver(&[now_ms]).await[&0].as_ref().unwrap().offset,
        stored,
        "no other was stored"
    );
}

/// As if the clock had been set back by an hour in the middle of each wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_prolongs_no_wait() {
    const IS_CHILD: &str = "EVENTLOG_WAITS_BY_A_WRONG_CLOCK";
    if std::env::var_os(IS_CHILD).is_some() {
        let log = open("127.0.0.1:1", &[]).unwrap();
        let subscription = Subscription {
            group: "nobody".into(),
            topics: vec![("events".into(), Headers::Skip)],
        };
        let mut consumer = log.consumer(subscription).unwrap();
        let place = TopicPartition {
            topic: "events".into(),
            partition: PartitionId(0),
        };
        let bounds = consumer.bounds(&place).await;
        assert!(matches!(bounds, Err(LogError::Unavailable { .. })), "{bounds:?}");
        return;
    }
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["a_clock_that_is_set_back_prolongs_no_wait", "--exact"])
        .env(IS_CHILD, "1")
        .env("LD_PRELOAD", rig::cache::clock_library().unwrap())
        .env("FAKETIME", "+1h")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert!(ended.expect("a wait took longer than it may").unwrap().success());
}
