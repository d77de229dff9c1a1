//! `/cells`: one value for each hexagon in view, over the whole range of time.

use std::fmt::Write;

use bytes::Bytes;
use clickhouse::{Row, query::Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    parameters::Parameters,
    problem::Problem,
    reply::{Fingerprint, Format, Reply},
    sql, time_text,
    view::{self, Aggregate, AskedRange, BoundingBox, TimeRange},
};
use crate::{StoredLevel, limits};

const FORMATS: [(&str, Format); 1] = [("json", Format::Json)];

/// What is asked for.
struct Asked {
    tenant: String,
    metric: String,
    aggregate: Aggregate,
    place: BoundingBox,
    range: TimeRange,
    period: u32,
    level: StoredLevel,
}

/// One hexagon.
#[derive(Debug, Deserialize, Row)]
struct Cell {
    hexagon: u64,
    value: f64,
    events: u64,
}

#[derive(Debug, Deserialize, Row)]
struct Coarser {
    res: u8,
    #[expect(dead_code, reason = "the row has it, since the query filters by it")]
    hexagons: u64,
}

/// Hexagons with one value each.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Cells {
    metric: String,
    agg: &'static str,
    /// Seconds.
    period: u32,
    /// H3 resolution of `cells`.
    res: u8,
    /// Start of the range used, a whole period.
    from: String,
    /// End of the range used, not part of it.
    to: String,
    /// H3 cells as hexadecimal text, in rising order.
    cells: Vec<String>,
    /// One for each cell.
    values: Vec<Option<f64>>,
    /// Events of each cell.
    counts: Vec<u64>,
    /// Newest event time that is in; none before the first event.
    freshness: Option<String>,
    /// Events newer than the range are in, so only late ones can change it.
    complete: bool,
    /// `res` is lower than asked for, since there were too many cells.
    coarsened: bool,
}

pub(crate) async fn answer(api: &Api, query: Option<&str>) -> Result<Reply, Problem> {
    let mut parameters = Parameters::parse(query)?;
    let format = parameters.choice("format", &FORMATS)?;
    let (asked, resolution) = read(api, parameters)?;
    let fresh_ms = api.freshness_ms(&asked.tenant).await?;
    let (cells, used) = cells(api, &asked, resolution).await?;
    let fresh_ms = fresh_ms.map(|ms| ms - i64::from(asked.level.flush_interval_ms as u32));
    let answer = Answer {
        asked,
        resolution: used,
        coarsened: used < resolution,
        cells,
        fresh_ms,
    };
    Ok(Reply {
        body: answer.json(),
        format,
        tag: answer.tag(format),
        freshness_ms: fresh_ms,
        is_settled: api.is_settled(answer.asked.range.to),
    })
}

fn read(api: &Api, mut parameters: Parameters) -> Result<(Asked, u8), Problem> {
    let tenant = parameters.tenant()?;
    let metric = parameters.metric()?;
    let aggregate = Aggregate::read(&mut parameters)?;
    let place = BoundingBox::read(&mut parameters)?.unwrap_or(BoundingBox::WORLD);
    let range = AskedRange::read(&mut parameters, api.clock.wall_ms())?;
    let period = range.period(&mut parameters, &api.levels)?;
    let resolution = match parameters.integer("res", 0, 15)? {
        Some(resolution) => u8::try_from(resolution).expect("at most 15"),
        None => view::resolution_for(&place, &api.levels, period),
    };
    parameters.finish()?;
    let asked = Asked {
        tenant,
        metric,
        aggregate,
        place,
        range: range.widened(period),
        period,
        level: view::stored_level(&api.levels, period, resolution)?,
    };
    Ok((asked, resolution))
}

/// The hexagons, and the resolution they have: the one asked for, or the finest at which there are not too many.
async fn cells(api: &Api, asked: &Asked, resolution: u8) -> Result<(Vec<Cell>, u8), Problem> {
    let mut resolution = resolution;
    loop {
        let query = bound(api.store.query(sql::CELLS), asked, resolution)
            .param("agg", asked.aggregate.name())
            .param("hexagons_max", limits::HEXAGONS_MAX + 1);
        let cells: Vec<Cell> = api.store.rows(query).await?;
        if cells.len() <= limits::HEXAGONS_MAX as usize || resolution == 0 {
            return Ok((cells, resolution));
        }
        // Between two questions more may come: then it is asked once more.
        let query =
            bound(api.store.query(sql::RESOLUTIONS), asked, resolution).param("hexagons_max", limits::HEXAGONS_MAX);
        let coarser: Vec<Coarser> = api.store.rows(query).await?;
        resolution = coarser.first().map_or(0, |coarser| coarser.res);
    }
}

fn bound(query: Query, asked: &Asked, resolution: u8) -> Query {
    query
        .param("tenant", &asked.tenant)
        .param("metric", &asked.metric)
        .param("stored_period", asked.level.period_seconds)
        .param("stored_res", asked.level.resolution)
        .param("res", resolution)
        .param("from", asked.range.from)
        .param("to", asked.range.to)
        .param("west", asked.place.west)
        .param("south", asked.place.south)
        .param("east", asked.place.east)
        .param("north", asked.place.north)
}

/// What was found.
struct Answer {
    asked: Asked,
    resolution: u8,
    coarsened: bool,
    cells: Vec<Cell>,
    fresh_ms: Option<i64>,
}

impl Answer {
    fn is_complete(&self) -> bool {
        let end_ms = i64::from(self.asked.range.to) * 1_000;
        self.fresh_ms.is_some_and(|fresh_ms| fresh_ms >= end_ms)
    }

    fn tag(&self, format: Format) -> String {
        let numbers: Vec<u64> = self.cells.iter().flat_map(|cell| [cell.hexagon, cell.events]).collect();
        let values: Vec<f64> = self.cells.iter().map(|cell| cell.value).collect();
        let Asked { range, period, .. } = self.asked;
        let shape = [
            format as u64,
            u64::from(self.resolution),
            u64::from(range.from),
            u64::from(range.to),
            u64::from(period),
            u64::from(self.coarsened),
            u64::from(self.is_complete()),
        ];
        Fingerprint::default()
            .text(&self.asked.metric)
            .text(self.asked.aggregate.name())
            .numbers(&shape)
            .numbers(&numbers)
            .values(&values)
            .finish()
    }

    fn json(&self) -> Bytes {
        let document = Cells {
            metric: self.asked.metric.clone(),
            agg: self.asked.aggregate.name(),
            period: self.asked.period,
            res: self.resolution,
            from: time_text(i64::from(self.asked.range.from) * 1_000),
            to: time_text(i64::from(self.asked.range.to) * 1_000),
            cells: self.cells.iter().map(|cell| hexagon_text(cell.hexagon)).collect(),
            values: self
                .cells
                .iter()
                .map(|cell| Some(cell.value).filter(|value| value.is_finite()))
                .collect(),
            counts: self.cells.iter().map(|cell| cell.events).collect(),
            freshness: self.fresh_ms.map(time_text),
            complete: self.is_complete(),
            coarsened: self.coarsened,
        };
        serde_json::to_vec(&document)
            .expect("text and numbers are always JSON")
            .into()
    }
}

fn hexagon_text(hexagon: u64) -> String {
    let mut text = String::with_capacity(15);
    write!(text, "{hexagon:x}").expect("writing to a string cannot fail");
    text
}
