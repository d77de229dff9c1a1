//! How `meridian up` starts, ends, is killed, and comes back.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    device::{Publish, Version, publish},
    meridian::{READY_MAX, Up, command, embedded_service, errors, text},
    messages::now_ms,
    store::Store,
};

fn events(device: &str, sequence_numbers: std::ops::Range<u64>) -> Vec<Publish> {
    let topic = format!("telemetry/acme/{device}");
    let payload = |seq| {
        format!(
            r#"{{"ts":{},"seq":{seq},"lat":48.1,"lon":11.6,"v":{seq}}}"#,
            1_700_000_000_000 + seq * 1000
        )
    };
    sequence_numbers.map(|seq| Publish::new(&topic, payload(seq))).collect()
}

/// Status line and body of a page.
pub(crate) fn get(url: &str) -> (String, String) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn everything_that_is_promised_is_there_when_the_file_is() {
    let mut up = Up::start(&[]);
    let endpoints = up.endpoints();
    let mut keys: Vec<&String> = endpoints.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["clickhouse", "http", "kafka", "metrics", "mqtt"]);
    assert_eq!(endpoints["kafka"], Value::Null);
    for (name, path, part) in [
        ("http", "/", "Meridian"),
        ("http", "/healthz", "\"ready\":true"),
        ("http", "/readyz", "\"ready\":true"),
        ("metrics", "", "meridian_ingest_messages_received_total"),
    ] {
        let (status, body) = get(&format!("{}{path}", up.endpoint(name)));
        assert!(
            status.contains("200") && body.contains(part),
            "{name}{path}: {status}\n{body}"
        );
    }
    let log = up.daemon.log();
    for name in ["mqtt", "clickhouse", "http", "metrics"] {
        assert!(log.contains(&up.endpoint(name)), "`{name}` stands in the table:\n{log}");
    }
    assert_eq!(up.store().measurements().await, 0);
    up.stop();
}

#[tokio::test]
async fn an_interrupt_counts_everything_that_was_acknowledged_before_it_ends() {
    let mut up = Up::start(&[]);
    for round in 0..3 {
        let events = events("a", round * 2_000..(round + 1) * 2_000);
        publish(&up.mqtt(), Version::V5, events).await;
        up.stop();
        // Only the engine, on what `up` left.
        let (mut engine, url) = embedded_service("clickhouse", "data", up.folder());
        assert_eq!(Store::new(&url).measurements().await, (round + 1) * 2_000);
        assert_eq!(engine.terminate().unwrap().code(), Some(0));
        up.restart();
    }
    up.stop();
}

#[test]
fn a_signal_that_is_sent_twice_at_once_still_drains() {
    let mut up = Up::start(&[]);
    let pid = up.daemon.pid().to_string();
    for _ in 0..2 {
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }
    assert_eq!(
        up.daemon.wait_for_exit(READY_MAX).unwrap().code(),
        Some(0),
        "{}",
        up.daemon.log()
    );
}

#[tokio::test]
async fn a_killed_process_comes_back_with_all_data_and_counts_nothing_twice() {
    let mut up = Up::start(&[]);
    publish(&up.mqtt(), Version::V5, events("a", 0..1_500)).await;
    up.store().wait_for("SELECT count() FROM measurements", 1_500).await;
    for round in 0..3_u64 {
        let from = 1_500 + round * 500;
        publish(&up.mqtt(), Version::V311, events("a", from..from + 500)).await;
        up.daemon.kill9();
        assert!(up.endpoints_file().exists(), "nobody was left to remove it");
        up.restart();
        // The broker's memory is gone, so devices send again what they are not sure of.
        publish(&up.mqtt(), Version::V5, events("a", from..from + 500)).await;
        up.store().wait_until_complete(from + 500).await;
    }
    let distinct = "SELECT uniqExact(device, seq) FROM measurements";
    assert_eq!(up.store().number(distinct).await, 3_000);
    up.stop();
}

#[test]
fn a_taken_port_is_named_with_the_option_that_changes_it() {
    for (option, service) in [
        ("--mqtt-port", "mqtt"),
        ("--clickhouse-port", "clickhouse"),
        ("--http-port", "web"),
        ("--metrics-port", "metrics"),
    ] {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = vec!["up"];
        for other in ["--mqtt-port", "--clickhouse-port", "--http-port", "--metrics-port"] {
            arguments.extend([other, if other == option { &port } else { "0" }]);
        }
        let output = command(&arguments, folder.path()).output().unwrap();
        let errors = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{service}: {errors}");
        let last = errors.lines().last().unwrap();
        assert!(last.contains(&port) && last.contains(option), "{service}: {last}");
        assert!(!folder.path().join("meridian-data/endpoints.json").exists());
    }
}

#[test]
fn a_data_folder_has_one_owner() {
    let mut up = Up::start(&[]);
    let data_dir = up.data_dir();
    let arguments = [
        "up",
        "--data-dir",
        data_dir.to_str().unwrap(),
        "--mqtt-port",
        "0",
        "--clickhouse-port",
        "0",
    ];
    let output = command(&arguments, &data_dir).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("in use by another process"),
        "{}",
        errors(&output)
    );
    assert!(up.endpoints_file().exists(), "the owner's promise is untouched");
    up.stop();
}

#[test]
fn a_stale_promise_is_removed_even_when_the_configuration_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("meridian-data/endpoints.json");
    std::fs::create_dir(stale.parent().unwrap()).unwrap();
    std::fs::write(&stale, json!({"mqtt": "mqtt://127.0.0.1:1"}).to_string()).unwrap();
    std::fs::write(folder.path().join("wrong.toml"), "[kafka]\n").unwrap();
    let output = command(&["up", "--config", "wrong.toml"], folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!stale.exists());
}

#[tokio::test]
async fn the_demo_has_live_rollups_of_every_level_within_half_a_minute() {
    let mut up = Up::start(&["--demo"]);
    let started = Instant::now();
    let store: Store = up.store();
    let levels = "SELECT uniqExact(period, res) FROM rollups WHERE tenant = 'demo' AND cell != 0";
    store.wait_for(levels, 9).await;
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert!(store.number("SELECT count() FROM devices").await > 100);
    // Started again, it goes on, and does not tell once more what has happened.
    let lives_on = |after_ms: u64| {
        let present = format!("ts BETWEEN fromUnixTimestamp64Milli({after_ms}) AND now64(3)");
        format!("SELECT toUInt64(count() > 0) FROM measurements WHERE tenant = 'demo' AND {present}")
    };
    store.wait_for(&lives_on(now_ms() + 3_000), 1).await;
    let newest =
        "SELECT toUInt64(toUnixTimestamp64Milli(maxIf(ts, ts <= now64(3)))) FROM measurements WHERE tenant = 'demo'";
    let told_ms = store.number(newest).await;
    // Vehicles in tunnels tell late.
    let of_demo = "SELECT uniqExact(device, ts) FROM measurements WHERE tenant = 'demo'";
    let past = format!("{of_demo} AND ts < fromUnixTimestamp64Milli({})", told_ms - 120_000);
    // All of it is there once the number rests.
    let (mut before, mut rested_seconds) = (0, 0);
    while before < 1_000 || rested_seconds < 3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let count = store.number(&past).await;
        rested_seconds = if count == before { rested_seconds + 1 } else { 0 };
        before = count;
    }
    up.stop();
    up.restart();
    let store: Store = up.store();
    store.wait_for(&lives_on(told_ms + 2_000), 1).await;
    assert_eq!(store.number(&past).await, before);
    up.stop();
}

#[tokio::test]
async fn a_tap_shows_what_passes_through_the_embedded_log() {
    let mut up = Up::start(&[]);
    publish(&up.mqtt(), Version::V5, events("before", 0..1)).await;
    up.store().wait_until_complete(1).await;
    let data_dir = up.data_dir();
    let tap = |arguments: &[&str]| {
        let arguments = [&["tap", "--data-dir", data_dir.to_str().unwrap()], arguments].concat();
        crate::meridian::daemon(&arguments).start().unwrap()
    };
    let (mut lines, json) = (tap(&["--tenant", "acme"]), tap(&["--device", "b", "--json"]));
    for tap in [&lines, &json] {
        tap.wait_for_line("watching", READY_MAX).unwrap();
    }
    // The server's own word that it stands at the end of the log.
    up.daemon
        .wait_until("two taps", READY_MAX, || {
            up.daemon.log().matches("watching from the end").count() == 2
        })
        .unwrap();
    publish(&up.mqtt(), Version::V5, events("a", 0..3)).await;
    publish(&up.mqtt(), Version::V5, events("b", 0..3)).await;
    lines
        .wait_for_line("acme/a #2 (48.10000, 11.60000) v=2", READY_MAX)
        .unwrap();
    let event = json.wait_for_line("\"seq\":2", READY_MAX).unwrap();
    let event: Value = serde_json::from_str(&event).unwrap();
    assert_eq!((&event["device"], &event["metrics"]["v"]), (&json!("b"), &json!(2.0)));
    assert!(!json.log().contains("\"a\"") && !lines.log().contains("before"));
    assert_eq!(lines.interrupt().unwrap().code(), Some(0));
    // One that is still open must not hold up the end.
    up.stop();
}

#[tokio::test]
async fn a_clickhouse_of_its_own_process_serves_migrations_and_up() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["embedded", "clickhouse", "--port", "0", "--data-dir", "engine"];
    let mut engine = crate::meridian::daemon(&arguments)
        .current_dir(folder.path())
        .start()
        .unwrap();
    let line = engine.wait_for_line("ready at http://", READY_MAX).unwrap();
    let url = line.strip_prefix("ready at ").unwrap();
    std::fs::write(
        folder.path().join("meridian.toml"),
        format!("[clickhouse]\nurl = \"{url}\"\n"),
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--config", "meridian.toml"]].concat();
        let output = command(&arguments, folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
        text(&output)
    };
    assert!(run(&["migrate"]).contains("applied 0002_measurements"));
    assert!(run(&["migrate"]).contains("is up to date"));
    assert!(run(&["validate", "--connect"]).contains(url));
    let config = folder.path().join("meridian.toml");
    let mut up = Up::start(&["--config", config.to_str().unwrap()]);
    assert_eq!(up.endpoint("clickhouse"), url);
    publish(&up.mqtt(), Version::V5, events("a", 0..10)).await;
    up.store().wait_until_complete(10).await;
    up.stop();
    assert_eq!(engine.interrupt().unwrap().code(), Some(0));
}

#[test]
fn an_mqtt_broker_of_its_own_process_is_found_by_validate() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = crate::meridian::daemon(&["embedded", "mqtt", "--port", "0"])
        .current_dir(folder.path())
        .start()
        .unwrap();
    let line = broker.wait_for_line("ready at mqtt://", READY_MAX).unwrap();
    let url = line.strip_prefix("ready at ").unwrap();
    let config = format!("[[mqtt.brokers]]\nname = \"edge\"\nurl = \"{url}\"\n");
    std::fs::write(folder.path().join("meridian.toml"), config).unwrap();
    let validate = || {
        command(&["validate", "--connect", "--config", "meridian.toml"], folder.path())
            .output()
            .unwrap()
    };
    assert_eq!(validate().status.code(), Some(0), "{}", errors(&validate()));
    assert_eq!(broker.terminate().unwrap().code(), Some(0));
    assert_eq!(validate().status.code(), Some(2));
    assert!(errors(&validate()).contains(url));
}

#[test]
fn who_listens_everywhere_says_where_others_reach_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("meridian.toml");
    std::fs::write(&file, "[telemetry]\nmetrics_listen = \"0.0.0.0:0\"\n").unwrap();
    let mut up = Up::start(&["--config", file.to_str().unwrap()]);
    let metrics = up.endpoint("metrics");
    assert!(metrics.starts_with("http://127.0.0.1:"), "{metrics}");
    let log = up.daemon.log();
    let line = |start: &str| log.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
    let expected = format!("{metrics} (from elsewhere: at any address of this machine)");
    assert!(line("metrics ").ends_with(&expected), "{log}");
    assert!(line("web ").ends_with(&up.endpoint("http")), "{log}");
    up.stop();
}
