//! `/metrics-catalog`: what is measured.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    parameters::Parameters,
    problem::Problem,
    reply::{About, Format, Reply},
    sql,
    table::{Column, Table},
    time_text,
};
use crate::{access::caller::Request, limits};

const FORMATS: [(&str, Format); 2] = [("json", Format::Json), ("csv", Format::Csv)];

#[derive(Debug, Deserialize, Row)]
struct MetricRow {
    tenant: String,
    metric: String,
    last_ms: i64,
}

/// A metric of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CatalogMetric {
    tenant: String,
    metric: String,
    /// Time of the newest value.
    last_ts: String,
}

/// All metrics.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Catalog {
    /// In the order of tenants and names.
    metrics: Vec<CatalogMetric>,
}

pub(crate) async fn answer(api: &Api, query: Request<'_>) -> Result<Reply, Problem> {
    let mut parameters = Parameters::parse(query)?;
    let format = parameters.choice("format", &FORMATS)?;
    let tenant = parameters.tenant()?;
    parameters.finish()?;
    let query = api
        .store
        .query(sql::CATALOG)
        .param("tenant", &tenant)
        .param("limit", limits::CATALOG_METRICS_MAX);
    let rows: Vec<MetricRow> = api.store.rows(query).await?;
    let columns = Table {
        columns: vec![
            (
                "tenant",
                Column::Texts(rows.iter().map(|row| row.tenant.clone()).collect()),
            ),
            (
                "metric",
                Column::Texts(rows.iter().map(|row| row.metric.clone()).collect()),
            ),
            ("last_ts", Column::Times(rows.iter().map(|row| row.last_ms).collect())),
        ],
        about: About::default(),
    };
    let body = columns.write(format).unwrap_or_else(|| {
        let metrics = rows.into_iter().map(|row| CatalogMetric {
            tenant: row.tenant,
            metric: row.metric,
            last_ts: time_text(row.last_ms),
        });
        let catalog = Catalog {
            metrics: metrics.collect(),
        };
        serde_json::to_vec(&catalog).expect("text is always JSON").into()
    });
    Ok(Reply::changing(body, format))
}
