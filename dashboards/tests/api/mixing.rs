//! Nothing that is kept or shared for one caller ever reaches another: answers in memory, tags, and live streams.

use std::{sync::Arc, time::Duration};

use dashboards::Site;
use geocache::{Batch, CellCache, Group, LocalCache, Place, Snapshot, Values, snapshot::Source};
use http_body_util::BodyExt;
use hyper::{Request, body::Incoming};
use hyper_util::{client::legacy, rt::TokioExecutor};
use platform::clock::SystemClock;

use crate::{fleet::HOUR, rig::Api};

const CELL: u64 = 617_700_169_958_293_503;

async fn roll_up(api: &Api, tenant: &str, bucket: u32, value: u32) {
    api.execute(&format!(
        "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, generation, version, count, sum, min, max) VALUES
         ('{tenant}', 'speed', 60, 9, toDateTime({bucket}, 'UTC'), {CELL}, 0, 1, 1, {value}, {value}, {value})"
    ))
    .await;
}

async fn start(database: &str) -> (Api, Arc<LocalCache>) {
    let cache = Arc::new(LocalCache::new(Arc::new(SystemClock::new())));
    let site = Site {
        cache: Some(cache.clone()),
        ..Site::default()
    };
    let store = Api::store(database).await;
    (Api::listening("0.0.0.0:0", store, site).await, cache)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_kept_for_one_tenant_is_not_given_to_another() {
    let (api, _cache) = start("mixing_answers").await;
    roll_up(&api, "acme", HOUR, 3).await;
    roll_up(&api, "beta", HOUR, 40).await;
    let acme = api.key(&["acme"], &["read"]).await;
    let again = api.key(&["acme"], &["read"]).await;
    let beta = api.key(&["beta"], &["read"]).await;
    let none = api.key(&["gamma"], &["read"]).await;
    let all = api.key(&["*"], &["read"]).await;
    let path = format!(
        "/api/v1/cells?metric=speed&agg=sum&period=60&res=9&from={HOUR}000&to={}000",
        HOUR + 60
    );
    let mut kept = 0;
    for _ in 0..3 {
        for (key, expected) in [
            (&acme, "[3.0]"),
            (&beta, "[40.0]"),
            (&none, "[]"),
            (&all, "[43.0]"),
            (&again, "[3.0]"),
        ] {
            let answer = api.get_as(key, &path).await;
            assert_eq!(answer.json()["values"].to_string(), expected);
            kept += usize::from(!answer.header("age").is_empty());
        }
    }
    assert!(kept >= 10, "most of them came from memory: {kept}");
    // The tag of one is no tag of another, even where both have nothing.
    let tag = api.get_as(&acme, &path).await.header("etag").to_owned();
    let empty = path.replace("metric=speed", "metric=nothing");
    let nothing = api.get_as(&acme, &empty).await.header("etag").to_owned();
    for (key, path, tag, status) in [
        (&again, &path, &tag, 304),
        (&beta, &path, &tag, 200),
        (&all, &path, &tag, 200),
        (&again, &empty, &nothing, 304),
        (&beta, &empty, &nothing, 200),
    ] {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", &*bearer), ("if-none-match", tag)];
        assert_eq!(api.get_with(path, &headers).await.status, status);
    }
    // A kept answer opens nothing by itself.
    assert_eq!(api.get_with(&path, &[("if-none-match", &tag)]).await.status, 401);
    api.stop().await;
}

/// A live stream, and what it said so far.
struct Stream {
    body: Incoming,
    said: String,
}

impl Stream {
    async fn open(api: &Api, key: &str, path: &str, last: Option<&str>) -> Self {
        let client: legacy::Client<_, axum::body::Body> = legacy::Client::builder(TokioExecutor::new()).build_http();
        let url = format!("http://127.0.0.1:{}{path}", api.server.address.port());
        let mut request = Request::get(url).header("authorization", format!("Bearer {key}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = client
            .request(request.body(axum::body::Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body(),
            said: String::new(),
        }
    }

    async fn until(&mut self, part: &str) {
        let found = async {
            while !self.said.contains(part) {
                let frame = self.body.frame().await.expect("the stream goes on").unwrap();
                self.said.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), found).await;
        assert!(found.is_ok(), "`{part}` is not in {}", self.said);
    }

    fn last_id(&self) -> &str {
        let mut ids = self
            .said
            .lines()
            .filter_map(|line| line.strip_prefix("id: ").or(line.strip_prefix("id:")));
        ids.next_back().expect("events have numbers")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_streams_of_two_tenants_share_nothing() {
    let (api, cache) = start("mixing_live").await;
    let acme = api.key(&["acme"], &["live"]).await;
    let beta = api.key(&["beta"], &["live"]).await;
    // A day is open long enough for a test.
    let path = "/api/v1/live?metric=speed&agg=sum&period=86400&res=9";
    let now = u32::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let day = now / 86_400 * 86_400;
    let tell = |tenant: &str, version: u64, sum: f64| {
        let place = Place {
            bucket_seconds: day,
            period_seconds: 86_400,
            resolution: 9,
            tenant: tenant.into(),
            metric: "speed".into(),
        };
        let snapshot = Snapshot {
            cell: CELL,
            source: Source {
                partition: 0,
                generation: 0,
            },
            version,
            values: Values {
                count: 1,
                sum,
                min: sum,
                max: sum,
            },
        };
        cache.publish(Batch {
            groups: vec![Group {
                place,
                snapshots: vec![snapshot],
            }],
            ..Batch::default()
        });
    };
    let (mut one, mut other) = (
        Stream::open(&api, &acme, path, None).await,
        Stream::open(&api, &beta, path, None).await,
    );
    one.until("event: snapshot").await;
    other.until("event: snapshot").await;
    tell("acme", 1, 1_111.0);
    tell("beta", 1, 2_222.0);
    one.until("1111").await;
    other.until("2222").await;
    // What one was told last is no place from which the other could go on.
    let mut resumed = Stream::open(&api, &beta, path, Some(one.last_id())).await;
    resumed.until("event: gap").await;
    resumed.until("2222").await;
    let mut same = Stream::open(&api, &acme, path, Some(one.last_id())).await;
    tell("acme", 2, 3_333.0);
    tell("beta", 2, 4_444.0);
    same.until("3333").await;
    one.until("3333").await;
    other.until("4444").await;
    for (stream, foreign) in [
        (&one, ["2222", "4444"]),
        (&same, ["2222", "4444"]),
        (&other, ["1111", "3333"]),
        (&resumed, ["1111", "3333"]),
    ] {
        assert!(
            !foreign.iter().any(|part| stream.said.contains(part)),
            "{}",
            stream.said
        );
    }
    api.stop().await;
}
