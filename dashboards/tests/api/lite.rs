//! A store that does not keep up: answers that cost less, for those whose queries are slow.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dashboards::{Site, limits};
use geocache::LocalCache;
use platform::clock::SystemClock;

use crate::{fleet::HOUR, rig::Api};

const CELL: u64 = 617_700_169_958_293_503;

/// One event of a tenant, at two resolutions.
async fn fill(api: &Api, tenant: &str) {
    for resolution in [9, 7] {
        api.execute(&format!(
            "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, version, count, sum, min, max) VALUES
             ('{tenant}', 'speed', 60, {resolution}, toDateTime({HOUR}, 'UTC'), h3ToParent({CELL}, {resolution}), 1, 1, 3, 3, 3)"
        ))
        .await;
    }
}

/// Devices whose state takes so many seconds to look up.
async fn slow_devices(api: &Api, tenants: &str, seconds: f64) {
    let device = "SELECT tenant, device, ts, received_at, nan AS lat, nan AS lon, map('a', 1.) AS metrics, \
                  map('a', 'b') AS attributes FROM device_log";
    api.execute(&format!(
        "CREATE OR REPLACE VIEW devices AS {device} WHERE tenant NOT IN ({tenants}) UNION ALL \
         {device} WHERE tenant IN ({tenants}) AND NOT ignore(sleep({seconds}))"
    ))
    .await;
}

fn cells(metric: &str) -> String {
    format!(
        "/api/v1/cells?metric={metric}&period=60&res=9&from={HOUR}000&to={}000",
        HOUR + 60
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_slow_hexagons_are_coarser_or_older_and_say_so() {
    let store = Api::store("limited_lite").await;
    let site = Site {
        cache: Some(Arc::new(LocalCache::new(Arc::new(SystemClock::new())))),
        ..Site::default()
    };
    let server = Api::listening("127.0.0.1:0", store, site).await;
    let api = &server;
    fill(api, "acme").await;
    let before = api.get(&cells("speed")).await;
    assert_eq!(
        (before.json()["lite"].as_bool(), before.json()["res"].as_u64()),
        (Some(false), Some(9))
    );
    assert_eq!(before.header("meridian-lite"), "0");
    // More than wait for their turn in calm times, and each takes its time.
    slow_devices(api, "'acme'", 1.5).await;
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
        let kept = api.get(&cells("speed")).await;
        assert_eq!((kept.status, kept.json()["res"].as_u64()), (200, Some(9)));
        // And what is not is coarser, once too many wait.
        let coarser = tokio::time::timeout(Duration::from_secs(60), async {
            for turn in 0.. {
                let unkept = format!("&res=9&bbox=-180,-90,180,{}&agg=max", 80.0 + f64::from(turn) / 100.0);
                let answer = api.get(&cells("speed").replace("&res=9", &unkept)).await;
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
        while api
            .get(&cells("speed").replace("&res=9", "&res=9&agg=min"))
            .await
            .json()["lite"]
            == true
        {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended)
        .await
        .expect("it ends");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_much_is_answered_coarser_and_others_only_when_several_do() {
    // Longer than a query may take: then ClickHouse ends it.
    let endless = ("function_sleep_max_microseconds_per_block", "60000000");
    let store = Api::store("lite_tenants").await.with_setting(endless.0, endless.1);
    let api = Api::listening("0.0.0.0:0", store, Site::default()).await;
    slow_devices(&api, "'greedy', 'hungry'", 50.0).await;
    let mut keys = Vec::new();
    for tenant in ["greedy", "hungry", "modest"] {
        fill(&api, tenant).await;
        api.execute(&format!(
            "INSERT INTO device_log (tenant, device, version) VALUES ('{tenant}', 'a', 1)"
        ))
        .await;
        keys.push(api.key(&[tenant], &["read"]).await);
    }
    let is_lite = async || {
        let mut found = Vec::new();
        for key in &keys {
            let answer = api.get_as(key, &cells("speed")).await.json();
            found.push(answer["lite"].as_bool().unwrap());
        }
        found
    };
    assert_eq!(is_lite().await, [false, false, false]);
    for (index, tenant, expected) in [(0, "greedy", [true, false, false]), (1, "hungry", [true, true, true])] {
        let path = format!("/api/v1/devices/{tenant}/a");
        let asked = (0..limits::LITE_QUERIES_MIN + 2).map(|_| api.get_as(&keys[index], &path));
        for answer in futures::future::join_all(asked).await {
            // Ended by ClickHouse, or given up on where that has no time to end it.
            assert!(
                [422, 503].contains(&answer.status),
                "{}",
                String::from_utf8_lossy(&answer.body)
            );
        }
        // Others are as quick as they were.
        for _ in 0..limits::LITE_QUERIES_MIN {
            let answer = api.get_as(&keys[2], "/api/v1/devices/modest/a").await;
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        }
        assert_eq!(is_lite().await, expected, "{tenant}");
    }
    api.stop().await;
}
