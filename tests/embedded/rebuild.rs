//! Damaged rollups are made again while events keep coming, and come out as the tasks would have written them.

use std::{fs, time::Instant};

use crate::{
    audit::{EVENTS, MEASUREMENTS, assert_clean, audit, filled, messages, wait_for_ledger},
    device::{Version, publish},
    meridian::{Up, command, errors, text},
    store::STORED_MAX,
};

/// Everything that a snapshot says, whatever row of it is newest.
const ALL: &str = "SELECT toUInt64(sum(cityHash64(tuple(*)))) FROM rollup_log FINAL WHERE count > 0";

/// Exit code and what it said. The range holds all events of the tests.
fn rebuild(up: &Up, arguments: &[&str]) -> (i32, String) {
    let folder = up.data_dir();
    let range = ["--from", "2023-11-14T00:00:00Z", "--to", "2023-11-16T00:00:00Z"];
    let folder_text = folder.to_str().unwrap();
    let arguments = [
        &["rollups", "rebuild", "--data-dir", folder_text],
        &range[..],
        arguments,
    ]
    .concat();
    let output = command(&arguments, &folder).output().unwrap();
    (output.status.code().unwrap(), text(&output) + &errors(&output))
}

fn assert_found(up: &Up) {
    let (code, said) = audit(&up.data_dir(), &["--verify"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("meridian rollups rebuild"), "{said}");
}

// With threads: `rebuild` waits for its process, and devices go on publishing meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_damage_is_repaired_to_the_bit_while_events_keep_coming() {
    let mut up = filled().await;
    let store = up.store();
    let before = store.number(ALL).await;
    let (code, said) = rebuild(&up, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("nothing to change"), "{said}");

    // One kind on each level, and each several times.
    let some = |level: &str| format!("{level} AND count > 1 AND cell % 3 = 0");
    let settings = "SETTINGS mutations_sync = 2";
    for damage in [
        format!(
            "ALTER TABLE rollup_log DELETE WHERE {} {settings}",
            some("period = 60 AND res = 9")
        ),
        format!(
            "ALTER TABLE rollup_log DELETE WHERE {} {settings}",
            some("period = 86400 AND res = 5")
        ),
        format!(
            "INSERT INTO rollup_log SELECT * REPLACE(generation + 1 AS generation) FROM rollup_log FINAL WHERE {}",
            some("period = 3600 AND res = 7")
        ),
        format!(
            "INSERT INTO rollup_log SELECT * REPLACE(count + 1 AS count) FROM rollup_log FINAL WHERE {}",
            some("period = 60 AND res = 5")
        ),
        format!(
            "INSERT INTO rollup_log SELECT * REPLACE([toUInt32(1)] AS device_hashes) FROM rollup_log FINAL WHERE {}",
            some("period = 3600 AND res = 5")
        ),
        format!(
            "INSERT INTO rollup_log SELECT * REPLACE('other' AS tenant) FROM rollup_log FINAL WHERE {}",
            some("period = 86400 AND res = 7")
        ),
        format!(
            "ALTER TABLE rollup_log DELETE WHERE tenant = 'acme' AND {} {settings}",
            some("period = 86400 AND res = 7")
        ),
    ] {
        store.execute(&damage).await;
    }
    assert_found(&up);
    let damaged = store.number(ALL).await;
    let (code, said) = rebuild(&up, &["--dry-run"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("tenant `acme`, metric `humidity`") && said.contains("--dry-run"),
        "{said}"
    );
    let (_, said) = rebuild(&up, &["--dry-run", "--format", "json"]);
    let changes: serde_json::Value = serde_json::from_str(&said).unwrap();
    let changed = |period: u64, res: u64, what: &str| {
        let levels = changes["levels"].as_array().unwrap();
        let level = levels
            .iter()
            .find(|level| level["period"] == period && level["resolution"] == res);
        level.unwrap()[what].as_u64().unwrap() > 0
    };
    assert!(changed(60, 9, "created") && changed(86_400, 5, "created"), "{said}");
    assert!(
        changed(3_600, 7, "withdrawn") && changed(86_400, 7, "withdrawn"),
        "{said}"
    );
    assert!(changed(60, 5, "corrected") && changed(3_600, 5, "corrected"), "{said}");
    assert_eq!(store.number(ALL).await, damaged, "a dry run changes nothing");

    let (code, said) = rebuild(&up, &[]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(store.number(ALL).await, before, "as the tasks had written them: {said}");
    assert_clean(&up);
    let (_, said) = rebuild(&up, &[]);
    assert!(said.contains("nothing to change"), "{said}");
    store.execute("OPTIMIZE TABLE rollup_log FINAL").await;
    assert_eq!(store.number(ALL).await, before, "merged or not is all the same");

    // The same accumulators go on, whatever was written under their keys.
    for round in 1..3 {
        let url = up.mqtt();
        let feeding = tokio::spawn(async move { publish(&url, Version::V5, messages(round * EVENTS)).await });
        store
            .execute(&format!(
                "ALTER TABLE rollup_log DELETE WHERE cell % 5 = {round} {settings}"
            ))
            .await;
        while !feeding.is_finished() {
            let (code, said) = rebuild(&up, &[]);
            assert_eq!(code, 0, "{said}");
        }
        feeding.await.unwrap();
        store
            .wait_for("SELECT count() FROM measurements", (round + 1) * MEASUREMENTS)
            .await;
        wait_for_ledger(&store, (round + 1) * MEASUREMENTS / 2).await;
        let (code, said) = rebuild(&up, &[]);
        assert_eq!(code, 0, "{said}");
        store.wait_until_complete((round + 1) * MEASUREMENTS).await;
        assert_clean(&up);
    }
    // A crash makes the tasks write again what they had written since their checkpoints.
    up.daemon.kill9();
    up.restart();
    publish(&up.mqtt(), Version::V311, messages(3 * EVENTS)).await;
    up.store().wait_until_complete(4 * MEASUREMENTS).await;
    let (code, said) = audit(&up.data_dir(), &["--verify"]);
    assert_eq!(code, 0, "{said}");
    up.stop();
}

#[tokio::test]
async fn a_copy_under_a_generation_that_is_still_to_come_is_withdrawn() {
    let mut up = filled().await;
    let copy = "INSERT INTO rollup_log SELECT * REPLACE (generation + 1000000 AS generation) FROM rollup_log FINAL \
                WHERE period = 3600 AND res = 7";
    up.store().execute(copy).await;
    let (code, said) = audit(&up.data_dir(), &[]);
    assert!(code == 1 && said.contains("rollups rebuild"), "{said}");
    let (code, said) = rebuild(&up, &[]);
    assert!(code == 0 && said.contains("withdraw"), "{said}");
    assert_clean(&up);
    // And nobody is blind to that cell from then on.
    let spoil = "INSERT INTO rollup_log SELECT * REPLACE (sum + 1 AS sum) FROM rollup_log FINAL \
                 WHERE period = 3600 AND res = 7 AND count > 0 LIMIT 1";
    up.store().execute(spoil).await;
    assert_found(&up);
    up.stop();
}

#[tokio::test]
async fn a_level_that_is_added_later_is_told_apart_and_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("levels.toml");
    let level = |period: &str, resolution: u8| {
        format!("[[rollup.levels]]\nperiod = \"{period}\"\nres = {resolution}\nflush_interval = \"1s\"\n")
    };
    fs::write(&config, level("1m", 9)).unwrap();
    let mut up = Up::start(&["--config", config.to_str().unwrap()]);
    publish(&up.mqtt(), Version::V5, messages(0)).await;
    let store = up.store();
    let sum = |period: u32| format!("SELECT sum(count) FROM rollups WHERE period = {period}");
    store.wait_for(&sum(60), MEASUREMENTS).await;
    wait_for_ledger(&store, MEASUREMENTS / 2).await;
    up.stop();

    fs::write(&config, level("1m", 9) + &level("1h", 7)).unwrap();
    up.restart();
    // The first ones let the new level take effect, at the checkpoint that follows them.
    for round in 1..3 {
        publish(&up.mqtt(), Version::V5, messages(round * EVENTS)).await;
        up.store().wait_for(&sum(60), (round + 1) * MEASUREMENTS).await;
        wait_for_ledger(&up.store(), (round + 1) * MEASUREMENTS / 2).await;
    }
    let counted = up.store().number(&sum(3_600)).await;
    assert!(0 < counted && counted < 3 * MEASUREMENTS, "{counted}");
    let (code, said) = audit(&up.data_dir(), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("levels that were added later"), "{said}");

    // Partitions have the level from their next checkpoints on.
    loop {
        let (code, said) = rebuild(&up, &[]);
        assert_eq!(code, 0, "{said}");
        if !said.contains("is not in force") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert_eq!(up.store().number(&sum(3_600)).await, 3 * MEASUREMENTS);
    let (code, said) = audit(&up.data_dir(), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("levels that were added later"), "{said}");
    publish(&up.mqtt(), Version::V5, messages(3 * EVENTS)).await;
    up.store().wait_for(&sum(3_600), 4 * MEASUREMENTS).await;
    let (code, said) = audit(&up.data_dir(), &["--verify"]);
    assert_eq!(code, 0, "{said}");
    up.stop();
}

#[tokio::test]
async fn what_is_left_of_damaged_measurements_is_taken_for_the_truth_only_when_that_is_said() {
    let mut up = filled().await;
    let store = up.store();
    let deleted =
        "ALTER TABLE measurement_log DELETE WHERE device = 'device-3' AND seq = 5 SETTINGS mutations_sync = 2";
    store.execute(deleted).await;
    let before = store.number(ALL).await;
    let (code, said) = rebuild(&up, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("do not add up") && said.contains("--accept-holes"),
        "{said}"
    );
    let refusal = said.lines().last().unwrap();
    // What came after the newest checkpoint of a partition is left to its task: until then there is nothing to change.
    let began = Instant::now();
    loop {
        let (code, said) = rebuild(&up, &["--dry-run"]);
        assert!(code == 1 && said.ends_with(&format!("{refusal}\n")), "{said}");
        if said.contains("nothing was changed: --dry-run") {
            break;
        }
        assert!(began.elapsed() < STORED_MAX, "{said}");
    }
    assert_eq!(store.number(ALL).await, before, "nothing was changed");
    let began = Instant::now();
    while store.number(ALL).await == before {
        assert!(began.elapsed() < STORED_MAX, "not rebuilt");
        let (code, said) = rebuild(&up, &["--accept-holes"]);
        assert_eq!(code, 0, "{said}");
    }
    up.stop();
}
