//! Random questions: what the API says is what SQL finds straight in the measurements.

use std::collections::BTreeMap;

use clickhouse::Row;
use h3o::{CellIndex, LatLng};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    fleet::{self, HOUR, SPAN},
    rig::Api,
};

const SEED: u64 = 20_260_101;
const AGGREGATES: [&str; 9] = ["count", "sum", "min", "max", "avg", "p50", "p90", "p99", "devices"];

#[derive(Debug, Deserialize, Row)]
struct Group {
    key: u64,
    values: Vec<f64>,
    devices: u64,
}

impl Group {
    fn aggregate(&self, name: &str) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len() as f64;
        let rank = |quantile: f64| sorted[(quantile * (count - 1.0)).floor() as usize];
        match name {
            "count" => count,
            "sum" => sorted.iter().sum(),
            "min" => sorted[0],
            "max" => sorted[sorted.len() - 1],
            "avg" => sorted.iter().sum::<f64>() / count,
            "p50" => rank(0.5),
            "p90" => rank(0.9),
            "p99" => rank(0.99),
            _ => self.devices as f64,
        }
    }
}

/// Quantiles of rollups are within one per cent; sums differ in their last digits.
fn is_close(aggregate: &str, got: f64, expected: f64, is_exact: bool) -> bool {
    let tolerance = match aggregate.starts_with('p') && !is_exact {
        true => 0.0101,
        false => 1e-9,
    };
    (got - expected).abs() <= tolerance * expected.abs() + 1e-6
}

/// What is asked for.
#[derive(Debug)]
struct Question {
    tenant: &'static str,
    metric: &'static str,
    aggregate: &'static str,
    period: u32,
    from: u32,
    to: u32,
}

impl Question {
    fn random(random: &mut ChaCha8Rng) -> Self {
        let from = HOUR + random.random_range(0..SPAN);
        Self {
            tenant: ["acme", "beta", ""][random.random_range(0..3)],
            metric: ["temperature", "temperature", "speed", "speed", "nothing"][random.random_range(0..5)],
            aggregate: AGGREGATES[random.random_range(0..AGGREGATES.len())],
            period: [60, 3_600, 86_400, 300][random.random_range(0..4)],
            from,
            to: from + random.random_range(1..2 * 86_400),
        }
    }

    fn widened(&self) -> (u32, u32) {
        (
            self.from / self.period * self.period,
            self.to.div_ceil(self.period) * self.period,
        )
    }

    fn path(&self, endpoint: &str) -> String {
        let tenant = match self.tenant {
            "" => String::new(),
            tenant => format!("&tenant={tenant}"),
        };
        format!(
            "/api/v1/{endpoint}?metric={}&agg={}&period={}&from={}000&to={}000{tenant}",
            self.metric, self.aggregate, self.period, self.from, self.to
        )
    }

    /// Straight from the measurements.
    async fn expected(&self, api: &Api, key: &str, condition: &str) -> Vec<Group> {
        let (from, to) = self.widened();
        let sql = format!(
            "SELECT toUInt64({key}) AS key, groupArray(value) AS values, uniqExact(tenant, device) AS devices
            FROM measurements WHERE ('{tenant}' = '' OR tenant = '{tenant}') AND metric = '{metric}'
            AND toUnixTimestamp(ts) >= {from} AND toUnixTimestamp(ts) < {to} AND {condition} GROUP BY key ORDER BY key",
            tenant = self.tenant,
            metric = self.metric,
        );
        api.store.query_raw(&sql).fetch_all().await.unwrap()
    }

    fn check_range(&self, answer: &Value, path: &str) {
        let (from, to) = self.widened();
        let seconds = |name: &str| {
            answer[name]
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .unwrap()
                .as_second()
        };
        assert_eq!((seconds("from"), seconds("to")), (from.into(), to.into()), "{path}");
        assert_eq!(answer["agg"], self.aggregate, "{path}");
        assert_eq!(
            answer["complete"], false,
            "nothing says how far the devices are: {path}"
        );
    }
}

/// A box: of the world, of nothing, over the antimeridian, at a pole, or anywhere.
fn bounding_box(random: &mut ChaCha8Rng) -> [f64; 4] {
    let mut between = |low: f64, high: f64| random.random_range(low..high);
    let (south, north) = (between(-90.0, 90.0), between(-90.0, 90.0));
    let (south, north) = (south.min(north), south.max(north));
    let (lon, width, narrow) = (between(-180.0, 180.0), between(0.0, 180.0), between(0.0, 0.3));
    match random.random_range(0..8) {
        0 => [-180.0, -90.0, 180.0, 90.0],
        1 => [lon, south, lon, south],
        2 => [180.0 - width, south, width - 180.0, north],
        3 => [180.0 - narrow, -17.5, narrow - 180.0, -16.5],
        4 => [lon, 89.0, lon.max(0.0) + 100.0 * f64::from(lon <= 80.0), 90.0],
        5 => [-180.0, -90.0, lon, -89.5],
        6 => [
            8.54 - narrow / 5.0,
            47.37 - narrow / 5.0,
            8.54 + narrow / 5.0,
            47.37 + narrow / 5.0,
        ],
        _ => [lon, south, (lon + width).min(180.0), north],
    }
}

fn is_within([west, south, east, north]: [f64; 4], cell: u64) -> bool {
    let centre = LatLng::from(CellIndex::try_from(cell).unwrap());
    let (lat, lon) = (centre.lat(), centre.lng());
    let is_east_west = match west <= east {
        true => (west..=east).contains(&lon),
        false => lon >= west || lon <= east,
    };
    (south..=north).contains(&lat) && is_east_west
}

fn text_of([west, south, east, north]: [f64; 4]) -> String {
    format!("{west},{south},{east},{north}")
}

fn parent(resolution: u8) -> String {
    // Conditions run in any order, and cell 0 has no parent.
    format!("h3ToParent(if(cell = 0, 617700169958293503, cell), {resolution})")
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_are_what_is_in_the_measurements() {
    let api = Api::start("api_cells").await;
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    fleet::fill(&api, &mut random, 6_000).await;
    let mut cells_seen = 0;
    for _ in 0..300 {
        let question = Question::random(&mut random);
        let (place, resolution) = (bounding_box(&mut random), random.random_range(0..=9_u8));
        let path = format!("{}&bbox={}&res={resolution}", question.path("cells"), text_of(place));
        let answer = api.json(&path).await;
        question.check_range(&answer, &path);
        assert_eq!(
            (&answer["res"], &answer["coarsened"]),
            (&Value::from(resolution), &Value::from(false)),
            "{path}"
        );
        let groups = question.expected(&api, &parent(resolution), "cell != 0").await;
        let expected: Vec<&Group> = groups.iter().filter(|group| is_within(place, group.key)).collect();
        let names: Vec<String> = expected.iter().map(|group| format!("{:x}", group.key)).collect();
        assert_eq!(answer["cells"], Value::from(names), "{path}");
        for (index, group) in expected.iter().enumerate() {
            assert_eq!(answer["counts"][index], Value::from(group.values.len()), "{path}");
            let (got, wanted) = (
                answer["values"][index].as_f64().unwrap(),
                group.aggregate(question.aggregate),
            );
            assert!(
                is_close(question.aggregate, got, wanted, false),
                "{path}: {got} for {wanted}"
            );
        }
        cells_seen += expected.len();
    }
    assert!(cells_seen > 3_000, "only {cells_seen} cells were compared");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_are_what_is_in_the_measurements() {
    let api = Api::start("api_series").await;
    let mut random = ChaCha8Rng::seed_from_u64(SEED + 1);
    fleet::fill(&api, &mut random, 6_000).await;
    let mut buckets_seen = BTreeMap::new();
    for index in 0..300 {
        let question = Question::random(&mut random);
        let (kind, place) = (index % 4, bounding_box(&mut random));
        let resolution = [9, 9, 7, 4, 0][random.random_range(0..5)];
        let (lat, lon) = fleet::place(&mut random);
        let cell = LatLng::new(lat, lon)
            .unwrap()
            .to_cell(h3o::Resolution::try_from(resolution % 6).unwrap());
        let device = format!("device-{}", random.random_range(0..40));
        let (more, condition) = match kind {
            0 => (String::new(), "1".to_owned()),
            1 => (
                format!("&cell={cell}"),
                format!("cell != 0 AND {} = {}", parent(resolution % 6), u64::from(cell)),
            ),
            2 => (format!("&device={device}"), format!("device = '{device}'")),
            _ => {
                let all = question.expected(&api, &parent(resolution), "cell != 0").await;
                let within = all.iter().filter(|group| is_within(place, group.key));
                let keys: Vec<String> = within.map(|group| group.key.to_string()).collect();
                let list = format!("[{}]", keys.join(","));
                let condition = format!(
                    "cell != 0 AND has(arrayMap(x -> toUInt64(x), {list}), {})",
                    parent(resolution)
                );
                (format!("&bbox={}&res={resolution}", text_of(place)), condition)
            }
        };
        if kind == 2 {
            api.execute(&format!(
                "INSERT INTO device_log (tenant, device, version) VALUES ('acme', '{device}', 1), ('beta', '{device}', 1)"
            ))
            .await;
        }
        let path = question.path("series") + &more;
        let answer = api.json(&path).await;
        if kind != 2 {
            question.check_range(&answer, &path);
        }
        let key = format!("intDiv(toUnixTimestamp(ts), {0}) * {0}", question.period);
        let expected = question.expected(&api, &key, &condition).await;
        let time = |seconds: u64| jiff::Timestamp::from_second(seconds as i64).unwrap().to_string();
        let buckets: Vec<String> = expected.iter().map(|group| time(group.key)).collect();
        assert_eq!(answer["buckets"], Value::from(buckets), "{path}");
        for (index, group) in expected.iter().enumerate() {
            assert_eq!(answer["counts"][index], Value::from(group.values.len()), "{path}");
            let (got, wanted) = (
                answer["values"][index].as_f64().unwrap(),
                group.aggregate(question.aggregate),
            );
            assert!(
                is_close(question.aggregate, got, wanted, kind == 2),
                "{path}: {got} for {wanted}"
            );
        }
        *buckets_seen.entry(kind).or_insert(0) += expected.len();
    }
    assert!(
        buckets_seen.len() == 4 && buckets_seen.values().all(|seen| *seen > 100),
        "{buckets_seen:?}"
    );
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_cells_are_answered_coarser_and_none_is_lost() {
    let api = Api::start("api_coarser").await;
    // All 117,649 cells of resolution 9 within one of resolution 3.
    let city = LatLng::new(47.37, 8.54).unwrap().to_cell(h3o::Resolution::Three);
    api.execute(&format!(
        "INSERT INTO rollup_log (tenant, metric, period, res, bucket, cell, generation, version, count, sum, min, max)
        SELECT 'acme', 'temperature', 3600, 9, toDateTime({HOUR}, 'UTC'), arrayJoin(h3ToChildren({}, 9)), 0, 1, 1, 2, 2, 2",
        u64::from(city)
    ))
    .await;
    let range = format!("metric=temperature&period=3600&from={HOUR}000&to={}000", HOUR + 3_600);
    let answer = api.json(&format!("/api/v1/cells?{range}&res=9&agg=count")).await;
    assert_eq!(
        (&answer["res"], &answer["coarsened"]),
        (&Value::from(8), &Value::from(true))
    );
    let counts: Vec<u64> = answer["counts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|count| count.as_u64().unwrap())
        .collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (16_807, 117_649));
    let answer = api.json(&format!("/api/v1/cells?{range}&res=8&agg=avg")).await;
    assert_eq!(
        (&answer["res"], &answer["coarsened"]),
        (&Value::from(8), &Value::from(false))
    );
    // A box around a part of it stays fine.
    let answer = api
        .json(&format!("/api/v1/cells?{range}&res=9&bbox=8.5,47.3,8.6,47.4"))
        .await;
    assert_eq!(answer["res"], 9);
    api.stop().await;
}
