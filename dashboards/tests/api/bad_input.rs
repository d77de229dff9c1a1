//! What cannot be used is refused by name, and nothing that is sent reaches SQL as SQL.

use serde_json::Value;

use crate::{fleet::HOUR, rig::Api};

const ENDPOINTS: [&str; 4] = ["cells", "series", "devices", "nearby"];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The refusal of one parameter.
async fn check_refused(api: &Api, path: &str, parameter: &str) {
    let answer = api.get(path).await;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 400, "{path}: {body}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    let problem = answer.json();
    assert_eq!(problem["type"], "urn:meridian:problem:invalid-parameter", "{path}");
    assert_eq!(problem["parameter"], Value::from(parameter), "{path}: {body}");
    assert!(!body.contains("<script>") && !body.contains("DB::Exception"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parameter_has_limits_and_is_named() {
    let api = Api::start("api_limits").await;
    for endpoint in ["cells", "series"] {
        check_refused(&api, &format!("/api/v1/{endpoint}"), "metric").await;
        for (query, parameter) in [
            ("metric=", "metric"),
            ("metric=1a", "metric"),
            ("metric=a&metric=b", "metric"),
            ("agg=median", "agg"),
            ("agg=", "agg"),
            ("period=0", "period"),
            ("period=61", "period"),
            ("period=7200000", "period"),
            ("period=-60", "period"),
            ("period=%2B60", "period"),
            ("period=1m", "period"),
            ("bbox=1,2,3", "bbox"),
            ("bbox=1,2,3,4,5", "bbox"),
            ("bbox=0,91,0,92", "bbox"),
            ("bbox=-181,0,0,0", "bbox"),
            ("bbox=0,10,1,-10", "bbox"),
            ("bbox=NaN,0,1,1", "bbox"),
            ("bbox=inf,0,1,1", "bbox"),
            ("bbox=1e999,0,1,1", "bbox"),
            ("bbox=,,,", "bbox"),
            ("from=yesterday", "from"),
            ("from=-1", "from"),
            ("from=99999999999999999999", "from"),
            ("from=2026-13-01T00:00:00Z", "from"),
            ("from=2026-01-01T00:00:00", "from"),
            ("from=1969-12-31T23:59:59Z", "from"),
            ("to=2107-01-01T00:00:00Z", "to"),
            ("to=4294967295000", "to"),
            ("to=4294967295", "to"),
            ("to=18446744073709551615", "to"),
            ("to=0", "to"),
            ("from=4102444800", "from"),
            ("from=2000&to=2000", "from"),
            ("from=2001&to=2000", "from"),
            ("tenant=", "tenant"),
            ("tenant=a/b", "tenant"),
            ("format=xml", "format"),
            ("nonsense=1", "nonsense"),
            ("bbox=0,0,1,1&res=16", "res"),
            ("bbox=0,0,1,1&res=10", "res"),
            ("bbox=0,0,1,1&res=x", "res"),
        ] {
            let metric = if query.contains("metric=") { "" } else { "metric=a&" };
            check_refused(&api, &format!("/api/v1/{endpoint}?{metric}{query}"), parameter).await;
        }
    }
    for (path, parameter) in [
        ("series?metric=a&res=9", "res"),
        ("series?metric=a&cell=xyz", "cell"),
        ("series?metric=a&cell=0", "cell"),
        ("series?metric=a&cell=ffffffffffffffffff", "cell"),
        ("series?metric=a&cell=8f2830828052d25", "cell"),
        ("series?metric=a&cell=87283472bffffff&device=a", "cell"),
        ("series?metric=a&device=a&bbox=0,0,1,1", "device"),
        ("series?metric=a&device=%20", "device"),
        ("series?metric=a&period=60&from=0&to=4000000000000", "period"),
        ("cells?metric=a&device=a", "device"),
        ("devices?limit=0", "limit"),
        ("devices?limit=1001", "limit"),
        ("devices?search=", "search"),
        ("devices?search=a%25", "search"),
        ("devices?search=a%0Ab", "search"),
        ("devices?cursor=a", "cursor"),
        ("devices?cursor=a/%27", "cursor"),
        ("devices/a/b?x=1", "x"),
        ("session?x=1", "x"),
        ("devices/a%20/b", "tenant"),
        ("devices/a/%3Cscript%3E", "device"),
        ("devices/a/%FF", "device"),
        ("devices/a/b/track?cursor=1.2", "cursor"),
        ("devices/a/b/track?cursor=-1.2.3", "cursor"),
        ("devices/a/b/track?cursor=1.70000.3", "cursor"),
        ("devices/a/b/track?limit=10001", "limit"),
        ("nearby?lon=1", "lat"),
        ("nearby?lat=1", "lon"),
        ("nearby?lat=90.1&lon=1", "lat"),
        ("nearby?lat=1&lon=180.1", "lon"),
        ("nearby?lat=1&lon=1&radius_m=-1", "radius_m"),
        ("nearby?lat=1&lon=1&radius_m=nan", "radius_m"),
        ("nearby?lat=1&lon=1&radius_m=3e7", "radius_m"),
        ("nearby?lat=1&lon=1&format=csv", "format"),
        ("metrics-catalog?metric=a", "metric"),
    ] {
        check_refused(&api, &format!("/api/v1/{path}"), parameter).await;
    }
    let long = "a".repeat(5_000);
    check_refused(&api, &format!("/api/v1/cells?metric={long}"), "query").await;
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seconds_and_finer_units_are_told_apart_as_those_of_devices_are() {
    let api = Api::start("api_units").await;
    let expected = ("2026-01-01T00:00:00Z".into(), "2026-01-01T01:00:00Z".into());
    for zeros in ["", "000", "000000", "000000000"] {
        for endpoint in ["cells", "series"] {
            let path = format!(
                "/api/v1/{endpoint}?metric=a&period=3600&from={HOUR}{zeros}&to={}{zeros}",
                HOUR + 3_600
            );
            let answer = api.json(&path).await;
            assert_eq!((answer["from"].clone(), answer["to"].clone()), expected, "{path}");
        }
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_of_a_time_says_what_is_wrong_with_what_was_sent() {
    let api = Api::start("api_time_refusals").await;
    for (query, word) in [
        ("from=2026-11-22T15:30:00", "put `Z` at its end"),
        ("from=2026-11-22T15:30:00%2002:00", "%2B"),
        ("from=2026-11-22", "2026-01-31T12:00:00Z"),
        ("from=2099-01-01T00:00:00Z", "not before now"),
        ("from=2000&to=1000", "not before `to`"),
        ("to=0", "nothing is before it"),
    ] {
        let answer = api.get(&format!("/api/v1/series?metric=a&{query}")).await;
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && detail.contains(word), "{query}: {detail}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_described_bounds_are_those_that_hold() {
    let api = Api::start("api_described").await;
    let description = api.json("/api/openapi.json").await;
    let mut checked = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        let path = path.replace("{tenant}", "a").replace("{device}", "b");
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let Some((least, most)) = schema["minimum"].as_f64().zip(schema["maximum"].as_f64()) else {
                let is_bounded = ["integer", "number"].iter().any(|kind| schema["type"] == *kind);
                assert!(!is_bounded, "{name} of {path} has no bounds");
                continue;
            };
            let needed = ["metric=a", "bbox=0,0,1,1", "lat=1", "lon=1"]
                .into_iter()
                .filter(|given| {
                    let given = given.split('=').next().unwrap();
                    let parameters = item["get"]["parameters"].as_array().unwrap();
                    given != name && parameters.iter().any(|known| known["name"] == given)
                });
            let needed: String = needed.map(|given| format!("{given}&")).collect();
            for outside in [least - 1.0, most + 1.0] {
                check_refused(&api, &format!("{path}?{needed}{name}={outside}"), name).await;
            }
            if let Some(default) = schema["default"].as_f64() {
                assert!((least..=most).contains(&default), "{name} of {path}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 12, "{checked} are described");
    for path in [
        "devices?limit=1000",
        "devices?limit=1",
        "nearby?lat=90&lon=-180&radius_m=20038000&limit=1000",
    ] {
        assert_eq!(api.get(&format!("/api/v1/{path}")).await.status, 200, "{path}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_to_inject_are_refused_everywhere() {
    let api = Api::start("api_injection").await;
    let attempts = [
        "' OR 1=1 --",
        "'; DROP TABLE rollup_log; --",
        "\\' OR 1=1 --",
        "acme' UNION ALL SELECT * FROM system.users --",
        "{tenant:String}",
        "acme\0",
        "acme\r\nX-Injected: 1",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "../../etc/passwd",
        "/*",
        "`acme`",
        "аcme",
        "\u{202e}emca",
        "%27",
        "url('http://127.0.0.1')",
    ];
    let parameters = [
        "metric", "tenant", "agg", "period", "from", "to", "bbox", "res", "format", "cell", "device", "limit",
        "cursor", "lat", "lon", "radius_m", "search",
    ];
    for attempt in attempts {
        for endpoint in ENDPOINTS {
            for parameter in parameters {
                let path = format!("/api/v1/{endpoint}?{parameter}={}", encoded(attempt));
                let answer = api.get(&path).await;
                assert_eq!(answer.status, 400, "{path}");
                assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
                assert_eq!(answer.header("x-injected"), "", "{path}");
            }
        }
        for path in [
            format!("/api/v1/devices/{}/a", encoded(attempt)),
            format!("/api/v1/devices/a/{}/track", encoded(attempt)),
        ] {
            assert_eq!(api.get(&path).await.status, 400, "{path}");
        }
        let named = api.get(&format!("/api/v1/cells?metric=a&{}=1", encoded(attempt))).await;
        assert_eq!(
            (named.status, named.header("content-type")),
            (400, "application/problem+json")
        );
    }
    let tables: u64 = api
        .store
        .query_raw("SELECT count() FROM rollup_log")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(tables, 0, "the table is still there");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_addresses_and_methods_are_problems_too() {
    let api = Api::start("api_addresses").await;
    let answer = api.get("/api/v1/nothing").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (404, "application/problem+json")
    );
    let description = api.json("/api/openapi.json").await;
    for path in description["paths"].as_object().unwrap().keys() {
        let path = path.replace("{tenant}", "nobody").replace("{device}", "nothing");
        assert_ne!(
            api.get(&path).await.json()["type"],
            "urn:meridian:problem:internal",
            "{path}"
        );
    }
    api.stop().await;
}
