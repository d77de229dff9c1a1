//! The query API of a running `meridian up`, and of `meridian serve` on the same store.

use serde_json::{Value, json};

use crate::{
    device::{Publish, Version, publish},
    life::get,
    meridian::{READY_MAX, Up, daemon, embedded_service},
};

pub(crate) fn ask(url: &str) -> Value {
    let (status, body) = get(url);
    assert!(status.contains("200"), "{url}: {status}\n{body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{url}: {error}\n{body}"))
}

#[tokio::test]
async fn what_devices_publish_is_answered_by_up_and_by_serve_alike() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, clickhouse) = embedded_service("clickhouse", "engine", folder.path());
    let config = folder.path().join("meridian.toml");
    std::fs::write(&config, format!("[clickhouse]\nurl = \"{clickhouse}\"\n")).unwrap();
    let config = config.to_str().unwrap();
    let mut up = Up::start(&["--config", config]);
    let events = (0..10_u64).map(|seq| {
        let ts = 1_700_000_000_000 + seq * 1_000;
        let payload = format!(r#"{{"ts":{ts},"seq":{seq},"lat":48.1,"lon":11.6,"v":{seq}}}"#);
        Publish::new("telemetry/acme/a", payload)
    });
    publish(&up.mqtt(), Version::V5, events.collect()).await;
    up.store().wait_until_complete(10).await;

    let arguments = ["serve", "--config", config, "--http-port", "0", "--metrics-port", "0"];
    let mut serve = daemon(&arguments).current_dir(folder.path()).start().unwrap();
    let line = serve.wait_for_line("web  ", READY_MAX).unwrap();
    let served = &line[line.find("http://").unwrap()..];

    let range = "from=2023-11-14T22:13:00Z&to=1700000100000&period=60";
    for path in [
        format!("/api/v1/cells?tenant=acme&metric=v&{range}&res=7&agg=sum&bbox=11,48,12,49"),
        format!("/api/v1/series?tenant=acme&metric=v&{range}&agg=max"),
        format!("/api/v1/devices/acme/a/track?{}", &range[..range.len() - 10]),
        "/api/v1/devices/acme/a".to_owned(),
        "/api/v1/nearby?lat=48&lon=11".to_owned(),
        "/api/v1/metrics-catalog".to_owned(),
    ] {
        assert_eq!(
            ask(&format!("{}{path}", up.endpoint("http"))),
            ask(&format!("{served}{path}")),
            "{path}"
        );
    }
    let cells = ask(&format!("{served}/api/v1/cells?metric=v&{range}&res=7&agg=sum"));
    assert_eq!((&cells["values"], &cells["counts"]), (&json!([45.0]), &json!([10])));
    let device = ask(&format!("{served}/api/v1/devices/acme/a"));
    assert_eq!((&device["lat"], &device["metrics"]), (&json!(48.1), &json!({"v": 9.0})));

    assert!(get(&format!("{served}/readyz")).0.contains("200"));
    assert_eq!(serve.interrupt().unwrap().code(), Some(0), "{}", serve.log());
    up.stop();
    assert_eq!(engine.interrupt().unwrap().code(), Some(0));
}

/// A counter of `/metrics`; 0 before it was first counted.
fn counted(up: &Up, series: &str) -> u64 {
    let (_, page) = get(&up.endpoint("metrics"));
    let line = page.lines().find(|line| line.starts_with(series));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn kept_answers_follow_every_flush_and_the_inspector_finds_what_was_changed_behind_their_back() {
    let mut up = Up::start(&[]);
    let event = |seq: u64| {
        let ts = 1_700_000_000_000 + seq * 100;
        let payload = format!(r#"{{"ts":{ts},"seq":{seq},"lat":48.1,"lon":11.6,"v":1}}"#);
        Publish::new("telemetry/acme/a", payload)
    };
    let url = format!(
        "{}/api/v1/cells?metric=v&from=2023-11-14T22:13:00Z&to=1700000100000&period=60&res=7&agg=sum",
        up.endpoint("http")
    );
    // Each is in the answer as soon as it is stored, but for the moment that telling takes.
    for seq in 1..=5 {
        publish(&up.mqtt(), Version::V5, vec![event(seq)]).await;
        up.store().wait_until_complete(seq).await;
        let started = std::time::Instant::now();
        while ask(&url)["counts"] != json!([seq]) {
            assert!(started.elapsed().as_secs() < 5, "event {seq}: {}", ask(&url));
        }
    }
    let before = ask(&url);
    let (status, again) = get(&url);
    assert!(status.to_lowercase().contains("200"), "{status}");
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), before);
    assert!(counted(&up, "meridian_answers_total{from=\"memory\"}") > 0);
    assert_eq!(counted(&up, "meridian_answers_disagreed_total"), 0);

    let by_hand = "INSERT INTO rollup_log SELECT * REPLACE(generation + 1000000 AS generation) FROM rollup_log \
                   WHERE metric = 'v' AND period = 60 AND res = 7";
    up.store().execute(by_hand).await;
    let started = std::time::Instant::now();
    while counted(&up, "meridian_answers_disagreed_total") == 0 {
        ask(&url);
        assert!(started.elapsed().as_secs() < 50, "the inspector finds it");
    }
    assert!(counted(&up, "meridian_answers_inspected_total") > 0);
    up.stop();
}
