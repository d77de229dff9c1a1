//! The audit over the real binary: a pipeline that is whole adds up, at rest, under load and after a crash; and every
//! kind of damage is found and named.

use std::{path::Path, time::Instant};

use crate::{
    device::{Publish, Version, publish},
    meridian::{Up, command, errors, text},
    store::Store,
};

pub(crate) const DEVICES: u64 = 20;
pub(crate) const EVENTS: u64 = 100;
const BAD: u64 = 7;
/// Each event has two metrics.
pub(crate) const MEASUREMENTS: u64 = DEVICES * EVENTS * 2;

/// What every device says, and some messages that nobody can read.
pub(crate) fn messages(first_seq: u64) -> Vec<Publish> {
    let mut messages = Vec::new();
    for seq in first_seq..first_seq + EVENTS {
        for device in 0..DEVICES {
            let (lat, lon) = (48.0 + device as f64 / 50.0, 11.0 + seq as f64 / 500.0);
            let ts = 1_700_000_000_000 + seq * 7_000;
            let payload = format!(
                r#"{{"ts":{ts},"seq":{seq},"lat":{lat},"lon":{lon},"temperature":{seq}.25,"humidity":{device}}}"#
            );
            messages.push(Publish::new(&format!("telemetry/acme/device-{device}"), payload));
        }
    }
    for number in 0..BAD {
        messages.push(Publish::new("telemetry/acme/bad", format!("no event {number}")));
    }
    messages
}

/// Exit code and everything it said.
pub(crate) fn audit(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let arguments = [&["audit", "--data-dir", folder.to_str().unwrap()], arguments].concat();
    let output = command(&arguments, folder).output().unwrap();
    let said = text(&output) + &errors(&output);
    (output.status.code().unwrap(), said)
}

pub(crate) fn assert_clean(up: &Up) {
    let (code, said) = audit(&up.data_dir(), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("everything adds up"), "{said}");
}

/// The audit exits 1 within ten seconds, and says all of this.
fn assert_found(up: &Up, arguments: &[&str], parts: &[&str]) {
    let started = Instant::now();
    let (code, said) = audit(&up.data_dir(), arguments);
    assert_eq!(code, 1, "{said}");
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    for part in parts {
        assert!(said.contains(part), "`{part}` in {said}");
    }
}

/// Waits until the ledger has counted everything.
pub(crate) async fn wait_for_ledger(store: &Store, events: u64) {
    let sql = "SELECT sum(events) FROM ledger WHERE topic = 'meridian.events.v1'";
    store.wait_for(sql, events).await;
}

pub(crate) async fn filled() -> Up {
    let up = Up::start(&[]);
    publish(&up.mqtt(), Version::V5, messages(0)).await;
    up.store().wait_until_complete(MEASUREMENTS).await;
    wait_for_ledger(&up.store(), DEVICES * EVENTS).await;
    up.store().wait_for("SELECT sum(dead_letters) FROM ledger", BAD).await;
    up
}

#[tokio::test]
async fn an_audit_of_nothing_says_that_it_compared_nothing() {
    let mut up = Up::start(&[]);
    let (code, said) = audit(&up.data_dir(), &[]);
    assert!(
        code == 0 && said.contains("nothing to compare") && !said.contains("adds up"),
        "{said}"
    );
    publish(&up.mqtt(), Version::V5, messages(0)).await;
    up.store().wait_until_complete(MEASUREMENTS).await;
    wait_for_ledger(&up.store(), DEVICES * EVENTS).await;
    let (code, said) = audit(&up.data_dir(), &["--verify", "--from", "2100-01-01T00:00:00Z"]);
    assert!(code == 0 && said.contains("nothing to compare"), "{said}");
    // Half of it could not be asked for.
    let (code, said) = audit(&up.data_dir(), &["--metrics", "http://127.0.0.1:1/metrics"]);
    assert!(
        code == 0 && said.contains("what could be compared adds up") && said.contains("127.0.0.1:1"),
        "{said}"
    );
    up.stop();
}

#[tokio::test]
async fn the_counts_of_another_pipeline_are_not_compared() {
    let (mut up, mut stranger) = (filled().await, Up::start(&[]));
    let other = stranger.endpoint("metrics");
    let (code, said) = audit(&up.data_dir(), &["--metrics", &other]);
    assert!(
        code == 0 && said.contains("another pipeline") && said.contains("what could be compared adds up"),
        "{said}"
    );
    let (code, said) = audit(&up.data_dir(), &["--metrics", &other, "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!((code, &report["brokers"]), (0, &serde_json::json!([])), "{said}");
    let (code, said) = audit(&up.data_dir(), &["--metrics", &up.endpoint("metrics")]);
    assert!(code == 0 && said.contains("everything adds up"), "{said}");
    stranger.stop();
    up.stop();
}

#[tokio::test]
async fn a_whole_pipeline_adds_up_at_rest_and_after_a_kill() {
    let mut up = filled().await;
    assert_clean(&up);
    let (code, said) = audit(&up.data_dir(), &["--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!((code, &report["clean"]), (0, &true.into()), "{said}");
    assert_eq!(report["brokers"][0]["received"], DEVICES * EVENTS + BAD);
    let (code, said) = audit(&up.data_dir(), &["--verify"]);
    assert_eq!(code, 0, "{said}");
    for round in 1..4 {
        publish(&up.mqtt(), Version::V311, messages(round * EVENTS)).await;
        up.daemon.kill9();
        up.restart();
        // Whatever was on its way is counted now or later: nothing is missing at any moment.
        assert_clean(&up);
    }
    up.store().wait_until_complete(4 * MEASUREMENTS).await;
    assert_clean(&up);
    up.stop();
}

#[tokio::test]
async fn a_pipeline_under_load_adds_up_at_every_moment() {
    let mut up = Up::start(&["--demo"]);
    let store = up.store();
    store.wait_for("SELECT toUInt64(count() > 0) FROM ledger", 1).await;
    for _ in 0..8 {
        assert_clean(&up);
        let (code, said) = audit(&up.data_dir(), &["--verify"]);
        assert_eq!(code, 0, "{said}");
    }
    assert!(store.measurements().await > 10_000, "there was load");
    up.stop();
}

#[tokio::test]
async fn damaged_measurements_are_found_and_named() {
    let mut up = filled().await;
    let store = up.store();
    let one = "tenant = 'acme' AND device = 'device-3' AND metric = 'temperature' AND seq = 42";
    store.execute("CREATE TABLE saved AS measurement_log").await;
    let save = format!("INSERT INTO saved SELECT * FROM measurement_log FINAL WHERE {one}");
    store.execute(&save).await;
    let restore = "INSERT INTO measurement_log SELECT * FROM saved";
    let delete = format!("ALTER TABLE measurement_log DELETE WHERE {one} SETTINGS mutations_sync = 2");

    store.execute(&delete).await;
    let offset = store.number("SELECT offset FROM saved").await;
    let partition = store.number("SELECT toUInt64(partition) FROM saved").await;
    let place = format!("hole: meridian.events.v1/{partition}, offsets 0 to ");
    assert_found(&up, &[], &[&place, "measurements made, and", "period 60"]);
    store.execute(restore).await;
    assert_clean(&up);

    // The same row again under another offset, near and far.
    for distance in [1, 1_000_000] {
        let again = format!("INSERT INTO measurement_log SELECT * REPLACE(offset + {distance} AS offset) FROM saved");
        store.execute(&again).await;
        let part = if distance == 1 {
            "measurements made, and"
        } else {
            "were ever processed"
        };
        assert_found(&up, &[], &[part]);
        let undo = format!(
            "ALTER TABLE measurement_log DELETE WHERE offset = {} AND device = 'device-3' SETTINGS mutations_sync = 2",
            offset + distance
        );
        store.execute(&undo).await;
        assert_clean(&up);
    }

    // A literal copy is the same row, by design.
    store.execute(restore).await;
    assert_clean(&up);

    store
        .execute("INSERT INTO measurement_log SELECT * REPLACE(value + 1 AS value) FROM saved")
        .await;
    assert_found(&up, &[], &["not those that were made"]);
    assert_found(
        &up,
        &["--verify"],
        &["tenant `acme`, metric `temperature`, period 60, res 9"],
    );
    store.execute(restore).await;
    assert_clean(&up);

    store
        .execute("INSERT INTO measurement_log SELECT * REPLACE('other' AS tenant) FROM saved")
        .await;
    store.execute(&delete).await;
    assert_found(&up, &[], &["not those that were made"]);
    assert_found(&up, &["--verify"], &["tenant `other`", "tenant `acme`"]);
    up.stop();
}

#[tokio::test]
async fn damaged_rollups_and_dead_letters_are_found_and_named() {
    let mut up = filled().await;
    let store = up.store();
    store.execute("CREATE TABLE saved AS rollup_log").await;
    let one = "INSERT INTO saved SELECT * FROM rollup_log FINAL WHERE period = 3600 AND res = 7 AND count > 1 LIMIT 1";
    store.execute(one).await;
    let key = "(tenant, metric, period, res, bucket, cell, partition, generation)";
    let delete = |from: &str| {
        format!("ALTER TABLE rollup_log DELETE WHERE {key} IN (SELECT {from} FROM saved) SETTINGS mutations_sync = 2")
    };
    let itself = "tenant, metric, period, res, bucket, cell, partition, generation";

    store.execute(&delete(itself)).await;
    assert_found(&up, &[], &["hole: rollups, period 3600, res 7", "and", "counted"]);
    assert_found(&up, &["--verify"], &["period 3600, res 7", "found count 0"]);
    store.execute("INSERT INTO rollup_log SELECT * FROM saved").await;
    assert_clean(&up);

    let other = "INSERT INTO rollup_log SELECT * REPLACE(generation + 1 AS generation) FROM saved";
    store.execute(other).await;
    assert_found(&up, &[], &["hole: rollups, period 3600, res 7"]);
    store
        .execute(&delete(
            "tenant, metric, period, res, bucket, cell, partition, generation + 1",
        ))
        .await;
    assert_clean(&up);

    store
        .execute("INSERT INTO rollup_log SELECT * REPLACE('other' AS tenant) FROM saved")
        .await;
    store.execute(&delete(itself)).await;
    assert_found(&up, &["--verify"], &["tenant `other`", "tenant `acme`"]);
    store.execute("INSERT INTO rollup_log SELECT * FROM saved").await;
    store
        .execute(&delete(
            "'other', metric, period, res, bucket, cell, partition, generation",
        ))
        .await;
    assert_clean(&up);

    store
        .execute("ALTER TABLE dead_letter_log DELETE WHERE payload = 'no event 3' SETTINGS mutations_sync = 2")
        .await;
    assert_found(&up, &[], &["hole: meridian.dead-letters.v1/", "dead letters made"]);
    up.stop();
}

#[test]
fn without_anything_to_audit_the_command_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(&["audit"], folder.path()).output().unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--data-dir") && said.contains("[clickhouse]"), "{said}");
}
