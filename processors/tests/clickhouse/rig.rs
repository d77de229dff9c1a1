//! The shared server, a migrated database for each test, and rows in few words.

use std::{net::SocketAddr, sync::OnceLock};

use clickhouse::Client;
use embedded::clickhouse::{ClickHouseConfig, ClickHouseServer};
use processors::{
    migrate::{MigrateOptions, migrate},
    runner::RowSink,
    sink::{ClickHouseSink, SinkSettings},
};
use schemas::rows::{COORDINATE_UNKNOWN_E7, MeasurementRows, RollupRows, Rows};

/// The runtime and the server live as long as the process: the engine is process-wide.
static SERVER: OnceLock<SocketAddr> = OnceLock::new();

/// Address of the server of this binary.
pub(crate) fn server() -> SocketAddr {
    *SERVER.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                // In the target folder, as it outlives the process.
                let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
                let server = ClickHouseServer::start(ClickHouseConfig {
                    listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                    data_dir: folder.path().to_owned(),
                    library: None,
                    user: None,
                });
                let server = server.await.unwrap_or_else(|error| panic!("{error}"));
                sender.send(server.address()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receiver.recv().expect("the server starts: its own message is above")
    })
}

pub(crate) fn client_at(address: SocketAddr) -> Client {
    Client::default()
        .with_url(format!("http://{address}"))
        .with_user("default")
}

/// A migrated database of one test.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) sink: ClickHouseSink,
}

impl Database {
    pub(crate) async fn migrated(name: &str) -> Self {
        let client = client_at(server());
        migrate(&client, &options(name)).await.unwrap();
        Self {
            name: name.to_owned(),
            client: client.clone().with_database(name),
            sink: ClickHouseSink::new(SinkSettings::new(client, name)),
        }
    }

    /// A sink for the same tables that reaches the server by another address.
    pub(crate) fn sink_through(&self, address: SocketAddr) -> ClickHouseSink {
        let mut settings = SinkSettings::new(client_at(address), &self.name);
        settings.backoff.initial = std::time::Duration::from_millis(10);
        settings.backoff.max = std::time::Duration::from_millis(50);
        ClickHouseSink::new(settings)
    }

    pub(crate) async fn insert(&self, rows: Rows) {
        insert_with(&self.sink, rows).await;
    }

    pub(crate) async fn insert_rollups(&self, snapshots: &[Snapshot]) {
        let rollups = rollup_rows(snapshots);
        self.insert(Rows {
            rollups,
            ..Rows::default()
        })
        .await;
    }

    pub(crate) async fn insert_measurements(&self, measurements: MeasurementRows) {
        self.insert(Rows {
            measurements,
            ..Rows::default()
        })
        .await;
    }

    /// The result as tab-separated lines.
    pub(crate) async fn text(&self, sql: &str) -> String {
        self.answer(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) async fn answer(&self, sql: &str) -> clickhouse::error::Result<String> {
        let bytes = self
            .client
            .query_raw(sql)
            .fetch_bytes("TabSeparatedRaw")?
            .collect()
            .await?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_owned())
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let done = self.client.query_raw(sql).execute().await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

pub(crate) async fn insert_with(sink: &ClickHouseSink, rows: Rows) {
    let encoded = sink.encode(rows);
    sink.insert(vec![encoded]).await.unwrap();
}

pub(crate) fn options(database: &str) -> MigrateOptions {
    MigrateOptions {
        database: database.to_owned(),
        ..MigrateOptions::default()
    }
}

/// Some hour, in Unix seconds.
pub(crate) const HOUR: u32 = 1_767_225_600;

/// `count` measurements of one device, one a second from [`HOUR`] on, with rising offsets and values.
pub(crate) fn measurements(count: u32) -> MeasurementRows {
    let mut rows = MeasurementRows::default();
    for index in 0..count {
        push_measurement(&mut rows, "temperature", index);
    }
    rows
}

pub(crate) fn push_measurement(rows: &mut MeasurementRows, metric: &str, index: u32) {
    let ts_ms = (i64::from(HOUR) + i64::from(index)) * 1_000;
    rows.tenant.push("acme");
    rows.metric.push(metric);
    rows.device.push("device-1");
    rows.ts_ms.push(ts_ms);
    rows.value.push(f64::from(index));
    rows.latitude_e7.push(COORDINATE_UNKNOWN_E7);
    rows.longitude_e7.push(COORDINATE_UNKNOWN_E7);
    rows.cell.push(0);
    rows.seq.push(u64::from(index));
    rows.received_at_ms.push(ts_ms + 5);
    rows.device_ts_ms.push(ts_ms);
    rows.clock_suspect.push(0);
    rows.altitude_m.push(f32::NAN);
    rows.speed_mps.push(f32::NAN);
    rows.heading_deg.push(f32::NAN);
    rows.accuracy_m.push(f32::NAN);
    rows.partition.push(3);
    rows.offset.push(u64::from(index));
}

/// One row of `rollup_log`, with defaults for what a test does not speak of.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) metric: &'static str,
    pub(crate) bucket: u32,
    pub(crate) cell: u64,
    pub(crate) partition: u16,
    pub(crate) generation: u64,
    pub(crate) version: u64,
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) bins: Vec<(i16, u64)>,
    pub(crate) hashes: Vec<u32>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            metric: "temperature",
            bucket: HOUR,
            cell: 7,
            partition: 0,
            generation: 0,
            version: 0,
            count: 1,
            sum: 1.0,
            min: 1.0,
            max: 1.0,
            bins: vec![(12_000, 1)],
            hashes: vec![1],
        }
    }
}

pub(crate) fn rollup_rows(snapshots: &[Snapshot]) -> RollupRows {
    let mut rows = RollupRows::default();
    for snapshot in snapshots {
        rows.tenant.push("acme");
        rows.metric.push(snapshot.metric);
        rows.period_seconds.push(3_600);
        rows.resolution.push(9);
        rows.bucket_seconds.push(snapshot.bucket);
        rows.cell.push(snapshot.cell);
        rows.partition.push(snapshot.partition);
        rows.generation.push(snapshot.generation);
        rows.version.push(snapshot.version);
        rows.count.push(snapshot.count);
        rows.sum.push(snapshot.sum);
        rows.min.push(snapshot.min);
        rows.max.push(snapshot.max);
        rows.bin_keys.push(snapshot.bins.iter().map(|bin| bin.0));
        rows.bin_counts.push(snapshot.bins.iter().map(|bin| bin.1));
        rows.device_hashes.push(snapshot.hashes.iter().copied());
    }
    rows
}
