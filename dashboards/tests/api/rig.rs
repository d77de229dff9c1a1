//! The shared engine, a database and a web server for each test, and a client.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::body::Body;
use clickhouse::Client;
use dashboards::{KEY_TABLE, KeyRow, NewKey, Queries, Site, StoredLevel, WebServer, serve};
use embedded::clickhouse::{ClickHouseConfig, ClickHouseServer};
use geocache::CellCache;
use http_body_util::BodyExt;
use hyper::{Request, header::HeaderMap};
use hyper_util::{client::legacy, rt::TokioExecutor};
use platform::{
    clock::{Clock, SystemClock},
    health::Health,
    shutdown::{Shutdown, ShutdownTrigger},
};
use schemas::clickhouse::{Engines, MIGRATIONS};
use serde_json::Value;

/// The runtime and the server live as long as the process: the engine is process-wide.
static SERVER: OnceLock<SocketAddr> = OnceLock::new();

fn engine() -> SocketAddr {
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

/// Where the engine answers.
pub(crate) fn url() -> String {
    format!("http://{}", engine())
}

/// Status and text of an answer.
pub(crate) async fn post(url: &str, body: &str) -> (u16, String) {
    let client: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build_http();
    let request = Request::post(url).body(Body::from(body.to_owned())).unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// The levels that are stored by default.
pub(crate) fn levels() -> Vec<StoredLevel> {
    let periods = [60, 3_600, 86_400];
    let level = |period_seconds, resolution| StoredLevel {
        period_seconds,
        resolution,
        flush_interval_ms: 1_000,
    };
    periods
        .iter()
        .flat_map(|period| [9, 7, 5].map(|resolution| level(*period, resolution)))
        .collect()
}

/// A web server over a database.
pub(crate) struct Api {
    pub(crate) store: Client,
    pub(crate) server: WebServer,
    trigger: ShutdownTrigger,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Api {
    /// Over an empty, migrated database.
    pub(crate) async fn start(database: &str) -> Self {
        Self::over(Self::store(database).await).await
    }

    /// The same, where other machines could ask.
    pub(crate) async fn start_public(database: &str) -> Self {
        Self::listening("0.0.0.0:0", Self::store(database).await, Site::default()).await
    }

    /// An empty, migrated database.
    pub(crate) async fn store(database: &str) -> Client {
        let client = Client::default()
            .with_url(format!("http://{}", engine()))
            .with_user("default");
        for migration in MIGRATIONS {
            for statement in migration.statements(database, &Engines::Plain).unwrap() {
                client.query_raw(&statement).execute().await.unwrap();
            }
        }
        client.with_database(database)
    }

    pub(crate) async fn over(store: Client) -> Self {
        Self::told_by(store, None).await
    }

    /// One that hears of changes.
    pub(crate) async fn told_by(store: Client, cache: Option<Arc<dyn CellCache>>) -> Self {
        let site = Site {
            cache,
            ..Site::default()
        };
        Self::listening("127.0.0.1:0", store, site).await
    }

    pub(crate) async fn listening(listen: &str, store: Client, site: Site) -> Self {
        Self::listening_by(Arc::new(SystemClock::new()), listen, store, site).await
    }

    /// One with a clock of its own.
    pub(crate) async fn listening_by(clock: Arc<dyn Clock>, listen: &str, store: Client, site: Site) -> Self {
        let queries = Queries {
            client: store.clone(),
            levels: levels(),
        };
        let (trigger, shutdown) = Shutdown::new();
        let health = Health::new(clock);
        let server = serve(listen, queries, site, health, shutdown).await.unwrap();
        Self { store, server, trigger }
    }

    /// Waits until who shows this is let in, or is not any more.
    pub(crate) async fn until(&self, status: u16, headers: &[(&str, &str)]) {
        // Each from another address: there are limits on how often one may fail.
        for turn in 0..400 {
            let address = format!("203.0.113.{}", turn % 250);
            let mut headers = headers.to_vec();
            if !headers.is_empty() {
                headers.push(("x-forwarded-for", &address));
            }
            let answer = self.get_with("/api/v1/session", &headers).await;
            if answer.status == status {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("it is never {status}");
    }

    /// Makes a key as `meridian keys new` does, for these tenants, and waits until it opens; returns its text.
    pub(crate) async fn key(&self, tenants: &[&str], scopes: &[&str]) -> String {
        let key = NewKey::make().unwrap();
        let row = KeyRow {
            all_tenants: u8::from(tenants == ["*"]),
            tenants: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..KeyRow::new(&key, 1)
        };
        self.write_key(&row).await;
        self.until(200, &[("authorization", &format!("Bearer {}", key.text()))])
            .await;
        key.text()
    }

    pub(crate) async fn write_key(&self, row: &KeyRow) {
        let mut insert = self.store.insert::<KeyRow>(KEY_TABLE).await.unwrap();
        insert.write(row).await.unwrap();
        insert.end().await.unwrap();
    }

    /// What somebody with a key is answered.
    pub(crate) async fn get_as(&self, key: &str, path: &str) -> Answer {
        self.get_with(path, &[("authorization", &format!("Bearer {key}"))])
            .await
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let done = self.store.query_raw(sql).execute().await;
        done.unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let client: legacy::Client<_, Body> = legacy::Client::builder(TokioExecutor::new()).build_http();
        let mut request = Request::get(format!("http://127.0.0.1:{}{path}", self.server.address.port()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Body::empty())
            .unwrap_or_else(|error| panic!("{error}: {path}"));
        let response = client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    /// The document of an answer that must be a good one.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    pub(crate) async fn stop(self) {
        self.trigger.request();
        self.server.stopped().await;
    }
}
