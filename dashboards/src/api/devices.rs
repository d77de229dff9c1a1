//! `/devices`, one device, and the nearest ones: last known state.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    Api, finite, geojson,
    parameters::{self, Parameters},
    problem::{Kind, Problem},
    reply::{About, Format, Reply},
    sql,
    table::{Column, Table},
    time_text,
    view::{BoundingBox, EARTH_RADIUS_M},
};
use crate::{
    access::caller::Request,
    limits,
    near::{Around, Filter, Near},
};

const FORMATS: [(&str, Format); 4] = [
    ("json", Format::Json),
    ("geojson", Format::GeoJson),
    ("csv", Format::Csv),
    ("arrow", Format::Arrow),
];

/// Degrees of latitude that the bounding look at first may be too small by, for rounding.
const LATITUDE_SLACK: f64 = 1e-6;

#[derive(Debug, Deserialize, Row)]
struct DeviceRow {
    tenant: String,
    device: String,
    ts_ms: i64,
    received_ms: i64,
    lat: f64,
    lon: f64,
    metric_names: Vec<String>,
    metric_values: Vec<f64>,
    attribute_names: Vec<String>,
    attribute_values: Vec<String>,
}

/// The last known state of a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Device {
    tenant: String,
    device: String,
    /// Time of its last event.
    ts: String,
    received_at: String,
    /// Last known position, in degrees; none if it never had one.
    lat: Option<f64>,
    lon: Option<f64>,
    /// Last value of each metric.
    metrics: BTreeMap<String, Option<f64>>,
    /// Last text of each attribute.
    attributes: BTreeMap<String, String>,
}

/// A page of devices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Devices {
    devices: Vec<Device>,
    /// `cursor` of the next page; none on the last one.
    next: Option<String>,
}

#[derive(Debug, Deserialize, Row)]
struct NearRow {
    tenant: String,
    device: String,
    ts_ms: i64,
    lat: f64,
    lon: f64,
    distance_m: f64,
}

/// A device and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NearDevice {
    tenant: String,
    device: String,
    lat: f64,
    lon: f64,
    /// Time of its last event.
    ts: String,
    /// Along the great circle, on a sphere of the mean radius of the Earth, to a millimetre.
    distance_m: f64,
}

/// Devices, the nearest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Nearby {
    devices: Vec<NearDevice>,
}

/// Which devices.
struct Page {
    tenant: String,
    device: String,
    place: Option<BoundingBox>,
    /// A part of the name, in small letters; empty: any.
    search: String,
    after: (String, String),
    limit: u32,
}

pub(crate) async fn list(api: &Api, query: Request<'_>) -> Result<Reply, Problem> {
    let mut parameters = Parameters::parse(query)?;
    let format = parameters.choice("format", &FORMATS)?;
    let page = Page {
        tenant: parameters.tenant()?,
        device: String::new(),
        place: BoundingBox::read(&mut parameters)?,
        search: parameters.search()?,
        after: read_cursor(&mut parameters)?,
        limit: parameters
            .integer("limit", 1, limits::DEVICES_MAX)?
            .unwrap_or(limits::DEVICES_DEFAULT),
    };
    parameters.finish()?;
    let (rows, next) = page.read(api).await?;
    let next_query = next
        .as_deref()
        .map(|next| parameters::with(query.query, &[("cursor", next)]));
    let body = match format {
        Format::Json => {
            let devices = rows.into_iter().map(DeviceRow::into_device).collect();
            to_json(&Devices { devices, next }).into()
        }
        Format::GeoJson => {
            let features = rows.into_iter().map(|row| {
                let position = geojson::point(row.lat, row.lon);
                json!({"type": "Feature", "geometry": position, "properties": row.into_device()})
            });
            geojson::collection(features, json!({"next": next})).into()
        }
        Format::Csv | Format::Arrow => table(rows).write(format).expect("the format is one of tables"),
    };
    Ok(Reply::changing(body, format).before(next_query))
}

/// The cursor is the device where the last page ended. No name has a slash.
fn read_cursor(parameters: &mut Parameters) -> Result<(String, String), Problem> {
    let Some(cursor) = parameters.text("cursor") else {
        return Ok((String::new(), String::new()));
    };
    let parts = cursor.split_once('/').and_then(|(tenant, device)| {
        let tenant = parameters::identifier("cursor", tenant.to_owned()).ok()?;
        let device = parameters::identifier("cursor", device.to_owned()).ok()?;
        Some((tenant, device))
    });
    parts.ok_or_else(|| Problem::parameter("cursor", "`cursor` is not the `next` of a page"))
}

fn table(rows: Vec<DeviceRow>) -> Table {
    let times = rows.iter().map(|row| row.ts_ms).collect();
    let latitudes = rows.iter().map(|row| row.lat).collect();
    let longitudes = rows.iter().map(|row| row.lon).collect();
    let (tenants, devices) = rows.into_iter().map(|row| (row.tenant, row.device)).unzip();
    Table {
        columns: vec![
            ("tenant", Column::Texts(tenants)),
            ("device", Column::Texts(devices)),
            ("ts", Column::Times(times)),
            ("lat", Column::Numbers(latitudes)),
            ("lon", Column::Numbers(longitudes)),
        ],
        about: About::default(),
    }
}

pub(crate) async fn one(api: &Api, tenant: String, device: String, query: Request<'_>) -> Result<Reply, Problem> {
    Parameters::parse(query)?.finish()?;
    let row = find(api, &tenant, &device).await?;
    Ok(Reply::changing(to_json(&row.into_device()).into(), Format::Json))
}

/// # Errors
/// When there is no such device.
pub(crate) async fn check_exists(api: &Api, tenant: &str, device: &str) -> Result<(), Problem> {
    find(api, tenant, device).await.map(drop)
}

async fn find(api: &Api, tenant: &str, device: &str) -> Result<DeviceRow, Problem> {
    let page = Page {
        tenant: tenant.to_owned(),
        device: device.to_owned(),
        place: None,
        search: String::new(),
        after: (String::new(), String::new()),
        limit: 1,
    };
    let row = page.ask(api, 1, None).await?.pop();
    row.ok_or_else(|| Problem::new(Kind::NotFound, "no such device has reported to this tenant"))
}

impl Page {
    /// The devices, and the cursor of the next page. Which ones they are is looked up in memory where it is known there.
    async fn read(&self, api: &Api) -> Result<(Vec<DeviceRow>, Option<String>), Problem> {
        let cursor = |(tenant, device): (&str, &str)| format!("{tenant}/{device}");
        if let Some(mut names) = self.names(api).await {
            let has_more = names.len() > self.limit as usize;
            names.truncate(self.limit as usize);
            let last = names.last().filter(|_| has_more);
            let next = last.map(|(tenant, device)| cursor((tenant, device)));
            let rows = match names.is_empty() {
                true => Vec::new(),
                false => self.ask(api, self.limit, Some(names)).await?,
            };
            return Ok((rows, next));
        }
        let mut rows = self.ask(api, self.limit + 1, None).await?;
        let has_more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let last = rows.last().filter(|_| has_more);
        let next = last.map(|last| cursor((&last.tenant, &last.device)));
        Ok((rows, next))
    }

    /// One more than the page has room for, where they are known in memory.
    async fn names(&self, api: &Api) -> Option<Vec<(String, String)>> {
        let filter = Filter {
            search: self.search.clone(),
            place: self.place,
        };
        let count_max = self.limit as usize + 1;
        let found = api
            .nearby
            .names(self.tenant.clone(), filter, self.after.clone(), count_max);
        found.await
    }

    /// All of them, or those of some names. These may have moved since: so they are looked at again.
    async fn ask(
        &self,
        api: &Api,
        limit: u32,
        names: Option<Vec<(String, String)>>,
    ) -> Result<Vec<DeviceRow>, Problem> {
        let is_named = names.is_some();
        let (tenants, devices): (Vec<String>, Vec<String>) = names.unwrap_or_default().into_iter().unzip();
        let query = api
            .store
            .query(sql::DEVICES)
            .param("tenant", &self.tenant)
            .param("device", &self.device)
            .param("named", u8::from(is_named))
            .param("tenants", tenants)
            .param("devices", devices)
            .param("search", &self.search)
            .param("after_tenant", &self.after.0)
            .param("after_device", &self.after.1)
            .param("everywhere", u8::from(self.place.is_none()))
            .param("limit", limit);
        let query = self.place.unwrap_or(BoundingBox::WORLD).bind(query);
        api.store.rows(query).await
    }
}

impl DeviceRow {
    fn into_device(self) -> Device {
        let values = self.metric_values.into_iter().map(finite);
        Device {
            tenant: self.tenant,
            device: self.device,
            ts: time_text(self.ts_ms),
            received_at: time_text(self.received_ms),
            lat: finite(self.lat),
            lon: finite(self.lon),
            metrics: self.metric_names.into_iter().zip(values).collect(),
            attributes: self.attribute_names.into_iter().zip(self.attribute_values).collect(),
        }
    }
}

pub(crate) async fn nearby(api: &Api, query: Request<'_>) -> Result<Reply, Problem> {
    let mut parameters = Parameters::parse(query)?;
    let format = parameters.choice("format", &FORMATS[..2])?;
    let tenant = parameters.tenant()?;
    let missing = |name| Problem::parameter(name, format!("`{name}` is missing; give degrees"));
    let lat = parameters.number("lat", -90.0, 90.0)?.ok_or_else(|| missing("lat"))?;
    let lon = parameters.number("lon", -180.0, 180.0)?.ok_or_else(|| missing("lon"))?;
    let radius_m = parameters.number("radius_m", 0.0, limits::RADIUS_M_MAX)?;
    let radius_m = radius_m.unwrap_or(limits::RADIUS_M_MAX);
    let limit = parameters.integer("limit", 1, limits::DEVICES_MAX)?;
    parameters.finish()?;
    let around = Around {
        tenant,
        latitude: lat,
        longitude: lon,
        radius_m,
        count_max: limit.unwrap_or(limits::NEARBY_DEFAULT) as usize,
    };
    let devices: Vec<NearDevice> = match api.nearby.nearest(around.clone()).await {
        Some(found) => found.into_iter().map(NearDevice::from).collect(),
        None => stored_nearby(api, &around)
            .await?
            .into_iter()
            .map(NearDevice::from)
            .collect(),
    };
    let body = match format {
        Format::GeoJson => {
            let features = devices.iter().map(
                |near| json!({"type": "Feature", "geometry": geojson::point(near.lat, near.lon), "properties": near}),
            );
            geojson::collection(features, Value::Null)
        }
        _ => to_json(&Nearby { devices }),
    };
    Ok(Reply::changing(body.into(), format))
}

async fn stored_nearby(api: &Api, around: &Around) -> Result<Vec<NearRow>, Problem> {
    let query = api
        .store
        .query(sql::NEARBY)
        .param("tenant", &around.tenant)
        .param("lat", around.latitude)
        .param("lon", around.longitude)
        .param("earth_radius_m", EARTH_RADIUS_M)
        .param("radius_m", around.radius_m)
        .param(
            "latitudes",
            (around.radius_m / EARTH_RADIUS_M).to_degrees() + LATITUDE_SLACK,
        )
        .param("limit", around.count_max as u32);
    api.store.rows(query).await
}

impl From<NearRow> for NearDevice {
    fn from(row: NearRow) -> Self {
        Self {
            tenant: row.tenant,
            device: row.device,
            lat: row.lat,
            lon: row.lon,
            ts: time_text(row.ts_ms),
            distance_m: to_millimetres(row.distance_m),
        }
    }
}

impl From<Near> for NearDevice {
    fn from(near: Near) -> Self {
        Self {
            tenant: near.tenant,
            device: near.device,
            lat: near.latitude,
            lon: near.longitude,
            ts: time_text(near.ts_ms),
            distance_m: to_millimetres(near.distance_m),
        }
    }
}

/// Positions are kept to a centimetre. The last digits are rounding, of whoever computed it.
fn to_millimetres(distance_m: f64) -> f64 {
    (distance_m * 1e3).round() / 1e3
}

fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("text and numbers are always JSON")
}
