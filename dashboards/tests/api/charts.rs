//! The charts for ClickHouse's own `/dashboard`: each runs as that page asks it, and gives what that page draws.

use serde_json::Value;

use crate::rig::{Api, url};

/// Asks as the page does: the query as the body, its parameters in the address.
async fn ask(query: &str, rounding: u32, seconds: u32) -> Value {
    let address = url();
    let target =
        format!("{address}/?default_format=JSONColumnsWithMetadata&param_rounding={rounding}&param_seconds={seconds}");
    let (status, body) = crate::rig::post(&target, query).await;
    assert_eq!(status, 200, "{body}\n{query}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// A row now in every table that charts read.
async fn fill(api: &Api) {
    for sql in [
        "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, count, sum)
         SELECT 'acme', 'metric-' || toString(number % 12), [60, 3600][1 + number % 2], [9, 5][1 + intDiv(number, 2) % 2],
            toStartOfMinute(now()) - 60 * (number % 20), 1, 120, 1 FROM numbers(240)",
        "INSERT INTO device_log (tenant, device, version, ts, received_at)
         SELECT ['acme', 'beta'][1 + number % 2], toString(number), 1, now64(3) - number, now64(3) - number / 2 FROM numbers(50)",
        "INSERT INTO dead_letter_log (id, received_at, reason)
         SELECT toString(number), now64(3) - number, ['no_json', 'too_large'][1 + number % 2] FROM numbers(50)",
        "INSERT INTO measurement_log (tenant, metric, device, ts) VALUES ('acme', 'speed', 'a', now64(3))",
    ] {
        api.execute(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_chart_can_be_drawn() {
    let api = Api::start("api_charts").await;
    fill(&api).await;
    // What the page sends first has to have these two columns and no other.
    let found = ask(
        "SELECT title, query FROM api_charts.dashboards WHERE dashboard = 'Meridian'",
        60,
        3_600,
    )
    .await;
    let names: Vec<&str> = found["meta"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["title", "query"]);
    let texts = |name: &str| found["data"][name].as_array().unwrap().clone();
    let charts: Vec<(Value, Value)> = texts("title").into_iter().zip(texts("query")).collect();
    assert_eq!(charts.len(), 9);
    for (title, query) in charts {
        for (rounding, seconds) in [(60, 3_600), (1, 600), (900, 86_400)] {
            let answer = ask(query.as_str().unwrap(), rounding, seconds).await;
            let meta = answer["meta"].as_array().unwrap();
            let kind = |column: usize| meta[column]["type"].as_str().unwrap();
            let column = |column: usize| {
                answer["data"][meta[column]["name"].as_str().unwrap()]
                    .as_array()
                    .unwrap()
            };
            let times: Vec<i64> = column(0).iter().map(|time| time.as_i64().unwrap()).collect();
            assert!(!times.is_empty(), "{title}: {answer}");
            assert!(times.is_sorted(), "{title}: {times:?}");
            assert!(times.iter().all(|time| *time > 1_700_000_000), "{title}: {times:?}");
            // Lines are told apart by the second of three columns, where it is text; else each column is one.
            let values = match kind(1) {
                "String" | "LowCardinality(String)" => {
                    assert_eq!(meta.len(), 3, "{title}");
                    let mut points: Vec<_> = times.iter().zip(column(1).iter().map(Value::to_string)).collect();
                    let count = points.len();
                    points.dedup();
                    assert_eq!(points.len(), count, "{title}: one value for a time and label");
                    2..3
                }
                _ => 1..meta.len(),
            };
            assert!(!values.is_empty(), "{title}");
            for value in values.flat_map(column) {
                // Whole numbers of 64 bits come as text.
                let number = value
                    .as_f64()
                    .or_else(|| value.as_str().and_then(|text| text.parse().ok()));
                assert!(number.is_some_and(f64::is_finite), "{title}: {value}");
            }
        }
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_count_each_measurement_once() {
    let api = Api::start("api_charts_rates").await;
    // The same 600 measurements of one minute, at two levels and in an older version.
    api.execute(
        "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, version, count)
         SELECT 'acme', 'speed', level.1, level.2, toDateTime(intDiv(toUnixTimestamp(now()), level.1) * level.1), 1, number, 300 * number
         FROM (SELECT arrayJoin([(60, 9), (60, 5), (3600, 9)]) AS level, arrayJoin([1, 2]) AS number)",
    )
    .await;
    let charts = ask(
        "SELECT query FROM api_charts_rates.dashboards WHERE title LIKE 'Measurements%'",
        60,
        86_400,
    )
    .await;
    for query in charts["data"]["query"].as_array().unwrap() {
        let answer = ask(query.as_str().unwrap(), 1, 86_400).await;
        assert_eq!(answer["data"]["measurements"], serde_json::json!([10]), "{query}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_of_the_documentation_exists() {
    let api = Api::start("api_charts_documented").await;
    let page = include_str!("../../../docs/querying.md");
    let (_, after) = page.split_once("WHERE title = '").expect("it names a chart");
    let (title, _) = after.split_once('\'').unwrap();
    let found = ask(
        &format!("SELECT query FROM api_charts_documented.dashboards WHERE title = '{title}'"),
        60,
        3_600,
    )
    .await;
    assert_eq!(found["rows"], 1, "{title}");
    api.stop().await;
}
