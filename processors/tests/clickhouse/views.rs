//! The views are what the contract says, and as fast as the tables below them.

use crate::rig::{Database, Snapshot, measurements};

#[tokio::test]
async fn views_have_the_columns_of_the_contract() {
    let database = Database::migrated("views_columns").await;
    let promised = [
        (
            "measurements",
            "tenant device metric ts:DateTime64(3,'UTC') value:Float64 lat:Float64 lon:Float64 cell:UInt64 seq:UInt64 \
             received_at:DateTime64(3,'UTC') partition:UInt16 offset:UInt64",
        ),
        (
            "rollups",
            "tenant metric period:UInt32 res:UInt8 bucket:DateTime('UTC') cell:UInt64 count:UInt64 sum:Float64 \
             min:Float64 max:Float64 avg:Float64 p50:Float64 p90:Float64 p99:Float64 devices:UInt64 \
             bin_keys:Array(Int16) bin_counts:Array(UInt64) device_hashes:Array(UInt32)",
        ),
        (
            "devices",
            "tenant device ts:DateTime64(3,'UTC') lat:Float64 lon:Float64 metrics:Map(String,Float64) \
             attributes:Map(String,String)",
        ),
        (
            "dead_letters",
            "id received_at:DateTime64(3,'UTC') stage reason detail broker topic payload",
        ),
    ];
    for (view, columns) in promised {
        let sql =
            format!("SELECT name, type FROM system.columns WHERE database = 'views_columns' AND table = '{view}'");
        let found = database.text(&sql).await.replace(", ", ",");
        for column in columns.split_whitespace() {
            let (name, kind) = column.split_once(':').unwrap_or((column, "String"));
            let (plain, low) = (format!("{name}\t{kind}"), format!("{name}\tLowCardinality({kind})"));
            assert!(
                found.lines().any(|line| line == plain || line == low),
                "{view}: {column} in\n{found}"
            );
        }
    }
}

#[tokio::test]
async fn predicates_reach_the_tables_through_the_views() {
    let database = Database::migrated("views_predicates").await;
    database.insert_measurements(measurements(10)).await;
    database.insert_rollups(&[Snapshot::default()]).await;
    let sql = "EXPLAIN indexes = 1 SELECT count FROM rollups WHERE tenant = 'acme' AND metric = 'temperature' \
        AND period = 3600 AND res = 9 AND bucket >= toDateTime(1767225600) AND cell IN (7, 8)";
    let plan = database.text(sql).await;
    let key = plan.split("PrimaryKey").nth(1).expect(&plan);
    let condition = key.lines().find(|line| line.contains("Condition:")).unwrap();
    for column in ["tenant", "metric", "period", "res", "bucket", "cell"] {
        assert!(condition.contains(column), "{column} in {condition}");
    }
    assert!(plan.contains("toYYYYMM(bucket)"), "partitions are pruned: {plan}");

    let sql = "EXPLAIN indexes = 1 SELECT value FROM measurements WHERE tenant = 'acme' AND metric = 'temperature' \
        AND device = 'device-1' AND ts >= toDateTime64(1767225600, 3)";
    let plan = database.text(sql).await;
    let key = plan.split("PrimaryKey").nth(1).expect(&plan);
    let condition = key.lines().find(|line| line.contains("Condition:")).unwrap();
    for column in ["tenant", "metric", "device", "ts"] {
        assert!(condition.contains(column), "{column} in {condition}");
    }
    assert!(plan.contains("toYYYYMM(ts)"), "partitions are pruned: {plan}");
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_computed() {
    let database = Database::migrated("views_pruning").await;
    database.insert_rollups(&[Snapshot::default()]).await;
    let plan = database
        .text("EXPLAIN header = 1 SELECT cell, count, avg FROM rollups")
        .await;
    for unused in ["sumMap", "groupUniq", "device_hashes", "bin_keys", "minIf"] {
        assert!(!plan.contains(unused), "{unused} in {plan}");
    }
    let plan = database.text("EXPLAIN header = 1 SELECT p99 FROM rollups").await;
    assert!(plan.contains("sumMap") && !plan.contains("device_hashes"), "{plan}");
}

#[tokio::test]
async fn months_are_merged_apart_when_read() {
    let database = Database::migrated("views_months").await;
    // Two metrics in each of two months: the key ranges of the months overlap.
    for month in 0..2 {
        let bucket = 1_767_225_600 + month * 31 * 86_400;
        let snapshots = ["humidity", "temperature"].map(|metric| Snapshot {
            metric,
            bucket,
            ..Snapshot::default()
        });
        database.insert_rollups(&snapshots).await;
    }
    database.execute("OPTIMIZE TABLE rollup_log FINAL").await;
    // Newer servers find out by themselves: the view must not need that.
    let alone = "SETTINGS enable_automatic_decision_for_merging_across_partitions_for_final = 0";
    let plan = database
        .text(&format!("EXPLAIN PIPELINE SELECT count FROM rollups {alone}"))
        .await;
    assert!(
        !plan.contains("ReplacingSorted"),
        "merged months need no merging again: {plan}"
    );
    let plan = database
        .text(&format!("EXPLAIN PIPELINE SELECT count FROM rollup_log FINAL {alone}"))
        .await;
    assert!(
        plan.contains("ReplacingSorted"),
        "without the setting of the view they would: {plan}"
    );
}
