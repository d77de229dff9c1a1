//! Apache Kafka with the configuration of `docker/kafka/`.

use crate::exists;
use rig::Kafka;
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn records_survive_a_graceful_restart_and_a_kill() {
    let mut kafka = Kafka::start();
    let address = kafka.bootstrap();
    kafka.create_topic("events", 4);
    assert_eq!(kafka.append("events", 3, b"one"), 0);
    assert_eq!(kafka.append("events", 3, b"two"), 1);

    kafka.restart();
    assert_eq!(kafka.bootstrap(), address);
    assert_eq!(kafka.end_offset("events", 3), 2);

    assert_eq!(kafka.append("events", 3, b"three"), 2);
    kafka.kill9();
    assert!(TcpStream::connect(&address).is_err());
    kafka.restart();
    assert_eq!(kafka.end_offset("events", 3), 3);
    assert_eq!(kafka.end_offset("events", 0), 0);

    let pid = kafka.daemon().pid();
    drop(kafka);
    assert!(!exists(pid));
}

#[test]
fn a_paused_kafka_does_not_answer_until_it_is_resumed() {
    let kafka = Kafka::start();
    kafka.create_topic("events", 1);
    kafka.pause();
    let asked = Instant::now();
    let answered = std::panic::catch_unwind(|| kafka.end_offset("events", 0));
    assert!(answered.is_err(), "it answered while paused");
    assert!(asked.elapsed() >= Duration::from_secs(1));
    kafka.resume();
    assert_eq!(kafka.end_offset("events", 0), 0);
}

#[test]
#[should_panic(expected = "`events`")]
fn a_topic_that_exists_is_not_created_again() {
    let kafka = Kafka::start();
    kafka.create_topic("events", 1);
    kafka.create_topic("events", 1);
}
