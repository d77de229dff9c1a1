//! The query API: what is stored, read only, over HTTP.
//!
//! A request is read into a view (what part of the data), asked of the store with one query of `queries/`, and written
//! in the format that was asked for. Every query binds the tenant. Nothing here writes, or keeps anything.

mod cells;
mod parameters;
mod problem;
mod reply;
mod sql;
mod store;
mod view;

use std::sync::Arc;

use axum::{
    Router,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use clickhouse::Row;
use jiff::Timestamp;
use platform::clock::Clock;
use serde::Deserialize;

use self::{
    problem::{Kind, Problem},
    store::Store,
};
use crate::Queries;

/// What answers are made from.
pub(crate) struct Api {
    store: Arc<Store>,
    levels: Vec<crate::StoredLevel>,
    clock: Arc<dyn Clock>,
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
        }
    }

    pub(crate) fn store(&self) -> Arc<Store> {
        self.store.clone()
    }

    /// The newest time of what is stored of a tenant; none before its first event. Must be asked before the data: then
    /// it never claims what the data lacks.
    async fn freshness_ms(&self, tenant: &str) -> Result<Option<i64>, Problem> {
        let query = self.store.query(sql::FRESHNESS).param("tenant", tenant);
        let rows: Vec<Newest> = self.store.rows(query).await?;
        Ok(rows.first().map(|row| row.newest_ms).filter(|newest_ms| *newest_ms > 0))
    }
}

/// Everything below `/api/v1` that queries answer.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new().route("/api/v1/cells", get(get_cells)).with_state(api)
}

async fn get_cells(State(api): State<Arc<Api>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    reply::respond(&headers, cells::answer(&api, query.as_deref()).await)
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
fn time_text(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(time) => time.to_string(),
        Err(_) => ms.to_string(),
    }
}
