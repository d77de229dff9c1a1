//! Live streams: never old data as exact, whoever does not tell, whatever clocks do, and not all of them for one tenant.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::body::Body;
use dashboards::{Site, limits};
use geocache::{Batch, CellCache, Group, LocalCache, Place, RedisCache, Snapshot, Values, snapshot::Source};
use http_body_util::BodyExt;
use hyper::{Request, body::Incoming};
use hyper_util::{client::legacy, rt::TokioExecutor};
use platform::clock::{ManualClock, SystemClock};
use rig::Redis;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    devices::{self, names},
    fleet::HOUR,
    rig::{Answer, Api},
};

const CELL: u64 = 0x0871_f8d7_a9ff_ffff;
const AWAITED_MAX: Duration = Duration::from_secs(30);

/// A stream that is open.
struct Stream {
    body: Incoming,
    text: String,
}

/// Opens a stream; what it was answered where it is refused.
async fn open(api: &Api, query: &str, key: Option<&str>) -> Result<Stream, Answer> {
    let client: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build_http();
    let port = api.server.address.port();
    let mut request = Request::get(format!("http://127.0.0.1:{port}/api/v1/live?{query}"));
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let response = client.request(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    match parts.status.as_u16() {
        200 => Ok(Stream {
            body,
            text: String::new(),
        }),
        status => Err(Answer {
            status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }),
    }
}

impl Stream {
    /// The next event with hexagons.
    async fn next(&mut self) -> Value {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let data = block.lines().find_map(|line| line.strip_prefix("data: "));
                let data: Option<Value> = data.map(|data| serde_json::from_str(data).unwrap());
                self.text = rest.to_owned();
                if let Some(data) = data.filter(|data| data["cells"].is_array()) {
                    return data;
                }
            }
            let frame = self.body.frame().await.expect("the stream goes on").unwrap();
            if let Ok(data) = frame.into_data() {
                self.text.push_str(std::str::from_utf8(&data).unwrap());
            }
        }
    }

    /// Reads until an event is like this.
    async fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                let event = self.next().await;
                if is_it(&event) {
                    return event;
                }
            }
        };
        timeout(AWAITED_MAX, found)
            .await
            .unwrap_or_else(|_| panic!("{what} is shown"))
    }
}

fn is_count(count: u64) -> impl Fn(&Value) -> bool {
    move |event| event["counts"] == serde_json::json!([count]) && event["exact"] == true
}

/// Stores the only hexagon of a bucket, with so many events, as a processor does.
async fn store(api: &Api, place: &Place, count: u64) -> Snapshot {
    let Place {
        bucket_seconds,
        period_seconds,
        resolution,
        tenant,
        metric,
    } = place;
    api.execute(&format!(
        "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, partition, generation, version, count, sum, \
         min, max) VALUES ('{tenant}', '{metric}', {period_seconds}, {resolution}, {bucket_seconds}, {CELL}, 0, 1, {count}, \
         {count}, {count}, 1, 1)"
    ))
    .await;
    Snapshot {
        cell: CELL,
        source: Source {
            partition: 0,
            generation: 1,
        },
        version: count,
        values: Values {
            count,
            sum: count as f64,
            min: 1.0,
            max: 1.0,
        },
    }
}

fn tell(cache: &dyn CellCache, place: &Place, snapshot: Snapshot) {
    cache.publish(Batch {
        groups: vec![Group {
            place: place.clone(),
            snapshots: vec![snapshot],
        }],
        ..Batch::default()
    });
}

fn place(bucket_seconds: u32, period_seconds: u32) -> Place {
    Place {
        bucket_seconds,
        period_seconds,
        resolution: 7,
        tenant: "acme".into(),
        metric: "v".into(),
    }
}

/// The bucket of this day; a test begins long before it ends.
async fn today() -> Place {
    const DAY: u64 = 86_400;
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if now % DAY < DAY - 120 {
            return place(u32::try_from(now - now % DAY).unwrap(), 86_400);
        }
        sleep(Duration::from_secs(1)).await;
    }
}

const VIEW: &str = "metric=v&tenant=acme&period=86400&agg=count&res=7";
/// A publisher that was silent for this long is known as such.
const SILENCE: Duration = Duration::from_secs(geocache::limits::PUBLISHER_SILENT_MAX.as_secs() + 3);
/// Far less than what watches and positions are compared with the store after.
const SHOWN_MAX: Duration = Duration::from_secs(15);

fn over_redis(redis: &Redis) -> Arc<RedisCache> {
    Arc::new(RedisCache::new(&redis.url(), Arc::new(SystemClock::new())).unwrap())
}

async fn near(api: &Api) -> Vec<String> {
    names(&api.json("/api/v1/nearby?tenant=acme&lat=10&lon=10&radius_m=1000").await)
}

/// What is stored from now on shows soon, with nobody to tell.
async fn shows_what_is_stored(api: &Api, stream: &mut Stream, today: &Place, count: u64) {
    let started = Instant::now();
    store(api, today, count).await;
    let device = format!("bus-{count}");
    devices::insert(api, &[devices::row("acme", &device, Some((10.0, 10.0)))]).await;
    assert!(near(api).await.contains(&format!("acme/{device}")), "{device}");
    stream.until("what is stored", is_count(count)).await;
    assert!(started.elapsed() < SHOWN_MAX, "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_processor_writes_without_telling_is_shown_all_the_same() {
    let (redis, today) = (Redis::start(), today().await);
    let store_client = Api::store("live_untold").await;
    let api = Api::told_by(store_client, Some(over_redis(&redis))).await;
    let mut stream = open(&api, VIEW, None).await.ok().unwrap();
    // One that has no `redis_url`: it is never heard, and Redis is there.
    sleep(SILENCE).await;
    shows_what_is_stored(&api, &mut stream, &today, 10).await;
    // One that tells, and then is cut off.
    let processor = over_redis(&redis);
    tell(&*processor, &today, store(&api, &today, 60).await);
    stream.until("what is told", is_count(60)).await;
    drop(processor);
    sleep(SILENCE).await;
    shows_what_is_stored(&api, &mut stream, &today, 82).await;
    // It is not forgotten as somebody else is heard.
    let other = over_redis(&redis);
    other.lose();
    sleep(SILENCE).await;
    shows_what_is_stored(&api, &mut stream, &today, 90).await;
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_for_a_moment_freezes_nothing_and_completes_nothing() {
    const NOW_MS: i64 = HOUR as i64 * 1_000 + 30_000;
    const JUMP_MS: i64 = 7_200_000;
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let cache = Arc::new(LocalCache::new(clock.clone()));
    let site = Site {
        cache: Some(cache.clone()),
        ..Site::default()
    };
    let api = Api::listening_by(clock.clone(), "127.0.0.1:0", Api::store("live_clock").await, site).await;
    let minute = place(HOUR, 60);
    tell(&*cache, &minute, store(&api, &minute, 5).await);
    let view = "metric=v&tenant=acme&period=60&agg=count&res=7";
    let mut stream = open(&api, view, None).await.ok().unwrap();
    let from = stream.until("the open minute", is_count(5)).await["from"].clone();
    clock.set_wall_ms(NOW_MS + JUMP_MS);
    stream.until("the minute to come", |event| event["from"] != from).await;
    // What came meanwhile was received ahead of time, too.
    let seconds = (NOW_MS + JUMP_MS) / 1_000;
    api.execute(&format!(
        "INSERT INTO device_log (tenant, device, version, ts, received_at) \
         VALUES ('acme', 'bus', 1, toDateTime64({seconds}, 3, 'UTC'), toDateTime64({seconds}, 3, 'UTC'))"
    ))
    .await;
    api.execute("INSERT INTO ledger_log (topic, partition, chunk, version) VALUES ('meridian.events.v1', 0, 0, 1)")
        .await;
    clock.set_wall_ms(NOW_MS);
    let back = stream
        .until("the open minute again", |event| event["from"] == from)
        .await;
    assert!(is_count(5)(&back), "{back}");
    // Those who were there and those who come now see what comes.
    tell(&*cache, &minute, store(&api, &minute, 8).await);
    let event = stream.until("what comes", is_count(8)).await;
    assert_eq!(event["complete"], false, "{event}");
    let mut late = open(&api, view, None).await.ok().unwrap();
    let event = late.until("the open minute", is_count(8)).await;
    assert!(event["from"] == from && event["complete"] == false, "{event}");
    for path in ["cells?res=7&", "series?"] {
        let (from_ms, to_ms) = (i64::from(HOUR) * 1_000, i64::from(HOUR + 60) * 1_000);
        let path = format!("/api/v1/{path}metric=v&tenant=acme&period=60&from={from_ms}&to={to_ms}");
        let answer = api.json(&path).await;
        assert_eq!(answer["complete"], false, "{path}: {answer}");
        // Once that time has come and is over, it is; asked in another way, as the answer from before may be kept.
        clock.set_wall_ms(NOW_MS + JUMP_MS + 10_000);
        let answer = api.json(&format!("{path}&agg=max")).await;
        assert_eq!(answer["complete"], true, "{path}: {answer}");
        clock.set_wall_ms(NOW_MS);
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_takes_the_watches_of_others() {
    let api = Api::start_public("live_shares").await;
    let acme = api.key(&["acme"], &["read", "live"]).await;
    let again = api.key(&["acme"], &["read", "live"]).await;
    let beta = api.key(&["beta"], &["read", "live"]).await;
    let all = api.key(&["*"], &["read", "live"]).await;
    let of = |number: usize| format!("metric=made_up_{number}&res=7");
    let mut streams = Vec::new();
    for number in 0..limits::WATCHES_OF_SHARE_MAX {
        streams.push(open(&api, &of(number), Some(&acme)).await.ok().unwrap());
    }
    // Another key of the same tenant is not another share.
    for key in [&acme, &again] {
        let refused = open(&api, &of(1_000), Some(key)).await.err().unwrap();
        assert_eq!(
            (refused.status, refused.json()["type"].as_str()),
            (429, Some("urn:meridian:problem:streams-used-up"))
        );
        assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
        let max = limits::WATCHES_OF_SHARE_MAX.to_string();
        assert!(
            refused.json()["detail"].as_str().unwrap().contains(&max),
            "{}",
            refused.json()
        );
    }
    // What is watched already costs nothing more, and nobody else feels it.
    for (key, number) in [(&again, 0), (&beta, 0), (&beta, 1_000), (&all, 1_000)] {
        streams.push(open(&api, &of(number), Some(key)).await.ok().unwrap());
    }
    api.stop().await;
}
