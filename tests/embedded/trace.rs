//! `meridian trace`: from an event to its rollup cells, and from a cell back to its events.

use std::process::Output;

use serde_json::Value;

use crate::{
    device::{Publish, Version, publish},
    meridian::{Up, command, errors, text},
};

const TS_MS: i64 = 1_700_000_040_000;

fn trace(up: &Up, arguments: &[&str]) -> Output {
    let data_dir = up.data_dir();
    let all = [
        &["trace", "--tenant", "acme", "--data-dir", data_dir.to_str().unwrap()],
        arguments,
    ]
    .concat();
    command(&all, &data_dir).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{}", errors(output));
    text(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn stored() -> Up {
    let up = Up::start(&[]);
    let event = |seq: i64, place: &str, metrics: &str| {
        format!(r#"{{"ts":{},"seq":{seq}{place},{metrics}}}"#, TS_MS + seq * 1_000)
    };
    let here = r#","lat":48.1,"lon":11.6"#;
    let messages = vec![
        Publish::new("telemetry/acme/nowhere", event(1, "", r#""t":0.5"#)),
        Publish::new("telemetry/acme/a", event(1, here, r#""t":1,"h":2"#)),
        Publish::new("telemetry/acme/b", event(1, here, r#""t":10"#)),
        Publish::new("telemetry/acme/a", event(2, here, r#""t":3"#)),
        Publish::new("telemetry/other/a", event(1, here, r#""t":99"#)),
    ];
    publish(&up.mqtt(), Version::V5, messages).await;
    up.store().wait_until_complete(6).await;
    up
}

#[tokio::test]
async fn an_event_is_followed_to_every_cell_that_holds_it() {
    let mut up = stored().await;
    let events = lines(&trace(&up, &["--device", "a", "--format", "json"]));
    assert_eq!(events.len(), 2, "newest first");
    let (newest, oldest) = (&events[0], &events[1]);
    assert_eq!((&newest["seq"], &oldest["seq"]), (&2.into(), &1.into()));
    assert_eq!(oldest["metrics"], serde_json::json!({"h": 2.0, "t": 1.0}));
    let (partition, offset) = (&oldest["partition"], &oldest["offset"]);
    let row = format!("SELECT count() FROM measurements WHERE partition = {partition} AND offset = {offset}");
    assert_eq!(up.store().number(&row).await, 2);
    let cells = oldest["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2 * 9, "two metrics in nine levels");
    for cell in cells {
        let sql = format!(
            "SELECT count FROM rollup_log FINAL WHERE tenant = 'acme' AND metric = {} AND period = {} AND res = {} \
             AND hex(cell) = upper(leftPad({}, 16, '0')) AND partition = {partition} AND generation = {} AND version = {}",
            quoted(&cell["metric"]),
            cell["period"],
            cell["res"],
            quoted(&cell["cell"]),
            cell["generation"],
            cell["version"]
        );
        assert_eq!(
            up.store().rows::<u64>(&sql).await,
            [cell["count"].as_u64().unwrap()],
            "{cell}"
        );
        assert!(cell["version"].as_u64() >= offset.as_u64());
    }
    let shown = text(&trace(&up, &["--device", "a", "--limit", "1", "--metric", "t"]));
    for part in [
        "acme/a #2",
        "meridian.events.v1 partition",
        "t = 3",
        "86400 s  res  5",
        "`embedded`",
    ] {
        assert!(shown.contains(part), "`{part}` in {shown}");
    }
    assert!(!shown.contains("not written yet") && !shown.contains("#1"), "{shown}");
    let range = ["--device", "a", "--format", "json", "--from", "1700000041500"];
    assert_eq!(lines(&trace(&up, &range)).len(), 1);
    let nowhere = lines(&trace(&up, &["--device", "nowhere", "--format", "json"]));
    assert!(nowhere[0]["position"].is_null());
    assert!(
        nowhere[0]["cells"]
            .as_array()
            .unwrap()
            .iter()
            .all(|cell| cell["cell"] == "0" && cell["count"] == 1)
    );
    let unknown = trace(&up, &["--device", "ghost"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(errors(&unknown).contains("`ghost`") && errors(&unknown).contains("`acme`"));
    up.stop();
}

#[tokio::test]
async fn a_cell_is_followed_back_to_its_events() {
    let mut up = stored().await;
    let position = h3o::LatLng::new(48.1, 11.6).unwrap();
    for (res, resolution) in [
        (9, h3o::Resolution::Nine),
        (7, h3o::Resolution::Seven),
        (5, h3o::Resolution::Five),
    ] {
        let base = position.to_cell(h3o::Resolution::Nine);
        let cell = base.parent(resolution).unwrap().to_string();
        for period in ["60", "1h", "1d"] {
            let bucket = TS_MS.to_string();
            let arguments = [
                "--cell", &cell, "--period", period, "--bucket", &bucket, "--format", "json",
            ];
            let metrics = lines(&trace(&up, &arguments));
            assert_eq!(metrics.len(), 2, "{res} {period}: {metrics:?}");
            let (h, t) = (&metrics[0], &metrics[1]);
            assert_eq!(
                (&h["metric"], &h["count"], &h["adds_up"]),
                (&"h".into(), &1.into(), &true.into())
            );
            assert_eq!(
                (&t["metric"], &t["count"], &t["adds_up"]),
                (&"t".into(), &3.into(), &true.into())
            );
            let events = t["events"].as_array().unwrap();
            let mut values: Vec<f64> = events.iter().map(|event| event["value"].as_f64().unwrap()).collect();
            values.sort_by(f64::total_cmp);
            assert_eq!(values, [1.0, 3.0, 10.0]);
            let places = events
                .iter()
                .map(|event| format!("({}, {})", event["partition"], event["offset"]));
            let sql = format!(
                "SELECT count() FROM measurements WHERE metric = 't' AND tenant = 'acme' AND (partition, offset) IN ({})",
                places.collect::<Vec<_>>().join(", ")
            );
            assert_eq!(up.store().number(&sql).await, 3);
        }
    }
    let bucket = TS_MS.to_string();
    let nowhere = [
        "--cell", "0", "--period", "1m", "--bucket", &bucket, "--metric", "t", "--format", "json",
    ];
    assert_eq!(lines(&trace(&up, &nowhere))[0]["count"], 1);
    let shown = text(&trace(&up, &["--cell", "0", "--period", "1m", "--bucket", &bucket]));
    assert!(shown.contains("adds up") && shown.contains("nowhere"), "{shown}");
    let empty = trace(
        &up,
        &["--cell", "0", "--period", "1m", "--bucket", "2001-01-01T00:00:00Z"],
    );
    assert_eq!(empty.status.code(), Some(1), "{}", text(&empty));
    assert_eq!(trace(&up, &["--cell", "0"]).status.code(), Some(2));
    assert_eq!(trace(&up, &[]).status.code(), Some(2));
    let cell = position.to_cell(h3o::Resolution::Nine).to_string();
    let bucket = TS_MS.to_string();
    let no_level = trace(&up, &["--cell", &cell, "--period", "5m", "--bucket", &bucket]);
    assert_eq!(no_level.status.code(), Some(2));
    assert!(
        errors(&no_level).contains("no rollup level of 300 s"),
        "{}",
        errors(&no_level)
    );
    up.stop();
}

fn quoted(value: &Value) -> String {
    format!("'{}'", value.as_str().unwrap())
}
