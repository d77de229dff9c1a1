//! Rows of ClickHouse's answers, column by column as the files in `sql/` name them.

use clickhouse::Row;
use serde::Deserialize;

#[derive(Row, Deserialize)]
pub(super) struct MeasurementRow<'a> {
    pub(super) device: &'a str,
    pub(super) metric: &'a str,
    pub(super) ts_ms: i64,
    pub(super) value: f64,
    pub(super) lat: f64,
    pub(super) lon: f64,
    pub(super) cell: u64,
    pub(super) seq: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct CellRow<'a> {
    pub(super) metric: &'a str,
    pub(super) bucket: u32,
    pub(super) cell: u64,
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) avg: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) devices: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct LevelRow {
    pub(super) period: u32,
    pub(super) res: u8,
    pub(super) measurement_count: u64,
}

#[derive(Row, Deserialize)]
pub(super) struct LetterRow<'a> {
    pub(super) id: &'a str,
    pub(super) reason: &'a str,
    pub(super) topic: &'a [u8],
    pub(super) payload: &'a [u8],
}

#[derive(Row, Deserialize)]
pub(super) struct RecountRow<'a> {
    pub(super) metric: &'a str,
    pub(super) bucket: u32,
    pub(super) cell: u64,
    pub(super) recounted_count: u64,
    pub(super) shown_count: u64,
    pub(super) recounted_sum: f64,
    pub(super) shown_sum: f64,
    pub(super) recounted_devices: u64,
    pub(super) shown_devices: u64,
    pub(super) differing_count: u64,
}
