//! Devices with bad clocks are listed, and harm nobody.

use clickhouse::Row;
use serde::Deserialize;

use crate::{
    device::{Publish, Version, publish},
    life::get,
    meridian::Up,
    messages::now_ms,
    store::STORED_MAX,
};

#[derive(Debug, Row, Deserialize)]
struct Clock {
    device: String,
    skew_ms: i64,
    claims: u64,
    future_claims: u64,
    past_claims: u64,
    age_ms: i64,
}

const YEARS_MS: u64 = 10 * 365 * 86_400_000;

#[tokio::test]
async fn bad_clocks_are_listed_with_how_bad_they_are() {
    let mut up = Up::start(&[]);
    let now_ms = now_ms();
    let mut messages = Vec::new();
    for round in 0..20 {
        for (device, claimed_ms) in [
            ("ahead", now_ms + YEARS_MS + round),
            ("behind", now_ms - YEARS_MS + round),
            ("good", now_ms - 1_000 + round),
        ] {
            let payload = format!(r#"{{"ts":{claimed_ms},"seq":{round},"v":1}}"#);
            messages.push(Publish::new(&format!("telemetry/acme/{device}"), payload));
        }
        // Says no time, so there is nothing to judge.
        messages.push(Publish::new("telemetry/acme/silent", r#"{"v":1}"#));
    }
    publish(&up.mqtt(), Version::V5, messages).await;
    let store = up.store();
    store.wait_until_complete(80).await;
    store
        .wait_for("SELECT sum(clock_claims) FROM device_log FINAL", 60)
        .await;
    let sql = "SELECT device, skew_ms, claims, future_claims, past_claims, \
        toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(last_seen) AS age_ms FROM device_clocks \
        WHERE tenant = 'acme' ORDER BY device";
    let clocks: Vec<Clock> = store.rows(sql).await;
    let years_ms = i64::try_from(YEARS_MS).unwrap();
    assert_eq!(clocks.len(), 2, "{clocks:?}");
    for (clock, (device, skew_ms, future, past)) in clocks
        .iter()
        .zip([("ahead", -years_ms, 20, 0), ("behind", years_ms, 0, 20)])
    {
        assert_eq!(
            (
                clock.device.as_str(),
                clock.claims,
                clock.future_claims,
                clock.past_claims
            ),
            (device, 20, future, past)
        );
        assert!((clock.skew_ms - skew_ms).abs() < 60_000, "{clock:?}");
        assert!((0..120_000).contains(&clock.age_ms), "{clock:?}");
    }
    // A second later the gauges are there: neither clock has moved them.
    let metrics = up.endpoint("metrics");
    let gauge = |name: &str| {
        let (_, page) = get(&metrics);
        let line = format!("meridian_process_{name}{{tenant=\"acme\"}} ");
        let found = page
            .lines()
            .find_map(|found| found.strip_prefix(&line)?.parse::<f64>().ok());
        found.unwrap_or(0.0)
    };
    up.daemon
        .wait_until("the age of the watermark", STORED_MAX, || {
            gauge("tenant_freshness_seconds") > 0.0
        })
        .unwrap();
    let (age, watermark) = (gauge("tenant_freshness_seconds"), gauge("tenant_watermark_seconds"));
    assert!((0.0..120.0).contains(&age), "{age}");
    assert!((watermark - now_ms as f64 / 1_000.0).abs() < 120.0, "{watermark}");
    up.stop();
}
