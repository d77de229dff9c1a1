//! What waiting costs. A process of its own, since threads are told apart by their names.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{fs, time::Duration};

use bytes::Bytes;
use eventlog::{KafkaConfig, Log, LogConfig, Message, ProducerLimits, Token};

/// Clock ticks (hundredths of a second) that the poll thread of the only producer has used.
fn ticks_used() -> u64 {
    let mut threads = fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let thread = threads.find(|thread| fs::read_to_string(thread.join("comm")).unwrap().trim() == "kafka-producer");
    let stat = fs::read_to_string(thread.unwrap().join("stat")).unwrap();
    let (_, numbers) = stat.rsplit_once(')').unwrap();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    // In user space and in the kernel: fields 14 and 15, counted from the number of the process.
    numbers[11].parse::<u64>().unwrap() + numbers[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn waiting_for_delivery_reports_takes_next_to_no_time_of_a_core() {
    // Nothing listens here, so the message stays in flight: as it nearly always is when events come all the time.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let log = Log::open(LogConfig::Kafka(KafkaConfig {
        brokers: format!("127.0.0.1:{port}"),
        client_id: "test".into(),
        properties: std::collections::BTreeMap::new(),
    }));
    let (producer, _deliveries) = log.unwrap().producer(ProducerLimits::default()).unwrap();
    let message = Message {
        topic: "events".into(),
        key: Bytes::from_static(b"device"),
        value: Bytes::from_static(b"{}"),
        headers: Vec::new(),
        timestamp_ms: 1,
        token: Token(1),
    };
    assert!(producer.send(message).is_ok());
    // It has its name when it has begun to run.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = ticks_used();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = ticks_used() - before;
    assert!(used < 30, "{used} of 200 ticks were used for waiting");
}
