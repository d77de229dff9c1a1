//! The query API: what is stored, read only, over HTTP.
//!
//! A request is read into a view (what part of the data), asked of the store with one query of `queries/`, and written
//! in the format that was asked for. Every query binds the tenant. Nothing here writes. What is kept of answers is used
//! only as long as nothing has changed.

pub(crate) mod arrivals;
mod catalog;
mod cells;
pub(crate) mod changes;
mod devices;
mod geojson;
mod hexagons;
mod memory;
mod openapi;
mod pace;
pub(crate) mod parameters;
pub(crate) mod problem;
pub(crate) mod reply;
mod series;
pub(crate) mod sql;
pub(crate) mod store;
mod table;
mod track;
pub(crate) mod turns;
pub(crate) mod view;
mod whole;
mod wide;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use clickhouse::Row;
use jiff::Timestamp;
use platform::clock::Clock;
use schemas::record::EVENTS_TOPIC;
use serde::Deserialize;

use self::{
    arrivals::Reach,
    changes::Changes,
    memory::Memory,
    problem::{Kind, Problem},
    reply::{Format, Reply, Writers},
    store::Store,
    turns::Class,
};
use crate::{
    Queries, StoredLevel,
    access::caller::{Caller, Request},
    near::Nearby,
};

/// What answers are made from, for somebody who asks.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) levels: Arc<[crate::StoredLevel]>,
    pub(crate) clock: Arc<dyn Clock>,
    /// What has changed, as far as somebody tells.
    pub(crate) changes: Arc<Changes>,
    /// Where devices were last.
    pub(crate) nearby: Arc<Nearby>,
    cells: Arc<Memory<cells::Key, hexagons::Found>>,
    /// Which of them are not worth asking for to cut others out.
    refusals: Arc<wide::Refusals>,
    writers: Arc<Writers>,
}

#[derive(Default, Deserialize, Row)]
struct Newest {
    newest_ms: i64,
    waited_ms: i64,
    booked_ms: i64,
}

impl Newest {
    fn newest_ms(&self) -> Option<i64> {
        (self.newest_ms > 0).then_some(self.newest_ms)
    }
}

impl Api {
    pub(crate) fn new(queries: Queries, clock: Arc<dyn Clock>) -> Self {
        Self {
            store: Store::new(queries.client),
            levels: queries.levels.into(),
            clock,
            changes: Arc::default(),
            nearby: Nearby::new(),
            cells: Memory::new(),
            refusals: Arc::default(),
            writers: Arc::new(Writers::new()),
        }
    }

    pub(crate) fn store(&self) -> Store {
        self.store.clone()
    }

    /// The same, with queries of this class that count as of this share.
    pub(crate) fn of(&self, class: Class, share: &str) -> Arc<Self> {
        Arc::new(Self {
            store: self.store.of(class, share),
            ..self.clone()
        })
    }

    /// The same, for who asks this.
    fn asked_by(&self, request: Request<'_>) -> Arc<Self> {
        let class = match request.is_export() {
            true => Class::Export,
            false => Class::View,
        };
        self.of(class, request.caller.share())
    }

    /// How far what is stored of a tenant reaches, for a level. As [`Self::freshness_ms`].
    async fn reach(&self, tenant: &str, level: &StoredLevel) -> Result<Reach, Problem> {
        let (is_told, told) = (self.changes.are_told(), self.changes.reach(tenant, level.name()));
        let wait_ms = i64::try_from(arrivals::wait_max(level.flush_interval_ms).as_millis()).unwrap_or(i64::MAX);
        let received_ms = self.clock.wall_ms().saturating_sub(wait_ms);
        let newest = self.newest(tenant, received_ms).await?;
        // The books come late, where the newest rows of busy devices are newer. What is told closes the gap; where nobody
        // tells, waiting has to.
        let settled_ms = match is_told {
            true => newest.booked_ms,
            false => newest.booked_ms.max(newest.waited_ms),
        };
        Ok(Reach::stored(newest.newest_ms(), Some(settled_ms), told))
    }

    /// The newest time of what is stored of a tenant; none before its first event. Must be asked before the data: then
    /// it never claims what the data lacks.
    pub(crate) async fn freshness_ms(&self, tenant: &str) -> Result<Option<i64>, Problem> {
        Ok(self.newest(tenant, i64::MAX).await?.newest_ms())
    }

    /// The newest times of what is stored of a tenant, and of what was received by then.
    async fn newest(&self, tenant: &str, received_ms: i64) -> Result<Newest, Problem> {
        let query = self.store.query(sql::FRESHNESS).param("tenant", tenant);
        let query = query
            .param("received_ms", received_ms)
            .param("events_topic", EVENTS_TOPIC);
        let rows: Vec<Newest> = self.store.rows(query).await?;
        Ok(rows.into_iter().next().unwrap_or_default())
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
type Asking = Extension<Caller>;
type DevicePath = Result<Path<(String, String)>, PathRejection>;

async fn get_cells(
    State(api): Shared,
    Extension(caller): Asking,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let request = caller.asks(query.as_deref());
    let api = api.asked_by(request);
    reply::respond(&api.writers, &headers, cells::answer(&api, request).await).await
}

async fn get_series(
    State(api): Shared,
    Extension(caller): Asking,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let request = caller.asks(query.as_deref());
    let api = api.asked_by(request);
    reply::respond(&api.writers, &headers, series::answer(&api, request).await).await
}

async fn get_devices(
    State(api): Shared,
    Extension(caller): Asking,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let request = caller.asks(query.as_deref());
    let api = api.asked_by(request);
    reply::respond(&api.writers, &headers, devices::list(&api, request).await).await
}

async fn get_device(
    State(api): Shared,
    Extension(caller): Asking,
    path: DevicePath,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let request = caller.asks(query.as_deref());
    let api = api.asked_by(request);
    let answer = match names(path, &caller) {
        Ok((tenant, device)) => devices::one(&api, tenant, device, request).await,
        Err(problem) => Err(problem),
    };
    reply::respond(&api.writers, &headers, answer).await
}

async fn get_track(
    State(api): Shared,
    Extension(caller): Asking,
    path: DevicePath,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let request = caller.asks(query.as_deref());
    let api = api.asked_by(request);
    let answer = match names(path, &caller) {
        Ok((tenant, device)) => track::answer(&api, tenant, device, request).await,
        Err(problem) => Err(problem),
    };
    reply::respond(&api.writers, &headers, answer).await
}

async fn get_nearby(
    State(api): Shared,
    Extension(caller): Asking,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let request = caller.asks(query.as_deref());
    let api = api.asked_by(request);
    reply::respond(&api.writers, &headers, devices::nearby(&api, request).await).await
}

async fn get_catalog(
    State(api): Shared,
    Extension(caller): Asking,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let request = caller.asks(query.as_deref());
    let api = api.asked_by(request);
    reply::respond(&api.writers, &headers, catalog::answer(&api, request).await).await
}

async fn get_openapi(State(api): Shared, headers: HeaderMap) -> Response {
    reply::respond(
        &api.writers,
        &headers,
        Ok(Reply::changing(openapi::document().into(), Format::Json)),
    )
    .await
}

/// What programs are told about this API.
#[cfg(test)]
pub(crate) fn description() -> String {
    openapi::document()
}

/// Tenant and device of a path.
fn names(path: DevicePath, caller: &Caller) -> Result<(String, String), Problem> {
    let Ok(Path((tenant, device))) = path else {
        return Err(Problem::parameter("device", "tenant or device is no text in UTF-8"));
    };
    let tenant = parameters::identifier("tenant", tenant)?;
    let device = parameters::identifier("device", device)?;
    Ok((caller.tenant(Some(tenant))?, device))
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
