//! Rollups are exact: over repeats, versions, generations and partitions; quantiles and distinct counts within bounds.

use std::collections::BTreeMap;

use processors::rollup::{
    distinct::DistinctDevices,
    sketch::{Sketch, bin_key},
};
use rand::{Rng, RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use schemas::clickhouse::MERGE_SQL;

use crate::rig::{Database, HOUR, Snapshot, measurements};

fn random() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(20_260_101)
}

/// A snapshot of some values, as an accumulator would write it.
fn snapshot_of(values: &[f64], place: &Snapshot) -> Snapshot {
    let mut bins = BTreeMap::new();
    for value in values {
        *bins.entry(bin_key(*value)).or_insert(0) += 1;
    }
    Snapshot {
        count: values.len() as u64,
        sum: values.iter().sum(),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        bins: bins.into_iter().collect(),
        ..place.clone()
    }
}

#[tokio::test]
async fn the_same_rows_again_change_nothing() {
    let database = Database::migrated("rollups_again").await;
    let before = [Snapshot {
        count: 3,
        ..Snapshot::default()
    }];
    database.insert_rollups(&before).await;
    database.insert_measurements(measurements(10)).await;
    let sql = "SELECT *, (SELECT count() FROM measurements), (SELECT sum(value) FROM measurements) FROM rollups";
    let first = database.text(sql).await;
    assert!(first.ends_with("\t10\t45"), "{first}");
    for _ in 0..3 {
        database.insert_rollups(&before).await;
        database.insert_measurements(measurements(10)).await;
    }
    assert_eq!(database.text(sql).await, first);
    database.execute("OPTIMIZE TABLE measurement_log FINAL").await;
    database.execute("OPTIMIZE TABLE rollup_log FINAL").await;
    assert_eq!(database.text(sql).await, first, "merged or not is all the same");
}

#[tokio::test]
async fn an_older_version_after_a_newer_one_changes_nothing() {
    let database = Database::migrated("rollups_versions").await;
    for version in [5, 9, 7, 9, 1] {
        let snapshot = Snapshot {
            version,
            count: version,
            sum: version as f64,
            ..Snapshot::default()
        };
        database.insert_rollups(&[snapshot]).await;
        let newest = version.max(9) % 10;
        let expected = if version == 5 { 5 } else { newest };
        assert_eq!(
            database.text("SELECT count, sum FROM rollups").await,
            format!("{expected}\t{expected}")
        );
    }
}

#[tokio::test]
async fn generations_and_partitions_add_up() {
    let database = Database::migrated("rollups_add").await;
    let mut snapshots = Vec::new();
    for partition in 0..3 {
        for generation in [0, 100] {
            for version in [generation, generation + 1] {
                snapshots.push(Snapshot {
                    partition,
                    generation,
                    version,
                    count: version + 1,
                    sum: 2.0,
                    min: f64::from(partition),
                    max: 10.0 + f64::from(partition),
                    bins: vec![(12_000 + partition as i16, 1)],
                    hashes: vec![u32::from(partition), 77],
                    ..Snapshot::default()
                });
            }
        }
    }
    snapshots.shuffle(&mut random());
    for share in snapshots.chunks(5) {
        database.insert_rollups(share).await;
    }
    // Newest versions: 1 and 101, so counts 2 and 102, in each of three partitions.
    assert_eq!(
        database
            .text("SELECT count, sum, min, max, avg, devices, bin_keys, bin_counts, device_hashes FROM rollups")
            .await,
        format!(
            "312\t12\t0\t12\t{}\t4\t[12000,12001,12002]\t[2,2,2]\t[0,1,2,77]",
            12.0 / 312.0
        )
    );
}

#[tokio::test]
async fn a_withdrawn_snapshot_leaves_nothing_behind() {
    let database = Database::migrated("rollups_withdrawn").await;
    let live = Snapshot {
        cell: 1,
        min: 5.0,
        max: 6.0,
        ..Snapshot::default()
    };
    let withdrawn = Snapshot {
        generation: 9,
        version: 10,
        count: 0,
        sum: 0.0,
        min: 0.0,
        max: 0.0,
        bins: Vec::new(),
        hashes: Vec::new(),
        ..live.clone()
    };
    let before = Snapshot {
        generation: 9,
        version: 9,
        ..live.clone()
    };
    let elsewhere = Snapshot {
        cell: 2,
        ..withdrawn.clone()
    };
    database.insert_rollups(&[live, before, withdrawn, elsewhere]).await;
    assert_eq!(
        database.text("SELECT cell, count, min, max FROM rollups").await,
        "1\t1\t5\t6"
    );
}

#[tokio::test]
async fn quantiles_are_within_one_percent_whatever_the_values() {
    let database = Database::migrated("rollups_quantiles").await;
    let mut random = random();
    let mut cells: Vec<Vec<f64>> = Vec::new();
    let draw: [fn(&mut ChaCha8Rng) -> f64; 6] = [
        |random| random.random_range(-50.0..50.0),
        |random| 10f64.powf(random.random_range(-8.0..8.0)),
        |random| -(10f64.powf(random.random_range(-8.0..8.0))),
        |random| f64::from(random.random_range(-2..3)),
        |random| {
            if random.random_bool(0.5) {
                0.0
            } else {
                random.random_range(-1e-3..1e3)
            }
        },
        |_| 21.5,
    ];
    let mut snapshots = Vec::new();
    for (cell, draw) in draw.iter().enumerate() {
        let mut all = Vec::new();
        for partition in 0..4 {
            for generation in 0..random.random_range(1..4) {
                let length = random.random_range(1..400);
                let values: Vec<f64> = (0..length).map(|_| draw(&mut random)).collect();
                let place = Snapshot {
                    cell: cell as u64,
                    partition,
                    generation,
                    ..Snapshot::default()
                };
                snapshots.push(snapshot_of(&values, &place));
                all.extend(values);
            }
        }
        all.sort_by(f64::total_cmp);
        cells.push(all);
    }
    database.insert_rollups(&snapshots).await;
    let read: Vec<(u64, f64, f64, f64)> = database
        .client
        .query("SELECT cell, p50, p90, p99 FROM rollups ORDER BY cell")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(read.len(), cells.len());
    for ((cell, p50, p90, p99), values) in read.into_iter().zip(cells) {
        for (quantile, found) in [(0.5, p50), (0.9, p90), (0.99, p99)] {
            let exact = values[(quantile * (values.len() - 1) as f64).floor() as usize];
            let bound = exact.abs() * 0.010_000_1;
            assert!(
                (found - exact).abs() <= bound,
                "cell {cell}, {quantile}: {found} for {exact}"
            );
        }
    }
}

#[tokio::test]
async fn sql_finds_the_same_quantile_as_the_sketch_in_rust() {
    let database = Database::migrated("rollups_same_quantile").await;
    let mut random = random();
    let values: Vec<f64> = (0..999).map(|_| random.random_range(-1e6..1e6)).collect();
    let mut sketch = Sketch::default();
    values.iter().for_each(|value| sketch.add(bin_key(*value)));
    database
        .insert_rollups(&[snapshot_of(&values, &Snapshot::default())])
        .await;
    for percent in [0, 1, 25, 50, 75, 99, 100] {
        let quantile = f64::from(percent) / 100.0;
        let sql = format!(
            "WITH {MERGE_SQL} SELECT quantile_of_bins((bin_keys, bin_counts), {quantile}, -inf, inf) FROM rollups"
        );
        let found: f64 = database.text(&sql).await.parse().unwrap();
        let expected = sketch.quantile(quantile);
        assert!(
            (found - expected).abs() <= expected.abs() * 1e-12,
            "{percent} %: {found} for {expected}"
        );
    }
}

#[tokio::test]
async fn cells_and_periods_merge_further_in_sql() {
    let database = Database::migrated("rollups_further").await;
    let mut random = random();
    let mut all = Vec::new();
    let mut snapshots = Vec::new();
    for cell in 0..5_u64 {
        for bucket in 0..4_u32 {
            let values: Vec<f64> = (0..50).map(|_| random.random_range(1.0..1e4)).collect();
            let bucket = HOUR + bucket * 3_600;
            let hashes = (0..10).map(|hash| hash + cell as u32 * 5).collect();
            snapshots.push(snapshot_of(
                &values,
                &Snapshot {
                    cell,
                    bucket,
                    hashes,
                    ..Snapshot::default()
                },
            ));
            all.extend(values);
        }
    }
    database.insert_rollups(&snapshots).await;
    all.sort_by(f64::total_cmp);
    let sql = format!(
        "WITH {MERGE_SQL} SELECT \
            quantile_of_bins(sumMap(bin_keys, bin_counts), 0.95, min(rollups.min), max(rollups.max)) AS p95, \
            devices_of_hashes(smallest_hashes(groupUniqArrayArray(device_hashes))) AS devices \
        FROM rollups WHERE tenant = 'acme' AND metric = 'temperature' AND period = 3600 AND res = 9"
    );
    let (p95, devices): (f64, u64) = database.client.query_raw(&sql).fetch_one().await.unwrap();
    let exact = all[(0.95 * (all.len() - 1) as f64).floor() as usize];
    assert!((p95 - exact).abs() <= exact * 0.010_000_1, "{p95} for {exact}");
    assert_eq!(devices, 30, "hashes 0 to 29, each in several cells");
}

#[tokio::test]
async fn distinct_devices_are_exact_below_4096_and_near_above() {
    let database = Database::migrated("rollups_devices").await;
    let mut random = random();
    for (cell, count) in [(0, 0_u64), (1, 1), (2, 4_095), (3, 4_096), (4, 50_000), (5, 400_000)] {
        // Two partitions share a tenth of the devices; each keeps its own smallest hashes.
        let hashes: Vec<u32> = (0..count).map(|_| random.next_u32()).collect();
        let mut distinct = hashes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let (first, second) = (&hashes[..hashes.len() * 6 / 10], &hashes[hashes.len() / 2..]);
        let snapshots = [first, second].map(|share| {
            let mut sketch = DistinctDevices::default();
            share.iter().for_each(|hash| {
                sketch.insert(*hash);
            });
            sketch.hashes().to_vec()
        });
        let mut rows: Vec<Snapshot> = Vec::new();
        for (hashes, partition) in snapshots.into_iter().zip(0..) {
            rows.push(Snapshot {
                cell,
                partition,
                hashes,
                ..Snapshot::default()
            });
        }
        database.insert_rollups(&rows).await;
        let sql = format!("SELECT devices FROM rollups WHERE cell = {cell}");
        let found: f64 = database.text(&sql).await.parse().unwrap();
        let exact = distinct.len() as f64;
        let allowed = if count < 4_096 { 0.0 } else { exact * 0.05 };
        assert!((found - exact).abs() <= allowed, "{found} for {exact}");
    }
}

#[tokio::test]
async fn rollups_count_what_measurements_hold() {
    let database = Database::migrated("rollups_sum").await;
    let mut random = random();
    let rows = measurements(5_000);
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for (ts_ms, value) in rows.ts_ms.iter().zip(&rows.value) {
        let bucket = u32::try_from(ts_ms / 1_000).unwrap() / 3_600 * 3_600;
        let place = Snapshot {
            bucket,
            partition: 3,
            count: 0,
            version: 0,
            ..Snapshot::default()
        };
        if snapshots.last().is_none_or(|last| last.bucket != bucket) {
            snapshots.push(Snapshot {
                min: *value,
                sum: 0.0,
                ..place
            });
        }
        // An absolute snapshot after each event: all versions are written, some of them again.
        let last = snapshots.last().unwrap();
        let next = Snapshot {
            count: last.count + 1,
            version: last.version + 1,
            sum: last.sum + value,
            max: *value,
            ..last.clone()
        };
        snapshots.push(next);
    }
    let again: Vec<Snapshot> = snapshots.iter().filter(|_| random.random_bool(0.2)).cloned().collect();
    snapshots.extend(again);
    snapshots.shuffle(&mut random);
    database.insert_rollups(&snapshots).await;
    database.insert_measurements(rows.clone()).await;
    database.insert_measurements(rows).await;
    let (counted, summed): (u64, f64) = database
        .client
        .query("SELECT count(), sum(value) FROM measurements")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(counted, 5_000);
    let rolled_up: (u64, f64) = database
        .client
        .query("SELECT sum(count), sum(sum) FROM rollups")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(rolled_up, (counted, summed));
}
