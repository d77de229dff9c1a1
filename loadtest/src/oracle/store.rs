//! The oracle's questions to ClickHouse. All SQL lies in `sql/`, values are bound.

mod answers;

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use clickhouse::{Client, Compression};
use h3o::{LatLng, Resolution};
use schemas::Position;

use self::answers::{CellRow, LetterRow, LevelRow, MeasurementRow, RecountRow};
use super::{
    cells::{Level, ShownCell},
    dead_letters::StoredLetter,
    rows::{Names, Row},
    verdict::Difference,
};
use crate::{
    LoadtestError,
    limits::{DEVICES_EXACT_MAX, DEVICES_TOLERANCE, DIFFERENCES_SHOWN_MAX, SUM_TOLERANCE},
};

/// Where ClickHouse is.
#[derive(Clone, Debug)]
pub struct ClickHouseAddress {
    /// `http://host:port`.
    pub url: String,
    /// Database with the views.
    pub database: String,
    /// User name and password, if the server wants them.
    pub credentials: Option<(String, String)>,
}

/// ClickHouse, seen through one tenant.
pub struct Store {
    client: Client,
    url: String,
    tenant: String,
}

impl Store {
    /// A connection that asks for one tenant.
    #[must_use]
    pub fn new(address: &ClickHouseAddress, tenant: &str) -> Self {
        let mut client = Client::default()
            .with_url(&address.url)
            .with_database(&address.database)
            .with_compression(Compression::Lz4);
        if let Some((user, password)) = &address.credentials {
            client = client.with_user(user).with_password(password);
        }
        Self {
            client,
            url: address.url.clone(),
            tenant: tenant.to_owned(),
        }
    }

    /// Makes sure that the server's H3 functions take (latitude, longitude): otherwise its recount would accuse us.
    ///
    /// # Errors
    /// When they do not, or the server does not answer.
    pub async fn check_argument_order(&self) -> Result<(), LoadtestError> {
        let place = LatLng::new(37.7749, -122.4194).expect("a place on earth");
        let expected = u64::from(place.to_cell(Resolution::Nine));
        let found = self
            .number("its H3 functions", include_str!("sql/argument_order.sql"))
            .await?;
        if found == expected {
            return Ok(());
        }
        Err(LoadtestError::OtherArgumentOrder {
            url: self.url.clone(),
            found,
            expected,
        })
    }

    /// All measurements.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn rows(&self, names: &mut Names) -> Result<Vec<Row>, LoadtestError> {
        let failed = self.failed("measurements");
        let query = self
            .client
            .query(include_str!("sql/rows.sql"))
            .param("tenant", &self.tenant);
        let mut cursor = query.fetch::<MeasurementRow<'_>>().map_err(&failed)?;
        let mut rows = Vec::new();
        while let Some(stored) = cursor.next().await.map_err(&failed)? {
            let position = Position::from_degrees(stored.lat, stored.lon);
            let (device, metric) = (names.number(stored.device), names.number(stored.metric));
            let mut row = Row::new(device, metric, stored.ts_ms, stored.value, position, stored.seq);
            // What is stored, not what follows from the position.
            row.cell = stored.cell;
            rows.push(row);
        }
        Ok(rows)
    }

    /// Number of measurements.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn row_count(&self) -> Result<u64, LoadtestError> {
        self.number("the number of measurements", include_str!("sql/row_count.sql"))
            .await
    }

    /// Rows that share their place in the log with another.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn repeated_offsets(&self) -> Result<u64, LoadtestError> {
        self.number("repeated offsets", include_str!("sql/repeated_offsets.sql"))
            .await
    }

    /// Number of measurements in the cells of each level, by period and resolution.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn level_counts(&self) -> Result<BTreeMap<(u32, u8), u64>, LoadtestError> {
        let query = self
            .client
            .query(include_str!("sql/level_counts.sql"))
            .param("tenant", &self.tenant);
        let rows = query
            .fetch_all::<LevelRow>()
            .await
            .map_err(self.failed("rollup counts"))?;
        let count = |row: LevelRow| ((row.period, row.res), row.measurement_count);
        Ok(rows.into_iter().map(count).collect())
    }

    /// All cells of a level, in the order of their keys.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn cells(&self, level: Level, names: &mut Names) -> Result<Vec<ShownCell>, LoadtestError> {
        let failed = self.failed("rollups");
        let query = self.at_level(include_str!("sql/cells.sql"), level);
        let mut cursor = query.fetch::<CellRow<'_>>().map_err(&failed)?;
        let mut cells = Vec::new();
        while let Some(shown) = cursor.next().await.map_err(&failed)? {
            cells.push(ShownCell {
                key: (names.number(shown.metric), shown.bucket, shown.cell),
                count: shown.count,
                sum: shown.sum,
                min: shown.min,
                max: shown.max,
                avg: shown.avg,
                quantiles: [shown.p50, shown.p90, shown.p99],
                devices: shown.devices,
            });
        }
        cells.sort_by_key(|cell| cell.key);
        Ok(cells)
    }

    /// Cells of a level that differ from a recount of the measurements by the server: how many, and the first.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn recount(&self, level: Level) -> Result<(u64, Vec<Difference>), LoadtestError> {
        let failed = self.failed("a recount");
        let query = self
            .at_level(include_str!("sql/recount.sql"), level)
            .param("sum_tolerance", SUM_TOLERANCE)
            .param("devices_exact", DEVICES_EXACT_MAX)
            .param("devices_tolerance", DEVICES_TOLERANCE)
            .param("limit", DIFFERENCES_SHOWN_MAX as u64);
        let mut cursor = query.fetch::<RecountRow<'_>>().map_err(&failed)?;
        let (mut differing_count, mut differences) = (0, Vec::new());
        while let Some(row) = cursor.next().await.map_err(&failed)? {
            differing_count = row.differing_count;
            let subject = format!(
                "{}, metric `{}`, bucket {}, cell {:x}",
                level.name(),
                row.metric,
                row.bucket,
                row.cell
            );
            let detail = format!(
                "recounted: count {}, sum {}, devices {}; shown: count {}, sum {}, devices {}",
                row.recounted_count,
                row.recounted_sum,
                row.recounted_devices,
                row.shown_count,
                row.shown_sum,
                row.shown_devices
            );
            differences.push(Difference::new("recount", subject, detail));
        }
        Ok((differing_count, differences))
    }

    /// Identifiers of the dead letters on our topics.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn dead_letter_ids(&self) -> Result<HashSet<String>, LoadtestError> {
        let query = self.on_our_topics(include_str!("sql/dead_letter_ids.sql"));
        let ids = query.fetch_all::<String>().await.map_err(self.failed("dead letters"))?;
        Ok(ids.into_iter().collect())
    }

    /// Dead letters on our topics that are not among `known`.
    ///
    /// # Errors
    /// When ClickHouse does not answer.
    pub async fn dead_letters(&self, known: &HashSet<String>) -> Result<Vec<StoredLetter>, LoadtestError> {
        let failed = self.failed("dead letters");
        let query = self.on_our_topics(include_str!("sql/dead_letters.sql"));
        let mut cursor = query.fetch::<LetterRow<'_>>().map_err(&failed)?;
        let mut letters = Vec::new();
        while let Some(row) = cursor.next().await.map_err(&failed)? {
            if known.contains(row.id) {
                continue;
            }
            letters.push(StoredLetter {
                topic: Bytes::copy_from_slice(row.topic),
                payload: Bytes::copy_from_slice(row.payload),
                reason: row.reason.to_owned(),
            });
        }
        Ok(letters)
    }

    fn at_level(&self, sql: &str, level: Level) -> clickhouse::query::Query {
        self.client
            .query(sql)
            .param("tenant", &self.tenant)
            .param("period", level.period_seconds)
            .param("res", level.resolution)
    }

    fn on_our_topics(&self, sql: &str) -> clickhouse::query::Query {
        let prefix = format!("telemetry/{}/", self.tenant);
        self.client.query(sql).param("prefix", prefix)
    }

    async fn number(&self, what: &'static str, sql: &str) -> Result<u64, LoadtestError> {
        let query = self.client.query(sql).param("tenant", &self.tenant);
        query.fetch_one::<u64>().await.map_err(self.failed(what))
    }

    fn failed(&self, what: &'static str) -> impl Fn(clickhouse::error::Error) -> LoadtestError {
        let url = self.url.clone();
        move |source| LoadtestError::ClickHouse {
            what,
            url: url.clone(),
            source,
        }
    }
}
