//! The recount inside ClickHouse: agrees with a right rollup, complains about each wrong one.

use loadtest::oracle::{Level, Names, Store};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    engine::{database, insert},
    reference::{Fault, Pipeline, rollups},
};

fn pipeline() -> Pipeline {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut pipeline = Pipeline::default();
    for index in 0..3_000 {
        let topic = format!("telemetry/acme/ship-{}", index % 60);
        let payload = format!(
            r#"{{"ts":{},"lat":{:.7},"lon":{:.7},"metrics":{{"speed":{:.2},"course":{}}}}}"#,
            1_767_225_600_000i64 + random.random_range(0..90_000_000),
            random.random_range(-89.0..89.0),
            random.random_range(-180.0..180.0),
            random.random_range(-5.0..30.0),
            random.random_range(0..360),
        );
        pipeline.take(topic.as_bytes(), payload.as_bytes());
    }
    pipeline
}

#[tokio::test]
async fn rust_and_the_server_agree_on_every_cell_around_the_globe() {
    let (client, address) = database("recount_agrees").await;
    pipeline().store(&client, Fault::Nothing).await;
    let store = Store::new(&address, "acme");
    store.check_argument_order().await.unwrap();
    assert_eq!(store.row_count().await.unwrap(), 6_000);
    assert_eq!(store.repeated_offsets().await.unwrap(), 0);
    for level in Level::ALL {
        assert_eq!(store.recount(level).await.unwrap(), (0, Vec::new()), "{level:?}");
        assert!(!store.cells(level, &mut Names::default()).await.unwrap().is_empty());
    }
    let other = Store::new(&address, "other");
    assert_eq!(other.row_count().await.unwrap(), 0);
    assert_eq!(other.recount(Level::ALL[0]).await.unwrap().0, 0);
}

#[tokio::test]
async fn the_server_complains_about_every_kind_of_wrong_cell() {
    let (client, address) = database("recount_complains").await;
    let pipeline = pipeline();
    pipeline.store(&client, Fault::Nothing).await;
    let store = Store::new(&address, "acme");
    let level = Level::ALL[4];
    let right = rollups(&pipeline.rows, 1_000_000);
    let at_level = |row: &&crate::engine::RollupLogRow| (row.period, row.res) == (3_600, 7);
    let cell = right.iter().find(at_level).unwrap();
    let mut version = 1_000_000;
    for change in ["count", "sum", "min", "max", "devices", "gone", "invented"] {
        let mut row = cell.clone();
        match change {
            "count" => row.count += 1,
            "sum" => row.sum += 0.01,
            "min" => row.min -= 0.01,
            "max" => row.max += 0.01,
            "devices" => row.device_hashes.push(u32::MAX),
            "gone" => row.count = 0,
            _ => row.bucket += 86_400 * 3,
        }
        version += 1;
        row.version = version;
        insert(&client, "rollup_log", &[row.clone()]).await;
        let (count, differences) = store.recount(level).await.unwrap();
        assert_eq!((count, differences.len()), (1, 1), "{change}");
        // Heal it again.
        version += 1;
        let healed = if change == "invented" {
            row.count = 0;
            row
        } else {
            cell.clone()
        };
        insert(
            &client,
            "rollup_log",
            &[crate::engine::RollupLogRow { version, ..healed }],
        )
        .await;
        assert_eq!(store.recount(level).await.unwrap().0, 0, "{change} healed");
    }
}
