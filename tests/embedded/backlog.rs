//! A device that was out of reach brings hours of events within a second. What is said to be complete meanwhile is.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    device::{Publish, Version, publish},
    meridian::Up,
    messages::now_ms,
    queries::ask,
    store::STORED_MAX,
};

const HOUR_MS: u64 = 3_600_000;
const STEP_MS: u64 = 5_000;

/// What a device has kept, in messages of a hundred events.
fn backlog(tenant: &str, from_ms: u64, to_ms: u64) -> Vec<Publish> {
    let times = (from_ms..to_ms).step_by(STEP_MS as usize);
    let event = |(seq, ts)| format!(r#"{{"ts":{ts},"seq":{seq},"lat":48.1,"lon":11.6,"v":1}}"#);
    let events: Vec<String> = times.enumerate().map(event).collect();
    let message =
        |events: &[String]| Publish::new(&format!("telemetry/{tenant}/van"), format!("[{}]", events.join(",")));
    events.chunks(100).map(message).collect()
}

/// A device of somebody else: without a pause, so that nothing is flushed before it is due.
async fn talk(mqtt: String) {
    loop {
        let message = Publish::new("telemetry/others/bus", r#"{"w":1}"#);
        publish(&mqtt, Version::V5, vec![message]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn count(answer: &Value) -> u64 {
    let counts = answer["counts"].as_array().unwrap();
    counts.iter().map(|count| count.as_u64().unwrap()).sum()
}

/// Asks again and again until the answer is complete, which it must not be before it has all events.
fn settle(url: &str, expected: u64) {
    let started = Instant::now();
    loop {
        let answer = ask(url);
        let count = count(&answer);
        if answer["complete"] == true {
            assert_eq!(count, expected, "after {:?}: {url}", started.elapsed());
            return;
        }
        assert!(
            started.elapsed() < STORED_MAX,
            "{count} of {expected}, and not complete: {url}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_a_backlog_is_complete_when_all_of_it_is_shown_and_not_before() {
    let mut up = Up::start(&[]);
    let (http, talking) = (up.endpoint("http"), tokio::spawn(talk(up.mqtt())));
    let now_ms = now_ms();
    let from_ms = now_ms - now_ms % HOUR_MS - 4 * HOUR_MS;
    let mut settling = Vec::new();
    for turn in 0..4 {
        // At another moment between two flushes each time.
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        let tenant = format!("acme-{turn}");
        for (path, hours) in [
            ("cells?res=7&period=3600", 1),
            ("cells?res=5&period=3600", 3),
            ("series?period=3600", 1),
            ("series?period=3600", 3),
            ("cells?res=9&period=60", 1),
        ] {
            let url = format!(
                "{http}/api/v1/{path}&metric=v&agg=count&tenant={tenant}&from={from_ms}&to={}",
                from_ms + hours * HOUR_MS
            );
            let expected = hours * HOUR_MS / STEP_MS;
            settling.push(tokio::task::spawn_blocking(move || settle(&url, expected)));
        }
        publish(&up.mqtt(), Version::V5, backlog(&tenant, from_ms, now_ms)).await;
    }
    for asking in settling {
        asking.await.unwrap();
    }
    talking.abort();
    up.stop();
}
