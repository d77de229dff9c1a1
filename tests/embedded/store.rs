//! ClickHouse as an analyst sees it: questions to the views, over HTTP.

use std::time::{Duration, Instant};

use clickhouse::{Client, RowOwned, RowRead};

/// Everything that was published must be there after this, on a busy machine: flushes come after a second at most.
pub(crate) const STORED_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Store {
    client: Client,
}

impl Store {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            client: Client::default().with_url(url).with_database("meridian"),
        }
    }

    /// All rows of an answer.
    pub(crate) async fn rows<T: RowOwned + RowRead>(&self, sql: &str) -> Vec<T> {
        self.client
            .query_raw(sql)
            .fetch_all()
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// A statement without an answer, on the tables of the pipeline.
    pub(crate) async fn execute(&self, sql: &str) {
        let done = self.client.query_raw(sql).execute().await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &str) -> u64 {
        self.rows::<u64>(sql).await[0]
    }

    pub(crate) async fn measurements(&self) -> u64 {
        self.number("SELECT count() FROM measurements").await
    }

    pub(crate) async fn dead_letters(&self) -> u64 {
        self.number("SELECT count() FROM dead_letters").await
    }

    /// Waits until a question has this answer.
    pub(crate) async fn wait_for(&self, sql: &str, expected: u64) {
        let started = Instant::now();
        loop {
            let found = self.number(sql).await;
            if found == expected {
                return;
            }
            assert!(started.elapsed() < STORED_MAX, "{sql}: {found} instead of {expected}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until all measurements are there, then until every level of the rollups counts each of them once.
    pub(crate) async fn wait_until_complete(&self, measurements: u64) {
        self.wait_for("SELECT count() FROM measurements", measurements).await;
        for period in [60, 3_600, 86_400] {
            for res in [9, 7, 5] {
                let level = format!("SELECT sum(count) FROM rollups WHERE period = {period} AND res = {res}");
                self.wait_for(&level, measurements).await;
            }
        }
    }
}
