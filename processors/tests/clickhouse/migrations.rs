//! Migrations: again, at once, from another history; and what inspection finds.

use std::time::Duration;

use processors::migrate::{Applied, Fault, MigrateError, inspect, migrate};
use schemas::clickhouse::{Engines, MIGRATIONS, Retention};

use crate::rig::{Database, client_at, options, server};

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let client = client_at(server());
    let first = migrate(&client, &options("migrations_twice")).await.unwrap();
    assert_eq!(first.migrations.len(), MIGRATIONS.len());
    assert_eq!(
        migrate(&client, &options("migrations_twice")).await.unwrap(),
        Applied::default()
    );
    let recorded: Vec<(u32, String, String)> = client
        .query("SELECT version, name, checksum FROM migrations_twice.schema_migrations ORDER BY version")
        .fetch_all()
        .await
        .unwrap();
    let known = MIGRATIONS.map(|known| (known.version, known.name.to_owned(), known.checksum()));
    assert_eq!(recorded, known);
}

#[tokio::test]
async fn runs_at_the_same_time_do_not_disturb_each_other() {
    let client = client_at(server());
    let options = options("migrations_at_once");
    let runs = futures::future::join_all((0..6).map(|_| migrate(&client, &options))).await;
    for run in runs {
        run.unwrap();
    }
    let count: u64 = client
        .query("SELECT count() FROM migrations_at_once.schema_migrations FINAL")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(count, MIGRATIONS.len() as u64);
    assert_eq!(inspect(&client, "migrations_at_once").await.unwrap().faults, []);
}

#[tokio::test]
async fn a_database_of_another_history_is_left_alone() {
    let database = Database::migrated("migrations_history").await;
    database
        .execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (2, '0002_measurements', 'other')")
        .await;
    let refused = migrate(&database.client, &options("migrations_history")).await;
    assert!(
        matches!(refused, Err(MigrateError::ChecksumChanged { .. })),
        "{refused:?}"
    );

    let database = Database::migrated("migrations_too_new").await;
    database
        .execute("INSERT INTO schema_migrations (version, name, checksum) VALUES (9999, '9999_future', '')")
        .await;
    let refused = migrate(&database.client, &options("migrations_too_new")).await;
    assert!(
        matches!(refused, Err(MigrateError::TooNew { version: 9_999, .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn retention_follows_the_configuration() {
    let database = Database::migrated("migrations_retention").await;
    let run = async |days: Option<u64>| {
        let mut options = options("migrations_retention");
        let age = days.map(|days| Duration::from_secs(days * 86_400));
        options.retention = Retention {
            measurements: age,
            rollups: age,
            dead_letters: age,
        };
        migrate(&database.client, &options).await.unwrap()
    };
    let all = ["measurement_log", "rollup_log", "dead_letter_log"];
    for days in [Some(30), Some(365), None] {
        assert_eq!(run(days).await.retention, all, "{days:?}");
        assert!(run(days).await.is_empty(), "{days:?}: nothing left to do");
        let sql = "SELECT countIf(position(create_table_query, ' TTL ') > 0) FROM system.tables \
            WHERE database = 'migrations_retention' AND name LIKE '%_log'";
        assert_eq!(database.text(sql).await, if days.is_some() { "3" } else { "0" });
    }
}

#[tokio::test]
async fn expired_measurements_go_and_young_ones_stay() {
    let database = Database::migrated("migrations_expiry").await;
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let mut rows = crate::rig::measurements(2);
    rows.ts_ms = vec![now_ms - 40 * 86_400_000, now_ms];
    database.insert_measurements(rows).await;
    let mut options = options("migrations_expiry");
    options.retention.measurements = Some(Duration::from_secs(30 * 86_400));
    migrate(&database.client, &options).await.unwrap();
    database.execute("OPTIMIZE TABLE measurement_log FINAL").await;
    assert_eq!(database.text("SELECT offset FROM measurements").await, "1");
}

#[tokio::test]
async fn inspection_names_everything_that_would_make_results_wrong() {
    let client = client_at(server());
    let found = inspect(&client, "migrations_nowhere").await.unwrap();
    assert_eq!(
        found.faults.len(),
        16,
        "seven tables, eight views and the list of migrations: {found:?}"
    );
    assert!(found.faults.iter().all(|fault| matches!(fault, Fault::Missing { .. })));

    let database = Database::migrated("migrations_foreign").await;
    assert_eq!(inspect(&client, "migrations_foreign").await.unwrap().faults, []);
    database.execute("DROP TABLE rollup_log").await;
    database
        .execute(
            "CREATE TABLE rollup_log (tenant String, bucket DateTime) \
             ENGINE = MergeTree PARTITION BY toYYYYMMDD(bucket) ORDER BY tenant",
        )
        .await;
    let found = inspect(&client, "migrations_foreign").await.unwrap();
    let texts: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    for part in [
        "sorting key `tenant`",
        "partition key `toYYYYMMDD(bucket)`",
        "engine `MergeTree`",
        "version column ``",
    ] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part} in {texts:?}");
    }
    assert!(
        texts
            .iter()
            .any(|text| text.starts_with("column `device_hashes` is missing")),
        "{texts:?}"
    );
}

#[tokio::test]
async fn letters_and_devices_from_before_a_migration_are_read_after_it() {
    let (client, name) = (client_at(server()), "migrations_upgrade");
    let old = client.clone().with_database("system");
    for migration in &MIGRATIONS[..5] {
        for statement in migration.statements(name, &Engines::Plain).unwrap() {
            old.query_raw(&statement).execute().await.unwrap();
        }
        let (version, checksum) = (migration.version, migration.checksum());
        let record = format!(
            "INSERT INTO {name}.schema_migrations (version, name, checksum) VALUES ({version}, '{}', '{checksum}')",
            migration.name
        );
        old.query_raw(&record).execute().await.unwrap();
    }
    let letter =
        format!("INSERT INTO {name}.dead_letter_log (id, received_at) VALUES ('a-1', '2026-01-02 03:04:05.678')");
    old.query_raw(&letter).execute().await.unwrap();
    let device = format!("INSERT INTO {name}.device_log (tenant, device, version) VALUES ('acme', 'bus', 7)");
    old.query_raw(&device).execute().await.unwrap();
    let applied = migrate(&client, &options(name)).await.unwrap();
    assert_eq!(applied.migrations.len(), MIGRATIONS.len() - 5);
    assert_eq!(inspect(&client, name).await.unwrap().faults, []);
    let database = Database::migrated(name).await;
    assert_eq!(
        database
            .text("SELECT id, replay_of, replay_count, first_received_at FROM dead_letters")
            .await,
        "a-1\t\t0\t2026-01-02 03:04:05.678"
    );
    assert_eq!(database.text("SELECT count() FROM devices").await, "1");
    assert_eq!(database.text("SELECT count() FROM device_clocks").await, "0");
}
