//! `/cells`: one value for each hexagon in view, over the whole range of time.

use bytes::Bytes;
use clickhouse::{Row, query::Query};
use h3o::CellIndex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    Api, finite, geojson,
    parameters::Parameters,
    problem::Problem,
    reply::{Fingerprint, Format, Reply},
    seconds_text, sql,
    table::{Column, Table},
    time_text,
    view::{self, BoundingBox, View},
};
use crate::{StoredLevel, limits};

const FORMATS: [(&str, Format); 4] = [
    ("json", Format::Json),
    ("geojson", Format::GeoJson),
    ("csv", Format::Csv),
    ("arrow", Format::Arrow),
];

/// What is asked for.
struct Asked {
    view: View,
    place: BoundingBox,
    level: StoredLevel,
    resolution: u8,
}

/// One hexagon.
#[derive(Debug, Deserialize, Row)]
struct Cell {
    hexagon: u64,
    value: f64,
    events: u64,
}

/// A resolution with few enough hexagons.
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
    let asked = read(api, parameters)?;
    let newest_ms = api.freshness_ms(&asked.view.tenant).await?;
    let (cells, resolution) = cells(api, &asked).await?;
    let fresh_ms = newest_ms.map(|newest_ms| newest_ms.saturating_sub_unsigned(asked.level.flush_interval_ms));
    let answer = Answer {
        complete: asked.view.range.is_before(fresh_ms),
        coarsened: resolution < asked.resolution,
        view: asked.view,
        resolution,
        cells,
        fresh_ms,
    };
    Ok(Reply {
        body: answer.write(format),
        format,
        tag: answer.tag(format),
        freshness_ms: fresh_ms,
        is_settled: answer.view.range.is_before(Some(api.clock.wall_ms())),
    })
}

fn read(api: &Api, mut parameters: Parameters) -> Result<Asked, Problem> {
    let view = View::read(api, &mut parameters)?;
    let place = BoundingBox::read(&mut parameters)?.unwrap_or(BoundingBox::WORLD);
    let resolution = match parameters.integer("res", 0, 15)? {
        Some(resolution) => u8::try_from(resolution).expect("at most 15"),
        None => view::resolution_for(&place, &api.levels, view.period),
    };
    parameters.finish()?;
    Ok(Asked {
        level: view::stored_level(&api.levels, view.period, resolution)?,
        view,
        place,
        resolution,
    })
}

/// The hexagons, and the resolution they have: the one asked for, or the finest at which there are not too many.
async fn cells(api: &Api, asked: &Asked) -> Result<(Vec<Cell>, u8), Problem> {
    let mut resolution = asked.resolution;
    loop {
        let query = asked
            .bind(api.store.query(sql::CELLS), resolution)
            .param("hexagons_max", limits::HEXAGONS_MAX + 1);
        let cells: Vec<Cell> = api.store.rows(query).await?;
        if cells.len() <= limits::HEXAGONS_MAX as usize || resolution == 0 {
            return Ok((cells, resolution));
        }
        // Between two questions more may come: then it is asked once more.
        let query = asked
            .bind(api.store.query(sql::RESOLUTIONS), resolution)
            .param("hexagons_max", limits::HEXAGONS_MAX);
        let coarser: Vec<Coarser> = api.store.rows(query).await?;
        resolution = coarser.first().map_or(0, |coarser| coarser.res);
    }
}

impl Asked {
    fn bind(&self, query: Query, resolution: u8) -> Query {
        let query = self.view.bind_level(self.view.bind(query), &self.level);
        self.place
            .bind(query)
            .param("res", resolution)
            .param("stand_in", view::some_cell(self.level.resolution))
    }
}

/// What was found.
struct Answer {
    view: View,
    resolution: u8,
    complete: bool,
    coarsened: bool,
    cells: Vec<Cell>,
    fresh_ms: Option<i64>,
}

impl Answer {
    fn tag(&self, format: Format) -> String {
        let numbers: Vec<u64> = self.cells.iter().flat_map(|cell| [cell.hexagon, cell.events]).collect();
        let shape = [
            format as u64,
            u64::from(self.resolution),
            u64::from(self.coarsened),
            u64::from(self.complete),
        ];
        self.view
            .fingerprint(Fingerprint::default())
            .numbers(&shape)
            .numbers(&numbers)
            .values(&self.values())
            .finish()
    }

    fn names(&self) -> Vec<String> {
        self.cells.iter().map(|cell| format!("{:x}", cell.hexagon)).collect()
    }

    fn values(&self) -> Vec<f64> {
        self.cells.iter().map(|cell| cell.value).collect()
    }

    fn counts(&self) -> Vec<u64> {
        self.cells.iter().map(|cell| cell.events).collect()
    }

    fn write(&self, format: Format) -> Bytes {
        let document = match format {
            Format::Json => serde_json::to_vec(&self.json()),
            Format::GeoJson => serde_json::to_vec(&self.geojson()),
            Format::Csv | Format::Arrow => {
                let columns = vec![
                    ("cell", Column::Texts(self.names())),
                    ("value", Column::Numbers(self.values())),
                    ("count", Column::Counts(self.counts())),
                ];
                let table = Table { columns };
                return table.write(format).expect("the format is one of tables");
            }
        };
        document.expect("text and numbers are always JSON").into()
    }

    fn json(&self) -> Cells {
        Cells {
            metric: self.view.metric.clone(),
            agg: self.view.aggregate.name(),
            period: self.view.period,
            res: self.resolution,
            from: seconds_text(self.view.range.from),
            to: seconds_text(self.view.range.to),
            cells: self.names(),
            values: self.values().into_iter().map(finite).collect(),
            counts: self.counts(),
            freshness: self.fresh_ms.map(time_text),
            complete: self.complete,
            coarsened: self.coarsened,
        }
    }

    fn geojson(&self) -> Value {
        let features = self.cells.iter().map(|cell| {
            let outline = CellIndex::try_from(cell.hexagon).map_or(Value::Null, geojson::hexagon);
            let name = format!("{:x}", cell.hexagon);
            let properties = json!({"cell": name, "value": finite(cell.value), "count": cell.events});
            json!({"type": "Feature", "id": name, "geometry": outline, "properties": properties})
        });
        let members = json!({
            "metric": self.view.metric,
            "agg": self.view.aggregate.name(),
            "period": self.view.period,
            "res": self.resolution,
            "from": seconds_text(self.view.range.from),
            "to": seconds_text(self.view.range.to),
            "freshness": self.fresh_ms.map(time_text),
            "complete": self.complete,
            "coarsened": self.coarsened,
        });
        geojson::collection(features.collect(), members)
    }
}
