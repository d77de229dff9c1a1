//! Limits, and a store that does not keep up: refusals that say when to come again, and answers that cost less.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashboards::{Access, KeyRow, Rate, RequestLimits, Site, limits};
use geocache::LocalCache;
use platform::clock::SystemClock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{fleet::HOUR, rig::Api};

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

const CELL: u64 = 617_700_169_958_293_503;

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_slow_hexagons_are_coarser_or_older_and_say_so() {
    let store = Api::store("limited_lite").await;
    let site = Site {
        cache: Some(Arc::new(LocalCache::new(Arc::new(SystemClock::new())))),
        ..Site::default()
    };
    let server = Api::listening("127.0.0.1:0", store, site).await;
    let api = &server;
    for resolution in [9, 7] {
        api.execute(&format!(
            "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, version, count, sum, min, max) VALUES
             ('acme', 'speed', 60, {resolution}, toDateTime({HOUR}, 'UTC'), h3ToParent({CELL}, {resolution}), 1, 1, 3, 3, 3)"
        ))
        .await;
    }
    let path = |metric: &str| {
        format!(
            "/api/v1/cells?metric={metric}&period=60&res=9&from={HOUR}000&to={}000",
            HOUR + 60
        )
    };
    let before = api.get(&path("speed")).await;
    assert_eq!(
        (before.json()["lite"].as_bool(), before.json()["res"].as_u64()),
        (Some(false), Some(9))
    );
    assert_eq!(before.header("meridian-lite"), "0");
    // More than wait for their turn in calm times, and each takes its time.
    api.execute(
        "CREATE OR REPLACE VIEW devices AS SELECT tenant, device, ts, received_at, nan AS lat, nan AS lon, \
                 map('a', 1.) AS metrics, map('a', 'b') AS attributes FROM device_log WHERE NOT ignore(sleep(1.5))",
    )
    .await;
    api.execute("INSERT INTO device_log (tenant, device, version) VALUES ('acme', 'a', 1)")
        .await;
    let is_seen = &AtomicBool::new(false);
    let crowd = (0..limits::TENANT_QUERIES_MAX + limits::LITE_QUEUE_LONG + 4).map(|_| async {
        let mut statuses = Vec::new();
        while !is_seen.load(Ordering::Relaxed) {
            statuses.push(api.get("/api/v1/devices/acme/a").await.status);
        }
        statuses
    });
    let look = async {
        // What is kept is shown as it is.
        let kept = api.get(&path("speed")).await;
        assert_eq!((kept.status, kept.json()["res"].as_u64()), (200, Some(9)));
        // And what is not is coarser, once too many wait.
        let coarser = tokio::time::timeout(Duration::from_secs(60), async {
            for turn in 0.. {
                let unkept = format!("&res=9&bbox=-180,-90,180,{}&agg=max", 80.0 + f64::from(turn) / 100.0);
                let answer = api.get(&path("speed").replace("&res=9", &unkept)).await;
                assert!([200, 429].contains(&answer.status), "{}", answer.status);
                if answer.status == 200 && answer.json()["lite"] == true {
                    return answer;
                }
            }
            unreachable!("it is asked for ever");
        })
        .await;
        is_seen.store(true, Ordering::Relaxed);
        let coarser = coarser.expect("it is lite while many wait");
        (
            coarser.json(),
            coarser.header("meridian-lite").to_owned(),
            coarser.header("cache-control").to_owned(),
        )
    };
    let (statuses, (answer, header, control)) = futures::join!(futures::future::join_all(crowd), look);
    let statuses = statuses.concat();
    assert!(
        statuses.iter().all(|status| [200, 429].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(
        (&answer["lite"], &answer["coarsened"], &answer["res"]),
        (&true.into(), &true.into(), &7.into())
    );
    assert_eq!(
        (header.as_str(), control.as_str()),
        ("1", "max-age=1, stale-while-revalidate=10")
    );
    // It ends by itself, after a calm while.
    let ended = async {
        while api.get(&path("speed").replace("&res=9", "&res=9&agg=min")).await.json()["lite"] == true {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended)
        .await
        .expect("it ends");
    server.stop().await;
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
