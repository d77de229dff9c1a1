//! The live stream of a running `meridian up`: what devices publish is shown, all of it, whoever comes when.

use std::collections::BTreeMap;

use clickhouse::Row;
use h3o::{LatLng, Resolution};
use serde::Deserialize;

use crate::{
    device::{Publish, Version, publish},
    meridian::{READY_MAX, Up, daemon, embedded_service},
    messages::now_ms,
    roles::Deployment,
    store::Store,
    stream::{Stream, open, try_open},
};

/// The bucket of a day stays open over a test, unless it runs over midnight: then the map begins anew, as it should.
const VIEW: &str = "metric=v&tenant=acme&period=86400&agg=sum&res=7";

fn live(up: &Up, query: &str) -> String {
    format!("{}/api/v1/live?{query}", up.endpoint("http"))
}

/// Events of now, spread over a town.
fn events(numbers: std::ops::Range<u64>) -> Vec<Publish> {
    let payload = |seq: u64| {
        let (latitude, longitude) = (48.0 + (seq % 17) as f64 / 50.0, 11.4 + (seq % 13) as f64 / 50.0);
        format!(
            r#"{{"ts":{},"seq":{seq},"lat":{latitude},"lon":{longitude},"v":{}}}"#,
            now_ms(),
            seq % 100
        )
    };
    let message = |seq: u64| Publish::new(&format!("telemetry/acme/car-{}", seq % 29), payload(seq));
    numbers.map(message).collect()
}

#[derive(Debug, Row, Deserialize)]
struct Cell {
    name: String,
    sum: f64,
    count: u64,
}

/// What ClickHouse has in the bucket that a stream shows.
async fn stored(store: &Store, stream: &Stream, res: u8) -> BTreeMap<String, (f64, u64)> {
    let cells: Vec<Cell> = store
        .rows(&format!(
            "SELECT lower(hex(cell)) AS name, sum, count FROM rollups WHERE tenant = 'acme' AND metric = 'v' \
             AND period = 86400 AND res = {res} AND cell != 0 AND bucket = parseDateTimeBestEffort('{}')",
            stream.from
        ))
        .await;
    let name = |cell: &Cell| cell.name.trim_start_matches('0').to_owned();
    cells.iter().map(|cell| (name(cell), (cell.sum, cell.count))).collect()
}

#[tokio::test]
async fn a_published_event_changes_its_hexagon_on_open_streams() {
    let mut up = Up::start(&[]);
    let mut stream = open(&live(&up, VIEW)).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(stream.headers[name], value, "{name}");
    }
    let first = stream.next().await.unwrap();
    assert_eq!(
        (first.name.as_str(), first.data["cells"].as_array().unwrap().len()),
        ("snapshot", 0)
    );
    let position = LatLng::new(48.1, 11.6).unwrap().to_cell(Resolution::Nine);
    let cell = position.parent(Resolution::Seven).unwrap().to_string();
    for (seq, total) in [(1, 2.5), (2, 5.0)] {
        let payload = format!(r#"{{"ts":{},"seq":{seq},"lat":48.1,"lon":11.6,"v":2.5}}"#, now_ms());
        publish(&up.mqtt(), Version::V5, vec![Publish::new("telemetry/acme/a", payload)]).await;
        stream
            .until("the event", |stream| stream.shown.get(&cell) == Some(&(total, seq)))
            .await;
    }
    assert_eq!(stream.counted["snapshot"], 1);
    // Coarser than what is stored, finer, elsewhere, another average, and all tenants.
    let parent = position.parent(Resolution::Six).unwrap().to_string();
    for (query, expected) in [
        (
            "metric=v&tenant=acme&period=86400&agg=avg&res=6",
            Some((parent, (2.5, 2))),
        ),
        (
            "metric=v&period=86400&agg=max&res=9",
            Some((position.to_string(), (2.5, 2))),
        ),
        ("metric=v&period=86400&agg=max&res=9&bbox=12,48,13,49", None),
        ("metric=v&tenant=other&period=86400&agg=max&res=9", None),
    ] {
        let mut other = open(&live(&up, query)).await;
        other.next().await.unwrap();
        assert_eq!(other.shown, expected.into_iter().collect(), "{query}");
    }
    // A stream does not hold up the stop.
    let ends = tokio::spawn(async move { while stream.next().await.is_some() {} });
    up.stop();
    ends.await.unwrap();
}

#[tokio::test]
async fn what_is_not_streamed_is_refused_with_a_problem() {
    let mut up = Up::start(&[]);
    for (query, status, kind, parameter) in [
        ("metric=v&agg=p90", 422, "not-live", "agg"),
        ("metric=v&agg=devices", 422, "not-live", "agg"),
        ("metric=v&period=120", 400, "invalid-parameter", "period"),
        ("metric=v&res=10", 400, "invalid-parameter", "res"),
        ("res=7", 400, "invalid-parameter", "metric"),
        ("metric=v&from=0", 400, "invalid-parameter", "from"),
        ("metric=v&bbox=1,2,3", 400, "invalid-parameter", "bbox"),
        ("metric=v&tenant=a%20b", 400, "invalid-parameter", "tenant"),
    ] {
        let Err((found, problem)) = try_open(&live(&up, query), None).await else {
            panic!("{query} is streamed");
        };
        let expected = format!("urn:meridian:problem:{kind}");
        assert_eq!(
            (found, &problem["type"], &problem["parameter"]),
            (status, &expected.into(), &parameter.into())
        );
    }
    up.stop();
}

#[tokio::test]
async fn too_many_different_watches_are_turned_away_and_told_when_to_come_again() {
    let mut up = Up::start(&[]);
    let mut open_streams = Vec::new();
    let refused = loop {
        let number = open_streams.len();
        assert!(number <= 1_000, "there is a bound");
        match try_open(&live(&up, &format!("metric=v{number}&res=7")), None).await {
            Ok(stream) => open_streams.push(stream),
            Err(refused) => break refused,
        }
    };
    assert!(open_streams.len() >= 100, "{}", open_streams.len());
    assert_eq!(
        (refused.0, &refused.1["type"]),
        (503, &"urn:meridian:problem:too-many-streams".into())
    );
    // What is watched already costs nothing more.
    open(&live(&up, "metric=v0&res=7&agg=max&bbox=1,1,2,2"))
        .await
        .next()
        .await
        .unwrap();
    up.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_streams_end_with_what_clickhouse_has() {
    const STREAMS: u64 = 200;
    const EVENTS: u64 = 3_000;
    let mut up = Up::start(&[]);
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let query = ["res=5", "res=6", "res=7", "res=8", "res=9"][(number % 5) as usize];
        let url = live(&up, &format!("metric=v&tenant=acme&period=86400&agg=sum&{query}"));
        // They come while events do.
        let delay = std::time::Duration::from_millis(number * 25);
        streams.push(tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let mut stream = open(&url).await;
            stream.until("all events", |stream| stream.total() == EVENTS).await;
            stream
        }));
    }
    for part in 0..10 {
        let share = EVENTS / 10;
        publish(&up.mqtt(), Version::V5, events(part * share..(part + 1) * share)).await;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    let store = up.store();
    store.wait_until_complete(EVENTS).await;
    for (number, stream) in streams.into_iter().enumerate() {
        let stream = stream.await.unwrap();
        let res = 5 + u8::try_from(number % 5).unwrap();
        if [5, 7, 9].contains(&res) {
            assert_eq!(stream.shown, stored(&store, &stream, res).await, "stream {number}");
        }
        assert!(!stream.counted.contains_key("gap"), "{:?}", stream.counted);
    }
    up.stop();
}

#[tokio::test]
async fn who_comes_back_gets_only_what_was_missed() {
    let mut up = Up::start(&[]);
    let url = live(&up, VIEW);
    publish(&up.mqtt(), Version::V5, events(0..500)).await;
    let mut stream = open(&url).await;
    stream.until("the first events", |stream| stream.total() == 500).await;
    let (last_id, shown, from) = (stream.last_id.clone(), stream.shown.clone(), stream.from.clone());
    drop(stream);
    publish(&up.mqtt(), Version::V5, events(500..520)).await;
    up.store().wait_until_complete(520).await;
    let mut stream = try_open(&url, Some(&last_id)).await.unwrap();
    (stream.shown, stream.from) = (shown.clone(), from);
    stream.until("what was missed", |stream| stream.total() == 520).await;
    assert_eq!(stream.counted.get("snapshot"), None, "{:?}", stream.counted);
    assert_eq!(stream.shown, stored(&up.store(), &stream, 7).await);

    // Another view, or what nobody ever gave out: a gap, and everything anew.
    for (url, id) in [
        (live(&up, &VIEW.replace("sum", "max")), last_id.as_str()),
        (url, "1-2-3-4"),
    ] {
        let mut other = try_open(&url, Some(id)).await.unwrap();
        let names = [other.next().await.unwrap().name, other.next().await.unwrap().name];
        assert_eq!(names, ["gap", "snapshot"], "{id}");
        assert_eq!(other.total(), 520);
    }
    up.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_streams_come_back_and_end_with_what_clickhouse_has() {
    let mut up = Up::start(&[]);
    let mut stream = open(&live(&up, VIEW)).await;
    publish(&up.mqtt(), Version::V5, events(0..300)).await;
    stream.until("some events", |stream| stream.total() > 0).await;
    publish(&up.mqtt(), Version::V5, events(300..600)).await;
    up.daemon.kill9();
    while stream.next().await.is_some() {}
    up.restart();
    publish(&up.mqtt(), Version::V5, events(600..650)).await;
    let mut again = try_open(&live(&up, VIEW), Some(&stream.last_id)).await.unwrap();
    let first = again.next().await.unwrap();
    assert_eq!(first.name, "gap", "what was missed is not known to another process");
    again.until("all events", |stream| stream.total() == 650).await;
    up.store().wait_until_complete(650).await;
    assert_eq!(again.shown, stored(&up.store(), &again, 7).await);
    up.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_is_closed_and_holds_up_nobody() {
    let mut up = Up::start(&[]);
    // More than sockets hold: many hexagons, all of them changing again and again.
    let scattered = |round: u64| -> Vec<Publish> {
        let event = |number: u64| {
            let (latitude, longitude) = (30.0 + (number % 100) as f64 / 5.0, (number / 100) as f64 / 5.0);
            let ts = now_ms();
            format!(
                r#"{{"ts":{ts},"seq":{},"lat":{latitude},"lon":{longitude},"v":1}}"#,
                round * 10_000 + number
            )
        };
        let batch = |batch: u64| {
            let events: Vec<String> = (batch * 500..(batch + 1) * 500).map(event).collect();
            Publish::new(
                &format!("telemetry/acme/field-{batch}"),
                format!("[{}]", events.join(",")),
            )
        };
        (0..20).map(batch).collect()
    };
    let url = live(&up, VIEW);
    let deaf = open(&url).await;
    let mut reader = open(&url).await;
    let metrics = up.endpoint("metrics");
    let closed = || {
        let (_, page) = crate::life::get(&metrics);
        let line = page
            .lines()
            .find(|line| line.starts_with("meridian_live_stalled_total"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let started = std::time::Instant::now();
    let mut round = 0;
    while closed() < 1.0 {
        publish(&up.mqtt(), Version::V5, scattered(round)).await;
        round += 1;
        reader
            .until("what is published", |stream| stream.total() == round * 10_000)
            .await;
        assert!(
            started.elapsed().as_secs() < 180,
            "who never reads is closed; round {round}"
        );
    }
    let mut deaf = deaf;
    while deaf.next().await.is_some() {}
    assert!(deaf.total() < round * 10_000, "it was closed before it had everything");
    assert_eq!(reader.shown, stored(&up.store(), &reader, 7).await);
    up.stop();
}

/// The web side of its own, and where it is.
fn serve(deployment: &Deployment) -> (rig::Daemon, String) {
    let arguments = [
        "serve",
        "--config",
        "meridian.toml",
        "--http-port",
        "0",
        "--metrics-port",
        "0",
    ];
    let serve = daemon(&arguments).current_dir(deployment.path()).start().unwrap();
    let line = serve.wait_for_line("web  ", READY_MAX).unwrap();
    let url = line[line.find("http://").unwrap()..].to_owned();
    (serve, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_kafka_and_redis_streams_end_with_what_clickhouse_has_though_redis_dies() {
    let mut redis = rig::Redis::start();
    let deployment = Deployment::start_with(&format!("[cache]\nredis_url = \"{}\"\n", redis.url()));
    let mut processes = [deployment.role("process"), deployment.role("process")];
    let mut ingest = deployment.role("ingest");
    for process in &processes {
        process.wait_for_line("meridian process is ready", READY_MAX).unwrap();
    }
    ingest.wait_for_line("meridian ingest is ready", READY_MAX).unwrap();
    let (mut serve, web) = serve(&deployment);
    let mut stream = open(&format!("{web}/api/v1/live?{VIEW}")).await;
    let store = Store::new(&deployment.clickhouse);
    publish(&deployment.mqtt, Version::V5, events(0..200)).await;
    stream.until("events over Redis", |stream| stream.total() == 200).await;

    // While it is away, and when it comes back with nothing.
    redis.daemon().kill9();
    publish(&deployment.mqtt, Version::V5, events(200..400)).await;
    stream
        .until("events without Redis", |stream| stream.total() == 400)
        .await;
    serve.wait_for_line("the shared cache is away", READY_MAX).unwrap();
    redis.restart();
    publish(&deployment.mqtt, Version::V5, events(400..500)).await;
    stream
        .until("events with Redis again", |stream| stream.total() == 500)
        .await;

    // One of those who publish dies, perhaps between ClickHouse and Redis.
    publish(&deployment.mqtt, Version::V5, events(500..700)).await;
    processes[0].kill9();
    publish(&deployment.mqtt, Version::V5, events(700..800)).await;
    stream
        .until("events of the other one", |stream| stream.total() == 800)
        .await;
    store.wait_until_complete(800).await;
    assert_eq!(stream.shown, stored(&store, &stream, 7).await);
    assert_eq!(stream.counted.get("snapshot"), Some(&1), "{:?}", stream.counted);
    // The other one has told of all that the dead one did, and says that it ends: nobody is missed, and nobody is left.
    let last = &mut processes[1];
    assert_eq!(last.interrupt().unwrap().code(), Some(0), "{}", last.log());
    serve
        .wait_for_line("no processor tells of changes any more", READY_MAX)
        .unwrap();
    for role in [&mut serve, &mut ingest] {
        assert_eq!(role.interrupt().unwrap().code(), Some(0), "{}", role.log());
    }
    deployment.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_side_without_a_cache_streams_what_it_reads() {
    let deployment = Deployment::start();
    let (mut process, mut ingest) = (deployment.role("process"), deployment.role("ingest"));
    process.wait_for_line("meridian process is ready", READY_MAX).unwrap();
    ingest.wait_for_line("meridian ingest is ready", READY_MAX).unwrap();
    let (mut serve, web) = serve(&deployment);
    let mut stream = open(&format!("{web}/api/v1/live?{VIEW}")).await;
    publish(&deployment.mqtt, Version::V5, events(0..200)).await;
    stream
        .until("events without a cache", |stream| stream.total() == 200)
        .await;
    for role in [&mut serve, &mut ingest, &mut process] {
        assert_eq!(role.interrupt().unwrap().code(), Some(0), "{}", role.log());
    }
    deployment.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_clickhouse_is_away_the_map_goes_on_from_the_cache_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (mut engine, clickhouse) = embedded_service("clickhouse", "engine", folder.path());
    let config = folder.path().join("meridian.toml");
    std::fs::write(&config, format!("[clickhouse]\nurl = \"{clickhouse}\"\n")).unwrap();
    let mut up = Up::start(&["--config", config.to_str().unwrap()]);
    publish(&up.mqtt(), Version::V5, events(0..100)).await;
    up.store().wait_until_complete(100).await;
    let mut early = open(&live(&up, VIEW)).await;
    early.until("what is stored", |stream| stream.total() == 100).await;

    engine.kill9();
    // Another level, which nobody looked at before.
    let mut late = open(&live(&up, &VIEW.replace("res=7", "res=5"))).await;
    let first = late.next().await.unwrap();
    assert_eq!((first.name.as_str(), &first.data["exact"]), ("snapshot", &false.into()));
    assert_eq!(late.total(), 100, "what the cache was told");
    publish(&up.mqtt(), Version::V5, events(100..150)).await;
    let (port, _) = clickhouse
        .rsplit_once(':')
        .map(|(_, port)| (port.to_owned(), ()))
        .unwrap();
    let arguments = ["embedded", "clickhouse", "--port", &port, "--data-dir", "engine"];
    let mut engine = daemon(&arguments).current_dir(folder.path()).start().unwrap();
    engine.wait_for_line("ready at ", READY_MAX).unwrap();
    early.until("all events", |stream| stream.total() == 150).await;
    // Its second snapshot is exact.
    late.until("all events, exactly", |stream| {
        stream.total() == 150 && stream.counted["snapshot"] == 2
    })
    .await;
    assert_eq!(
        early.counted.get("snapshot"),
        Some(&1),
        "it missed nothing: {:?}",
        early.counted
    );
    assert_eq!(late.shown, stored(&up.store(), &late, 5).await);
    up.stop();
    assert_eq!(engine.interrupt().unwrap().code(), Some(0));
}
