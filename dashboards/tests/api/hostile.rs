//! Whoever has a key of one tenant, and means harm, gets nothing of another.

use std::time::Duration;

use crate::{
    fleet::HOUR,
    rig::{Answer, Api},
};

const ATTEMPTS: [&str; 16] = [
    "' OR 1=1 --",
    "acme' OR tenant = 'beta",
    "'; DROP TABLE api_key_log; --",
    "acme' UNION ALL SELECT hash FROM api_key_log --",
    "{tenant:String}",
    "acme\0",
    "acme\r\nX-Injected: 1",
    "<script>alert(1)</script>",
    "../beta",
    "..%2fbeta",
    "acme,beta",
    "*",
    "%",
    "%62eta",
    "\u{202e}ateb",
    "\u{430}cme",
];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Somebody with a key who never is at the same address twice: limits are tried elsewhere.
struct Attacker<'a> {
    api: &'a Api,
    bearer: String,
    turn: u32,
}

impl Attacker<'_> {
    async fn ask(&mut self, path: &str, header: Option<(&str, &str)>) -> u16 {
        self.turn += 1;
        if self.turn.is_multiple_of(40) {
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        let address = format!("198.51.{}.{}", self.turn / 250, self.turn % 250);
        let mut headers = vec![("authorization", self.bearer.as_str()), ("x-forwarded-for", &address)];
        headers.extend(header);
        let answer = self.api.get_with(path, &headers).await;
        check(&answer, path);
        answer.status
    }
}

fn check(answer: &Answer, what: &str) {
    let body = String::from_utf8_lossy(&answer.body);
    for hidden in ["hidden-car", "4242", "DB::Exception"] {
        assert!(!body.contains(hidden), "{what}: {body}");
    }
    assert_eq!(answer.header("x-injected"), "", "{what}");
}

async fn start() -> Api {
    let api = Api::start_public("hostile").await;
    for (tenant, device, value) in [("acme", "car", 1), ("beta", "hidden-car", 4_242)] {
        for insert in [
            format!(
                "measurement_log (tenant, metric, device, ts, value) VALUES
                 ('{tenant}', 'speed', '{device}', toDateTime64({HOUR}, 3, 'UTC'), {value})"
            ),
            format!(
                "device_log (tenant, device, version, ts, received_at) VALUES
                 ('{tenant}', '{device}', 1, toDateTime64({HOUR}, 3, 'UTC'), toDateTime64({HOUR}, 3, 'UTC'))"
            ),
            format!(
                "rollup_log (tenant, metric, period, res, bucket, cell, version, count, sum, min, max) VALUES
                 ('{tenant}', 'speed', 60, 9, toDateTime({HOUR}, 'UTC'), 617700169958293503, 1, 1, {value}, {value}, {value})"
            ),
        ] {
            api.execute(&format!("INSERT INTO {insert}")).await;
        }
    }
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_parameters_nor_paths_nor_headers_lead_to_another_tenant() {
    let api = start().await;
    let key = api.key(&["acme"], &["read", "live", "operate"]).await;
    let mut attacker = Attacker {
        api: &api,
        bearer: format!("Bearer {key}"),
        turn: 0,
    };
    let range = format!("from={HOUR}000&to={}000", HOUR + 60);
    for attempt in ATTEMPTS {
        let attempt = encoded(attempt);
        for path in [
            format!("cells?metric=speed&period=60&{range}&tenant={attempt}"),
            format!("series?metric=speed&period=60&{range}&tenant={attempt}"),
            format!("series?metric=speed&period=60&{range}&device={attempt}"),
            format!("devices?tenant={attempt}"),
            format!("nearby?lat=0&lon=0&tenant={attempt}"),
            format!("metrics-catalog?tenant={attempt}"),
            format!("live?metric=speed&tenant={attempt}"),
            format!("devices/{attempt}/hidden-car"),
            format!("devices/{attempt}/hidden-car/track"),
            format!("devices/acme/{attempt}"),
            format!("devices/acme/{attempt}/track"),
        ] {
            let status = attacker.ask(&format!("/api/v1/{path}"), None).await;
            assert!(matches!(status, 400 | 404), "{path}: {status}");
        }
        // A place in the order of names, and no more: one that looks like a name is taken for one.
        let status = attacker.ask(&format!("/api/v1/devices?cursor={attempt}"), None).await;
        assert!(matches!(status, 200 | 400), "{attempt}: {status}");
    }
    for path in [
        "/api/v1/devices/beta/hidden-car",
        "/api/v1/devices/acme/hidden-car",
        "/api/v1/devices/acme/../beta/hidden-car",
        "/api/v1//devices/beta/hidden-car",
        "/api/v1/devices/beta/hidden-car/",
        "/API/v1/devices/beta/hidden-car",
        "/api/v1/devices/beta%2Fhidden-car",
        "/api/v1/devices/%62eta/hidden-car/track",
        "/api/v1/devices?cursor=beta/",
        "/api/v1/devices?tenant=acme&tenant=beta",
        "/api/v1/devices?tenant=acme&Tenant=beta",
        "/api/v1/devices?tenant%00=beta",
        "/api/v1/devices?tenant=acme%26tenant=beta",
        "/api/v1/devices?tenant=acme;tenant=beta",
    ] {
        let status = attacker.ask(path, None).await;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    for header in [
        ("x-tenant", "beta"),
        ("x-forwarded-user", "beta"),
        ("x-original-url", "/api/v1/devices?tenant=beta"),
        ("x-rewrite-url", "/api/v1/devices/beta/hidden-car"),
        ("x-http-method-override", "DELETE"),
        ("host", "beta.example"),
        ("cookie", "tenant=beta; meridian_session=mrs_000000000000_00"),
        ("if-none-match", "*"),
    ] {
        let status = attacker.ask("/api/v1/devices", Some(header)).await;
        assert!(matches!(status, 200 | 304), "{header:?}: {status}");
    }
    let kept: u64 = api
        .store
        .query_raw("SELECT count() FROM api_key_log FINAL")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(kept, 1);
    api.stop().await;
}
