//! `/series`: one value for each bucket of time: of the tenant, a box, a cell or a device.

use bytes::Bytes;
use clickhouse::Row;
use h3o::{CellIndex, Resolution};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    arrivals::Reach,
    devices, finite,
    parameters::Parameters,
    problem::Problem,
    reply::{About, Body, Fingerprint, Format, Reply},
    seconds_text, sql,
    table::{Column, Table},
    time_text,
    view::{self, BoundingBox, View},
};
use crate::{access::caller::Request, limits};

const FORMATS: [(&str, Format); 3] = [("json", Format::Json), ("csv", Format::Csv), ("arrow", Format::Arrow)];

/// Resolution of the cells in a box, where none is given.
const RESOLUTION_DEFAULT: u8 = 9;

/// Whose values.
enum Place {
    All,
    Box(BoundingBox, u8),
    Cell(CellIndex),
    Device(String),
}

impl Place {
    /// Of the cells that are meant; none where it is not about cells.
    fn resolution(&self) -> Option<u8> {
        match self {
            Self::Box(_, resolution) => Some(*resolution),
            Self::Cell(cell) => Some(cell.resolution().into()),
            Self::All | Self::Device(_) => None,
        }
    }
}

/// One bucket.
#[derive(Debug, Deserialize, Row)]
struct Bucket {
    start: u32,
    value: f64,
    events: u64,
}

/// Buckets of time with one value each. Buckets without events are left out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Series {
    metric: String,
    agg: &'static str,
    /// Seconds.
    period: u32,
    /// Start of the range used, a whole period.
    from: String,
    /// End of the range used, not part of it.
    to: String,
    /// Starts of buckets, in rising order.
    buckets: Vec<String>,
    /// One for each bucket.
    values: Vec<Option<f64>>,
    /// Events of each bucket.
    counts: Vec<u64>,
    /// Newest event time that is in; none before the first event.
    freshness: Option<String>,
    /// Events newer than the range are in, so only late ones can change it.
    complete: bool,
}

pub(crate) async fn answer(api: &Api, query: Request<'_>) -> Result<Reply, Problem> {
    let mut parameters = Parameters::parse(query)?;
    let format = parameters.choice("format", &FORMATS)?;
    let view = View::read(api, &mut parameters)?;
    let place = read_place(api, &view, &mut parameters)?;
    parameters.finish()?;
    if (view.range.to - view.range.from) / view.period > limits::BUCKETS_MAX {
        let detail = format!(
            "the series would have more than {} buckets; make `period` longer",
            limits::BUCKETS_MAX
        );
        return Err(Problem::parameter("period", detail));
    }
    let (reach, delay_ms, buckets) = buckets(api, &view, &place).await?;
    if let (true, Place::Device(device)) = (buckets.is_empty(), &place) {
        devices::check_exists(api, &view.tenant, device).await?;
    }
    let fresh_ms = reach.fresh_ms(delay_ms);
    let complete = reach.completes(view.range, delay_ms, api.clock.wall_ms());
    let about = About {
        freshness: fresh_ms.map(time_text),
        range: Some(view.range.texts()),
        period_seconds: Some(view.period),
        resolution: place.resolution(),
        is_complete: Some(complete),
        is_coarsened: Some(false),
        is_lite: Some(false),
    };
    Ok(Reply {
        format,
        tag: tag(&view, &buckets, complete, format),
        about: about.clone(),
        is_settled: complete && view.range.is_before(Some(api.clock.wall_ms())),
        age_seconds: None,
        next: None,
        body: Body::later(buckets.len(), move || write(&view, &buckets, about, format)),
    })
}

fn read_place(api: &Api, view: &View, parameters: &mut Parameters) -> Result<Place, Problem> {
    let resolution = parameters.integer("res", 0, 15)?;
    let place = BoundingBox::read(parameters)?;
    let cell = parameters.text("cell");
    let device = parameters.device()?;
    let given = u8::from(place.is_some()) + u8::from(cell.is_some()) + u8::from(device.is_some());
    if given > 1 {
        return Err(Problem::parameter(
            if cell.is_some() { "cell" } else { "device" },
            "only one of `bbox`, `cell` and `device` can be given",
        ));
    }
    match (place, resolution) {
        (None, Some(_)) => {
            return Err(Problem::parameter(
                "res",
                "`res` is for the cells in a `bbox`; give one, or leave `res` out",
            ));
        }
        (Some(place), Some(resolution)) => return Ok(Place::Box(place, resolution as u8)),
        (Some(place), None) => {
            let finest = view::finest(&api.levels, view.period);
            return Ok(Place::Box(place, RESOLUTION_DEFAULT.min(finest)));
        }
        (None, None) => {}
    }
    if let Some(cell) = cell {
        let is_hexadecimal = cell.len() <= 16 && cell.bytes().all(|digit| digit.is_ascii_hexdigit());
        let index = u64::from_str_radix(&cell, 16).ok().filter(|_| is_hexadecimal);
        let index = index.and_then(|index| CellIndex::try_from(index).ok());
        let no_cell = || Problem::parameter("cell", "`cell` is no H3 cell: 15 hexadecimal digits");
        return index.map(Place::Cell).ok_or_else(no_cell);
    }
    Ok(device.map_or(Place::All, Place::Device))
}

/// How far what is stored reaches, how many milliseconds a change may wait before it shows, and the buckets.
async fn buckets(api: &Api, view: &View, place: &Place) -> Result<(Reach, u64, Vec<Bucket>), Problem> {
    let of_levels = |resolution: u8, name: &str| {
        view::stored_level(&api.levels, view.period, resolution).map_err(|problem| Problem {
            parameter: Some(name.to_owned()),
            ..problem
        })
    };
    let (query, level) = match place {
        Place::All => {
            let level = of_levels(0, "period")?;
            let query = view.bind_level(api.store.query(sql::SERIES), &level);
            (
                query.param("first_cell", 0_u64).param("last_cell", u64::MAX),
                Some(level),
            )
        }
        Place::Cell(cell) => {
            let level = of_levels(cell.resolution().into(), "cell")?;
            let (first, last) = indexes_within(*cell, level.resolution);
            let query = view.bind_level(api.store.query(sql::SERIES), &level);
            (query.param("first_cell", first).param("last_cell", last), Some(level))
        }
        Place::Box(place, resolution) => {
            let level = of_levels(*resolution, "res")?;
            let query = view.bind_level(api.store.query(sql::SERIES_BBOX), &level);
            let query = place.bind(query).param("res", *resolution);
            (query.param("stand_in", view::some_cell(level.resolution)), Some(level))
        }
        Place::Device(device) => (api.store.query(sql::SERIES_DEVICE).param("device", device), None),
    };
    let query = view.bind(query).param("period", view.period);
    let reach = match &level {
        // Measurements are there before anybody is told.
        None => Reach::stored(api.freshness_ms(&view.tenant).await?, Some(i64::MAX), None),
        Some(level) => api.reach(&view.tenant, level).await?,
    };
    let delay_ms = level.map_or(0, |level| level.flush_interval_ms);
    Ok((reach, delay_ms, api.store.rows(query).await?))
}

/// The lowest and the highest index that cells of a finer resolution within a cell can have: an index holds one digit
/// of three bits for each resolution, the coarsest first.
fn indexes_within(cell: CellIndex, resolution: u8) -> (u64, u64) {
    const RESOLUTION_SHIFT: u32 = 52;
    let own = u8::from(cell.resolution());
    let mut first = u64::from(cell) & !(0xf << RESOLUTION_SHIFT) | u64::from(resolution) << RESOLUTION_SHIFT;
    let mut last = first;
    for finer in own + 1..=resolution {
        let shift = 3 * (u8::from(Resolution::Fifteen) - finer);
        first &= !(0b111 << shift);
        last = last & !(0b111 << shift) | 0b110 << shift;
    }
    (first, last)
}

fn tag(view: &View, buckets: &[Bucket], complete: bool, format: Format) -> String {
    let numbers: Vec<u64> = buckets
        .iter()
        .flat_map(|bucket| [u64::from(bucket.start), bucket.events])
        .collect();
    let values: Vec<f64> = buckets.iter().map(|bucket| bucket.value).collect();
    view.fingerprint(Fingerprint::default())
        .numbers(&[format as u64, u64::from(complete)])
        .numbers(&numbers)
        .values(&values)
        .finish()
}

fn write(view: &View, buckets: &[Bucket], about: About, format: Format) -> Bytes {
    let counts = buckets.iter().map(|bucket| bucket.events).collect();
    let values = buckets.iter().map(|bucket| bucket.value);
    if format != Format::Json {
        let starts = buckets.iter().map(|bucket| i64::from(bucket.start) * 1_000);
        let columns = vec![
            ("bucket", Column::Times(starts.collect())),
            ("value", Column::Numbers(values.collect())),
            ("count", Column::Counts(counts)),
        ];
        let table = Table { columns, about };
        return table.write(format).expect("the format is one of tables");
    }
    let (from, to) = view.range.texts();
    let document = Series {
        metric: view.metric.clone(),
        agg: view.aggregate.name(),
        period: view.period,
        from,
        to,
        buckets: buckets.iter().map(|bucket| seconds_text(bucket.start)).collect(),
        values: values.map(finite).collect(),
        counts,
        freshness: about.freshness,
        complete: about.is_complete.unwrap_or_default(),
    };
    serde_json::to_vec(&document)
        .expect("text and numbers are always JSON")
        .into()
}

#[cfg(test)]
mod tests {
    use h3o::LatLng;

    use super::*;

    #[test]
    fn the_range_of_indexes_holds_the_cells_within_and_no_others() {
        for (lat, lon) in [(37.0, -122.0), (0.0, 0.0), (-89.0, 170.0), (58.157_705_839, 10.5367)] {
            let centre = LatLng::new(lat, lon).unwrap();
            for (coarse, fine) in [(0_u8, 3_u8), (5, 5), (5, 7), (7, 9)] {
                let cell = centre.to_cell(Resolution::try_from(coarse).unwrap());
                let fine_resolution = Resolution::try_from(fine).unwrap();
                let (first, last) = indexes_within(cell, fine);
                for child in cell.children(fine_resolution) {
                    assert!((first..=last).contains(&u64::from(child)), "{cell} {child}");
                }
                for neighbour in cell.grid_disk::<Vec<_>>(1) {
                    let child = u64::from(neighbour.center_child(fine_resolution).unwrap());
                    assert_eq!((first..=last).contains(&child), neighbour == cell, "{cell} {neighbour}");
                }
            }
        }
    }
}
