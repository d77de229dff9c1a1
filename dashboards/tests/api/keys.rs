//! Who may see what: the credential decides, at every address, and nothing of another tenant ever shows.

use std::time::Duration;

use axum::body::Body;
use dashboards::{KeyRow, NewKey};
use http_body_util::BodyExt;
use hyper::{Method, Request, StatusCode};
use hyper_util::{client::legacy, rt::TokioExecutor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::{
    fleet::{self, HOUR},
    rig::{Answer, Api},
};

const DAY: u32 = 86_400;

/// Every address of the description with parameters that it answers, for a tenant or for the caller's own.
pub(crate) async fn addresses(api: &Api, tenant: Option<&str>) -> Vec<String> {
    let description = api.json("/api/openapi.json").await;
    let paths: Vec<String> = description["paths"].as_object().unwrap().keys().cloned().collect();
    assert!(paths.len() >= 8, "{paths:?}");
    let range = format!("from={HOUR}000&to={}000", HOUR + DAY);
    let choice = tenant.map_or(String::new(), |tenant| format!("&tenant={tenant}"));
    let made = paths.iter().filter(|path| *path != "/api/v1/session").map(|path| {
        let named = path
            .replace("{tenant}", tenant.unwrap_or("acme"))
            .replace("{device}", "device-1");
        match path.as_str() {
            "/api/v1/cells" | "/api/v1/series" => format!("{named}?metric=speed&period=3600&{range}{choice}"),
            "/api/v1/live" => format!("{named}?metric=speed{choice}"),
            "/api/v1/nearby" => format!("{named}?lat=0&lon=0{choice}"),
            "/api/v1/devices" | "/api/v1/metrics-catalog" => format!("{named}?format=json{choice}"),
            "/api/v1/devices/{tenant}/{device}" => named,
            "/api/v1/devices/{tenant}/{device}/track" => format!("{named}?{range}"),
            other => panic!("say here how `{other}` is asked: it must be tried with every kind of credential"),
        }
    });
    let mut made: Vec<String> = made.collect();
    // Two that the first round does not cover.
    made.push(format!("/api/v1/series?metric=speed&device=device-1&{range}{choice}"));
    made.push(format!("/api/v1/cells?metric=speed&format=csv&{range}{choice}"));
    made
}

pub(crate) fn is_problem(answer: &Answer, status: u16, kind: &str) -> bool {
    let is_document =
        answer.header("content-type") == "application/problem+json" && answer.header("cache-control") == "no-store";
    answer.status == status && is_document && answer.json()["type"] == format!("urn:meridian:problem:{kind}")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_public_address_every_endpoint_asks_for_a_credential() {
    let api = Api::start_public("keys_public").await;
    let key = api.key(&["acme"], &["read", "live", "operate"]).await;
    let (id, secret) = key.strip_prefix("mrd_").unwrap().split_once('_').unwrap();
    let wrong = NewKey::make().unwrap().text();
    let mut all = addresses(&api, None).await;
    all.extend(
        [
            "/status",
            "/api/v1/tap",
            "/api/v1/nothing",
            "/nothing",
            "/api/v1/session",
            "/api/v1/cells",
        ]
        .map(str::to_owned),
    );
    let mut attempts = 0;
    for path in &all {
        let without = api.get(path).await;
        assert!(
            is_problem(&without, 401, "credential-missing"),
            "{path}: {}",
            without.status
        );
        assert!(without.header("www-authenticate").starts_with("Bearer "), "{path}");
        for bad in [
            format!("Bearer {wrong}"),
            format!("Bearer {}", key.replace(id, "000000000000")),
            format!("Bearer {}", key.to_uppercase()),
            format!("Bearer mrs_{id}_{secret}"),
            format!("Basic {key}"),
            format!("Bearer {key} {key}"),
            format!("Bearer {}", &key[..key.len() - 2]),
            "Bearer ".to_owned(),
            "Bearer ' OR 1=1 --".to_owned(),
            "Bearer mrd_{id}_%00".to_owned(),
            key.clone(),
        ] {
            attempts += 1;
            let address = format!("198.51.{}.{}", attempts / 250, attempts % 250);
            let answer = api
                .get_with(path, &[("authorization", &bad), ("x-forwarded-for", &address)])
                .await;
            assert!(
                is_problem(&answer, 401, "credential-refused"),
                "{path}: {bad}: {}",
                answer.status
            );
            assert!(!String::from_utf8_lossy(&answer.body).contains(secret), "{path}");
        }
        for parameter in ["key", "token", "access_token", "api_key"] {
            let joint = if path.contains('?') { '&' } else { '?' };
            let answer = api.get(&format!("{path}{joint}{parameter}={key}")).await;
            assert_eq!(answer.status, 401, "a key in an address opens nothing: {path}");
        }
    }
    for path in ["/healthz", "/readyz", "/api/openapi.json"] {
        assert!(matches!(api.get(path).await.status, 200 | 503), "{path}");
    }
    assert!(
        !String::from_utf8_lossy(&api.get("/readyz").await.body).contains("queries"),
        "parts are for operators"
    );
    assert!(String::from_utf8_lossy(&api.get_as(&key, "/readyz").await.body).contains("queries"));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_its_tenant_and_no_other_at_every_endpoint() {
    let api = Api::start_public("keys_tenants").await;
    fleet::fill(&api, &mut ChaCha8Rng::seed_from_u64(7), 600).await;
    devices(&api).await;
    let acme = api.key(&["acme"], &["read", "live"]).await;
    let all = api.key(&["*"], &["read", "live"]).await;
    let (own, named) = (addresses(&api, None).await, addresses(&api, Some("acme")).await);
    let (foreign, missing) = (
        addresses(&api, Some("beta")).await,
        addresses(&api, Some("nobody")).await,
    );
    for index in 0..own.len() {
        if own[index].contains("/live") {
            continue;
        }
        let answer = api.get_as(&acme, &own[index]).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{}: {text}", own[index]);
        assert!(!text.contains("beta"), "{}: {text}", own[index]);
        assert!(answer.header("cache-control").starts_with("private"), "{}", own[index]);
        assert_eq!(answer.header("vary"), "authorization, cookie", "{}", own[index]);
        let by_name = api.get_as(&all, &named[index]).await;
        assert_eq!(
            (by_name.status, by_name.header("etag")),
            (200, answer.header("etag")),
            "{}",
            named[index]
        );
    }
    for (foreign, missing) in foreign.iter().zip(&missing) {
        let (one, other) = (api.get_as(&acme, foreign).await, api.get_as(&acme, missing).await);
        assert!(is_problem(&one, 404, "not-found"), "{foreign}: {}", one.status);
        assert_eq!((one.status, &one.body), (other.status, &other.body), "{foreign}");
        let without_date = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("date");
            headers
        };
        assert_eq!(without_date(&one), without_date(&other), "{foreign}");
        if !foreign.contains("/live") {
            assert_eq!(api.get_as(&all, foreign).await.status, 200, "{foreign}");
        }
    }
    let catalog = api.get_as(&all, "/api/v1/metrics-catalog").await;
    assert!(
        String::from_utf8_lossy(&catalog.body).contains("beta"),
        "it can be seen by who may"
    );
    api.stop().await;
}

/// The last state of every device, which the rollups do not have.
async fn devices(api: &Api) {
    api.execute(
        "INSERT INTO device_log (tenant, device, version, ts, received_at, latitude_e7, longitude_e7)
         SELECT tenant, device, 1, max(ts), max(ts), 10000000, 20000000 FROM measurement_log GROUP BY tenant, device",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_several_tenants_names_one_of_them() {
    let api = Api::start_public("keys_several").await;
    let both = api.key(&["acme", "beta"], &["read"]).await;
    let session = api.get_as(&both, "/api/v1/session").await.json();
    assert_eq!(session["tenants"], json!(["acme", "beta"]));
    for path in [
        "/api/v1/devices",
        "/api/v1/cells?metric=speed",
        "/api/v1/metrics-catalog",
    ] {
        let joint = if path.contains('?') { '&' } else { '?' };
        let status = async |tenant: &str| api.get_as(&both, &format!("{path}{joint}tenant={tenant}")).await.status;
        assert_eq!(status("acme").await, 200, "{path}");
        assert_eq!(status("beta").await, 200, "{path}");
        assert_eq!(status("gamma").await, 404, "{path}");
        let unnamed = api.get_as(&both, path).await;
        assert!(is_problem(&unnamed, 400, "invalid-parameter"), "{path}");
        assert_eq!(unnamed.json()["parameter"], "tenant");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_when_it_is_revoked_or_its_time_has_come() {
    let api = Api::start_public("keys_end").await;
    let key = NewKey::make().unwrap();
    let row = KeyRow {
        tenants: vec!["acme".to_owned()],
        scopes: vec!["read".to_owned(), "live".to_owned()],
        ..KeyRow::new(&key, 1)
    };
    let bearer = format!("Bearer {}", key.text());
    let shown = [("authorization", bearer.as_str())];
    api.write_key(&row).await;
    api.until(200, &shown).await;
    let mut stream = open(&api, "/api/v1/live?metric=speed", &shown).await;
    assert_eq!(stream.status(), 200);
    api.write_key(&row.clone().revoked(2)).await;
    api.until(401, &shown).await;
    assert!(is_problem(
        &api.get_with("/api/v1/devices", &shown).await,
        401,
        "credential-refused"
    ));
    let ended = async { while stream.body_mut().frame().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .expect("an open stream ends with its key");
    // Whatever is written afterwards, it stays revoked.
    api.write_key(&KeyRow { version: 9, ..row }).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(api.get_with("/api/v1/devices", &shown).await.status, 401);

    let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let key = NewKey::make().unwrap();
    let bearer = format!("Bearer {}", key.text());
    api.write_key(&KeyRow {
        all_tenants: 1,
        scopes: vec!["read".to_owned()],
        expires_at: now_ms + 6_000,
        ..KeyRow::new(&key, 1)
    })
    .await;
    api.until(200, &[("authorization", &bearer)]).await;
    api.until(401, &[("authorization", &bearer)]).await;
    assert!(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 >= now_ms + 6_000);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_is_for_what_it_says() {
    let api = Api::start_public("keys_scopes").await;
    for (scope, paths) in [
        ("read", &["/api/v1/devices", "/api/v1/metrics-catalog"][..]),
        ("live", &["/api/v1/live?metric=speed"][..]),
        ("operate", &["/status"][..]),
    ] {
        let key = api.key(&["acme"], &[scope]).await;
        let bearer = format!("Bearer {key}");
        for path in [
            "/api/v1/devices",
            "/api/v1/metrics-catalog",
            "/api/v1/live?metric=speed",
            "/status",
        ] {
            let answer = open(&api, path, &[("authorization", &bearer)]).await;
            let expected = if paths.contains(&path) { 200 } else { 403 };
            assert_eq!(answer.status(), expected, "{scope}: {path}");
        }
        let tap = api.get_as(&key, "/api/v1/tap").await;
        assert_eq!(
            tap.status,
            if scope == "operate" { 404 } else { 403 },
            "there is no log here"
        );
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_logs_in_with_a_cookie_that_is_no_key() {
    let api = Api::start_public("keys_session").await;
    let key = api.key(&["acme"], &["read", "live"]).await;
    let login = async |body: String, headers: &[(&str, &str)]| {
        let mut request = Request::post(url(&api, "/api/v1/session"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        client().request(request.body(Body::from(body)).unwrap()).await.unwrap()
    };
    let json = ("content-type", "application/json");
    let good = json!({"key": key}).to_string();
    let response = login(good.clone(), &[json]).await;
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let secret = key.rsplit('_').next().unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&told["tenants"], &told["scopes"]),
        (&json!(["acme"]), &json!(["read", "live"]))
    );
    assert!(!cookie.contains(secret) && !String::from_utf8_lossy(&body).contains(secret));
    assert!(!cookie.contains("Secure"));
    let secure = login(good.clone(), &[json, ("x-forwarded-proto", "https")]).await;
    assert!(secure.headers()["set-cookie"].to_str().unwrap().ends_with("; Secure"));

    let session = cookie.split(';').next().unwrap();
    let with = [("cookie", &*format!("other=1; {session}"))];
    for path in ["/api/v1/devices", "/api/v1/session", "/api/v1/live?metric=speed"] {
        assert_eq!(open(&api, path, &with).await.status(), 200, "{path}");
    }
    assert_eq!(api.get_with("/api/v1/devices?tenant=beta", &with).await.status, 404);
    // What a browser holds is no key, and a planted second one opens nothing.
    let value = session.split_once('=').unwrap().1;
    assert_eq!(api.get_as(value, "/api/v1/devices").await.status, 401);
    let twice = format!("{session}; {session}");
    assert_eq!(api.get_with("/api/v1/devices", &[("cookie", &twice)]).await.status, 401);
    // A header counts before a cookie.
    let both = [("cookie", session), ("authorization", "Bearer mrd_x")];
    assert_eq!(api.get_with("/api/v1/devices", &both).await.status, 401);

    for (body, headers, status) in [
        (good.clone(), &[("content-type", "text/plain")][..], 400),
        (good.clone(), &[][..], 400),
        ("{}".to_owned(), &[json][..], 400),
        ("{\"key\":\"x\",\"key\":\"y\"}".to_owned(), &[json][..], 400),
        (json!({"key": value}).to_string(), &[json][..], 401),
        (
            json!({"key": NewKey::make().unwrap().text()}).to_string(),
            &[json][..],
            401,
        ),
        ("x".repeat(20_000), &[json][..], 400),
    ] {
        let answer = login(body, headers).await;
        assert_eq!(answer.status(), status);
        assert!(answer.headers().get("set-cookie").is_none());
    }
    let leave = Request::builder()
        .method(Method::DELETE)
        .uri(url(&api, "/api/v1/session"))
        .body(Body::empty());
    let left = client().request(leave.unwrap()).await.unwrap();
    assert_eq!(left.status(), StatusCode::NO_CONTENT);
    assert!(
        left.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .contains("meridian_session=; Path=/; Max-Age=0")
    );
    api.stop().await;
}

fn client() -> legacy::Client<legacy::connect::HttpConnector, Body> {
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

fn url(api: &Api, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", api.server.address.port())
}

/// A response whose body is still to be read.
pub(crate) async fn open(api: &Api, path: &str, headers: &[(&str, &str)]) -> hyper::Response<hyper::body::Incoming> {
    let mut request = Request::get(url(api, path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    client().request(request.body(Body::empty()).unwrap()).await.unwrap()
}
