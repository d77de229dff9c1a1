//! What is said to be complete: a range is, once its level is known to have everything, however long that takes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dashboards::Site;
use geocache::{Batch, CellCache, LocalCache};
use platform::clock::ManualClock;
use schemas::rows::WholeLevel;
use tokio::time::{Instant, sleep};

use crate::{fleet::HOUR, rig::Api};

const AWAITED_MAX: Duration = Duration::from_secs(30);
/// Of the device that reaches beyond the hour.
const PARTITION: u16 = 3;
const VERSION: u64 = 7;

/// A device whose newest event is later than the hour, and was received long ago.
async fn store(api: &Api, tenant: &str) {
    let seconds = HOUR + 3_700;
    api.execute(&format!(
        "INSERT INTO device_log (tenant, device, partition, version, ts, received_at) VALUES ('{tenant}', 'bus', \
         {PARTITION}, {VERSION}, toDateTime64({seconds}, 3, 'UTC'), toDateTime64({seconds}, 3, 'UTC'))"
    ))
    .await;
}

/// Whether the hour of a tenant is complete, as each endpoint says.
async fn are_complete(api: &Api, tenant: &str, aggregate: &str) -> [bool; 2] {
    let view = format!(
        "metric=v&tenant={tenant}&agg={aggregate}&period=3600&from={HOUR}000&to={}000",
        HOUR + 3_600
    );
    let cells = api.json(&format!("/api/v1/cells?res=7&{view}")).await;
    let series = api.json(&format!("/api/v1/series?{view}")).await;
    [cells, series].map(|answer| answer["complete"] == true)
}

fn whole(version: u64) -> Vec<WholeLevel> {
    let levels = [60, 3_600, 86_400]
        .into_iter()
        .flat_map(|period| [5, 7, 9].map(|res| (period, res)));
    levels
        .map(|(period_seconds, resolution)| WholeLevel {
            partition: PARTITION,
            period_seconds,
            resolution,
            version,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_complete_once_its_level_is_whole_and_no_time_makes_it_so() {
    let clock = Arc::new(ManualClock::at((i64::from(HOUR) + 86_400) * 1_000));
    let cache = Arc::new(LocalCache::new(clock.clone()));
    let site = Site {
        cache: Some(cache.clone()),
        ..Site::default()
    };
    let api = Api::listening_by(clock, "127.0.0.1:0", Api::store("complete").await, site).await;
    store(&api, "acme").await;
    assert_eq!(are_complete(&api, "acme", "sum").await, [false; 2], "nobody has told");
    cache.publish(Batch {
        newest_ms: vec![("acme".into(), (i64::from(HOUR) + 3_700) * 1_000)],
        newest_of: BTreeMap::from([(PARTITION, VERSION)]),
        whole: whole(VERSION - 1),
        ..Batch::default()
    });
    // Time enough to hear of it.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(
        are_complete(&api, "acme", "sum").await,
        [false; 2],
        "the last event is missing"
    );
    cache.publish(Batch {
        whole: whole(VERSION),
        ..Batch::default()
    });
    let started = Instant::now();
    while are_complete(&api, "acme", "sum").await != [true; 2] {
        assert!(started.elapsed() < AWAITED_MAX, "it is whole");
        sleep(Duration::from_millis(20)).await;
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_anybody_told_is_complete_once_the_books_have_it() {
    let clock = Arc::new(ManualClock::at((i64::from(HOUR) + 86_400) * 1_000));
    let site = Site {
        cache: Some(Arc::new(LocalCache::new(clock.clone()))),
        ..Site::default()
    };
    let api = Api::listening_by(clock, "127.0.0.1:0", Api::store("complete_books").await, site).await;
    store(&api, "acme").await;
    let book = async |topic: &str, version: u64| {
        api.execute(&format!(
            "INSERT INTO ledger_log (topic, partition, chunk, version) VALUES ('{topic}', {PARTITION}, 0, {version})"
        ))
        .await;
    };
    book("meridian.dead-letters.v1", VERSION).await;
    book("meridian.events.v1", VERSION - 1).await;
    assert_eq!(are_complete(&api, "acme", "sum").await, [false; 2]);
    book("meridian.events.v1", VERSION).await;
    assert_eq!(are_complete(&api, "acme", "max").await, [true; 2]);
    api.stop().await;
}
