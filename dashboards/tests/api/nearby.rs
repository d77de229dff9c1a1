//! The nearest devices, and searches: from the index as from the store, and never from an index that lacks something.

use std::{sync::Arc, time::Duration};

use geocache::{Batch, CellCache, LocalCache, Position};
use platform::clock::SystemClock;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};

use crate::{
    devices::{insert, names, row},
    fleet,
    rig::Api,
};

/// By vectors, which have no trouble anywhere: the angle between two places.
fn distance_m(one: (f64, f64), other: (f64, f64)) -> f64 {
    let vector = |(lat, lon): (f64, f64)| {
        let (lat, lon) = (lat.to_radians(), lon.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let (a, b) = (vector(one), vector(other));
    let cross = [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ];
    let length = cross.iter().map(|part| part * part).sum::<f64>().sqrt();
    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    6_371_008.8 * length.atan2(dot)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_devices_are_those_of_brute_force() {
    let api = Api::start("api_nearby").await;
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let places: Vec<(f64, f64)> = (0..2_000).map(|_| fleet::place(&mut random)).collect();
    let mut rows: Vec<String> = places
        .iter()
        .enumerate()
        .map(|(index, place)| row("acme", &format!("d-{index}"), Some(*place)))
        .collect();
    rows.push(row("acme", "nowhere", None));
    rows.push(row("beta", "other", Some((0.0, 0.0))));
    insert(&api, &rows).await;
    let mut found = 0;
    for index in 0..100 {
        let (lat, lon) = match index {
            0 => (90.0, 0.0),
            1 => (-90.0, 123.0),
            2 => (-17.0, 180.0),
            3 => (-17.0, -180.0),
            _ => fleet::place(&mut random),
        };
        let radius_m = [100.0, 10_000.0, 1_000_000.0, 20_037_000.0][index % 4];
        let path = format!("/api/v1/nearby?tenant=acme&lat={lat}&lon={lon}&radius_m={radius_m}&limit=50");
        let answer = api.json(&path).await;
        let mut expected: Vec<f64> = places
            .iter()
            .map(|place| distance_m((lat, lon), *place))
            .filter(|distance| *distance <= radius_m)
            .collect();
        expected.sort_by(f64::total_cmp);
        expected.truncate(50);
        let devices = answer["devices"].as_array().unwrap();
        assert_eq!(devices.len(), expected.len(), "{path}");
        for (device, expected) in devices.iter().zip(&expected) {
            let got = device["distance_m"].as_f64().unwrap();
            // Positions are kept to 1e-7 degrees, about a centimetre.
            assert!((got - expected).abs() < 0.02, "{path}: {got} for {expected}");
        }
        found += devices.len();
    }
    assert!(found > 2_000, "only {found} devices were compared");
    api.stop().await;
}

/// A server that is told of changes, over the tables of another one.
async fn told(api: &Api) -> (Api, Arc<LocalCache>) {
    let cache = Arc::new(LocalCache::new(Arc::new(SystemClock::new())));
    let told = Api::told_by(api.store.clone(), Some(cache.clone())).await;
    (told, cache)
}

/// Tells a position that is not stored: only the index knows it, so that it shows where an answer comes from.
fn tell(cache: &LocalCache, device: &str, version: u64, (lat, lon): (f64, f64)) {
    let position = Position {
        tenant: "told",
        device,
        partition: 0,
        version,
        ts_ms: 5,
        latitude_e7: (lat * 1e7).round() as i32,
        longitude_e7: (lon * 1e7).round() as i32,
    };
    cache.publish(Batch {
        positions: [position].into_iter().collect(),
        ..Batch::default()
    });
}

const AWAITED_MAX: Duration = Duration::from_secs(30);

/// The only device told of near a place.
async fn told_near(api: &Api, lat: f64, lon: f64) -> Vec<String> {
    let path = format!("/api/v1/nearby?tenant=told&lat={lat}&lon={lon}&radius_m=1000");
    names(&api.json(&path).await)
}

/// Tells the same until the index answers, which it does once it has read everything.
async fn until_answered(api: &Api, cache: &LocalCache) {
    let started = Instant::now();
    while told_near(api, 10.0, 10.0).await != ["told/here"] {
        assert!(started.elapsed() < AWAITED_MAX, "the index answers");
        tell(cache, "here", 7, (10.0, 10.0));
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_answers_as_the_store_does() {
    let api = Api::start("api_nearby_index").await;
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut rows = Vec::new();
    for index in 0..3_000 {
        let tenant = ["acme", "beta"][index % 2];
        // Some share a place with others, and some have none.
        let place = match index % 10 {
            0 => Some((f64::from(index as u32 % 7), 180.0)),
            1 => None,
            _ => Some(fleet::place(&mut random)),
        };
        rows.push(row(tenant, &format!("Bus-{index}"), place));
    }
    insert(&api, &rows).await;
    let (indexed, cache) = told(&api).await;
    until_answered(&indexed, &cache).await;
    let mut found = 0;
    for index in 0..150 {
        let (lat, lon) = match index {
            0 => (90.0, 0.0),
            1 => (-90.0, 123.0),
            2 => (3.0, 180.0),
            3 => (3.0, -180.0),
            _ => fleet::place(&mut random),
        };
        let radius_m = [0.5, 10_000.0, 1_000_000.0, 20_037_000.0][index % 4];
        let tenant = ["acme", "beta"][index % 2];
        let limit = random.random_range(1..200);
        let path = format!("/api/v1/nearby?tenant={tenant}&lat={lat}&lon={lon}&radius_m={radius_m}&limit={limit}");
        let (stored, held) = (api.get(&path).await, indexed.get(&path).await);
        found += stored.json()["devices"].as_array().unwrap().len();
        assert_eq!(held.json(), stored.json(), "{path}");
        assert_eq!(held.header("etag"), stored.header("etag"), "{path}");
    }
    assert!(found > 3_000, "only {found} devices were compared");
    for question in [
        "search=bus-1&limit=7",
        "search=99",
        "search=BUS-29&tenant=acme",
        "search=none",
        "bbox=179,-20,-179,20&limit=20",
        "bbox=8,47,9,48&search=7",
        "tenant=beta&limit=1000",
        "limit=3&cursor=acme%2FBus-998",
        "limit=3&cursor=beta%2FBus-999",
    ] {
        let path = format!("/api/v1/devices?{question}");
        assert_eq!(indexed.json(&path).await, api.json(&path).await, "{path}");
    }
    indexed.stop().await;
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_moves_as_it_is_told_and_never_back() {
    let api = Api::start("api_nearby_moves").await;
    let (indexed, cache) = told(&api).await;
    until_answered(&indexed, &cache).await;
    tell(&cache, "here", 9, (-20.0, 179.999));
    let started = Instant::now();
    while told_near(&indexed, -20.0, -179.999).await != ["told/here"] {
        assert!(started.elapsed() < AWAITED_MAX, "it is shown where it is now");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(told_near(&indexed, 10.0, 10.0).await.is_empty(), "and nowhere else");
    tell(&cache, "here", 8, (10.0, 10.0));
    tell(&cache, "other", 1, (10.0, 10.0));
    let started = Instant::now();
    while told_near(&indexed, 10.0, 10.0).await != ["told/other"] {
        assert!(
            started.elapsed() < AWAITED_MAX,
            "what was told before it counts no more"
        );
        sleep(Duration::from_millis(10)).await;
    }
    indexed.stop().await;
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_the_store_answers_until_all_is_read_again() {
    let api = Api::start("api_nearby_loss").await;
    insert(&api, &[row("acme", "bus-1", Some((10.0, 10.0)))]).await;
    let (indexed, cache) = told(&api).await;
    until_answered(&indexed, &cache).await;
    // Deleted by hand: nobody tells, so the index cannot know before it reads again.
    api.execute("DELETE FROM device_log WHERE device = 'bus-1'").await;
    let near = "/api/v1/nearby?tenant=acme&lat=10&lon=10";
    assert_eq!(names(&indexed.json(near).await), ["acme/bus-1"]);
    cache.lose();
    let started = Instant::now();
    while !told_near(&indexed, 10.0, 10.0).await.is_empty() {
        assert!(
            started.elapsed() < AWAITED_MAX,
            "what was told before the loss is not shown"
        );
        sleep(Duration::from_millis(10)).await;
    }
    assert!(names(&indexed.json(near).await).is_empty());
    until_answered(&indexed, &cache).await;
    assert!(names(&indexed.json(near).await).is_empty());
    indexed.stop().await;
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beyond_a_page_is_read_as_well() {
    let api = Api::start("api_nearby_pages").await;
    let count = u64::from(dashboards::limits::POSITIONS_PAGE) * 2 + 7;
    // Devices of several partitions, so that pages end within one.
    api.execute(&format!(
        "INSERT INTO device_log (tenant, device, partition, version, ts, received_at, latitude_e7, longitude_e7)
         SELECT 'tenant-' || toString(number % 3), 'bus-' || toString(intDiv(number, 6)), intDiv(number, 3) % 2, 1,
             toDateTime64(1767225600 + number % 5, 3, 'UTC') AS ts, ts, number * 17 % 900000000, number * 31 % 1800000000
         FROM numbers({count})"
    ))
    .await;
    let (indexed, cache) = told(&api).await;
    until_answered(&indexed, &cache).await;
    for lon in [0.0, 1.0, 2.5] {
        let path = format!("/api/v1/nearby?lat=0.1&lon={lon}&limit=1000");
        let mut held = indexed.json(&path).await;
        // All but the one that only the index knows.
        held["devices"]
            .as_array_mut()
            .unwrap()
            .retain(|device| device["tenant"] != "told");
        let mut stored = api.json(&path).await;
        stored["devices"]
            .as_array_mut()
            .unwrap()
            .truncate(held["devices"].as_array().unwrap().len());
        assert!(held["devices"].as_array().unwrap().len() >= 999);
        assert_eq!(held, stored, "{path}");
    }
    indexed.stop().await;
    api.stop().await;
}
