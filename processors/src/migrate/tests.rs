//! Migrations and the inspection of a server, as far as they need no server.

use std::time::Duration;

use super::{
    inspect::{Fault, Inspection, Warning, check_version, version_of},
    retention::seconds_in,
    *,
};

#[test]
fn the_plan_is_the_whole_schema_in_order() {
    let options = MigrateOptions {
        retention: Retention {
            measurements: Some(Duration::from_secs(30 * 86_400)),
            ..Retention::default()
        },
        ..MigrateOptions::default()
    };
    let steps = plan(&options).unwrap();
    let names: Vec<&str> = steps.iter().map(|(name, _)| name.as_str()).collect();
    let mut expected: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.name).collect();
    expected.push("retention");
    assert_eq!(names, expected);
    assert!(
        steps[1]
            .1
            .contains("CREATE TABLE IF NOT EXISTS meridian.measurement_log\n"),
        "{}",
        steps[1].1
    );
    assert_eq!(
        steps.last().unwrap().1,
        "ALTER TABLE `meridian`.measurement_log MODIFY TTL toDateTime(ts) + toIntervalSecond(2592000);\n"
    );
    assert_eq!(
        plan(&MigrateOptions::default()).unwrap().len(),
        MIGRATIONS.len(),
        "no retention, no statement"
    );
}

#[test]
fn a_changed_checksum_is_refused() {
    let record = |version, checksum: &str| AppliedMigration {
        version,
        name: "x".to_owned(),
        checksum: checksum.to_owned(),
    };
    check_applied("d", &[record(1, &MIGRATIONS[0].checksum())]).unwrap();
    let refused = check_applied("d", &[record(1, "0000000000000000")]);
    assert!(
        matches!(refused, Err(MigrateError::ChecksumChanged { .. })),
        "{refused:?}"
    );
    let refused = check_applied("d", &[record(9_999, "")]);
    assert!(
        matches!(refused, Err(MigrateError::TooNew { version: 9_999, .. })),
        "{refused:?}"
    );
}

#[test]
fn versions_are_judged() {
    let judge = |version: &str| {
        let mut found = Inspection::default();
        check_version(version, &mut found);
        found
    };
    let too_old = |version: &str| Fault::VersionTooOld {
        version: version.to_owned(),
    };
    assert_eq!(judge("25.7.9.1").faults, [too_old("25.7.9.1")]);
    assert_eq!(judge("nonsense").faults, [too_old("nonsense")]);
    for good in ["25.8.1.1", "25.10.2.1", "26.5.7.20", "26.7.3.9", "26.9.2.1", "27.1.1.1"] {
        assert_eq!(judge(good), Inspection::default(), "{good}");
    }
    for (bad, fixed) in [
        ("26.5.7.19", "26.5.7.20"),
        ("26.6.2.99", "26.6.3.19"),
        ("26.7.3.8", "26.7.3.9"),
    ] {
        let version = bad.to_owned();
        assert_eq!(
            judge(bad).warnings,
            [Warning::KnownBadVersion { version, fixed }],
            "{bad}"
        );
        assert!(judge(bad).faults.is_empty());
    }
}

#[test]
fn the_version_column_is_read_from_the_engine() {
    assert_eq!(
        version_of("ReplacingMergeTree(version) PARTITION BY a ORDER BY b"),
        Some("version")
    );
    assert_eq!(version_of("ReplacingMergeTree ORDER BY b SETTINGS x = (1)"), None);
    let replicated = "ReplicatedReplacingMergeTree('/clickhouse/{shard}/a', '{replica}'";
    assert_eq!(
        version_of(&format!("{replicated}, version) ORDER BY b")),
        Some("version")
    );
    assert_eq!(version_of(&format!("{replicated}) ORDER BY b")), None);
}

#[test]
fn the_retention_is_read_from_the_definition() {
    let table = "CREATE TABLE a.b (`ts` DateTime) ENGINE = X ORDER BY ts";
    assert_eq!(seconds_in(table), None);
    assert_eq!(
        seconds_in(&format!("{table} TTL ts + toIntervalSecond(60) SETTINGS x = 1")),
        Some(60)
    );
}
