//! What cannot be used is refused by name, and nothing that is sent reaches SQL as SQL.

use serde_json::Value;

use crate::rig::Api;

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
