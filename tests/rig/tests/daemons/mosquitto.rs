//! Mosquitto with the configuration of `docker/mosquitto/`: what waits for a persistent session is not lost.

use crate::exists;
use rig::{Mosquitto, MosquittoOptions};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// More than Mosquitto's default queue of 1000, which silently drops the rest.
const MESSAGES: usize = 1500;

#[test]
fn messages_for_an_absent_session_survive_a_graceful_restart() {
    let mut mosquitto = Mosquitto::start();
    open_session(&mosquitto);
    publish(&mosquitto, MESSAGES);
    mosquitto.restart();
    assert_eq!(receive(&mosquitto, MESSAGES), numbers(MESSAGES));
}

#[test]
fn a_stopped_broker_comes_back_on_the_same_port_with_its_messages() {
    let mut mosquitto = Mosquitto::start();
    open_session(&mosquitto);
    publish(&mosquitto, 3);
    let port = mosquitto.port();
    mosquitto.stop_gracefully();
    mosquitto.restart();
    assert_eq!(mosquitto.port(), port);
    assert_eq!(receive(&mosquitto, 3), numbers(3));
}

#[test]
fn a_message_of_ingests_own_limit_and_more_passes_the_broker() {
    let mosquitto = Mosquitto::start();
    open_session(&mosquitto);
    let payload = "x".repeat(300 * 1024);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &payload).expect("the file is written");
    let path = file.path().display().to_string();
    run(&mosquitto, "mosquitto_pub", &["-q", "1", "-t", "q/a", "-f", &path]);
    let received = receive(&mosquitto, 1);
    assert_eq!(received[0].len(), payload.len());
}

#[test]
fn a_test_can_replace_a_setting() {
    let options = MosquittoOptions::default().with("max_queued_messages", "5");
    let mut mosquitto = Mosquitto::start_with(options.with("max_inflight_messages", "1"));
    open_session(&mosquitto);
    publish(&mosquitto, 50);
    let received = receive(&mosquitto, 50);
    assert!(received.len() < 50, "all {} arrived", received.len());
    assert!(mosquitto.daemon().rss_bytes().is_some());
}

#[test]
fn a_paused_broker_answers_nobody_until_it_is_resumed() {
    let mosquitto = Mosquitto::start();
    mosquitto.pause();
    let port = mosquitto.port().to_string();
    let paused = Command::new("timeout")
        .args(["1", "mosquitto_pub", "-p", &port, "-t", "q/a", "-m", "x", "-q", "1"])
        .status()
        .expect("mosquitto_pub is installed: run `cargo xtask setup`");
    assert_eq!(paused.code(), Some(124), "it answered while paused");
    mosquitto.resume();
    publish(&mosquitto, 1);
}

#[test]
fn is_gone_after_drop() {
    let mut mosquitto = Mosquitto::start();
    let pid = mosquitto.daemon().pid();
    assert!(exists(pid));
    drop(mosquitto);
    assert!(!exists(pid));
}

#[test]
fn a_killed_broker_frees_its_port_for_the_restart() {
    let mut mosquitto = Mosquitto::start();
    mosquitto.kill9();
    assert!(std::net::TcpStream::connect(("127.0.0.1", mosquitto.port())).is_err());
    let started = Instant::now();
    mosquitto.restart();
    publish(&mosquitto, 1);
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// Creates the persistent session that the messages wait for, and leaves.
fn open_session(mosquitto: &Mosquitto) {
    run(
        mosquitto,
        "mosquitto_sub",
        &["-c", "-i", "s", "-q", "1", "-t", "q/#", "-E"],
    );
}

fn publish(mosquitto: &Mosquitto, count: usize) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let lines: String = numbers(count).iter().flat_map(|one| [one, "\n"]).collect();
    std::fs::write(file.path(), lines).expect("the file is written");
    let input = std::fs::File::open(file.path()).expect("it was just written");
    let status = Command::new("mosquitto_pub")
        .args(["-p", &mosquitto.port().to_string(), "-q", "1", "-t", "q/a", "-l"])
        .stdin(input)
        .status()
        .expect("mosquitto_pub is installed: run `cargo xtask setup`");
    assert!(status.success());
}

/// What the session gets: up to `count` messages, or what came within 3 s of silence.
fn receive(mosquitto: &Mosquitto, count: usize) -> Vec<String> {
    let count = count.to_string();
    let arguments = ["-c", "-i", "s", "-q", "1", "-t", "q/#", "-C", &count, "-W", "3"];
    let output = run(mosquitto, "mosquitto_sub", &arguments);
    let text = String::from_utf8(output.stdout).expect("the payloads are text");
    text.lines().map(str::to_owned).collect()
}

fn run(mosquitto: &Mosquitto, program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(["-p", &mosquitto.port().to_string()])
        .args(arguments)
        .output()
        .unwrap_or_else(|_| panic!("`{program}` is missing: run `cargo xtask setup`"))
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}
