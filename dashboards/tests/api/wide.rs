//! Answers that are cut out of wider ones: who pans gets what the store would say, without asking it.

use dashboards::Site;
use geocache::LocalCache;
use platform::clock::SystemClock;
use serde_json::Value;
use std::sync::Arc;

use crate::{fleet::HOUR, rig::Api};

async fn start(database: &str) -> Api {
    let site = Site {
        cache: Some(Arc::new(LocalCache::new(Arc::new(SystemClock::new())))),
        ..Site::default()
    };
    Api::listening("127.0.0.1:0", Api::store(database).await, site).await
}

/// A cell at every so many degrees of a box, each with one event.
pub(crate) async fn fill(api: &Api, (west, south, east, north): (f64, f64, f64, f64), step: f64) {
    let columns = ((east - west) / step) as u32;
    let rows = ((north - south) / step) as u32;
    api.execute(&format!(
        "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, generation, version, count, sum, min, max)
         SELECT 'acme', 'speed', 60, 9, toDateTime({HOUR}, 'UTC'),
             geoToH3({south} + {step} * intDiv(number, {columns}), {west} + {step} * (number % {columns}), 9),
             number, 1, 1, number, number, number
         FROM numbers({})
         SETTINGS geotoh3_argument_order = 'lat_lon'",
        columns * rows
    ))
    .await;
}

fn path(box_text: &str, seconds: u32) -> String {
    let range = format!("from={HOUR}000&to={}000&period=60", HOUR + seconds);
    format!("/api/v1/cells?tenant=acme&metric=speed&agg=sum&res=9&{range}&bbox={box_text}")
}

/// Cells and values, and whether they came out of what is kept.
async fn ask(api: &Api, path: &str) -> (Value, Value, bool) {
    let answer = api.get(path).await;
    let json = answer.json();
    assert_eq!((answer.status, &json["coarsened"]), (200, &false.into()), "{path}");
    (
        json["cells"].clone(),
        json["values"].clone(),
        !answer.header("age").is_empty(),
    )
}

/// The same, asked of a server that keeps nothing.
async fn straight(api: &Api, path: &str) -> (Value, Value) {
    let json = api.json(path).await;
    (json["cells"].clone(), json["values"].clone())
}

const BOXES: [&str; 5] = [
    "13.2,52.3,13.6,52.7",
    "13.21,52.31,13.61,52.71",
    "13.4,52.4,13.41,52.41",
    "-180,-90,180,90",
    "170,-80,-170,80",
];

#[tokio::test(flavor = "multi_thread")]
async fn whoever_pans_is_answered_from_what_is_kept_as_the_store_would() {
    let api = start("wide_pans").await;
    let plain = Api::over(Api::store("wide_pans_plain").await).await;
    for api in [&api, &plain] {
        fill(api, (13.0, 52.0, 14.0, 53.0), 0.02).await;
        fill(api, (179.0, 0.0, 180.0, 1.0), 0.1).await;
    }
    // A minute, of which everybody is answered from the world; and five hours, for which that would be too much work.
    for seconds in [60, 5 * 3_600] {
        let (cells, ..) = ask(&api, &path("13.1,52.2,13.5,52.6", seconds)).await;
        assert!(cells.as_array().unwrap().len() > 100);
        for place in BOXES {
            let path = path(place, seconds);
            let (cells, values, is_kept) = ask(&api, &path).await;
            assert_eq!((cells, values), straight(&plain, &path).await, "{path}");
            // Of five hours, tiles are kept that go with the size of a box.
            let is_near = place.starts_with("13.2");
            assert!(is_kept || !(seconds == 60 || is_near), "{path} is asked of the store");
        }
    }
    let kept = api.get(&path("13.4,52.4,13.41,52.41", 60)).await;
    let again = api.get(&path("13.4,52.4,13.41,52.41", 60)).await;
    assert_eq!(kept.header("etag"), again.header("etag"));
    let export = api.get(&(path("13.3,52.3,13.5,52.5", 60) + "&format=csv")).await;
    assert!(
        export.status == 200 && !export.header("age").is_empty(),
        "out of what is there"
    );
    api.stop().await;
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_world_has_too_much_a_part_of_it_is_kept() {
    let api = start("wide_large").await;
    fill(&api, (13.0, 52.0, 14.0, 53.0), 0.02).await;
    fill(&api, (-100.0, 0.0, -60.0, 40.0), 0.25).await;
    let (cells, _, is_kept) = ask(&api, &path(BOXES[0], 60)).await;
    assert!(!is_kept && cells.as_array().unwrap().len() > 100);
    let (.., is_kept) = ask(&api, &path(BOXES[1], 60)).await;
    assert!(is_kept, "out of the tiles around");
    let world = api.json(&path("-180,-90,180,90", 60)).await;
    assert_eq!(world["coarsened"], true, "28,000 hexagons are too many for one answer");
    api.stop().await;
}
