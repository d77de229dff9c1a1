//! What the head of an answer says: the page after it, and what a table has no place for.

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::TimestampMillisecondType,
    ipc::reader::StreamReader,
};
use serde_json::{Value, json};

use crate::{
    devices::{insert, row},
    fleet::HOUR,
    rig::{Answer, Api},
};

const CELL: u64 = 617_700_169_958_293_503;

/// A cell, a path of ten positions, one each second, and something that came ten minutes later.
async fn fill(api: &Api) {
    api.execute(&format!(
        "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, version, count, sum, min, max) VALUES
         ('acme', 'speed', 60, 9, toDateTime({HOUR}, 'UTC'), {CELL}, 1, 1, 3, 3, 3)"
    ))
    .await;
    api.execute(&format!(
        "INSERT INTO measurement_log (tenant, metric, device, ts, value, latitude_e7, longitude_e7, partition, offset)
         SELECT 'acme', 'speed', 'bus-1', toDateTime64({HOUR}, 3, 'UTC') + number, 1, number, number, 0, number
         FROM numbers(10)"
    ))
    .await;
    let at = HOUR + 600;
    api.execute(&format!(
        "INSERT INTO device_log (tenant, device, version, ts, received_at) VALUES
         ('acme', 'bus-1', 2, toDateTime64({at}, 3, 'UTC'), toDateTime64({at}, 3, 'UTC'))"
    ))
    .await;
}

/// The address of the page after an answer, as a client that knows RFC 8288 finds it.
fn next(answer: &Answer, path: &str) -> Option<String> {
    let link = answer.header("link");
    if link.is_empty() {
        return None;
    }
    let reference = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let base = url::Url::parse("http://host").unwrap().join(path).unwrap();
    let next = base.join(reference).unwrap();
    Some(format!("{}?{}", next.path(), next.query().unwrap()))
}

/// All pages, one after the other, and how many of them there are.
async fn pages(api: &Api, first: &str) -> Vec<Answer> {
    let (mut answers, mut path) = (Vec::new(), Some(first.to_owned()));
    while let Some(asked) = path {
        let answer = api.get(&asked).await;
        assert_eq!(answer.status, 200, "{asked}: {}", String::from_utf8_lossy(&answer.body));
        path = next(&answer, &asked);
        answers.push(answer);
        assert!(answers.len() < 100, "{first} does not end");
    }
    answers
}

/// The rows of a table that came in pages, without the names of columns.
fn lines(pages: &[Answer]) -> Vec<String> {
    let texts = pages.iter().map(|page| String::from_utf8(page.body.clone()).unwrap());
    let rows = texts.flat_map(|text| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>());
    rows.collect()
}

fn batches(answer: &Answer) -> RecordBatch {
    let mut batches = StreamReader::try_new(&answer.body[..], None).unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none(), "one batch");
    batch
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_of_a_page_links_to_the_next_one_until_all_have_come() {
    let api = Api::start("api_links").await;
    let names: Vec<String> = (0..130).map(|index| format!("bus-{index:03}")).collect();
    let rows: Vec<String> = names.iter().map(|name| row("acme", name, Some((1.0, 2.0)))).collect();
    insert(&api, &rows).await;
    insert(&api, &[row("beta", "bus-000", None)]).await;
    // A hundred, where nothing is said, and the rest.
    let tables = pages(&api, "/api/v1/devices?tenant=acme&format=csv").await;
    assert_eq!(tables.len(), 2);
    let expected: Vec<String> = names
        .iter()
        .map(|name| format!("acme,{name},2026-01-01T00:00:00Z,1,2"))
        .collect();
    assert_eq!(lines(&tables), expected);
    let question = "/api/v1/devices?tenant=acme&bbox=1,0,3,2&search=bus&limit=50&format=";
    for (format, count) in [("json", "devices"), ("geojson", "features")] {
        let found = pages(&api, &format!("{question}{format}")).await;
        let counts: Vec<usize> = found
            .iter()
            .map(|page| page.json()[count].as_array().unwrap().len())
            .collect();
        assert_eq!(counts, [50, 50, 30], "{format}");
        assert_eq!(found[2].json()["next"], Value::Null);
    }
    let found = pages(&api, &format!("{question}arrow")).await;
    let counts: Vec<usize> = found.iter().map(|page| batches(page).num_rows()).collect();
    assert_eq!(counts, [50, 50, 30]);
    // Also where nothing is sent again.
    let tag = tables[0].header("etag");
    let known = api
        .get_with("/api/v1/devices?tenant=acme&format=csv", &[("if-none-match", tag)])
        .await;
    assert_eq!((known.status, known.header("link")), (304, tables[0].header("link")));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_is_continued_in_every_format_and_its_range_stays_while_it_is() {
    let api = Api::start("api_track_links").await;
    fill(&api).await;
    let base = format!("/api/v1/devices/acme/bus-1/track?from={HOUR}&to={}&limit=4", HOUR + 60);
    let tables = pages(&api, &format!("{base}&format=csv")).await;
    let expected: Vec<String> = (0..10)
        .map(|second| format!("2026-01-01T00:00:0{second}Z,{0},{0}", f64::from(second) / 1e7))
        .collect();
    assert_eq!((tables.len(), lines(&tables)), (3, expected));
    for format in ["json", "geojson", "arrow"] {
        assert_eq!(
            pages(&api, &format!("{base}&format={format}")).await.len(),
            3,
            "{format}"
        );
    }
    // Where the range is left to the server, now is another time on every page.
    api.execute(
        "INSERT INTO measurement_log (tenant, metric, device, ts, value, latitude_e7, longitude_e7, partition, offset)
         SELECT 'acme', 'speed', 'bus-2', now64(3) - 60, 1, 1, 1, 0, number FROM numbers(3)",
    )
    .await;
    insert(&api, &[row("acme", "bus-2", None)]).await;
    let recent = pages(&api, "/api/v1/devices/acme/bus-2/track?limit=1&format=csv").await;
    assert_eq!(recent.len(), 3);
    for page in &recent {
        assert_eq!(page.header("meridian-to"), recent[0].header("meridian-to"));
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_every_format_says_what_the_document_says() {
    let api = Api::start("api_about").await;
    fill(&api).await;
    let range = format!("tenant=acme&metric=speed&period=60&from={HOUR}001&to={}000", HOUR + 30);
    let cells = [
        ("from", "2026-01-01T00:00:00Z"),
        ("to", "2026-01-01T00:01:00Z"),
        ("period", "60"),
        ("res", "9"),
        ("complete", "1"),
        ("coarsened", "0"),
        ("lite", "0"),
        ("freshness", "2026-01-01T00:09:59Z"),
    ];
    for (question, expected) in [
        (format!("cells?{range}&res=9"), cells),
        (format!("series?{range}&bbox=-180,-90,180,90"), cells),
        // Nothing is about cells here, and no flush has to be waited for.
        (
            format!("series?{range}&device=bus-1"),
            cells.map(|(name, text)| match name {
                "res" => (name, ""),
                "freshness" => (name, "2026-01-01T00:10:00Z"),
                _ => (name, text),
            }),
        ),
    ] {
        for format in ["json", "csv", "arrow"] {
            let path = format!("/api/v1/{question}&format={format}");
            let answer = api.get(&path).await;
            let known = api.get_with(&path, &[("if-none-match", answer.header("etag"))]).await;
            assert_eq!((answer.status, known.status), (200, 304), "{path}");
            for (name, text) in expected {
                assert_eq!(answer.header(&format!("meridian-{name}")), text, "{name} of {path}");
                assert_eq!(known.header(&format!("meridian-{name}")), text, "{name} of {path}");
            }
            if format == "arrow" {
                let batch = batches(&answer);
                let said = expected.iter().filter(|(_, text)| !text.is_empty());
                let said: Value = said
                    .map(|(name, text)| (format!("meridian-{name}"), json!(text)))
                    .collect();
                assert_eq!(
                    json!(
                        batch
                            .schema()
                            .metadata()
                            .iter()
                            .collect::<std::collections::BTreeMap<_, _>>()
                    ),
                    said
                );
            }
        }
    }
    let geojson = api.get(&format!("/api/v1/cells?{range}&res=9&format=geojson")).await;
    assert_eq!(geojson.header("meridian-from"), "2026-01-01T00:00:00Z");
    let later = format!("tenant=acme&metric=speed&period=60&from={HOUR}&to={}", HOUR + 3_600);
    for path in [
        format!("cells?{later}&format=csv"),
        format!("series?{later}&format=csv"),
    ] {
        assert_eq!(
            api.get(&format!("/api/v1/{path}")).await.header("meridian-complete"),
            "0",
            "{path}"
        );
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_in_arrow_are_times() {
    let api = Api::start("api_arrow_times").await;
    fill(&api).await;
    let range = format!("from={HOUR}&to={}&format=arrow", HOUR + 60);
    for (path, column, expected) in [
        (
            format!("series?tenant=acme&metric=speed&period=60&bbox=-180,-90,180,90&{range}"),
            "bucket",
            0,
        ),
        (format!("devices/acme/bus-1/track?{range}"), "ts", 0),
        ("devices?tenant=acme&format=arrow".to_owned(), "ts", 600_000),
    ] {
        let batch = batches(&api.get(&format!("/api/v1/{path}")).await);
        let times = batch.column_by_name(column).unwrap();
        let times = times.as_primitive::<TimestampMillisecondType>();
        assert_eq!(times.timezone(), Some("UTC"), "{path}");
        assert_eq!(times.value(0), i64::from(HOUR) * 1_000 + expected, "{path}");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn identifiers_in_csv_are_those_that_were_published() {
    let api = Api::start("api_csv_names").await;
    insert(&api, &[row("-neg", "-1", None), row("acme", ".a:b_c", None)]).await;
    let csv = api.get("/api/v1/devices?format=csv").await;
    assert_eq!(
        String::from_utf8(csv.body).unwrap(),
        "tenant,device,ts,lat,lon\r\n-neg,-1,2026-01-01T00:00:00Z,,\r\nacme,.a:b_c,2026-01-01T00:00:00Z,,\r\n"
    );
    api.stop().await;
}
