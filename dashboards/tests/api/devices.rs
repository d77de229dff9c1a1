//! Devices: pages, one device, its track, and the nearest ones.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{
    fleet::{self, HOUR},
    rig::Api,
};

/// A device with a position, or none.
fn row(tenant: &str, device: &str, position: Option<(f64, f64)>) -> String {
    let e7 = |degrees: f64| (degrees * 1e7).round() as i32;
    let (latitude_e7, longitude_e7) = position.map_or((i32::MIN, i32::MIN), |(lat, lon)| (e7(lat), e7(lon)));
    format!(
        "('{tenant}', '{device}', 1, toDateTime64({HOUR}, 3, 'UTC'), toDateTime64({HOUR}, 3, 'UTC'), {latitude_e7}, \
         {longitude_e7}, ['speed', 'battery'], [12.5, nan], ['model'], ['<script>alert(1)</script>'])"
    )
}

async fn insert(api: &Api, rows: &[String]) {
    let columns = "tenant, device, version, ts, received_at, latitude_e7, longitude_e7, metric_names, metric_values, \
                   attribute_names, attribute_values";
    api.execute(&format!(
        "INSERT INTO device_log ({columns}) VALUES {}",
        rows.join(", ")
    ))
    .await;
}

fn names(page: &Value) -> Vec<String> {
    let devices = page["devices"].as_array().unwrap();
    devices
        .iter()
        .map(|device| {
            format!(
                "{}/{}",
                device["tenant"].as_str().unwrap(),
                device["device"].as_str().unwrap()
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_device_once_and_in_order() {
    let api = Api::start("api_pages").await;
    let mut rows = Vec::new();
    for index in 0..25 {
        rows.push(row("acme", &format!("bus-{index:02}"), Some((f64::from(index), 179.0))));
        rows.push(row("beta", &format!("bus-{index:02}"), None));
    }
    insert(&api, &rows).await;
    for (tenant, expected) in [("", 50), ("&tenant=acme", 25), ("&tenant=nobody", 0)] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.json(&format!("/api/v1/devices?limit=7{tenant}{cursor}")).await;
            seen.extend(names(&page));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={}", next.replace('/', "%2F")),
                None => break,
            }
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((seen.len(), &seen), (expected, &sorted), "{tenant}");
    }
    let page = api.json("/api/v1/devices?bbox=178,2,-178,4").await;
    assert_eq!(names(&page), ["acme/bus-02", "acme/bus-03", "acme/bus-04"]);
    let page = api.json("/api/v1/devices?format=geojson&limit=1").await;
    assert_eq!(
        page["features"][0]["geometry"],
        json!({"type": "Point", "coordinates": [179.0, 0.0]})
    );
    let csv = api.get("/api/v1/devices?format=csv&tenant=beta&limit=1").await;
    assert_eq!(
        String::from_utf8(csv.body).unwrap(),
        "tenant,device,ts,lat,lon\r\nbeta,bus-00,2026-01-01T00:00:00Z,,\r\n"
    );
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_shows_its_last_state_and_an_unknown_one_is_not_found() {
    let api = Api::start("api_device").await;
    insert(&api, &[row("acme", "bus-1", Some((1.5, -2.5)))]).await;
    let answer = api.get("/api/v1/devices/acme/bus-1").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let device = answer.json();
    let expected = json!({
        "tenant": "acme", "device": "bus-1", "ts": "2026-01-01T00:00:00Z", "received_at": "2026-01-01T00:00:00Z",
        "lat": 1.5, "lon": -2.5, "metrics": {"battery": null, "speed": 12.5},
        "attributes": {"model": "<script>alert(1)</script>"},
    });
    assert_eq!(device, expected);
    // Another tenant's device is as unknown as one that never was.
    for path in [
        "/api/v1/devices/beta/bus-1",
        "/api/v1/devices/acme/bus-2",
        "/api/v1/devices/acme/bus-2/track",
        "/api/v1/devices/beta/bus-1/track",
        "/api/v1/series?metric=speed&tenant=acme&device=bus-2",
        "/api/v1/series?metric=speed&tenant=beta&device=bus-1",
    ] {
        let answer = api.get(path).await;
        let problem = answer.json();
        assert_eq!((answer.status, &problem["status"]), (404, &Value::from(404)), "{path}");
        assert_eq!(problem["type"], "urn:meridian:problem:not-found", "{path}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_has_each_position_once_in_the_order_of_time() {
    let api = Api::start("api_track").await;
    insert(&api, &[row("acme", "bus-1", None)]).await;
    let mut rows = Vec::new();
    for offset in 0..20_i32 {
        for metric in ["speed", "battery"] {
            // Pairs of events have the same time, and every fifth event has no position.
            let longitude_e7 = if offset % 5 == 4 { i32::MIN } else { offset * 10_000_000 };
            rows.push(format!(
                "('acme', '{metric}', 'bus-1', fromUnixTimestamp64Milli({}), 1, {longitude_e7}, {longitude_e7}, 3, {offset})",
                i64::from(HOUR) * 1_000 + i64::from(offset / 2)
            ));
        }
    }
    let columns = "tenant, metric, device, ts, value, latitude_e7, longitude_e7, partition, offset";
    let insert = format!("INSERT INTO measurement_log ({columns}) VALUES {}", rows.join(", "));
    api.execute(&insert).await;
    api.execute(&insert).await;
    let base = format!("/api/v1/devices/acme/bus-1/track?from={HOUR}000&to={HOUR}010");
    let expected: Vec<f64> = (0..20).filter(|offset| offset % 5 != 4).map(f64::from).collect();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.json(&format!("{base}&limit=3{cursor}")).await;
        seen.extend(
            page["points"]
                .as_array()
                .unwrap()
                .iter()
                .map(|point| point["lon"].as_f64().unwrap()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, expected);
    let path = api.json(&format!("{base}&format=geojson")).await;
    assert_eq!(
        path["geometry"]["coordinates"][0].as_array().unwrap().len(),
        expected.len()
    );
    let earlier = api
        .json(&format!("/api/v1/devices/acme/bus-1/track?from={HOUR}000&to={HOUR}005"))
        .await;
    assert_eq!(
        earlier["points"].as_array().unwrap().len(),
        8,
        "the end is not part of the range"
    );
    api.stop().await;
}

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

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_lists_metrics_of_the_tenant_with_their_newest_time() {
    let api = Api::start("api_catalog").await;
    let at = |seconds: u32| format!("toDateTime64({seconds}, 3, 'UTC')");
    api.execute(&format!(
        "INSERT INTO measurement_log (tenant, metric, device, ts) VALUES ('acme', 'speed', 'a', {}),
         ('acme', 'speed', 'b', {}), ('beta', 'speed', 'a', {})",
        at(HOUR),
        at(HOUR + 60),
        at(HOUR + 120)
    ))
    .await;
    let catalog = api.json("/api/v1/metrics-catalog?tenant=acme").await;
    let expected = json!([{"tenant": "acme", "metric": "speed", "last_ts": "2026-01-01T00:01:00Z"}]);
    assert_eq!(catalog["metrics"], expected);
    assert_eq!(
        api.json("/api/v1/metrics-catalog").await["metrics"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    api.stop().await;
}
