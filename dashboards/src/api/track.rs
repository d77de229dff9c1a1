//! `/devices/{tenant}/{device}/track`: where a device was.

use bytes::Bytes;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    Api, devices, geojson,
    parameters::{self, Parameters},
    problem::Problem,
    reply::{About, Body, Fingerprint, Format, Reply},
    sql,
    table::{Column, Table},
    time_text,
    view::AskedRange,
};
use crate::{access::caller::Request, limits};

const FORMATS: [(&str, Format); 4] = [
    ("json", Format::Json),
    ("geojson", Format::GeoJson),
    ("csv", Format::Csv),
    ("arrow", Format::Arrow),
];

#[derive(Debug, Deserialize, Row)]
struct PointRow {
    ts_ms: i64,
    partition: u16,
    offset: u64,
    lat: f64,
    lon: f64,
}

/// A position.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrackPoint {
    ts: String,
    lat: f64,
    lon: f64,
}

/// The path of a device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Track {
    tenant: String,
    device: String,
    from: String,
    to: String,
    /// In the order of time. Events without a position are left out.
    points: Vec<TrackPoint>,
    /// Newest event time of the tenant that is in; none before its first event.
    freshness: Option<String>,
    /// Events newer than the range are in, so only late ones can change it.
    complete: bool,
    /// `cursor` of the next page; none on the last one.
    next: Option<String>,
}

impl Track {
    fn about(&self) -> About {
        About {
            freshness: self.freshness.clone(),
            range: Some((self.from.clone(), self.to.clone())),
            is_complete: Some(self.complete),
            ..About::default()
        }
    }
}

pub(crate) async fn answer(api: &Api, tenant: String, device: String, query: Request<'_>) -> Result<Reply, Problem> {
    let mut parameters = Parameters::parse(query)?;
    let format = parameters.choice("format", &FORMATS)?;
    let range = AskedRange::read(&mut parameters, api.clock.wall_ms())?;
    let after = read_cursor(&mut parameters)?;
    let limit = parameters.integer("limit", 1, limits::TRACK_POINTS_MAX)?;
    let limit = limit.unwrap_or(limits::TRACK_POINTS_MAX);
    parameters.finish()?;
    let (after_ms, after_partition, after_offset) = after.unwrap_or_default();
    let newest_ms = api.freshness_ms(&tenant).await?;
    let read = api
        .store
        .query(sql::TRACK)
        .param("tenant", &tenant)
        .param("device", &device)
        .param("from_ms", range.from_ms)
        .param("to_ms", range.to_ms)
        .param("is_first", u8::from(after.is_none()))
        .param("after_ms", after_ms)
        .param("after_partition", after_partition)
        .param("after_offset", after_offset)
        .param("limit", limit + 1);
    let mut rows: Vec<PointRow> = api.store.rows(read).await?;
    if rows.is_empty() {
        devices::check_exists(api, &tenant, &device).await?;
    }
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| has_more);
    let next = last.map(|last| format!("{}.{}.{}", last.ts_ms, last.partition, last.offset));
    let complete = range.is_complete(newest_ms, api.clock.wall_ms());
    let track = Track {
        tenant,
        device,
        from: time_text(range.from_ms),
        to: time_text(range.to_ms),
        points: Vec::new(),
        freshness: newest_ms.map(time_text),
        complete,
        next,
    };
    Ok(Reply {
        format,
        tag: tag(&track, &rows, format),
        about: track.about(),
        is_settled: complete && range.to_ms <= api.clock.wall_ms(),
        age_seconds: None,
        next: track.next.as_deref().map(|next| next_query(query.query, range, next)),
        body: Body::later(rows.len(), move || write(track, &rows, format)),
    })
}

/// The range stays as it is while somebody pages through it, also where it was left to us.
fn next_query(query: Option<&str>, range: AskedRange, next: &str) -> String {
    let (from, to) = (time_text(range.from_ms), time_text(range.to_ms));
    parameters::with(query, &[("from", &from), ("to", &to), ("cursor", next)])
}

fn tag(track: &Track, rows: &[PointRow], format: Format) -> String {
    let number = |row: &PointRow| [row.ts_ms as u64, row.lat.to_bits(), row.lon.to_bits()];
    let numbers: Vec<u64> = rows.iter().flat_map(number).collect();
    let texts = [&track.tenant, &track.device, &track.from, &track.to];
    let of_texts = texts
        .into_iter()
        .chain(&track.next)
        .fold(Fingerprint::default(), |tag, text| tag.bytes(text.as_bytes()));
    let shape = [format as u64, u64::from(track.complete)];
    of_texts.numbers(&shape).numbers(&numbers).finish()
}

/// The cursor is the place in time and in the log where the last page ended.
fn read_cursor(parameters: &mut Parameters) -> Result<Option<(i64, u16, u64)>, Problem> {
    let Some(cursor) = parameters.text("cursor") else {
        return Ok(None);
    };
    let parts: Vec<&str> = cursor.split('.').collect();
    let read = match parts[..] {
        [ms, partition, offset] => ms.parse().ok().zip(partition.parse().ok()).zip(offset.parse().ok()),
        _ => None,
    };
    let read = read.filter(|((ms, _), _)| (0..=limits::TIME_MS_MAX).contains(ms));
    match read {
        Some(((ms, partition), offset)) => Ok(Some((ms, partition, offset))),
        None => Err(Problem::parameter("cursor", "`cursor` is not the `next` of a page")),
    }
}

fn write(track: Track, rows: &[PointRow], format: Format) -> Bytes {
    let times = || rows.iter().map(|row| time_text(row.ts_ms));
    let document = match format {
        Format::Json => {
            let points = rows.iter().zip(times()).map(|(row, ts)| TrackPoint {
                ts,
                lat: row.lat,
                lon: row.lon,
            });
            serde_json::to_vec(&Track {
                points: points.collect(),
                ..track
            })
        }
        Format::GeoJson => {
            let positions: Vec<(f64, f64)> = rows.iter().map(|row| (row.lon, row.lat)).collect();
            serde_json::to_vec(&json!({
                "type": "Feature",
                "geometry": geojson::path(&positions),
                "properties": {
                    "tenant": track.tenant, "device": track.device, "from": track.from, "to": track.to,
                    "freshness": track.freshness, "complete": track.complete, "next": track.next,
                    "times": times().collect::<Vec<_>>(),
                },
            }))
        }
        Format::Csv | Format::Arrow => {
            let columns = vec![
                ("ts", Column::Times(rows.iter().map(|row| row.ts_ms).collect())),
                ("lat", Column::Numbers(rows.iter().map(|row| row.lat).collect())),
                ("lon", Column::Numbers(rows.iter().map(|row| row.lon).collect())),
            ];
            let about = track.about();
            return Table { columns, about }
                .write(format)
                .expect("the format is one of tables");
        }
    };
    document.expect("text and numbers are always JSON").into()
}
