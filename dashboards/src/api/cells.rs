//! `/cells`: one value for each hexagon in view, over the whole range of time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use clickhouse::{Row, query::Query};
use futures::FutureExt;
use h3o::CellIndex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;
use utoipa::ToSchema;

use super::{
    Api, finite, geojson,
    hexagons::{Cell, Found},
    memory::{Kept, Question},
    parameters::Parameters,
    problem::Problem,
    reply::{About, Body, Fingerprint, Format, Reply},
    sql,
    table::{Column, Table},
    time_text,
    view::{self, Aggregate, BoundingBox, View},
    wide::{self, Width},
};
use crate::{StoredLevel, access::caller::Request, limits};

const FORMATS: [(&str, Format); 4] = [
    ("json", Format::Json),
    ("geojson", Format::GeoJson),
    ("csv", Format::Csv),
    ("arrow", Format::Arrow),
];

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) view: View,
    pub(super) place: BoundingBox,
    pub(super) level: StoredLevel,
    pub(super) resolution: u8,
    /// It is asked for to cut answers out.
    is_wide: bool,
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
    /// The store does not keep up, and this is coarser, or older, than it could be.
    lite: bool,
}

/// What tells questions apart: tenant, metric, aggregate, range, period, place, resolution, and whether answers are to be cut
/// out.
pub(crate) type Key = (String, String, Aggregate, (u32, u32), u32, [u64; 4], u8, bool);

pub(crate) async fn answer(api: &Arc<Api>, query: Request<'_>) -> Result<Reply, Problem> {
    let mut parameters = Parameters::parse(query)?;
    let format = parameters.choice("format", &FORMATS)?;
    let asked = read(api, parameters)?;
    let is_past = asked.view.range.is_before(Some(api.clock.wall_ms()));
    // Before it is looked whether something has changed: then it never claims what an answer from memory lacks.
    let told = api.changes.reach(&asked.view.tenant, asked.level.name());
    let (kept, is_lite) = find(api, &asked, is_past).await?;
    if kept.is_hit && !api.store.is_busy() && api.cells.is_inspection_due() {
        tokio::spawn(inspect(api.clone(), asked.clone(), kept.value.clone()));
    }
    let reach = match kept.is_hit {
        // What holds still has seen everything that was told meanwhile.
        true => kept.value.reach.and_told(told),
        false => kept.value.reach,
    };
    let flush_interval_ms = asked.level.flush_interval_ms;
    let (fresh_ms, now_ms) = (reach.fresh_ms(flush_interval_ms), api.clock.wall_ms());
    let complete = reach.completes(asked.view.range, flush_interval_ms, now_ms);
    let resolution = kept.value.resolution;
    let answer = Answer {
        complete,
        coarsened: resolution < asked.resolution,
        is_lite,
        view: asked.view,
        resolution,
        found: kept.value,
        fresh_ms,
    };
    Ok(Reply {
        format,
        tag: answer.tag(format),
        about: answer.about(),
        is_settled: is_past && answer.complete && !is_lite,
        age_seconds: kept.age.map(|age| age.as_secs()),
        next: None,
        body: answer.body(format),
    })
}

/// The answer, and whether it is coarser or older than it could be. While the store does not keep up, what is kept is
/// used though it may have changed, and what is not is asked of the next coarser rollup.
async fn find(api: &Arc<Api>, asked: &Asked, is_past: bool) -> Result<(Kept<Found>, bool), Problem> {
    let question = || asked.question(api, is_past);
    if !api.store.is_lite() {
        let kept = match wide::find(api, asked, is_past).await? {
            Some(kept) => kept,
            None => api.cells.answer(question(), api.store.is_busy()).await?,
        };
        return Ok((kept, false));
    }
    if let Some(kept) = wide::peek(api, asked, is_past) {
        let is_lite = !kept.is_hit;
        let metrics = &api.cells.metrics;
        if is_lite { &metrics.lite } else { &metrics.hits }.increment(1);
        return Ok((kept, is_lite));
    }
    match asked.coarser(api) {
        Some(coarser) => {
            api.cells.metrics.lite.increment(1);
            let kept = api.cells.answer(coarser.question(api, is_past), true).await?;
            Ok((Kept { is_hit: false, ..kept }, true))
        }
        None => Ok((api.cells.answer(question(), true).await?, false)),
    }
}

/// Compares an answer from memory with what the store says now.
async fn inspect(api: Arc<Api>, asked: Asked, kept: Arc<Found>) {
    let version = || asked.version(&api);
    let before = version();
    let Ok(found) = asked.ask(&api).await else { return };
    // A change meanwhile explains any difference, and so does one that can be read and is not told yet.
    let is_equal = kept.agrees(&found);
    if !is_equal {
        sleep(limits::INSPECTION_GRACE).await;
    }
    if before.is_none() || version() != before {
        return;
    }
    api.cells.metrics.inspected.increment(1);
    if !is_equal {
        api.cells.metrics.disagreed.increment(1);
        tracing::warn!(view = ?asked.view, "an answer from memory was not what ClickHouse says");
    }
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
        is_wide: false,
    })
}

/// The hexagons, and the resolution they have: the one asked for, or the finest at which there are not too many.
async fn cells(api: &Api, asked: &Asked) -> Result<(Vec<Cell>, u8), Problem> {
    let mut resolution = asked.resolution;
    loop {
        let cells = asked.hexagons(api, resolution).await?;
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
    /// The same at the next coarser resolution that is stored for the period; none where there is none.
    fn coarser(&self, api: &Api) -> Option<Self> {
        let stored = api
            .levels
            .iter()
            .filter(|level| level.period_seconds == self.level.period_seconds);
        let below =
            stored.filter(|level| level.resolution < self.level.resolution && level.resolution < self.resolution);
        let level = below.max_by_key(|level| level.resolution).copied()?;
        Some(Self {
            level,
            resolution: level.resolution,
            ..self.clone()
        })
    }

    /// The same in a wider box.
    pub(super) fn widened(&self, width: Width) -> Self {
        Self {
            place: width.around(&self.place),
            is_wide: true,
            ..self.clone()
        }
    }

    pub(super) fn question(&self, api: &Arc<Api>, is_past: bool) -> Question<Key, Found> {
        let View {
            tenant,
            metric,
            aggregate,
            range,
            period,
        } = self.view.clone();
        let place = self.place.bits();
        let ask = {
            let (api, asked) = (api.clone(), self.clone());
            move || {
                let (api, asked) = (api.clone(), asked.clone());
                async move { asked.ask(&api).await }.boxed()
            }
        };
        let version = {
            let (api, asked) = (api.clone(), self.clone());
            move || asked.version(&api)
        };
        Question {
            key: (
                tenant,
                metric,
                aggregate,
                (range.from, range.to),
                period,
                place,
                self.resolution,
                self.is_wide,
            ),
            age_max: match is_past {
                true => Duration::from_secs(limits::SETTLED_AGE_SECONDS.into()),
                false => limits::OPEN_AGE_MAX,
            },
            version: Box::new(version),
            ask: Box::new(ask),
        }
    }

    /// The last change of what is asked for; none where nobody tells.
    pub(super) fn version(&self, api: &Api) -> Option<u64> {
        let View {
            tenant, metric, range, ..
        } = &self.view;
        api.changes.version(tenant, metric, &self.level, range.from..range.to)
    }

    async fn ask(&self, api: &Api) -> Result<Found, Problem> {
        let reach = api.reach(&self.view.tenant, &self.level).await?;
        if self.is_wide {
            let cells = wide::cells(api, self).await?;
            return Ok(Found::new(cells, self.resolution, reach).divisible());
        }
        let (cells, resolution) = cells(api, self).await?;
        Ok(Found::new(cells, resolution, reach))
    }

    /// At most one more than an answer may have.
    pub(super) async fn hexagons(&self, api: &Api, resolution: u8) -> Result<Vec<Cell>, Problem> {
        let query = self.bind(api.store.query(sql::CELLS), resolution);
        let query = query.param("hexagons_max", limits::HEXAGONS_MAX + 1);
        let query = match self.is_wide {
            // What takes longer costs more than it saves, and says nothing about how quick the store is.
            true => query.with_setting("max_execution_time", limits::WIDE_TIME_MAX.as_secs().to_string()),
            false => query,
        };
        api.store.rows(query).await
    }

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
    is_lite: bool,
    found: Arc<Found>,
    fresh_ms: Option<i64>,
}

impl Answer {
    fn about(&self) -> About {
        About {
            freshness: self.fresh_ms.map(time_text),
            range: Some(self.view.range.texts()),
            period_seconds: Some(self.view.period),
            resolution: Some(self.resolution),
            is_complete: Some(self.complete),
            is_coarsened: Some(self.coarsened),
            is_lite: Some(self.is_lite),
        }
    }

    fn body(self, format: Format) -> Body {
        let row_count = match format {
            // It is copied from what was written when it was found.
            Format::Json => 0,
            Format::GeoJson | Format::Csv | Format::Arrow => self.found.cells.len(),
        };
        Body::later(row_count, move || self.write(format))
    }

    fn tag(&self, format: Format) -> String {
        let shape = [
            format as u64,
            u64::from(self.resolution),
            u64::from(self.coarsened),
            u64::from(self.complete),
            u64::from(self.is_lite),
            self.found.fingerprint(),
        ];
        let fingerprint = self.view.fingerprint(Fingerprint::default());
        fingerprint.numbers(&shape).finish()
    }

    fn write(&self, format: Format) -> Bytes {
        match format {
            Format::Json => self.found.written_into(&self.json()).into(),
            Format::GeoJson => self.geojson().into(),
            Format::Csv | Format::Arrow => {
                let columns = vec![
                    ("cell", Column::Texts(self.found.names())),
                    ("value", Column::Numbers(self.found.values())),
                    ("count", Column::Counts(self.found.counts())),
                ];
                let table = Table {
                    columns,
                    about: self.about(),
                };
                table.write(format).expect("the format is one of tables")
            }
        }
    }

    /// All but the hexagons, which are written already.
    fn json(&self) -> Cells {
        let (from, to) = self.view.range.texts();
        Cells {
            metric: self.view.metric.clone(),
            agg: self.view.aggregate.name(),
            period: self.view.period,
            res: self.resolution,
            from,
            to,
            cells: Vec::new(),
            values: Vec::new(),
            counts: Vec::new(),
            freshness: self.fresh_ms.map(time_text),
            complete: self.complete,
            coarsened: self.coarsened,
            lite: self.is_lite,
        }
    }

    fn geojson(&self) -> Vec<u8> {
        let features = self.found.cells.iter().map(|cell| {
            let outline = CellIndex::try_from(cell.hexagon).map_or(Value::Null, geojson::hexagon);
            let name = format!("{:x}", cell.hexagon);
            let properties = json!({"cell": name, "value": finite(cell.value), "count": cell.events});
            json!({"type": "Feature", "id": name, "geometry": outline, "properties": properties})
        });
        let (from, to) = self.view.range.texts();
        let members = json!({
            "metric": self.view.metric,
            "agg": self.view.aggregate.name(),
            "period": self.view.period,
            "res": self.resolution,
            "from": from,
            "to": to,
            "freshness": self.fresh_ms.map(time_text),
            "complete": self.complete,
            "coarsened": self.coarsened,
            "lite": self.is_lite,
        });
        geojson::collection(features, members)
    }
}
