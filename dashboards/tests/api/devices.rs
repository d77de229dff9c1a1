//! Devices: pages, one device, its track, and the nearest ones.

use serde_json::{Value, json};

use crate::{fleet::HOUR, rig::Api};

/// A device with a position, or none.
pub(crate) fn row(tenant: &str, device: &str, position: Option<(f64, f64)>) -> String {
    let e7 = |degrees: f64| (degrees * 1e7).round() as i32;
    let (latitude_e7, longitude_e7) = position.map_or((i32::MIN, i32::MIN), |(lat, lon)| (e7(lat), e7(lon)));
    format!(
        "('{tenant}', '{device}', 1, toDateTime64({HOUR}, 3, 'UTC'), toDateTime64({HOUR}, 3, 'UTC'), {latitude_e7}, \
         {longitude_e7}, ['speed', 'battery'], [12.5, nan], ['model'], ['<script>alert(1)</script>'])"
    )
}

pub(crate) async fn insert(api: &Api, rows: &[String]) {
    let columns = "tenant, device, version, ts, received_at, latitude_e7, longitude_e7, metric_names, metric_values, \
                   attribute_names, attribute_values";
    api.execute(&format!(
        "INSERT INTO device_log ({columns}) VALUES {}",
        rows.join(", ")
    ))
    .await;
}

pub(crate) fn names(page: &Value) -> Vec<String> {
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
    let page = api.json("/api/v1/devices?search=BUS-1&tenant=acme&limit=3").await;
    assert_eq!(names(&page), ["acme/bus-10", "acme/bus-11", "acme/bus-12"]);
    let page = api.json("/api/v1/devices?search=us-24").await;
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["acme/bus-24".to_owned(), "beta/bus-24".to_owned()], &Value::Null)
    );
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
