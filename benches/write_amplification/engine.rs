//! The embedded engine, asked how many bytes it has written: inserts and merges together.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clickhouse::Client;
use embedded::clickhouse::{ClickHouseConfig, ClickHouseServer};
use processors::{
    migrate::{MigrateOptions, migrate},
    sink::{ClickHouseSink, SinkSettings},
};
use schemas::{
    arrow::{EncodedTables, TableBatches, encode_tables},
    rows::Rows,
};
use tempfile::TempDir;

const DATABASE: &str = "meridian";
/// Merges are through when none ran for so long.
const QUIET: Duration = Duration::from_secs(3);
const QUIET_WAIT_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Engine {
    server: ClickHouseServer,
    client: Client,
    sink: ClickHouseSink,
    _folder: TempDir,
    inserted_bytes: u64,
    inserted_rows: u64,
    insert_count: u64,
    written_before: u64,
    merged_before: u64,
}

/// What one table has cost.
pub(crate) struct Written {
    inserted_rows: u64,
    insert_count: u64,
    inserted_bytes: u64,
    /// By inserts and merges, compressed.
    written_bytes: u64,
    merged_rows: u64,
    /// What lies there in the end.
    kept_rows: u64,
    kept_bytes: u64,
}

/// The rows of one table in one flush, encoded.
pub(crate) struct Share {
    row_count: u64,
    tables: EncodedTables,
}

/// Measurements and rollups of a flush.
pub(crate) fn split(rows: Rows) -> [Share; 2] {
    let measurements = Rows {
        measurements: rows.measurements,
        ..Rows::default()
    };
    let rollups = Rows {
        rollups: rows.rollups,
        ..Rows::default()
    };
    [measurements, rollups].map(|rows| Share {
        row_count: rows.counts().iter().sum::<usize>() as u64,
        tables: encode_tables(&[TableBatches::from_rows(rows).unwrap()]).unwrap(),
    })
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let server = ClickHouseServer::start(ClickHouseConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: folder.path().to_owned(),
            library: None,
            user: None,
        });
        let server = server.await.unwrap_or_else(|error| panic!("{error}"));
        let client = Client::default().with_url(server.url());
        let options = MigrateOptions {
            database: DATABASE.to_owned(),
            ..MigrateOptions::default()
        };
        migrate(&client, &options).await.unwrap();
        let sink = ClickHouseSink::new(SinkSettings::new(client.clone(), DATABASE));
        let mut engine = Self {
            server,
            client,
            sink,
            _folder: folder,
            inserted_bytes: 0,
            inserted_rows: 0,
            insert_count: 0,
            written_before: 0,
            merged_before: 0,
        };
        engine.begin().await;
        engine
    }

    /// A share of one flush, as the runner sends it.
    pub(crate) async fn insert(&mut self, share: Share) {
        self.inserted_rows += share.row_count;
        self.insert_count += share.tables.len() as u64;
        self.inserted_bytes += share.tables.iter().map(|table| table.body.len() as u64).sum::<u64>();
        self.sink.insert_tables(share.tables).await.unwrap();
    }

    /// Waits for merges, tells what was written since the last time, and begins anew.
    pub(crate) async fn settle(&mut self, table: &str) -> Written {
        let started = Instant::now();
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < QUIET && started.elapsed() < QUIET_WAIT_MAX {
            if self.number("SELECT count() FROM system.merges").await > 0 {
                quiet_since = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let of_table = format!("FROM system.parts WHERE active AND database = '{DATABASE}' AND table = '{table}'");
        let written = Written {
            inserted_rows: self.inserted_rows,
            insert_count: self.insert_count,
            inserted_bytes: self.inserted_bytes,
            written_bytes: self.written().await - self.written_before,
            merged_rows: self.merged().await - self.merged_before,
            kept_rows: self.number(&format!("SELECT sum(rows) {of_table}")).await,
            kept_bytes: self.number(&format!("SELECT sum(bytes_on_disk) {of_table}")).await,
        };
        self.begin().await;
        written
    }

    pub(crate) async fn stop(self) {
        self.server.stop(STOP_MAX).await.unwrap();
    }

    async fn begin(&mut self) {
        (self.inserted_bytes, self.inserted_rows, self.insert_count) = (0, 0, 0);
        self.written_before = self.written().await;
        self.merged_before = self.merged().await;
    }

    async fn written(&self) -> u64 {
        self.event("WriteBufferFromFileDescriptorWriteBytes").await
    }

    async fn merged(&self) -> u64 {
        self.event("MergedRows").await
    }

    /// A counter of the engine; 0 before it first counted.
    async fn event(&self, name: &str) -> u64 {
        self.number(&format!("SELECT sum(value) FROM system.events WHERE event = '{name}'"))
            .await
    }

    async fn number(&self, sql: &str) -> u64 {
        self.client.query(sql).fetch_one().await.unwrap()
    }
}

pub(crate) fn report(measurements: &Written, rollups: &Written, measurement_count: u64) {
    println!(
        "\nwritten by the engine for each measurement, merges included (log time passes faster than real time here,"
    );
    println!("so merges have less time, and the parts they find are the same):");
    println!(
        "table             inserts   rows   bytes sent   on disk, written   of that kept   rows merged   rows kept"
    );
    let per_measurement = |count: u64| count as f64 / measurement_count as f64;
    for (name, table) in [("measurement_log", measurements), ("rollup_log", rollups)] {
        println!(
            "{name:<16}  {:>7}   {:>4.2}   {:>10.0}   {:>16.1}   {:>12.1}   {:>11.2}   {:>9.2}",
            table.insert_count,
            per_measurement(table.inserted_rows),
            per_measurement(table.inserted_bytes),
            per_measurement(table.written_bytes),
            per_measurement(table.kept_bytes),
            per_measurement(table.merged_rows),
            per_measurement(table.kept_rows)
        );
    }
    println!(
        "rollups cost {:.1} times the bytes on disk that their measurements cost",
        rollups.written_bytes as f64 / measurements.written_bytes as f64
    );
}
