//! The questions of the audit to ClickHouse. All SQL lies in `sql/`; what is filled in are numbers and the name of the
//! database, nothing that a device or a person wrote.

use std::{collections::BTreeMap, fmt::Write};

use clickhouse::{Client, Row, RowOwned, RowRead, query::RowCursor};
use schemas::record::EVENTS_TOPIC;
use serde::Deserialize;

use super::report::CellDifference;
use crate::{
    limits::{AUDIT_BUCKETS_MAX, AUDIT_EXPIRY_MARGIN_SECONDS, AUDIT_SHOWN_MAX, LEDGER_CHUNK_RECORDS},
    migrate::seconds_in,
    sink::error::chain,
    task::ledger::CHECKSUM_FACTORS,
};

/// Why an audit could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// ClickHouse does not answer, or refuses.
    #[error(
        "ClickHouse cannot tell {what}: {}; check its address, and run `meridian migrate` if a table is missing",
        chain(source)
    )]
    Query {
        /// What was asked.
        what: &'static str,
        /// What it said.
        source: clickhouse::error::Error,
    },
}

/// ClickHouse, as the audit asks it.
#[derive(Clone)]
pub struct AuditStore {
    client: Client,
    database: String,
}

/// A row of the ledger.
#[derive(Clone, Debug, Deserialize, Row)]
pub(crate) struct LedgerRow {
    pub(crate) topic: String,
    pub(crate) partition: u16,
    pub(crate) chunk: u64,
    pub(crate) first_offset: u64,
    pub(crate) last_offset: u64,
    pub(crate) records: u64,
    pub(crate) events: u64,
    pub(crate) duplicates: u64,
    pub(crate) dead_letters: u64,
    pub(crate) measurements: u64,
    pub(crate) ts_min_ms: i64,
    pub(crate) checksum: u64,
    /// Period, resolution, and from which offset on it is complete.
    pub(crate) levels: Vec<(u32, u8, u64)>,
}

/// Where the rows of a chunk lie.
pub(super) const BEFORE: u8 = 0;
/// See [`BEFORE`].
pub(super) const WITHIN: u8 = 1;
/// See [`BEFORE`].
pub(super) const BEYOND: u8 = 2;

/// Measurements of one chunk: before, within or beyond the books.
#[derive(Clone, Debug, Deserialize, Row)]
pub(super) struct CountedChunk {
    pub(super) partition: u16,
    pub(super) chunk: u64,
    pub(super) found: u64,
    pub(super) checksum: u64,
    pub(super) offset_max: u64,
    pub(super) place: u8,
}

/// A bucket in which a level and the measurements differ.
#[derive(Clone, Debug, Deserialize, Row)]
pub(super) struct DifferingBucket {
    pub(super) partition: u16,
    pub(super) res: u8,
    pub(super) bucket: u32,
    pub(super) expected: u64,
    pub(super) found: u64,
    pub(super) first_offset: u64,
    pub(super) is_hot: u8,
}

/// A cell in which they differ.
#[derive(Clone, Debug, Deserialize, Row)]
pub(super) struct DifferingCell {
    pub(super) partition: u16,
    pub(super) tenant: String,
    pub(super) metric: String,
    pub(super) bucket: u32,
    pub(super) cell: u64,
    pub(super) first_offset: u64,
    pub(super) expected_count: u64,
    pub(super) found_count: u64,
    expected_sum: f64,
    found_sum: f64,
    expected_min: f64,
    found_min: f64,
    expected_max: f64,
    found_max: f64,
    expected_devices: u64,
    found_devices: u64,
    differing_count: u64,
}

impl DifferingCell {
    pub(super) fn difference(self, (period, resolution): (u32, u8)) -> CellDifference {
        CellDifference {
            period,
            resolution,
            bucket: self.bucket,
            cell: self.cell,
            partition: self.partition,
            expected: (
                self.expected_count,
                self.expected_sum,
                self.expected_min,
                self.expected_max,
                self.expected_devices,
            ),
            found: (
                self.found_count,
                self.found_sum,
                self.found_min,
                self.found_max,
                self.found_devices,
            ),
            tenant: self.tenant,
            metric: self.metric,
        }
    }
}

/// Dead letters of one partition.
#[derive(Clone, Debug, Deserialize, Row)]
pub(super) struct CountedLetters {
    pub(super) of_events: u8,
    pub(super) partition: u16,
    pub(super) found: u64,
}

/// From and up to which offset the books of each partition of a topic go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Positions(pub(crate) BTreeMap<u16, (u64, u64)>);

impl Positions {
    pub(crate) fn of(ledger: &[LedgerRow], topic: &str) -> Self {
        let mut positions: BTreeMap<u16, (u64, u64)> = BTreeMap::new();
        for row in ledger.iter().filter(|row| row.topic == topic) {
            let (_, end) = positions.entry(row.partition).or_insert((row.first_offset, 0));
            *end = row.last_offset + 1;
        }
        Self(positions)
    }

    /// SQL for the end of the books of a row's partition; 0 where there are none.
    pub(crate) fn ends_sql(&self) -> String {
        self.sql(|(_, end)| end)
    }

    fn starts_sql(&self) -> String {
        self.sql(|(start, _)| start)
    }

    fn sql(&self, value: impl Fn((u64, u64)) -> u64) -> String {
        let offsets = self.0.iter().map(|(partition, range)| (*partition, value(*range)));
        offsets_sql(&offsets.collect())
    }
}

/// SQL for the offset that belongs to a row's partition; 0 where there is none.
pub(crate) fn offsets_sql(offsets: &BTreeMap<u16, u64>) -> String {
    // Never empty, since an empty list has no type.
    let (mut partitions, mut values) = ("65536".to_owned(), "0".to_owned());
    for (partition, offset) in offsets {
        let _ = write!(partitions, ",{partition}");
        let _ = write!(values, ",{offset}");
    }
    format!(
        "transform(toUInt64(partition), CAST([{partitions}], 'Array(UInt64)'), CAST([{values}], 'Array(UInt64)'), \
         toUInt64(0))"
    )
}

/// Which buckets to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// These, by their start in Unix seconds.
    Buckets(Vec<u32>),
    /// Those from one start up to another, Unix seconds.
    Range(u64, u64),
}

impl Window {
    /// All buckets of a period that overlap a range of time.
    #[must_use]
    pub fn range(from_seconds: u64, to_seconds: u64, period: u32) -> Self {
        let period = u64::from(period);
        Self::Range(from_seconds / period * period, to_seconds.div_ceil(period) * period)
    }

    /// Without buckets that begin before a time.
    #[must_use]
    pub fn not_before(self, horizon_seconds: u64) -> Self {
        match self {
            Self::Range(from, to) => Self::Range(from.max(horizon_seconds), to),
            buckets @ Self::Buckets(_) => buckets,
        }
    }

    /// SQL for the measurements and for the snapshots of these buckets.
    pub(crate) fn sql(&self, period: u32) -> (String, String) {
        match self {
            Self::Buckets(buckets) => {
                let list: Vec<String> = buckets.iter().map(ToString::to_string).collect();
                let list = list.join(",");
                let (first, last) = (buckets.iter().min(), buckets.iter().max());
                let (from, to) = (
                    first.copied().unwrap_or(0),
                    u64::from(last.copied().unwrap_or(0)) + u64::from(period),
                );
                (
                    format!(
                        "ts >= toDateTime64({from}, 3, 'UTC') AND ts < toDateTime64({to}, 3, 'UTC') \
                         AND intDiv(toUnixTimestamp(ts), {period}) * {period} IN ({list})"
                    ),
                    format!("toUnixTimestamp(bucket) IN ({list}) AND bucket >= toDateTime({from}, 'UTC')"),
                )
            }
            Self::Range(from, to) => {
                let start = format!("intDiv({from} + {period} - 1, {period}) * {period}");
                (
                    format!("ts >= toDateTime64({start}, 3, 'UTC') AND ts < toDateTime64({to}, 3, 'UTC')"),
                    format!("bucket >= toDateTime({start}, 'UTC') AND toUnixTimestamp(bucket) < {to}"),
                )
            }
        }
    }
}

/// From which time on rows cannot have expired.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Horizons {
    measurements_seconds: u64,
    rollups_seconds: u64,
    /// Dead letters expire at all.
    pub(super) dead_letters_expire: bool,
}

impl Horizons {
    pub(super) fn measurements_ms(&self) -> i64 {
        i64::try_from(self.measurements_seconds * 1_000).unwrap_or(i64::MAX)
    }

    /// Buckets from here on have all their measurements and all their snapshots.
    pub(super) fn buckets_seconds(&self) -> u64 {
        self.measurements_seconds.max(self.rollups_seconds)
    }
}

impl AuditStore {
    /// Through a client whose URL and user are set.
    #[must_use]
    pub fn new(client: Client, database: &str) -> Self {
        Self {
            client: client.with_database(database),
            database: database.to_owned(),
        }
    }

    /// The books of all partitions, in the order of their offsets.
    pub(crate) async fn ledger(&self) -> Result<Vec<LedgerRow>, AuditError> {
        self.ask("the ledger", include_str!("sql/ledger.sql"), &[]).await
    }

    pub(super) async fn measurements(&self, positions: &Positions) -> Result<Vec<CountedChunk>, AuditError> {
        let [of_offset, of_device, of_time, of_cell, of_all] = CHECKSUM_FACTORS.map(|factor| factor.to_string());
        let values = [
            ("{positions}", positions.ends_sql()),
            ("{starts}", positions.starts_sql()),
            ("{chunk_records}", LEDGER_CHUNK_RECORDS.to_string()),
            ("{of_offset}", of_offset),
            ("{of_device}", of_device),
            ("{of_time}", of_time),
            ("{of_cell}", of_cell),
            ("{of_all}", of_all),
        ];
        self.ask("the measurements", include_str!("sql/measurements.sql"), &values)
            .await
    }

    /// Largest offset in the snapshots of each partition.
    pub(super) async fn rollup_ends(&self) -> Result<BTreeMap<u16, u64>, AuditError> {
        let rows: Vec<(u16, u64)> = self
            .ask("the ends of the rollups", include_str!("sql/rollup_ends.sql"), &[])
            .await?;
        Ok(rows.into_iter().collect())
    }

    pub(super) async fn buckets(
        &self,
        positions: &Positions,
        period: u32,
        resolutions: &[u8],
        horizon_seconds: u64,
    ) -> Result<Vec<DifferingBucket>, AuditError> {
        let values = [
            ("{positions}", positions.ends_sql()),
            ("{period}", period.to_string()),
            ("{resolutions}", format!("{resolutions:?}")),
            ("{horizon}", horizon_seconds.to_string()),
            ("{limit}", AUDIT_BUCKETS_MAX.to_string()),
        ];
        self.ask("the sums of the rollups", include_str!("sql/buckets.sql"), &values)
            .await
    }

    /// How many cells of a level differ, and the first of them.
    pub(super) async fn cells(
        &self,
        positions: &Positions,
        (period, resolution): (u32, u8),
        window: &Window,
    ) -> Result<(u64, Vec<DifferingCell>), AuditError> {
        let (of_ts, of_bucket) = window.sql(period);
        let values = [
            ("{positions}", positions.ends_sql()),
            ("{period}", period.to_string()),
            ("{res}", resolution.to_string()),
            ("{buckets_of_ts}", of_ts),
            ("{buckets_of_bucket}", of_bucket),
            ("{limit}", AUDIT_SHOWN_MAX.to_string()),
        ];
        let cells: Vec<DifferingCell> = self.ask("a recount", include_str!("sql/cells.sql"), &values).await?;
        Ok((cells.first().map_or(0, |cell| cell.differing_count), cells))
    }

    /// How many snapshots a level has.
    pub(super) async fn snapshot_count(
        &self,
        (period, resolution): (u32, u8),
        window: &Window,
    ) -> Result<u64, AuditError> {
        let (_, of_bucket) = window.sql(period);
        let values = [
            ("{period}", period.to_string()),
            ("{res}", resolution.to_string()),
            ("{buckets_of_bucket}", of_bucket),
        ];
        let sql = include_str!("sql/snapshots.sql");
        let counts: Vec<u64> = self.ask("the number of snapshots", sql, &values).await?;
        Ok(counts.into_iter().sum())
    }

    pub(super) async fn dead_letters(
        &self,
        events: &Positions,
        letters: &Positions,
    ) -> Result<Vec<CountedLetters>, AuditError> {
        let values = [
            ("{event_positions}", events.ends_sql()),
            ("{event_starts}", events.starts_sql()),
            ("{letter_starts}", letters.starts_sql()),
            ("{letter_positions}", letters.ends_sql()),
            ("{events_topic}", EVENTS_TOPIC.to_owned()),
        ];
        self.ask("the dead letters", include_str!("sql/dead_letters.sql"), &values)
            .await
    }

    /// What the tables' own definitions say about expiry.
    pub(super) async fn horizons(&self) -> Result<Horizons, AuditError> {
        let sql = "SELECT toString(name), toString(create_table_query), toUInt64(toUnixTimestamp(now())) \
            FROM system.tables WHERE database = '{database}' AND name LIKE '%\\_log'";
        let rows: Vec<(String, String, u64)> = self.ask("how long rows are kept", sql, &[]).await?;
        let mut horizons = Horizons::default();
        for (name, definition, now_seconds) in rows {
            let Some(age_seconds) = seconds_in(&definition) else {
                continue;
            };
            let horizon_seconds = (now_seconds + AUDIT_EXPIRY_MARGIN_SECONDS).saturating_sub(age_seconds);
            match name.as_str() {
                "measurement_log" => horizons.measurements_seconds = horizon_seconds,
                "rollup_log" => horizons.rollups_seconds = horizon_seconds,
                "dead_letter_log" => horizons.dead_letters_expire = true,
                _ => {}
            }
        }
        Ok(horizons)
    }

    /// Partitions of the events topic that were ever processed.
    pub(crate) async fn partitions(&self) -> Result<Vec<u16>, AuditError> {
        let ledger = self.ledger().await?;
        Ok(Positions::of(&ledger, EVENTS_TOPIC).0.into_keys().collect())
    }

    /// Buckets from here on, Unix seconds, have all their measurements.
    pub(crate) async fn bucket_horizon(&self) -> Result<u64, AuditError> {
        Ok(self.horizons().await?.buckets_seconds())
    }

    /// A statement without an answer.
    pub(crate) async fn execute(
        &self,
        what: &'static str,
        sql: &str,
        values: &[(&str, String)],
    ) -> Result<(), AuditError> {
        let done = self.client.query_raw(&self.fill(sql, values)).execute().await;
        done.map_err(|source| AuditError::Query { what, source })
    }

    /// Rows as they come.
    pub(crate) fn cursor<T: RowOwned + RowRead>(
        &self,
        what: &'static str,
        sql: &str,
        values: &[(&str, String)],
    ) -> Result<RowCursor<T>, AuditError> {
        self.client
            .query_raw(&self.fill(sql, values))
            .fetch()
            .map_err(|source| AuditError::Query { what, source })
    }

    fn fill(&self, sql: &str, values: &[(&str, String)]) -> String {
        let sql = sql.replace("{database}", &self.database);
        values.iter().fold(sql, |sql, (name, value)| sql.replace(name, value))
    }

    /// All rows.
    pub(crate) async fn ask<T: RowOwned + RowRead>(
        &self,
        what: &'static str,
        sql: &str,
        values: &[(&str, String)],
    ) -> Result<Vec<T>, AuditError> {
        self.client
            .query_raw(&self.fill(sql, values))
            .fetch_all()
            .await
            .map_err(|source| AuditError::Query { what, source })
    }
}
