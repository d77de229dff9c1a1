//! The ClickHouse engine, one for the whole binary, with a database for each test; and rows as the schema stores them.

use std::{net::SocketAddr, sync::OnceLock};

use clickhouse::{Client, Row, RowOwned, RowWrite};
use embedded::clickhouse::{ClickHouseConfig, ClickHouseServer};
use loadtest::oracle::ClickHouseAddress;
use schemas::clickhouse::{Engines, MIGRATIONS};
use serde::Serialize;

/// The runtime and the server live as long as the process: a process holds one engine.
static SERVER: OnceLock<SocketAddr> = OnceLock::new();

fn server() -> SocketAddr {
    *SERVER.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let folder = tempfile::tempdir().unwrap();
                let config = ClickHouseConfig {
                    listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                    data_dir: folder.path().to_owned(),
                    library: None,
                    user: None,
                };
                let server = ClickHouseServer::start(config).await;
                let server = server.unwrap_or_else(|error| panic!("{error}"));
                sender.send(server.address()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receiver.recv().expect("the server starts: its own message is above")
    })
}

/// A database with the whole schema, named after the test.
pub(crate) async fn database(name: &str) -> (Client, ClickHouseAddress) {
    let url = format!("http://{}", server());
    let bare = Client::default().with_url(&url);
    let create = format!("CREATE DATABASE {name}");
    bare.query(&create).execute().await.unwrap();
    for migration in MIGRATIONS {
        for statement in migration.statements(name, &Engines::Plain).unwrap() {
            // The client takes single question marks for placeholders.
            bare.query(&statement.replace('?', "??")).execute().await.unwrap();
        }
    }
    let address = ClickHouseAddress {
        url,
        database: name.to_owned(),
        credentials: None,
    };
    (bare.with_database(name), address)
}

#[derive(Clone, Debug, Row, Serialize)]
pub(crate) struct MeasurementLogRow {
    pub(crate) tenant: String,
    pub(crate) metric: String,
    pub(crate) device: String,
    pub(crate) ts: i64,
    pub(crate) value: f64,
    pub(crate) latitude_e7: i32,
    pub(crate) longitude_e7: i32,
    pub(crate) cell: u64,
    pub(crate) seq: u64,
    pub(crate) partition: u16,
    pub(crate) offset: u64,
}

#[derive(Clone, Debug, Row, Serialize)]
pub(crate) struct RollupLogRow {
    pub(crate) tenant: String,
    pub(crate) metric: String,
    pub(crate) period: u32,
    pub(crate) res: u8,
    pub(crate) bucket: u32,
    pub(crate) cell: u64,
    pub(crate) partition: u16,
    pub(crate) generation: u64,
    pub(crate) version: u64,
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) bin_keys: Vec<i16>,
    pub(crate) bin_counts: Vec<u64>,
    pub(crate) device_hashes: Vec<u32>,
}

#[derive(Clone, Debug, Row, Serialize)]
pub(crate) struct DeadLetterLogRow {
    pub(crate) id: String,
    pub(crate) received_at: i64,
    pub(crate) stage: String,
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) broker: String,
    pub(crate) topic: String,
    #[serde(with = "bytes_as_bytes")]
    pub(crate) payload: Vec<u8>,
    pub(crate) partition: u16,
    pub(crate) offset: u64,
}

/// A `String` column holds any bytes.
mod bytes_as_bytes {
    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }
}

pub(crate) async fn insert<T>(client: &Client, table: &str, rows: &[T])
where
    T: RowOwned + RowWrite,
{
    // Without validation the columns that are not named take their defaults.
    let client = client.clone().with_validation(false);
    let mut insert = client.insert::<T>(table).await.unwrap();
    for row in rows {
        insert.write(row).await.unwrap();
    }
    insert.end().await.unwrap();
}
