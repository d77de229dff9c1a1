//! Questions to the engine: whether everything is visible yet.

use std::time::Duration;

use clickhouse::{Client, Row};
use serde::Deserialize;
use tokio::time::Instant;

/// Looking costs the engine time, so it is done as often as the result needs: a tenth of a second in a run of ten.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Nothing new for so long means that something is lost.
const STALLED_AFTER: Duration = Duration::from_secs(60);
/// Three periods at three resolutions.
const LEVELS: usize = 9;

pub(crate) struct Store {
    client: Client,
}

#[derive(Debug, Row, Deserialize)]
struct LevelCount {
    period: u32,
    res: u8,
    measurements: u64,
}

impl Store {
    pub(crate) fn new(url: &str, database: &str) -> Self {
        Self {
            client: Client::default().with_url(url).with_database(database),
        }
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.client.query(sql).execute().await.unwrap();
    }

    /// Returns when `view` has exactly so many rows; `table` is what is asked cheaply until they can be there.
    pub(crate) async fn wait_for_rows(&self, table: &str, view: &str, expected: u64) -> Instant {
        let parts = format!("SELECT sum(rows) FROM system.parts WHERE active AND table = '{table}'");
        self.wait_for(&parts, |rows| rows >= expected).await;
        let reached = self
            .wait_for(&format!("SELECT count() FROM {view}"), |rows| rows >= expected)
            .await;
        let found = self.number(&format!("SELECT count() FROM {view}")).await;
        assert_eq!(found, expected, "rows in `{view}`");
        reached
    }

    /// Returns when each level of the rollups counts exactly so many measurements.
    pub(crate) async fn wait_for_rollups(&self, expected: u64) -> Instant {
        let mut watch = Watch::new();
        loop {
            let levels = self.levels().await;
            let sum = levels.iter().map(|level| level.measurements).sum();
            if sum >= expected * LEVELS as u64 {
                let is_exact = |level: &LevelCount| level.measurements == expected;
                assert!(
                    levels.len() == LEVELS && levels.iter().all(is_exact),
                    "not {expected} each: {levels:?}"
                );
                return Instant::now();
            }
            watch.look(sum, &format_args!("{levels:?}"));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn levels(&self) -> Vec<LevelCount> {
        let sql = "SELECT toUInt32(period) AS period, toUInt8(res) AS res, toUInt64(sum(count)) AS measurements \
                   FROM rollups GROUP BY period, res";
        let mut levels: Vec<LevelCount> = self.client.query(sql).fetch_all().await.unwrap();
        levels.sort_by_key(|level| (level.period, level.res));
        levels
    }

    async fn wait_for(&self, sql: &str, is_enough: impl Fn(u64) -> bool) -> Instant {
        let mut watch = Watch::new();
        loop {
            let found = self.number(sql).await;
            if is_enough(found) {
                return Instant::now();
            }
            watch.look(found, &sql);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn number(&self, sql: &str) -> u64 {
        self.client.query(sql).fetch_one().await.unwrap()
    }
}

/// Ends a wait that leads nowhere.
struct Watch {
    last: u64,
    changed: Instant,
}

impl Watch {
    fn new() -> Self {
        Self {
            last: 0,
            changed: Instant::now(),
        }
    }

    fn look(&mut self, found: u64, what: &dyn std::fmt::Display) {
        if found != self.last {
            (self.last, self.changed) = (found, Instant::now());
        }
        assert!(self.changed.elapsed() < STALLED_AFTER, "stays at {found}: {what}");
    }
}
