//! Reads a CSV (also .gz) through a column mapping. Rows that cannot become an event are left out and counted.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use csv::StringRecord;
use jiff::{civil::DateTime, tz::TimeZone};
use schemas::{Position, name::is_identifier, timestamp};

use super::map::{ColumnMap, MapError};
use crate::{LoadtestError, limits::REPLAY_EVENTS_MAX};

/// All events of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Distinct device names; events hold indexes into it.
    pub devices: Vec<String>,
    /// Names of the motion fields; events hold their values in this order.
    pub motion_names: Vec<String>,
    /// Names of the metrics; events hold their values in this order.
    pub metric_names: Vec<String>,
    /// In the order of the file.
    pub events: Vec<TableEvent>,
    /// Rows that cannot become an event.
    pub skipped_count: u64,
    /// Why the first of them cannot, with its line.
    pub first_skipped: Option<String>,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct TableEvent {
    /// Index into [`Table::devices`].
    pub device: u32,
    /// Unix milliseconds, as in the file.
    pub ts_ms: i64,
    /// The device's own count.
    pub seq: Option<u64>,
    /// Where it was.
    pub position: Option<Position>,
    /// Values of the motion fields.
    pub motion: Box<[Option<f64>]>,
    /// Values of the metrics.
    pub metrics: Box<[Option<f64>]>,
}

/// Reads a file.
///
/// # Errors
/// When the file cannot be read, has not the mapped columns, or has too many rows.
pub fn read_file(path: &Path, map: &ColumnMap) -> Result<Table, LoadtestError> {
    let file_error = |source| LoadtestError::File {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(file_error)?;
    let is_gzip = path.extension().is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read> = if is_gzip {
        Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    };
    match read_table(bytes, map) {
        Ok(table) => Ok(table),
        Err(TableError::Map(error)) => Err(error.into()),
        Err(TableError::Read(source)) => Err(file_error(source)),
        Err(TableError::TooManyRows) => Err(LoadtestError::TooManyRows {
            path: path.to_path_buf(),
            max: REPLAY_EVENTS_MAX,
        }),
    }
}

/// Why a table cannot be read.
#[derive(Debug)]
pub(super) enum TableError {
    Map(MapError),
    Read(io::Error),
    TooManyRows,
}

pub(super) fn read_table(bytes: impl Read, map: &ColumnMap) -> Result<Table, TableError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader.headers().map_err(|error| TableError::Read(error.into()))?;
    let columns = Columns::find(map, header).map_err(TableError::Map)?;
    let names = |columns: &[super::map::NumberColumn]| columns.iter().map(|column| column.name.clone()).collect();
    let mut table = Table {
        motion_names: names(&map.motion),
        metric_names: names(&map.metrics),
        ..Table::default()
    };
    let mut device_indexes: HashMap<String, u32> = HashMap::new();
    let mut record = StringRecord::new();
    while reader
        .read_record(&mut record)
        .map_err(|error| TableError::Read(error.into()))?
    {
        match columns.event(&record) {
            Ok((device, mut event)) => {
                if table.events.len() == REPLAY_EVENTS_MAX {
                    return Err(TableError::TooManyRows);
                }
                event.device = *device_indexes.entry(device.to_owned()).or_insert_with(|| {
                    table.devices.push(device.to_owned());
                    u32::try_from(table.devices.len() - 1).expect("fewer devices than events")
                });
                table.events.push(event);
            }
            Err(reason) => {
                table.skipped_count += 1;
                let line = record.position().map_or(0, csv::Position::line);
                table
                    .first_skipped
                    .get_or_insert_with(|| format!("line {line}: {reason}"));
            }
        }
    }
    Ok(table)
}

/// The mapping with columns by index.
struct Columns {
    device: usize,
    ts: usize,
    position: Option<(usize, usize)>,
    seq: Option<usize>,
    motion: Vec<NumberAt>,
    metrics: Vec<NumberAt>,
}

struct NumberAt {
    index: usize,
    scale: f64,
    nulls: Vec<f64>,
}

impl Columns {
    fn find(map: &ColumnMap, header: &StringRecord) -> Result<Self, MapError> {
        let index = |column: &String| {
            let found = header.iter().position(|name| name.trim() == column);
            found.ok_or_else(|| MapError::NoColumn {
                column: column.clone(),
                columns: header.iter().map(str::to_owned).collect(),
            })
        };
        let numbers = |columns: &[super::map::NumberColumn]| {
            let number = |column: &super::map::NumberColumn| {
                Ok(NumberAt {
                    index: index(&column.column)?,
                    scale: column.scale,
                    nulls: map.nulls.get(&column.column).cloned().unwrap_or_default(),
                })
            };
            columns.iter().map(number).collect::<Result<Vec<_>, MapError>>()
        };
        let position = match &map.position {
            Some((latitude, longitude)) => Some((index(latitude)?, index(longitude)?)),
            None => None,
        };
        Ok(Self {
            device: index(&map.device)?,
            ts: index(&map.ts)?,
            position,
            seq: map.seq.as_ref().map(index).transpose()?,
            motion: numbers(&map.motion)?,
            metrics: numbers(&map.metrics)?,
        })
    }

    fn event<'row>(&self, row: &'row StringRecord) -> Result<(&'row str, TableEvent), String> {
        let cell = |index: usize| row.get(index).unwrap_or_default().trim();
        let device = cell(self.device);
        if !is_identifier(device) {
            return Err(format!(
                "`{device}` is no device identifier (`[A-Za-z0-9._:-]{{1,128}}`)"
            ));
        }
        let ts_ms = parse_time(cell(self.ts)).ok_or_else(|| format!("`{}` is no time", cell(self.ts)))?;
        let seq = match self.seq.map(cell).filter(|text| !text.is_empty()) {
            Some(text) => Some(text.parse().map_err(|_| format!("`{text}` is no count"))?),
            None => None,
        };
        let numbers = |columns: &[NumberAt]| {
            let number = |column: &NumberAt| column.read(cell(column.index));
            columns.iter().map(number).collect::<Result<Box<[_]>, String>>()
        };
        let event = TableEvent {
            device: 0,
            ts_ms,
            seq,
            position: self.position(&cell)?,
            motion: numbers(&self.motion)?,
            metrics: numbers(&self.metrics)?,
        };
        if event.position.is_none() && event.metrics.iter().all(Option::is_none) {
            return Err("neither a position nor a metric".to_owned());
        }
        Ok((device, event))
    }

    fn position<'row>(&self, cell: &impl Fn(usize) -> &'row str) -> Result<Option<Position>, String> {
        let Some((latitude, longitude)) = self.position else {
            return Ok(None);
        };
        let (latitude, longitude) = (cell(latitude), cell(longitude));
        if latitude.is_empty() && longitude.is_empty() {
            return Ok(None);
        }
        let degrees = |text: &str| text.parse::<f64>().ok();
        let position = degrees(latitude).zip(degrees(longitude));
        position
            .and_then(|(latitude, longitude)| Position::from_degrees(latitude, longitude))
            .map(Some)
            .ok_or_else(|| format!("`{latitude}`, `{longitude}` is no position"))
    }
}

impl NumberAt {
    fn read(&self, text: &str) -> Result<Option<f64>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let value: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
        if self.nulls.contains(&value) {
            return Ok(None);
        }
        let scaled = value * self.scale;
        scaled
            .is_finite()
            .then_some(Some(scaled))
            .ok_or_else(|| format!("`{text}` is not finite"))
    }
}

/// Unix milliseconds of an integer in any usual unit, RFC 3339 text, or a date and time that is taken as UTC.
fn parse_time(text: &str) -> Option<i64> {
    if let Ok(integer) = text.parse() {
        return timestamp::from_integer(integer).map(|time| time.ms);
    }
    timestamp::from_rfc3339(text).map(|time| time.ms).or_else(|| {
        let time: DateTime = text.parse().ok()?;
        let moment = time.to_zoned(TimeZone::UTC).ok()?.timestamp();
        Some(moment.as_millisecond()).filter(|ms| *ms >= 0)
    })
}

#[cfg(test)]
mod tests;
