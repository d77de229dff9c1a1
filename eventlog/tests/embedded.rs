//! What the embedded log promises beyond the contract of every log: crashes, retention, the folder.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use eventlog::{
    Consumer as _, ConsumerEvent, Delivery, DeliveryFailure, EmbeddedConfig, Headers, LogError, Message, PartitionId,
    Position, Producer as _, ProducerLimits, SendError, Subscription, Token, TopicPartition, TopicSpec,
    embedded::EmbeddedLog,
};

const TOPIC: &str = "events";
const PARTITIONS: u16 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

fn message(token: u64, key: &str, value: impl Into<Bytes>) -> Message {
    Message {
        topic: TOPIC.into(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value.into(),
        headers: Vec::new(),
        timestamp_ms: 1_600_000_000_000,
        token: Token(token),
    }
}

fn place(partition: u16) -> TopicPartition {
    TopicPartition {
        topic: TOPIC.into(),
        partition: PartitionId(partition),
    }
}

fn subscription(group: &str) -> Subscription {
    Subscription {
        group: group.into(),
        topics: vec![(TOPIC.into(), Headers::Skip)],
    }
}

async fn open(config: EmbeddedConfig, partitions: u16) -> EmbeddedLog {
    let log = EmbeddedLog::open(config).unwrap();
    let topic = TopicSpec::new(TOPIC, partitions);
    log.ensure_topics(&[topic]).await.unwrap();
    log
}

/// Sends all values under one key and waits for good reports.
async fn append(log: &EmbeddedLog, values: impl Iterator<Item = Vec<u8>>) -> Vec<Position> {
    let (producer, mut deliveries) = log.producer(ProducerLimits::default());
    let mut count = 0;
    let mut positions = Vec::new();
    for value in values {
        let mut next = message(count, "device", value);
        count += 1;
        while let Err(SendError::Full(back)) = producer.send(next) {
            next = back;
            positions.extend(good(deliveries.recv().await.unwrap()));
        }
    }
    while (positions.len() as u64) < count {
        positions.extend(good(deliveries.recv().await.unwrap()));
    }
    positions
}

fn good(batch: Vec<Delivery>) -> impl Iterator<Item = Position> {
    batch.into_iter().map(|delivery| delivery.result.unwrap())
}

/// Reads every record from the oldest on; asserts that offsets have no gap.
async fn read_all(log: &EmbeddedLog, group: &str) -> BTreeMap<(u16, u64), (Vec<u8>, Vec<u8>)> {
    let mut consumer = log.consumer(subscription(group));
    let mut missing = 0;
    let mut next = BTreeMap::new();
    let mut records = BTreeMap::new();
    let mut assigned = false;
    while !assigned || missing > 0 {
        let event = tokio::time::timeout(PATIENCE, consumer.next()).await;
        match event.expect("an event in time").unwrap() {
            ConsumerEvent::Assigned(partitions) => {
                assigned = true;
                for one in partitions {
                    consumer.start(&one.topic_partition, one.low).await.unwrap();
                    missing += one.high - one.low;
                    next.insert(one.topic_partition.partition.0, one.low);
                }
            }
            ConsumerEvent::Records(batch) => {
                let partition = batch.topic_partition().partition.0;
                for record in batch.iter() {
                    let expected = next.get_mut(&partition).unwrap();
                    assert_eq!(record.offset, *expected, "no gap in {partition}");
                    *expected += 1;
                    missing -= 1;
                    records.insert((partition, record.offset), (record.key.to_vec(), record.value.to_vec()));
                }
            }
            ConsumerEvent::Revoked(_) => panic!("the only member keeps all"),
        }
    }
    records
}

/// The process that is killed: appends without end and prints what is acknowledged.
async fn append_until_killed(folder: &Path, first_token: u64) {
    let log = open(EmbeddedConfig::new(folder), PARTITIONS).await;
    let (producer, mut deliveries) = log.producer(ProducerLimits {
        queue_messages_max: 5000,
        queue_bytes_max: 1 << 20,
    });
    let mut token = first_token;
    loop {
        let key = format!("device-{}", token % 13);
        let next = message(token, &key, token.to_be_bytes().to_vec());
        match producer.send(next) {
            Ok(()) => token += 1,
            Err(SendError::Fatal(error)) => panic!("{error}"),
            Err(SendError::Full(_)) => {
                let mut lines = String::new();
                for delivery in deliveries.recv().await.unwrap() {
                    let position = delivery.result.unwrap();
                    let (token, partition) = (delivery.token.0, position.partition.0);
                    lines += &format!("ack {token} {partition} {}\n", position.offset);
                }
                std::io::stdout().lock().write_all(lines.as_bytes()).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_any_moment() {
    const ROUNDS: u64 = 6;
    if let Some(folder) = std::env::var_os("EVENTLOG_APPEND_TO") {
        let first_token = std::env::var("EVENTLOG_FIRST_TOKEN").unwrap();
        append_until_killed(Path::new(&folder), first_token.parse().unwrap()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::<(u16, u64), u64>::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "nothing_acknowledged_is_lost_when_the_process_is_killed_at_any_moment",
                "--exact",
                "--nocapture",
            ])
            .env("EVENTLOG_APPEND_TO", folder.path())
            .env("EVENTLOG_FIRST_TOKEN", (round * 1_000_000_000).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        // Each round dies at another moment after its first acknowledgement.
        let life = Duration::from_millis(100 + 97 * round);
        let mut first_ack = None;
        let mut killed = false;
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 {
            // The last line may be cut off.
            if let Some(ack) = line.strip_prefix("ack ").and_then(|rest| rest.strip_suffix('\n')) {
                let numbers: Vec<u64> = ack.split(' ').map(|word| word.parse().unwrap()).collect();
                let [token, partition, offset] = numbers[..] else {
                    panic!("{line}");
                };
                let position = (u16::try_from(partition).unwrap(), offset);
                let before = acknowledged.insert(position, token);
                assert_eq!(before, None, "offset {position:?} was given twice");
                let since = *first_ack.get_or_insert_with(Instant::now);
                if !killed && since.elapsed() > life {
                    child.kill().unwrap();
                    killed = true;
                }
            }
            line.clear();
        }
        child.wait().unwrap();
        assert!(killed, "round {round} ended by itself");
    }
    assert!(acknowledged.len() > 10_000, "{}", acknowledged.len());

    let log = open(EmbeddedConfig::new(folder.path()), PARTITIONS).await;
    let records = read_all(&log, "check").await;
    let mut tokens = BTreeSet::new();
    let mut last_of_key = BTreeMap::<Vec<u8>, u64>::new();
    for (position, (key, value)) in &records {
        let token = u64::from_be_bytes(value[..].try_into().unwrap());
        assert!(tokens.insert(token), "message {token} is there twice");
        if let Some(expected) = acknowledged.remove(position) {
            assert_eq!(token, expected, "at {position:?}");
        }
        if let Some(before) = last_of_key.insert(key.clone(), token) {
            assert!(before < token, "{before} lies before {token}");
        }
    }
    assert!(acknowledged.is_empty(), "lost: {acknowledged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_offsets_and_commits_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(EmbeddedConfig::new(folder.path()), 1).await;
    append(&log, (0..100).map(|_| vec![1])).await;
    let mut consumer = log.consumer(subscription("group"));
    let event = consumer.next().await.unwrap();
    assert!(matches!(event, ConsumerEvent::Assigned(_)), "{event:?}");
    consumer.commit(&[(place(0), 42)]).await.unwrap();
    drop((consumer, log));

    let log = EmbeddedLog::open(EmbeddedConfig::new(folder.path())).unwrap();
    let mut consumer = log.consumer(subscription("group"));
    let ConsumerEvent::Assigned(assigned) = consumer.next().await.unwrap() else {
        panic!("the assignment comes first");
    };
    let one = &assigned[0];
    assert_eq!((one.committed, one.low, one.high), (Some(42), 0, 100));
    let positions = append(&log, std::iter::once(vec![2])).await;
    assert_eq!(positions[0].offset, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_belongs_to_one_log_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(EmbeddedConfig::new(folder.path()), 1).await;
    let second = EmbeddedLog::open(EmbeddedConfig::new(folder.path()));
    let Err(LogError::Unavailable { reason, .. }) = second else {
        panic!("{second:?}");
    };
    assert!(reason.contains("another process"), "{reason}");
    drop(first);
    EmbeddedLog::open(EmbeddedConfig::new(folder.path())).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_bound_removes_committed_records_first_and_counts_what_it_forces() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(folder.path());
    config.retention_bytes_max = 20 << 20;
    let log = open(config, 1).await;
    let mut consumer = log.consumer(subscription("group"));
    consumer.next().await.unwrap();
    let values = || (0..30_000).map(|_| vec![7; 1000]);
    append(&log, values()).await;

    // 30 MB in a log of 20: what is committed goes first.
    consumer.commit(&[(place(0), 15_000)]).await.unwrap();
    let removed = log.remove_old().unwrap();
    let bounds = consumer.bounds(&place(0)).await.unwrap();
    assert!((8000..=15_000).contains(&bounds.start), "{bounds:?}");
    assert_eq!(bounds.end, 30_000);
    assert_eq!(removed.uncommitted_records, 0, "none was forced");

    // 30 MB more, uncommitted: the bound forces it.
    append(&log, values()).await;
    let removed = log.remove_old().unwrap();
    let bounds = consumer.bounds(&place(0)).await.unwrap();
    assert!(bounds.start > 35_000, "{bounds:?}");
    assert!(removed.uncommitted_records > 15_000, "{removed:?}");
    let stats = log.stats().unwrap();
    assert_eq!(stats.removed_records, bounds.start);
    assert!(stats.removed_uncommitted_records >= removed.uncommitted_records);
    assert_eq!(stats.appended_records, 60_000);
    let refused = consumer.start(&place(0), 15_000).await;
    assert!(matches!(refused, Err(LogError::OutOfRange { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn age_never_removes_what_a_group_has_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(EmbeddedConfig::new(folder.path())).unwrap();
    let mut topic = TopicSpec::new(TOPIC, 1);
    topic.retention_ms = Some(1000);
    log.ensure_topics(&[topic]).await.unwrap();
    let mut consumer = log.consumer(subscription("group"));
    consumer.next().await.unwrap();
    // Chunk by chunk; their records are years old.
    for _ in 0..5 {
        append(&log, (0..10).map(|_| vec![7])).await;
    }
    assert_eq!(log.remove_old().unwrap().records, 0, "nothing is committed");
    consumer.commit(&[(place(0), 25)]).await.unwrap();
    let removed = log.remove_old().unwrap();
    let bounds = consumer.bounds(&place(0)).await.unwrap();
    assert!(bounds.start > 0 && bounds.start <= 25, "{bounds:?}");
    assert_eq!(removed.records, bounds.start);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_overtaken_by_retention_is_told_and_may_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(folder.path());
    config.retention_bytes_max = 10_000;
    let log = open(config, 1).await;
    for _ in 0..5 {
        append(&log, (0..10).map(|_| vec![7; 1000])).await;
    }
    let mut consumer = log.consumer(subscription("group"));
    consumer.next().await.unwrap();
    consumer.start(&place(0), 0).await.unwrap();
    log.remove_old().unwrap();
    let overtaken = consumer.next().await;
    let Err(LogError::OutOfRange { offset, low, high, .. }) = overtaken else {
        panic!("{overtaken:?}");
    };
    assert_eq!((offset, high), (0, 50));
    consumer.start(&place(0), low).await.unwrap();
    let ConsumerEvent::Records(batch) = consumer.next().await.unwrap() else {
        panic!("records from the oldest on");
    };
    assert_eq!(batch.iter().next().unwrap().offset, low);
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_space_of_removed_records_is_won_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(folder.path());
    config.retention_bytes_max = 32 << 20;
    let log = open(config, 4).await;
    let mut most = 0;
    for round in 0..24_u64 {
        // Bytes that do not compress, 30 MB a round.
        let values = (0..30_000_u64).map(|n| {
            let seed = (round * 30_000 + n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            seed.to_be_bytes().repeat(125)
        });
        append(&log, values).await;
        log.remove_old().unwrap();
        most = most.max(log.stats().unwrap().disk_bytes);
    }
    // 720 MB went in and 32 are kept; the rest is the journal, and what waits to be won back.
    assert!(most < 450 << 20, "{most} bytes on disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_messages_back_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(folder.path());
    // No disk has this much: to the log it is full.
    config.disk_free_bytes_min = u64::MAX;
    let log = open(config, 1).await;
    let (producer, mut deliveries) = log.producer(ProducerLimits {
        queue_messages_max: 10,
        queue_bytes_max: 1 << 20,
    });
    for token in 0..10 {
        let sent = producer.send(message(token, "device", vec![1]));
        assert!(sent.is_ok(), "{sent:?}");
    }
    let sent = producer.send(message(10, "device", vec![1]));
    assert!(matches!(sent, Err(SendError::Full(_))), "{sent:?}");
    let flushed = producer.flush(Duration::from_millis(500)).await;
    assert!(matches!(flushed, Err(LogError::Unavailable { .. })), "{flushed:?}");
    assert!(deliveries.try_recv().is_err(), "nothing is reported yet");
    drop((producer, log));
    let mut reported = 0;
    while let Some(batch) = deliveries.recv().await {
        for delivery in batch {
            let failed = matches!(delivery.result, Err(DeliveryFailure::Ambiguous(_)));
            assert!(failed, "{:?}", delivery.result);
            reported += 1;
        }
    }
    assert_eq!(reported, 10, "each has its report when the log closes");

    let log = open(EmbeddedConfig::new(folder.path()), 1).await;
    let positions = append(&log, std::iter::once(vec![1])).await;
    assert_eq!(positions[0].offset, 0, "none of them took an offset");
}

#[tokio::test(flavor = "multi_thread")]
async fn producers_share_the_log_and_get_their_own_reports() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(EmbeddedConfig::new(folder.path()), 4).await;
    let log = Arc::new(log);
    let tasks = (0..4).map(|_| {
        let log = log.clone();
        tokio::spawn(async move { append(&log, (0..5000).map(|_| vec![1; 50])).await })
    });
    let mut all = BTreeSet::new();
    for task in tasks.collect::<Vec<_>>() {
        for position in task.await.unwrap() {
            assert!(all.insert((position.partition, position.offset)));
        }
    }
    assert_eq!(all.len(), 20_000);
}
