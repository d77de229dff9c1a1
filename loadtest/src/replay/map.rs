//! Which columns of a CSV become which fields of an event: `device=MMSI,ts=BaseDateTime,metric.speed=SOG,null.SOG=102.3`.

use std::collections::BTreeMap;

use schemas::name::is_metric_name;

/// A column mapping, by column names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnMap {
    /// Device identifier.
    pub device: String,
    /// Event time.
    pub ts: String,
    /// Latitude and longitude, degrees.
    pub position: Option<(String, String)>,
    /// The device's own count.
    pub seq: Option<String>,
    /// The fields `alt`, `speed_mps`, `heading_deg`, `accuracy_m`, as far as given.
    pub motion: Vec<NumberColumn>,
    /// Metrics, in the order given.
    pub metrics: Vec<NumberColumn>,
    /// Values that stand for "not available", by column.
    pub nulls: BTreeMap<String, Vec<f64>>,
}

/// A number read from a column.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberColumn {
    /// Name in the event.
    pub name: String,
    /// Name of the column.
    pub column: String,
    /// What the column's value is multiplied with.
    pub scale: f64,
}

/// Why a mapping cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MapError {
    /// A part has no `=`, or nothing on one side.
    #[error("`{0}` in the column mapping is not `field=COLUMN`, as in `{EXAMPLE}`")]
    NotAPair(String),
    /// A field that does not exist.
    #[error(
        "`{0}` in the column mapping is no field; fields are {FIELDS}, `metric.NAME`, `null.COLUMN` and `scale.NAME`"
    )]
    UnknownField(String),
    /// One field twice.
    #[error("`{0}` stands twice in the column mapping; keep one")]
    Twice(String),
    /// A field without which there is no event.
    #[error("the column mapping has no `{0}`; add it, as in `{EXAMPLE}`")]
    Missing(&'static str),
    /// Latitude or longitude alone.
    #[error("the column mapping has only one of `lat` and `lon`; give both or neither")]
    HalfPosition,
    /// Nothing to measure.
    #[error("the column mapping has neither `lat` and `lon` nor a `metric.NAME`; there would be nothing to publish")]
    NoData,
    /// A metric name outside the grammar.
    #[error("metric name `{0}` in the column mapping is not of `[A-Za-z_][A-Za-z0-9_.:/-]{{0,127}}`")]
    MetricName(String),
    /// A null value or scale that is no number.
    #[error("`{0}` in the column mapping is not a number")]
    NotANumber(String),
    /// `null.` or `scale.` of something that is not mapped.
    #[error("`{0}` in the column mapping belongs to nothing that is mapped")]
    Dangling(String),
    /// The file has no such column.
    #[error("the file has no column `{column}`; its columns are {}", list(.columns))]
    NoColumn {
        /// What was asked for.
        column: String,
        /// What there is.
        columns: Vec<String>,
    },
}

const EXAMPLE: &str = "device=MMSI,ts=BaseDateTime,lat=LAT,lon=LON,metric.speed=SOG,null.SOG=102.3";
const FIELDS: &str = "`device`, `ts`, `lat`, `lon`, `seq`, `alt`, `speed_mps`, `heading_deg`, `accuracy_m`";
const MOTION_FIELDS: [&str; 4] = ["alt", "speed_mps", "heading_deg", "accuracy_m"];

fn list(columns: &[String]) -> String {
    let quoted: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    quoted.join(", ")
}

/// Reads a mapping: pairs `field=COLUMN`, parted by commas.
///
/// Fields are `device` and `ts` (both required), `lat` and `lon`, `seq`, `alt`, `speed_mps`, `heading_deg`,
/// `accuracy_m`, and any number of `metric.NAME`. `null.COLUMN=VALUE` names a number that stands for "not available"
/// (several are allowed; an empty cell always does), `scale.NAME=FACTOR` multiplies a metric or motion field.
///
/// # Errors
/// The first fault, with the part that has it.
pub fn parse_map(text: &str) -> Result<ColumnMap, MapError> {
    let mut map = ColumnMap::default();
    let (mut latitude, mut longitude) = (None, None);
    let mut scales: BTreeMap<&str, f64> = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (field, column) = split_pair(part)?;
        let twice = || MapError::Twice(field.to_owned());
        let text_field = match field {
            "device" => &mut map.device,
            "ts" => &mut map.ts,
            "lat" => latitude.get_or_insert_with(String::new),
            "lon" => longitude.get_or_insert_with(String::new),
            "seq" => map.seq.get_or_insert_with(String::new),
            _ => {
                if let Some(name) = field.strip_prefix("scale.") {
                    if scales.insert(name, number(part, column)?).is_some() {
                        return Err(twice());
                    }
                } else if let Some(of) = field.strip_prefix("null.") {
                    map.nulls.entry(of.to_owned()).or_default().push(number(part, column)?);
                } else {
                    add_number(&mut map, field, column)?;
                }
                continue;
            }
        };
        if !text_field.is_empty() {
            return Err(twice());
        }
        column.clone_into(text_field);
    }
    map.position = match (latitude, longitude) {
        (Some(latitude), Some(longitude)) => Some((latitude, longitude)),
        (None, None) => None,
        _ => return Err(MapError::HalfPosition),
    };
    for (name, scale) in scales {
        let mut columns = map.motion.iter_mut().chain(&mut map.metrics);
        let column = columns.find(|column| column.name == name);
        column.ok_or_else(|| MapError::Dangling(format!("scale.{name}")))?.scale = scale;
    }
    check(map)
}

fn split_pair(part: &str) -> Result<(&str, &str), MapError> {
    let pair = part
        .split_once('=')
        .map(|(field, column)| (field.trim(), column.trim()));
    pair.filter(|(field, column)| !field.is_empty() && !column.is_empty())
        .ok_or_else(|| MapError::NotAPair(part.to_owned()))
}

fn number(part: &str, text: &str) -> Result<f64, MapError> {
    let value: Option<f64> = text.parse().ok();
    value
        .filter(|value| value.is_finite())
        .ok_or_else(|| MapError::NotANumber(part.to_owned()))
}

fn add_number(map: &mut ColumnMap, field: &str, column: &str) -> Result<(), MapError> {
    let (columns, name) = match field.strip_prefix("metric.") {
        Some(name) if is_metric_name(name) => (&mut map.metrics, name),
        Some(name) => return Err(MapError::MetricName(name.to_owned())),
        None if MOTION_FIELDS.contains(&field) => (&mut map.motion, field),
        None => return Err(MapError::UnknownField(field.to_owned())),
    };
    if columns.iter().any(|known| known.name == name) {
        return Err(MapError::Twice(field.to_owned()));
    }
    columns.push(NumberColumn {
        name: name.to_owned(),
        column: column.to_owned(),
        scale: 1.0,
    });
    Ok(())
}

fn check(map: ColumnMap) -> Result<ColumnMap, MapError> {
    for (field, column) in [("device", &map.device), ("ts", &map.ts)] {
        if column.is_empty() {
            return Err(MapError::Missing(field));
        }
    }
    if map.metrics.is_empty() && map.position.is_none() {
        return Err(MapError::NoData);
    }
    let is_number_column = |name: &String| map.motion.iter().chain(&map.metrics).any(|known| known.column == *name);
    match map.nulls.keys().find(|name| !is_number_column(name)) {
        Some(dangling) => Err(MapError::Dangling(format!("null.{dangling}"))),
        None => Ok(map),
    }
}

#[cfg(test)]
mod tests;
