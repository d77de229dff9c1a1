//! Reads where all devices were last, page by page.

use std::sync::Arc;

use clickhouse::Row;
use futures::future::BoxFuture;
use geocache::{Position, Positions};
use serde::Deserialize;

use crate::{
    api::{Api, problem::Problem, sql},
    limits,
};

/// Positions, and whether they are the last ones.
pub(crate) type Page = Result<(Positions, bool), Problem>;

/// A reading that has begun.
pub(crate) struct Reading {
    api: Arc<Api>,
    page: BoxFuture<'static, Result<Vec<PositionRow>, Problem>>,
}

#[derive(Debug, Deserialize, Row)]
struct PositionRow {
    tenant: String,
    device: String,
    partition: u16,
    version: u64,
    ts_ms: i64,
    latitude_e7: i32,
    longitude_e7: i32,
}

impl Reading {
    /// From the beginning.
    pub(crate) fn start(api: Arc<Api>) -> Self {
        Self {
            page: Box::pin(page(api.clone(), None)),
            api,
        }
    }
}

/// The next page; waits for ever where nothing is read. Nothing is lost when the future is dropped.
pub(crate) async fn next(reading: &mut Option<Reading>) -> Page {
    let Some(open) = reading else {
        return std::future::pending().await;
    };
    let rows = (&mut open.page).await?;
    let last = rows.last().filter(|_| rows.len() == limits::POSITIONS_PAGE as usize);
    let is_last = last.is_none();
    if let Some(last) = last {
        let last = (last.tenant.clone(), last.device.clone(), last.partition);
        open.page = Box::pin(page(open.api.clone(), Some(last)));
    }
    Ok((rows.iter().map(PositionRow::position).collect(), is_last))
}

async fn page(api: Arc<Api>, after: Option<(String, String, u16)>) -> Result<Vec<PositionRow>, Problem> {
    let is_first = after.is_none();
    let (tenant, device, partition) = after.unwrap_or_default();
    let query = api
        .store
        .query(sql::POSITIONS)
        .param("tenant", "")
        .param("is_first", u8::from(is_first))
        .param("after_tenant", &tenant)
        .param("after_device", &device)
        .param("after_partition", partition)
        .param("limit", limits::POSITIONS_PAGE);
    api.store.rows(query).await
}

impl PositionRow {
    fn position(&self) -> Position<'_> {
        Position {
            tenant: &self.tenant,
            device: &self.device,
            partition: self.partition,
            version: self.version,
            ts_ms: self.ts_ms,
            latitude_e7: self.latitude_e7,
            longitude_e7: self.longitude_e7,
        }
    }
}
