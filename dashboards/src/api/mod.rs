//! The query API: what is stored, read only, over HTTP.
//!
//! A request is read into a view (what part of the data), asked of the store with one query of `queries/`, and written
//! in the format that was asked for. Every query binds the tenant. Nothing here writes. What is kept of answers is used
//! only as long as nothing has changed.

mod catalog;
mod cells;
pub(crate) mod changes;
mod devices;
mod geojson;
mod hexagons;
mod memory;
mod openapi;
pub(crate) mod parameters;
pub(crate) mod problem;
pub(crate) mod reply;
mod series;
pub(crate) mod sql;
pub(crate) mod store;
mod table;
mod track;
pub(crate) mod view;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use clickhouse::Row;
use jiff::Timestamp;
use platform::clock::Clock;
use serde::Deserialize;

use self::{
    changes::Changes,
    memory::Memory,
    problem::{Kind, Problem},
    reply::{Format, Reply},
    store::Store,
};
use crate::{Queries, near::Nearby};

/// What answers are made from.
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    pub(crate) levels: Vec<crate::StoredLevel>,
    pub(crate) clock: Arc<dyn Clock>,
    /// What has changed, as far as somebody tells.
    pub(crate) changes: Changes,
    /// Where devices were last.
    pub(crate) nearby: Arc<Nearby>,
    cells: Arc<Memory<cells::Key, hexagons::Found>>,
}

#[derive(Deserialize, Row)]
struct Newest {
    newest_ms: i64,
}

impl Api {
    pub(crate) fn new(queries: Queries, clock: Arc<dyn Clock>) -> Self {
        Self {
            store: Arc::new(Store::new(queries.client)),
            levels: queries.levels,
            clock,
            changes: Changes::default(),
            nearby: Nearby::new(),
            cells: Memory::new(),
        }
    }

    pub(crate) fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// The newest time of what is stored of a tenant; none before its first event. Must be asked before the data: then
    /// it never claims what the data lacks.
    pub(crate) async fn freshness_ms(&self, tenant: &str) -> Result<Option<i64>, Problem> {
        let query = self.store.query(sql::FRESHNESS).param("tenant", tenant);
        let rows: Vec<Newest> = self.store.rows(query).await?;
        Ok(rows.first().map(|row| row.newest_ms).filter(|newest_ms| *newest_ms > 0))
    }
}

/// Everything below `/api` that queries answer.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/api/v1/cells", get(get_cells))
        .route("/api/v1/series", get(get_series))
        .route("/api/v1/devices", get(get_devices))
        .route("/api/v1/devices/{tenant}/{device}", get(get_device))
        .route("/api/v1/devices/{tenant}/{device}/track", get(get_track))
        .route("/api/v1/nearby", get(get_nearby))
        .route("/api/v1/metrics-catalog", get(get_catalog))
        .route("/api/openapi.json", get(get_openapi))
        .with_state(api)
}

type Shared = State<Arc<Api>>;
type DevicePath = Result<Path<(String, String)>, PathRejection>;

async fn get_cells(State(api): Shared, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    reply::respond(&headers, cells::answer(&api, query.as_deref()).await)
}

async fn get_series(State(api): Shared, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    reply::respond(&headers, series::answer(&api, query.as_deref()).await)
}

async fn get_devices(State(api): Shared, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    reply::respond(&headers, devices::list(&api, query.as_deref()).await)
}

async fn get_device(State(api): Shared, path: DevicePath, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let answer = match names(path) {
        Ok((tenant, device)) => devices::one(&api, tenant, device, query.as_deref()).await,
        Err(problem) => Err(problem),
    };
    reply::respond(&headers, answer)
}

async fn get_track(State(api): Shared, path: DevicePath, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let answer = match names(path) {
        Ok((tenant, device)) => track::answer(&api, tenant, device, query.as_deref()).await,
        Err(problem) => Err(problem),
    };
    reply::respond(&headers, answer)
}

async fn get_nearby(State(api): Shared, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    reply::respond(&headers, devices::nearby(&api, query.as_deref()).await)
}

async fn get_catalog(State(api): Shared, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    reply::respond(&headers, catalog::answer(&api, query.as_deref()).await)
}

async fn get_openapi(headers: HeaderMap) -> Response {
    reply::respond(&headers, Ok(Reply::changing(openapi::document().into(), Format::Json)))
}

/// Tenant and device of a path.
fn names(path: DevicePath) -> Result<(String, String), Problem> {
    let Ok(Path((tenant, device))) = path else {
        return Err(Problem::parameter("device", "tenant or device is no text in UTF-8"));
    };
    let tenant = parameters::identifier("tenant", tenant)?;
    let device = parameters::identifier("device", device)?;
    Ok((tenant, device))
}

/// What is asked for under `/api` and does not exist.
pub(crate) async fn not_found() -> Problem {
    Problem::new(
        Kind::NotFound,
        "nothing is served under this address; see /api/openapi.json",
    )
}

/// What is asked with another method than GET or HEAD.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "this address answers GET and HEAD")
}

/// RFC 3339 text.
pub(crate) fn time_text(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.to_string(),
        Err(_) => ms.to_string(),
    }
}

pub(crate) fn seconds_text(seconds: u32) -> String {
    time_text(i64::from(seconds) * 1_000)
}

/// JSON has no word for what is not a number.
pub(crate) fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}
