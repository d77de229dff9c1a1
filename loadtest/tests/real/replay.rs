//! Whole replays: file, Mosquitto, a reference pipeline, the product's schema, verdict.

use std::{fmt::Write as _, path::Path, time::Duration};

use loadtest::{
    LoadtestError,
    oracle::Verdict,
    replay::{Endpoints, ReplayOptions, parse_map, replay},
};
use platform::shutdown::Shutdown;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rig::Mosquitto;

use crate::{
    engine::database,
    reference::{Fault, run, subscribe},
};

/// Ships that sail around, with steps back in time, exact repetitions and values that are not available.
fn write_ships(path: &Path, count: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut csv = "MMSI,BaseDateTime,LAT,LON,SOG,COG\n".to_owned();
    let mut last = String::new();
    for index in 0..count {
        if index % 500 == 499 {
            csv.push_str(&last);
            continue;
        }
        let seconds = index / 3 + random.random_range(0..20);
        let speed = match index % 11 {
            0 => "102.3".to_owned(),
            _ => format!("{:.1}", random.random_range(0.0..25.0)),
        };
        // Now and then neither is available, and only the position is left.
        let course = match index % 22 {
            0 => "360.0".to_owned(),
            _ => format!("{:.1}", random.random_range(0.0..359.0)),
        };
        last = format!(
            "{},2022-01-03T{:02}:{:02}:{:02}Z,{:.5},{:.5},{},{}\n",
            366_000_000 + index % 97,
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            29.5 + random.random_range(0.0..0.3),
            -95.0 + random.random_range(0.0..0.3),
            speed,
            course,
        );
        write!(csv, "{last}").unwrap();
    }
    std::fs::write(path, csv).unwrap();
}

const MAP: &str =
    "device=MMSI,ts=BaseDateTime,lat=LAT,lon=LON,metric.speed=SOG,metric.course=COG,null.SOG=102.3,null.COG=360";

async fn verdict(database_name: &str, fault: Fault, runs: usize) -> Verdict {
    let (client, clickhouse) = database(database_name).await;
    let broker = Mosquitto::start();
    let inbox = subscribe(broker.port(), "reference").await;
    let pipeline = tokio::spawn(run(inbox, client, fault));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ships.csv");
    write_ships(&file, 3_000);
    let options = ReplayOptions {
        tenant: "acme".to_owned(),
        drain_patience: Duration::from_secs(4),
        report: Some(folder.path().join("report.json")),
        ..ReplayOptions::new(&file, parse_map(MAP).unwrap())
    };
    let endpoints = Endpoints {
        mqtt: broker.url(),
        mqtt_credentials: None,
        clickhouse,
    };
    let (_trigger, shutdown) = Shutdown::new();
    let mut verdict = Verdict::default();
    for _ in 0..runs {
        verdict = replay(&options, &endpoints, &shutdown).await.unwrap();
    }
    pipeline.abort();
    let report = std::fs::read_to_string(folder.path().join("report.json")).unwrap();
    assert_eq!(report, verdict.to_json());
    verdict
}

#[tokio::test]
async fn a_right_pipeline_gets_a_clean_verdict_also_the_second_time() {
    let verdict = verdict("replay_clean", Fault::Nothing, 2).await;
    assert!(verdict.clean, "{}", verdict.to_json());
    let published = &verdict.published;
    assert_eq!(published.offered, 3_000 + published.duplicates + published.poison);
    assert_eq!(published.acknowledged, published.offered);
    assert!(published.duplicates > 100 && published.poison > 20, "{published:?}");
    // Six rows of the file repeat the one before.
    assert_eq!(published.events, 2_994);
    assert_eq!(verdict.dead_letters.stored, published.poison);
    assert_eq!(verdict.levels.len(), 9);
    assert!(verdict.levels.iter().all(|level| level.cells_expected > 0));
}

#[tokio::test]
async fn an_event_that_is_lost_is_in_the_verdict() {
    let verdict = verdict("replay_loss", Fault::LosesAnEvent, 1).await;
    assert!(!verdict.clean);
    assert_eq!((verdict.rows.lost_events, verdict.rows.unexpected), (1, 0));
    assert!(
        verdict
            .levels
            .iter()
            .all(|level| level.differ_from_published > 0 && level.differ_from_recount == 0)
    );
}

#[tokio::test]
async fn an_event_that_is_counted_twice_is_in_the_verdict() {
    let verdict = verdict("replay_twice", Fault::CountsTwice, 1).await;
    assert!(!verdict.clean);
    assert!(
        verdict.rows.duplicated > 0 && verdict.rows.lost == 0,
        "{:?}",
        verdict.rows
    );
    assert!(verdict.levels.iter().all(|level| level.differ_from_published > 0));
}

#[tokio::test]
async fn a_rollup_that_does_not_follow_from_the_measurements_is_in_the_verdict() {
    let verdict = verdict("replay_rollup", Fault::WrongRollup, 1).await;
    assert!(!verdict.clean);
    assert_eq!(verdict.rows.lost, 0);
    let differing: u64 = verdict.levels.iter().map(|level| level.differ_from_recount).sum();
    assert_eq!(differing, 1);
    assert!(
        verdict
            .differences
            .iter()
            .any(|difference| difference.check == "recount")
    );
}

#[tokio::test]
async fn poison_that_is_swallowed_is_in_the_verdict() {
    let verdict = verdict("replay_poison", Fault::SwallowsPoison, 1).await;
    assert!(!verdict.clean);
    assert_eq!((verdict.dead_letters.missing, verdict.dead_letters.unexpected), (1, 0));
}

#[tokio::test]
async fn options_out_of_range_and_missing_columns_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ships.csv");
    write_ships(&file, 3);
    let (_trigger, shutdown) = Shutdown::new();
    let (_, clickhouse) = database("replay_options").await;
    let endpoints = Endpoints {
        mqtt: "mqtt://127.0.0.1:1".to_owned(),
        mqtt_credentials: None,
        clickhouse,
    };
    let good = ReplayOptions::new(&file, parse_map(MAP).unwrap());
    let message = async |options: ReplayOptions| -> String {
        let outcome: Result<Verdict, LoadtestError> = replay(&options, &endpoints, &shutdown).await;
        outcome.unwrap_err().to_string()
    };
    let too_many = ReplayOptions {
        poison: 1.5,
        ..good.clone()
    };
    assert_eq!(message(too_many).await, "`poison` is 1.5: use a share from 0 to 1");
    let bad_tenant = ReplayOptions {
        tenant: "a b".to_owned(),
        ..good.clone()
    };
    assert!(message(bad_tenant).await.starts_with("`tenant` is a b"));
    let map = parse_map("device=Ship,ts=BaseDateTime,metric.speed=SOG").unwrap();
    let no_column = ReplayOptions { map, ..good.clone() };
    assert!(
        message(no_column)
            .await
            .starts_with("the file has no column `Ship`; its columns are `MMSI`")
    );
    let no_file = ReplayOptions {
        file: folder.path().join("none.csv"),
        ..good
    };
    assert!(message(no_file).await.contains("none.csv"));
}
