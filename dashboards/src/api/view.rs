//! What part of the data a request looks at: place, time, level and aggregate.
//!
//! Pure: what it needs to know comes as an argument.

use clickhouse::query::Query;
use h3o::{LatLng, Resolution};

use super::{
    Api,
    parameters::{self, Parameters},
    problem::Problem,
    reply::Fingerprint,
    seconds_text,
};
use crate::{StoredLevel, limits};

/// Mean radius of the Earth, as for distances and areas everywhere in this crate.
pub(crate) const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// A box of latitudes and longitudes, edges included. West of more than east crosses the antimeridian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BoundingBox {
    pub(crate) west: f64,
    pub(crate) south: f64,
    pub(crate) east: f64,
    pub(crate) north: f64,
}

impl BoundingBox {
    pub(crate) const WORLD: Self = Self {
        west: -180.0,
        south: -90.0,
        east: 180.0,
        north: 90.0,
    };

    pub(crate) fn read(parameters: &mut Parameters) -> Result<Option<Self>, Problem> {
        let Some(text) = parameters.text("bbox") else {
            return Ok(None);
        };
        let parts: Vec<&str> = text.split(',').collect();
        let [west, south, east, north] = parts[..] else {
            let detail = "`bbox` is not of four numbers: west,south,east,north in degrees";
            return Err(Problem::parameter("bbox", detail));
        };
        let found = Self {
            west: parameters::number("bbox", west, -180.0, 180.0)?,
            south: parameters::number("bbox", south, -90.0, 90.0)?,
            east: parameters::number("bbox", east, -180.0, 180.0)?,
            north: parameters::number("bbox", north, -90.0, 90.0)?,
        };
        match found.south <= found.north {
            true => Ok(Some(found)),
            false => Err(Problem::parameter(
                "bbox",
                "the south of `bbox` is north of its north: the order is west,south,east,north",
            )),
        }
    }

    /// The same for equal boxes, whatever their numbers are.
    pub(crate) fn bits(&self) -> [u64; 4] {
        [self.west, self.south, self.east, self.north].map(f64::to_bits)
    }

    pub(crate) fn bind(&self, query: Query) -> Query {
        query
            .param("west", self.west)
            .param("south", self.south)
            .param("east", self.east)
            .param("north", self.north)
    }

    /// Whether a place lies in it.
    pub(crate) fn holds(&self, latitude: f64, longitude: f64) -> bool {
        let is_between = match self.west <= self.east {
            true => (self.west..=self.east).contains(&longitude),
            false => longitude >= self.west || longitude <= self.east,
        };
        is_between && (self.south..=self.north).contains(&latitude)
    }

    fn area_m2(&self) -> f64 {
        let width = match self.west <= self.east {
            true => self.east - self.west,
            false => self.east - self.west + 360.0,
        };
        let height = self.north.to_radians().sin() - self.south.to_radians().sin();
        EARTH_RADIUS_M * EARTH_RADIUS_M * width.to_radians() * height
    }
}

/// A range of whole periods, in Unix seconds: from the first, up to but without the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeRange {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl TimeRange {
    /// True when a time is at its end or after it.
    pub(crate) fn is_before(self, time_ms: Option<i64>) -> bool {
        time_ms.is_some_and(|time_ms| i64::from(self.to) * 1_000 <= time_ms)
    }

    /// True when what is stored reaches its end, so that only late events change it. What is newer than events can be now
    /// was stored by a clock that was wrong, and says nothing about any range.
    pub(crate) fn is_complete(self, fresh_ms: Option<i64>, now_ms: i64) -> bool {
        self.is_before(believed(fresh_ms, now_ms))
    }

    /// Both ends as answers say them.
    pub(crate) fn texts(self) -> (String, String) {
        (seconds_text(self.from), seconds_text(self.to))
    }
}

fn believed(fresh_ms: Option<i64>, now_ms: i64) -> Option<i64> {
    fresh_ms.filter(|fresh_ms| *fresh_ms <= now_ms.saturating_add(limits::AHEAD_MS_MAX))
}

/// A range as it was asked for, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AskedRange {
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
}

impl AskedRange {
    /// As [`TimeRange::is_complete`].
    pub(crate) fn is_complete(self, fresh_ms: Option<i64>, now_ms: i64) -> bool {
        believed(fresh_ms, now_ms).is_some_and(|fresh_ms| self.to_ms <= fresh_ms)
    }

    pub(crate) fn read(parameters: &mut Parameters, now_ms: i64) -> Result<Self, Problem> {
        let to = parameters.time_ms("to")?;
        let from = parameters.time_ms("from")?;
        let to_ms = to.unwrap_or_else(|| now_ms.clamp(1, limits::TIME_MS_MAX));
        let from_ms = from.unwrap_or((to_ms - limits::RANGE_MS_DEFAULT).max(0));
        if from_ms < to_ms {
            return Ok(Self { from_ms, to_ms });
        }
        // What was not sent is not blamed.
        let (name, detail) = match (from, to) {
            (Some(_), None) => (
                "from",
                "`from` is not before now; where no `to` is given, the range ends now",
            ),
            (None, Some(_)) => ("to", "`to` is the beginning of 1970, and nothing is before it"),
            (None, None) | (Some(_), Some(_)) => ("from", "`from` is not before `to`"),
        };
        Err(Problem::parameter(name, detail))
    }

    /// Whole periods that hold all of it.
    pub(crate) fn widened(self, period_seconds: u32) -> TimeRange {
        let period_ms = i64::from(period_seconds) * 1_000;
        let seconds = |periods: i64| u32::try_from(periods * period_ms / 1_000).expect("times are bounded");
        TimeRange {
            from: seconds(self.from_ms.div_euclid(period_ms)),
            to: seconds((self.to_ms + period_ms - 1).div_euclid(period_ms)),
        }
    }

    /// The period that was asked for, else the shortest stored one that does not cut it too fine.
    pub(crate) fn period(self, parameters: &mut Parameters, levels: &[StoredLevel]) -> Result<u32, Problem> {
        const DAY: u32 = 86_400;
        if let Some(period) = parameters.integer("period", 1, DAY)? {
            let is_made_of = |level: &StoredLevel| period.is_multiple_of(level.period_seconds);
            return match DAY.is_multiple_of(period) && levels.iter().any(is_made_of) {
                true => Ok(period),
                false => Err(Problem::parameter(
                    "period",
                    format!(
                        "`period` must divide a day and be a multiple of a stored one: {}",
                        periods(levels)
                    ),
                )),
            };
        }
        let span_ms = self.to_ms.abs_diff(self.from_ms);
        let is_wide_enough = |period: u32| span_ms / (u64::from(period) * 1_000) <= limits::BUCKETS_WANTED;
        let stored = || levels.iter().map(|level| level.period_seconds);
        Ok(stored()
            .filter(|period| is_wide_enough(*period))
            .min()
            .or_else(|| stored().max())
            .unwrap_or(DAY))
    }
}

pub(crate) fn periods(levels: &[StoredLevel]) -> String {
    let mut periods: Vec<u32> = levels.iter().map(|level| level.period_seconds).collect();
    periods.sort_unstable();
    periods.dedup();
    let texts: Vec<String> = periods.iter().map(u32::to_string).collect();
    texts.join(", ")
}

/// The stored level that gives a period and a resolution with the fewest rows.
///
/// # Errors
/// When none is fine enough.
pub(crate) fn stored_level(levels: &[StoredLevel], period: u32, resolution: u8) -> Result<StoredLevel, Problem> {
    let fits = |level: &&StoredLevel| period.is_multiple_of(level.period_seconds) && level.resolution >= resolution;
    let fewest_rows = |level: &&StoredLevel| (u32::MAX - level.period_seconds, level.resolution);
    levels
        .iter()
        .filter(fits)
        .min_by_key(fewest_rows)
        .copied()
        .ok_or_else(|| {
            let of_period = levels
                .iter()
                .filter(|level| period.is_multiple_of(level.period_seconds));
            let finest = of_period.map(|level| level.resolution).max().unwrap_or(0);
            Problem::parameter(
                "res",
                format!("the resolution is finer than what is stored for this period, which is {finest}"),
            )
        })
}

/// The finest resolution that is stored for a period.
pub(crate) fn finest(levels: &[StoredLevel], period: u32) -> u8 {
    let of_period = levels
        .iter()
        .filter(|level| period.is_multiple_of(level.period_seconds));
    of_period.map(|level| level.resolution).max().unwrap_or(0)
}

/// The resolution at which a view has about as many hexagons as one likes to see.
pub(crate) fn resolution_for(place: &BoundingBox, levels: &[StoredLevel], period: u32) -> u8 {
    let fits = |resolution: &u8| {
        let resolution = Resolution::try_from(*resolution).expect("resolutions of levels are validated");
        place.area_m2() / resolution.area_m2() <= limits::HEXAGONS_WANTED
    };
    (0..=finest(levels, period)).rev().find(fits).unwrap_or(0)
}

/// What is made of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Aggregate {
    Avg,
    Count,
    Sum,
    Min,
    Max,
    P50,
    P90,
    P99,
    Devices,
}

impl Aggregate {
    /// By name; the first is used where none is given.
    pub(crate) const ALL: [(&str, Self); 9] = [
        ("avg", Self::Avg),
        ("count", Self::Count),
        ("sum", Self::Sum),
        ("min", Self::Min),
        ("max", Self::Max),
        ("p50", Self::P50),
        ("p90", Self::P90),
        ("p99", Self::P99),
        ("devices", Self::Devices),
    ];

    pub(crate) fn read(parameters: &mut Parameters) -> Result<Self, Problem> {
        parameters.choice("agg", &Self::ALL)
    }

    /// How queries know it.
    pub(crate) fn form(self) -> &'static str {
        match self {
            Self::P50 | Self::P90 | Self::P99 => "quantile",
            other => other.name(),
        }
    }

    /// Which quantile it is; nothing reads it if it is none.
    pub(crate) fn quantile(self) -> f64 {
        match self {
            Self::P90 => 0.9,
            Self::P99 => 0.99,
            _ => 0.5,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, aggregate)| *aggregate == self);
        found.expect("all are listed").0
    }
}

/// What all questions about rollups have.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) tenant: String,
    pub(crate) metric: String,
    pub(crate) aggregate: Aggregate,
    pub(crate) range: TimeRange,
    pub(crate) period: u32,
}

impl View {
    pub(crate) fn read(api: &Api, parameters: &mut Parameters) -> Result<Self, Problem> {
        let tenant = parameters.tenant()?;
        let metric = parameters.metric()?;
        let aggregate = Aggregate::read(parameters)?;
        let asked = AskedRange::read(parameters, api.clock.wall_ms())?;
        let period = asked.period(parameters, &api.levels)?;
        Ok(Self {
            tenant,
            metric,
            aggregate,
            range: asked.widened(period),
            period,
        })
    }

    pub(crate) fn bind(&self, query: Query) -> Query {
        query
            .param("tenant", &self.tenant)
            .param("metric", &self.metric)
            .param("form", self.aggregate.form())
            .param("quantile", self.aggregate.quantile())
            .param("from", self.range.from)
            .param("to", self.range.to)
    }

    pub(crate) fn bind_level(&self, query: Query, level: &StoredLevel) -> Query {
        query
            .param("stored_period", level.period_seconds)
            .param("stored_res", level.resolution)
    }

    pub(crate) fn fingerprint(&self, fingerprint: Fingerprint) -> Fingerprint {
        let numbers = [self.range.from, self.range.to, self.period].map(u64::from);
        fingerprint
            .bytes(self.tenant.as_bytes())
            .bytes(self.metric.as_bytes())
            .bytes(self.aggregate.name().as_bytes())
            .numbers(&numbers)
    }
}

/// Some cell of a resolution: in SQL it stands where there is none, for functions that accept no 0.
pub(crate) fn some_cell(resolution: u8) -> u64 {
    let resolution = Resolution::try_from(resolution).expect("resolutions of levels are validated");
    let origin = LatLng::new(0.0, 0.0).expect("it is on the globe");
    origin.to_cell(resolution).into()
}
