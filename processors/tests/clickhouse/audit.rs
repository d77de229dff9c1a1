//! The audit over rows that tests write themselves: what expired is no hole, nor what is older than the ledger; and what
//! the rebuild relies on, that of equal versions the one inserted last holds.

use std::{collections::BTreeMap, time::Duration};

use processors::{
    audit::{AuditStore, HoleKind, Known, Report, audit},
    migrate::migrate,
    task::ledger::Checked,
};
use schemas::{
    record::EVENTS_TOPIC,
    rows::{LedgerRows, MeasurementRows, Rows},
};

use crate::rig::{Database, Snapshot, measurements, options, push_measurement};

/// The books of the first `count` rows of `rows`, from `first` on.
fn ledger(rows: &MeasurementRows, first: usize, count: usize) -> LedgerRows {
    let mut ledger = LedgerRows::default();
    let within = first..first + count;
    let metrics: Vec<&[u8]> = rows.metric.iter().collect();
    let number = |index: usize| {
        Checked {
            offset: rows.offset[index],
            device_hash: xxhash_rust::xxh3::xxh3_64(b"acme/device-1") as u32,
            metric: std::str::from_utf8(metrics[index]).unwrap(),
            ts_ms: rows.ts_ms[index],
            value: rows.value[index],
            cell: rows.cell[index],
        }
        .number()
    };
    let times = &rows.ts_ms[within.clone()];
    ledger.topic.push(EVENTS_TOPIC);
    ledger.partition.push(3);
    ledger.chunk.push(0);
    ledger.version.push((first + count) as u64 - 1);
    ledger.first_offset.push(first as u64);
    ledger.last_offset.push((first + count) as u64 - 1);
    ledger.records.push(count as u64);
    ledger.events.push(count as u64);
    ledger.duplicates.push(0);
    ledger.dead_letters.push(0);
    ledger.measurements.push(count as u64);
    ledger.ts_min_ms.push(*times.iter().min().unwrap());
    ledger.ts_max_ms.push(*times.iter().max().unwrap());
    ledger.checksum.push(within.map(number).fold(0, u64::wrapping_add));
    ledger.level_periods.push([]);
    ledger.level_resolutions.push([]);
    ledger.level_sinces.push([]);
    ledger
}

async fn insert(database: &Database, measurements: MeasurementRows, ledger: LedgerRows) {
    let rows = Rows {
        measurements,
        ledger,
        ..Rows::default()
    };
    database.insert(rows).await;
}

async fn audited(database: &Database, ends: &[(u16, u64)]) -> Report {
    let store = AuditStore::new(database.client.clone(), &database.name);
    let ends = ends
        .iter()
        .map(|(partition, end)| ((EVENTS_TOPIC.to_owned(), *partition), *end));
    let known = Known {
        ends: ends.collect(),
        ..Known::default()
    };
    audit(&store, async || known).await.unwrap()
}

fn kinds(report: &Report) -> Vec<HoleKind> {
    report.holes.iter().map(|hole| hole.kind).collect()
}

#[tokio::test]
async fn every_measurement_is_counted_by_what_it_says() {
    let database = Database::migrated("audit_whole").await;
    let mut rows = measurements(500);
    for index in 0..500 {
        rows.cell[index] = 617_700_169_958_293_503 + index as u64;
        rows.value[index] = -0.1 * index as f64;
    }
    insert(&database, rows.clone(), ledger(&rows, 0, 500)).await;
    let report = audited(&database, &[(3, 500)]).await;
    assert_eq!(report.holes, []);
    assert_eq!(
        (report.partitions[0].measurements, report.partitions[0].found),
        (500, 500)
    );
    database.execute("CREATE TABLE saved AS measurement_log").await;
    database
        .execute("INSERT INTO saved SELECT * FROM measurement_log FINAL WHERE offset = 77")
        .await;
    for change in ["toFloat64(1) AS value", "toUInt64(cell + 1) AS cell"] {
        let other = format!("INSERT INTO measurement_log SELECT * REPLACE({change}) FROM saved");
        database.execute(&other).await;
        assert_eq!(
            kinds(&audited(&database, &[(3, 500)]).await),
            [HoleKind::Contents],
            "{change}"
        );
        database
            .execute("INSERT INTO measurement_log SELECT * FROM saved")
            .await;
        assert_eq!(audited(&database, &[(3, 500)]).await.holes, []);
    }
}

#[tokio::test]
async fn what_is_older_than_the_ledger_is_no_hole() {
    let database = Database::migrated("audit_older").await;
    let rows = measurements(100);
    insert(&database, rows.clone(), ledger(&rows, 40, 60)).await;
    let report = audited(&database, &[(3, 100)]).await;
    assert_eq!(report.holes, []);
    assert!(
        report.notices[0].starts_with("40 measurements are older"),
        "{:?}",
        report.notices
    );
}

#[tokio::test]
async fn what_lies_beyond_the_ledger_is_a_hole_only_if_it_cannot_exist() {
    let database = Database::migrated("audit_beyond").await;
    let rows = measurements(100);
    insert(&database, rows.clone(), ledger(&rows, 0, 60)).await;
    assert_eq!(
        audited(&database, &[(3, 100)]).await.holes,
        [],
        "a task was given 100 records"
    );
    let report = audited(&database, &[(3, 99)]).await;
    assert_eq!(kinds(&report), [HoleKind::Beyond], "the last one comes from nowhere");
    assert_eq!(report.holes[0].offsets, Some((99, 99)));
    let report = audited(&database, &[]).await;
    assert_eq!(report.holes, []);
    assert!(
        report.notices[0].contains("[3]"),
        "nobody could be asked: {:?}",
        report.notices
    );
}

#[tokio::test]
async fn what_has_expired_is_no_hole_and_what_was_doubled_still_is() {
    let database = Database::migrated("audit_expired").await;
    let mut rows = measurements(0);
    // Rows of long ago, and one of now.
    (0..10).for_each(|index| push_measurement(&mut rows, "temperature", index));
    let now: i64 = database
        .text("SELECT toUnixTimestamp(now()) * 1000")
        .await
        .parse()
        .unwrap();
    rows.ts_ms[9] = now;
    insert(&database, rows.clone(), ledger(&rows, 0, 10)).await;
    assert_eq!(audited(&database, &[(3, 10)]).await.holes, []);
    database
        .execute("ALTER TABLE measurement_log DELETE WHERE offset < 9 SETTINGS mutations_sync = 2")
        .await;
    assert_eq!(kinds(&audited(&database, &[(3, 10)]).await), [HoleKind::Measurements]);
    let mut options = options("audit_expired");
    options.retention.measurements = Some(Duration::from_secs(3_600));
    migrate(&database.client, &options).await.unwrap();
    assert_eq!(audited(&database, &[(3, 10)]).await.holes, [], "they have expired");
    for index in 0..10 {
        rows.ts_ms[index] = now + 1 + index as i64;
    }
    database.insert_measurements(rows).await;
    assert_eq!(kinds(&audited(&database, &[(3, 10)]).await), [HoleKind::Measurements]);
}

#[tokio::test]
async fn records_that_no_task_has_counted_are_a_hole() {
    let database = Database::migrated("audit_records").await;
    let rows = measurements(10);
    let mut books = ledger(&rows, 0, 10);
    books.records[0] = 9;
    insert(&database, rows, books).await;
    let report = audited(&database, &[(3, 10)]).await;
    assert_eq!(
        kinds(&report),
        [HoleKind::Records, HoleKind::Records],
        "neither by offset nor by kind"
    );
}

#[tokio::test]
async fn of_equal_versions_the_snapshot_inserted_last_holds() {
    let database = Database::migrated("audit_ties").await;
    let mut newest = BTreeMap::new();
    // Many parts, merged now and then in the background, and once at the end.
    for round in 0..40_u64 {
        let snapshots: Vec<Snapshot> = (0..50)
            .filter(|cell| (cell * 7 + round) % 3 != 0)
            .map(|cell| Snapshot {
                cell,
                version: 5,
                count: round + 1,
                ..Snapshot::default()
            })
            .collect();
        newest.extend(snapshots.iter().map(|snapshot| (snapshot.cell, snapshot.count)));
        database.insert_rollups(&snapshots).await;
        if round % 10 == 9 {
            database.execute("OPTIMIZE TABLE rollup_log").await;
        }
        let sql = "SELECT cell, count FROM rollup_log FINAL ORDER BY cell";
        let found: Vec<(u64, u64)> = database.client.query(sql).fetch_all().await.unwrap();
        assert_eq!(found, newest.clone().into_iter().collect::<Vec<_>>(), "round {round}");
    }
    database.execute("OPTIMIZE TABLE rollup_log FINAL").await;
    let sql = "SELECT cell, count FROM rollups ORDER BY cell";
    let found: Vec<(u64, u64)> = database.client.query(sql).fetch_all().await.unwrap();
    assert_eq!(found, newest.into_iter().collect::<Vec<_>>());
}
