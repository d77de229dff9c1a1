//! What caches are told: the tag follows the data, and what did not change is not sent again.

use crate::{fleet::HOUR, rig::Api};

const CELL: u64 = 617_700_169_958_293_503;

async fn roll_up(api: &Api, generation: u32, value: u32) {
    api.execute(&format!(
        "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, generation, version, count, sum, min, max) VALUES
         ('acme', 'speed', 60, 9, toDateTime({HOUR}, 'UTC'), {CELL}, {generation}, 1, 1, {value}, {value}, {value})"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_answer_is_not_sent_again_and_a_late_event_changes_it() {
    let api = Api::start("api_caching").await;
    roll_up(&api, 0, 3).await;
    let range = format!("metric=speed&period=60&from={HOUR}000&to={}000", HOUR + 60);
    for path in [
        format!("/api/v1/cells?{range}&res=9"),
        format!("/api/v1/cells?{range}&res=9&format=geojson"),
        format!("/api/v1/series?{range}"),
    ] {
        let first = api.get(&path).await;
        let tag = first.header("etag").to_owned();
        assert!(first.status == 200 && tag.starts_with("W/\""), "{tag}");
        for known in [
            tag.clone(),
            format!("\"other\", {tag}"),
            tag.trim_start_matches("W/").to_owned(),
        ] {
            let again = api.get_with(&path, &[("if-none-match", &known)]).await;
            assert_eq!(
                (again.status, again.body.len(), again.header("etag")),
                (304, 0, tag.as_str()),
                "{path}"
            );
        }
        assert_eq!(
            api.get_with(&path, &[("if-none-match", "W/\"other\"")]).await.status,
            200
        );
    }
    let path = format!("/api/v1/cells?{range}&res=9");
    let tag = api.get(&path).await.header("etag").to_owned();
    // The same average, from one event more.
    roll_up(&api, 1, 3).await;
    let changed = api.get_with(&path, &[("if-none-match", &tag)]).await;
    assert_eq!((changed.status, changed.json()["counts"][0].as_u64()), (200, Some(2)));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn freshness_is_the_newest_believed_time_and_says_whether_a_range_is_complete() {
    let api = Api::start("api_freshness").await;
    let path = |to: u32| format!("/api/v1/cells?metric=speed&tenant=acme&period=60&from={HOUR}000&to={to}000&res=9");
    assert_eq!(api.json(&path(HOUR + 60)).await["freshness"], serde_json::Value::Null);
    // A clock that is ahead counts with the time of receipt only.
    api.execute(&format!(
        "INSERT INTO device_log (tenant, device, version, ts, received_at) VALUES
         ('acme', 'a', 1, toDateTime64({}, 3, 'UTC'), toDateTime64({}, 3, 'UTC')),
         ('beta', 'a', 1, toDateTime64({}, 3, 'UTC'), toDateTime64({}, 3, 'UTC'))",
        HOUR + 9_000,
        HOUR + 121,
        HOUR + 5_000,
        HOUR + 5_000
    ))
    .await;
    let answer = api.get(&path(HOUR + 120)).await;
    // Less the second that a change may wait before it is stored.
    assert_eq!(answer.header("meridian-freshness"), "2026-01-01T00:02:00Z");
    assert_eq!(
        (&answer.json()["freshness"], &answer.json()["complete"]),
        (&"2026-01-01T00:02:00Z".into(), &true.into())
    );
    assert_eq!(api.json(&path(HOUR + 180)).await["complete"], false);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_complete_is_kept_for_a_minute_and_shown_for_one_more() {
    let api = Api::start("api_settled").await;
    let newest = async |seconds: u32, version: u32| {
        api.execute(&format!(
            "INSERT INTO device_log (tenant, device, version, ts, received_at) VALUES ('acme', 'a', {version},
             toDateTime64({seconds}, 3, 'UTC'), toDateTime64({seconds}, 3, 'UTC'))"
        ))
        .await;
    };
    roll_up(&api, 0, 3).await;
    let range = format!("from={HOUR}000&to={}000", HOUR + 60);
    let view = format!("tenant=acme&metric=speed&period=60&{range}");
    let paths = [
        format!("/api/v1/cells?{view}&res=9"),
        format!("/api/v1/cells?{view}&res=9&format=csv"),
        format!("/api/v1/series?{view}"),
        format!("/api/v1/devices/acme/a/track?{range}"),
    ];
    newest(HOUR + 50, 1).await;
    for path in &paths {
        // The hour is long over, and the events of its last seconds may still come.
        let answer = api.get(path).await;
        assert_eq!(answer.header("meridian-complete"), "0", "{path}");
        assert_eq!(
            answer.header("cache-control"),
            "max-age=1, stale-while-revalidate=10",
            "{path}"
        );
    }
    newest(HOUR + 61, 2).await;
    for path in &paths {
        let answer = api.get(path).await;
        assert_eq!(answer.header("meridian-complete"), "1", "{path}");
        assert_eq!(
            answer.header("cache-control"),
            "max-age=60, stale-while-revalidate=60",
            "{path}"
        );
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_changes_is_kept_for_a_second() {
    let api = Api::start("api_open").await;
    for path in [
        "/api/v1/cells?metric=speed",
        "/api/v1/series?metric=speed",
        "/api/v1/devices",
        "/api/v1/nearby?lat=0&lon=0",
    ] {
        let answer = api.get(path).await;
        assert_eq!(
            answer.header("cache-control"),
            "max-age=1, stale-while-revalidate=10",
            "{path}"
        );
        assert!(!answer.header("etag").is_empty(), "{path}");
    }
    api.stop().await;
}
