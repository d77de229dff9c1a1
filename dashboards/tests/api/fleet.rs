//! Measurements all over the world, and their rollups, derived here in SQL independently of the processors.

use h3o::{LatLng, Resolution};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::rig::{Api, levels};

/// Some hour, in Unix seconds.
pub(crate) const HOUR: u32 = 1_767_225_600;
/// All measurements are within so many seconds after it.
pub(crate) const SPAN: u32 = 3 * 86_400;
pub(crate) const TENANTS: [&str; 2] = ["acme", "beta"];
const DEVICES: u32 = 40;
const UNKNOWN_E7: i32 = i32::MIN;

/// A place: often where the globe is difficult.
pub(crate) fn place(random: &mut ChaCha8Rng) -> (f64, f64) {
    let near = |centre: f64, spread: f64, random: &mut ChaCha8Rng| centre + random.random_range(-spread..spread);
    let wrap = |lon: f64| (lon + 180.0_f64).rem_euclid(360.0) - 180.0;
    match random.random_range(0..6) {
        0 => (near(-17.0, 0.3, random), wrap(near(180.0, 0.4, random))),
        1 => (near(89.5, 0.5, random).min(90.0), random.random_range(-180.0..180.0)),
        2 => (near(-89.5, 0.5, random).max(-90.0), random.random_range(-180.0..180.0)),
        3 => (near(0.0, 0.1, random), near(0.0, 0.1, random)),
        4 => (near(47.37, 0.05, random), near(8.54, 0.05, random)),
        _ => (
            random.random_range(-1.0_f64..1.0).asin().to_degrees(),
            random.random_range(-180.0..180.0),
        ),
    }
}

fn value(random: &mut ChaCha8Rng) -> f64 {
    match random.random_range(0..10) {
        0 => 0.0,
        1 => -random.random_range(0.001..1e6_f64),
        _ => (random.random_range(-500..4_000_i32)).into(),
    }
}

/// `count` measurements, written twice as after a crash, and their rollups.
pub(crate) async fn fill(api: &Api, random: &mut ChaCha8Rng, count: u32) {
    let rows: Vec<String> = (0..count).map(|offset| row(random, offset)).collect();
    let insert = format!(
        "INSERT INTO measurement_log (tenant, metric, device, ts, value, latitude_e7, longitude_e7, cell, partition, \
         offset) VALUES {}",
        rows.join(", ")
    );
    api.execute(&insert).await;
    api.execute(&insert).await;
    for level in levels() {
        roll_up(api, level.period_seconds, level.resolution).await;
    }
}

fn row(random: &mut ChaCha8Rng, offset: u32) -> String {
    let tenant = TENANTS[random.random_range(0..TENANTS.len())];
    let metric = ["temperature", "speed"][random.random_range(0..2)];
    let device = random.random_range(0..DEVICES);
    let ts_ms = i64::from(HOUR) * 1_000 + random.random_range(0..i64::from(SPAN) * 1_000);
    let value = value(random);
    let partition = random.random_range(0..4);
    let (latitude_e7, longitude_e7, cell) = match random.random_range(0..10) {
        0 => (UNKNOWN_E7, UNKNOWN_E7, 0),
        _ => {
            let (lat, lon) = place(random);
            let e7 = |degrees: f64| (degrees * 1e7) as i32;
            let kept = LatLng::new(f64::from(e7(lat)) / 1e7, f64::from(e7(lon)) / 1e7).unwrap();
            (e7(lat), e7(lon), u64::from(kept.to_cell(Resolution::Nine)))
        }
    };
    format!(
        "('{tenant}', '{metric}', 'device-{device}', fromUnixTimestamp64Milli({ts_ms}), {value}, {latitude_e7}, \
         {longitude_e7}, {cell}, {partition}, {offset})"
    )
}

/// Two generations of each cell and partition, each with an older version that says something else.
async fn roll_up(api: &Api, period: u32, resolution: u8) {
    for (version, factor) in [(1, 0.5), (2, 1.0)] {
        api.execute(&format!(
            "INSERT INTO rollup_log SELECT tenant, metric, {period} AS period, {resolution} AS res,
                toDateTime(intDiv(toUnixTimestamp(ts), {period}) * {period}, 'UTC') AS bucket,
                if(cell = 0, 0, h3ToParent(if(cell = 0, {any}, cell), {resolution})) AS parent, partition,
                offset % 2 AS generation, {version} AS version, count() AS count, sum(value) * {factor} AS sum,
                min(value) * {factor} AS min, max(value) * {factor} AS max,
                sumMap([toInt16(if(value = 0, 0, sign(value) * (12000 + ceil(log(abs(value)) / log(1.01 / 0.99)))))],
                    [toUInt64(1)]).1 AS bin_keys,
                sumMap([toInt16(if(value = 0, 0, sign(value) * (12000 + ceil(log(abs(value)) / log(1.01 / 0.99)))))],
                    [toUInt64(1)]).2 AS bin_counts,
                groupUniqArray(toUInt32(cityHash64(tenant, device))) AS device_hashes
            FROM measurement_log FINAL
            GROUP BY tenant, metric, bucket, parent, partition, generation",
            any = u64::from(LatLng::new(1.0, 1.0).unwrap().to_cell(Resolution::Nine)),
        ))
        .await;
    }
}
