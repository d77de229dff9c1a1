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

#[test]
fn the_lag_of_a_group_that_has_committed_nothing_is_everything() {
    let kafka = Kafka::start();
    kafka.create_topic("events", 2);
    for partition in [0, 1, 1] {
        let _ = kafka.append("events", partition, b"one");
    }
    // Its keeper is only made now.
    let started = std::time::Instant::now();
    let lag = loop {
        match kafka.lag("nobody") {
            Ok(lag) => break lag,
            Err(error) => assert!(started.elapsed() < rig::limits::READY_TIMEOUT, "{error}"),
        }
        std::thread::sleep(rig::limits::POLL_INTERVAL);
    };
    assert_eq!(lag, 3);
}

#[test]
fn a_further_listener_tells_clients_its_own_port() {
    let (port, advertised_port) = (rig::ports::free(), rig::ports::free());
    let kafka = Kafka::start_behind(&[rig::kafka::Listener {
        name: "FURTHER".to_owned(),
        port,
        advertised_port,
    }]);
    assert_ne!(kafka.bootstrap(), format!("127.0.0.1:{port}"));
    // METADATA, version 1, of all topics; the answer names the one broker there is, as text in front of its port.
    let request = [&[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 0, 0, 0][..], &[0xff; 4]].concat();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut stream, &request).unwrap();
    let mut answer = [0; 4 + 4 + 4 + 4 + 2 + 9 + 4];
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    let (rest, told) = answer.split_at(answer.len() - 4);
    assert!(rest.ends_with(b"127.0.0.1"), "{answer:?}");
    assert_eq!(u32::from_be_bytes(told.try_into().unwrap()), u32::from(advertised_port));
}
