//! Limits: refusals that say when to come again.

use std::time::Duration;

use dashboards::{Access, KeyRow, Rate, RequestLimits, Site, limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::rig::Api;

fn limited(limits: RequestLimits) -> Site {
    Site {
        access: Access { limits, tokens: None },
        ..Site::default()
    }
}

fn rate(per_second: u32, at_once: u32) -> Rate {
    Rate { per_second, at_once }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_asks_too_often_is_told_when_to_come_again_and_no_other_is() {
    let store = Api::store("limited_keys").await;
    let site = limited(RequestLimits {
        credential: rate(1, 20),
        address: rate(1_000, 10_000),
        ..RequestLimits::default()
    });
    let api = Api::listening("0.0.0.0:0", store, site).await;
    let (greedy, modest) = (api.key(&["acme"], &["read"]).await, api.key(&["acme"], &["read"]).await);
    let mut refused = 0;
    for _ in 0..40 {
        let answer = api.get_as(&greedy, "/api/v1/metrics-catalog").await;
        if answer.status == 429 {
            refused += 1;
            assert_eq!(answer.json()["type"], "urn:meridian:problem:rate-limited");
            assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
        }
    }
    assert!((10..=25).contains(&refused), "{refused}");
    assert_eq!(api.get_as(&modest, "/api/v1/metrics-catalog").await.status, 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(api.get_as(&greedy, "/api/v1/metrics-catalog").await.status, 200);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_limited_and_a_proxy_that_is_trusted_says_which_it_is() {
    let store = Api::store("limited_addresses").await;
    let site = limited(RequestLimits {
        address: rate(1, 200),
        ..RequestLimits::default()
    });
    let api = Api::listening("0.0.0.0:0", store, site).await;
    let key = format!("Bearer {}", api.key(&["acme"], &["read"]).await);
    let ask = async |address: &str| {
        let headers = [("authorization", &*key), ("x-forwarded-for", address)];
        api.get_with("/api/v1/session", &headers).await.status
    };
    let mut refused = 0;
    for _ in 0..250 {
        refused += usize::from(ask("198.51.100.1").await == 429);
    }
    assert!(refused >= 20, "{refused}");
    assert_eq!(ask("198.51.100.2").await, 200);
    // Probes look at us, not at who sits at their address.
    let headers = [("authorization", &*key), ("x-forwarded-for", "198.51.100.1")];
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/", 429)] {
        let answer = api.get_with(path, &headers).await;
        assert_eq!(answer.status, status, "{path}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_attempts_are_turned_away_and_good_credentials_from_there_are_not() {
    let api = Api::start_public("limited_failures").await;
    let key = api.key(&["acme"], &["read"]).await;
    let mut statuses = Vec::new();
    for _ in 0..limits::FAILED_LOGINS.at_once + 20 {
        statuses.push(
            api.get_with("/api/v1/devices", &[("authorization", "Bearer mrd_guess")])
                .await
                .status,
        );
    }
    assert!(statuses.contains(&401) && statuses.ends_with(&[429]), "{statuses:?}");
    assert_eq!(api.get_as(&key, "/api/v1/devices").await.status, 200);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_is_not_limited_while_there_are_no_keys() {
    let site = limited(RequestLimits {
        credential: rate(1, 1),
        address: rate(1, 1),
        connections: 1,
        proxies: Vec::new(),
    });
    let api = Api::listening("127.0.0.1:0", Api::store("limited_local").await, site).await;
    for _ in 0..50 {
        assert_eq!(api.get("/api/v1/session").await.status, 200);
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_that_are_too_large_are_refused() {
    let api = Api::start("limited_sizes").await;
    for head in [
        format!(
            "GET /api/v1/devices HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n",
            "x".repeat(200_000)
        ),
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(200_000)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(500)),
    ] {
        let mut stream = TcpStream::connect(api.server.address).await.unwrap();
        // It may be closed while we still write.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{}",
            &answer[..answer.len().min(200)]
        );
    }
    assert_eq!(api.get("/api/v1/devices").await.status, 200);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_cannot_keep_those_who_look_on_waiting() {
    let api = Api::start("limited_exports").await;
    api.execute(
        "CREATE OR REPLACE VIEW devices AS SELECT tenant, device, ts, received_at, nan AS lat, nan AS lon, \
                 map('a', 1.) AS metrics, map('a', 'b') AS attributes FROM device_log WHERE NOT ignore(sleep(1))",
    )
    .await;
    api.execute("INSERT INTO device_log (tenant, device, version) VALUES ('acme', 'a', 1)")
        .await;
    let exports =
        (0..limits::EXPORT_QUERIES_MAX * 3).map(|_| async { api.get("/api/v1/devices?format=csv").await.status });
    let look = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let began = std::time::Instant::now();
        let status = api.get("/api/v1/metrics-catalog").await.status;
        (status, began.elapsed())
    };
    let (statuses, (status, took)) = futures::join!(futures::future::join_all(exports), look);
    assert!(
        status == 200 && took < Duration::from_secs(1),
        "{status} after {took:?}"
    );
    assert!(
        statuses.iter().all(|status| *status == 200),
        "they have their turn: {statuses:?}"
    );
    api.stop().await;
}

#[test]
fn a_new_key_row_is_for_nobody() {
    let row = KeyRow::new(&dashboards::NewKey::make().unwrap(), 1);
    assert!(row.all_tenants == 0 && row.tenants.is_empty() && row.scopes.is_empty());
}
