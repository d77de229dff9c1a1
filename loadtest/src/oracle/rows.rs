//! Measurements as sets: what must be stored against what is stored.

use std::collections::{HashMap, HashSet};

use h3o::{LatLng, Resolution};
use schemas::{Position, name::POSITION_METRIC};

use super::{
    event::{Identity, Promise, SentEvent},
    verdict::{Difference, RowCounts},
};
use crate::limits::DIFFERENCES_SHOWN_MAX;

/// Texts by number, so that rows are small.
#[derive(Clone, Debug, Default)]
pub struct Names {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Names {
    /// The number of a text, new or known.
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).expect("fewer names than rows");
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// The text of a number.
    #[must_use]
    pub fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }
}

/// One measurement, with everything that must come through unchanged. Equal rows may be there several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Device, in [`Names`].
    pub device: u32,
    /// Metric, in [`Names`].
    pub metric: u32,
    /// Event time, Unix milliseconds.
    pub ts_ms: i64,
    value_bits: u64,
    /// Where it was counted.
    pub position: Option<Position>,
    /// H3 cell at resolution 9; 0 where unknown.
    pub cell: u64,
    /// The device's count; 0 where absent.
    pub seq: u64,
}

impl Row {
    /// A row with its cell.
    #[must_use]
    pub fn new(device: u32, metric: u32, ts_ms: i64, value: f64, position: Option<Position>, seq: u64) -> Self {
        Self {
            device,
            metric,
            ts_ms,
            // Minus zero and zero are one value.
            value_bits: (value + 0.0).to_bits(),
            position,
            cell: position.map_or(0, cell_of),
            seq,
        }
    }

    /// The measured value.
    #[must_use]
    pub fn value(&self) -> f64 {
        f64::from_bits(self.value_bits)
    }

    fn describe(&self, names: &Names) -> String {
        let place = self.position.map_or_else(
            || "no position".to_owned(),
            |position| format!("({}, {})", position.latitude(), position.longitude()),
        );
        format!(
            "device `{}`, metric `{}`, ts {}, value {}, {place}, cell {:x}, seq {}",
            names.text(self.device),
            names.text(self.metric),
            self.ts_ms,
            self.value(),
            self.cell,
            self.seq
        )
    }
}

/// The H3 cell at resolution 9 of a kept position.
fn cell_of(position: Position) -> u64 {
    let place = LatLng::new(position.latitude(), position.longitude()).expect("kept positions are finite");
    place.to_cell(Resolution::Nine).into()
}

/// The rows that an event becomes.
fn rows_of(event: &SentEvent, position: Option<Position>, names: &mut Names) -> Vec<Row> {
    let seq = event.seq.unwrap_or(0);
    if event.metrics.is_empty() {
        let metric = names.number(POSITION_METRIC);
        return vec![Row::new(event.device, metric, event.ts_ms, 1.0, position, seq)];
    }
    let row = |(metric, value): &(u32, f64)| Row::new(event.device, *metric, event.ts_ms, *value, position, seq);
    event.metrics.iter().map(row).collect()
}

/// The rows of distinct events: those that must be there, and those of events whose fate is unknown.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Rows that were there before the run.
    pub before: Vec<Row>,
    /// Rows of each event that must be stored.
    pub must: Vec<Vec<Row>>,
    /// Rows of each event that may be stored, all or none.
    pub may: Vec<Vec<Row>>,
    /// Publications of events that were published before.
    pub duplicate_count: u64,
}

impl Expectation {
    /// Works out what must be stored, from the events in the order of publishing.
    #[must_use]
    pub fn new(before: Vec<Row>, events: &[SentEvent], names: &mut Names) -> Self {
        let promises = strongest_promises(events);
        let mut places = LastPlaces::after(&before);
        let mut expectation = Self {
            before,
            ..Self::default()
        };
        let mut seen = HashSet::new();
        for event in events {
            let identity = event.identity();
            let promise = promises[&identity];
            if promise == Promise::Never {
                continue;
            }
            if !seen.insert(identity) {
                expectation.duplicate_count += 1;
                continue;
            }
            let position = places.take(event);
            let rows = rows_of(event, position, names);
            match promise {
                Promise::Must => expectation.must.push(rows),
                Promise::May => expectation.may.push(rows),
                Promise::Never => {}
            }
        }
        expectation
    }

    /// Number of rows that must be stored, with those from before.
    #[must_use]
    pub fn row_count_min(&self) -> u64 {
        (self.before.len() + self.must.iter().map(Vec::len).sum::<usize>()) as u64
    }
}

/// What was promised for each event, over all of its publications.
fn strongest_promises(events: &[SentEvent]) -> HashMap<Identity<'_>, Promise> {
    let mut promises = HashMap::with_capacity(events.len());
    for event in events {
        let promise = promises.entry(event.identity()).or_insert(event.promise);
        *promise = event.promise.max(*promise);
    }
    promises
}

/// The last known position of each device: that of the newest event so far.
#[derive(Default)]
struct LastPlaces(HashMap<u32, (i64, Position)>);

impl LastPlaces {
    fn after(rows: &[Row]) -> Self {
        let mut places = Self::default();
        for row in rows {
            if let Some(position) = row.position {
                places.note(row.device, row.ts_ms, position);
            }
        }
        places
    }

    fn note(&mut self, device: u32, ts_ms: i64, position: Position) {
        let last = self.0.entry(device).or_insert((ts_ms, position));
        if ts_ms >= last.0 {
            *last = (ts_ms, position);
        }
    }

    fn take(&mut self, event: &SentEvent) -> Option<Position> {
        if let Some(position) = event.position {
            self.note(event.device, event.ts_ms, position);
            return Some(position);
        }
        self.0.get(&event.device).map(|(_, position)| *position)
    }
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct RowFindings {
    /// Numbers for the verdict.
    pub counts: RowCounts,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// The rows that should be stored, now that the fate of every event is known.
    pub expected: Vec<Row>,
}

/// Compares what is stored with what must and may be.
#[must_use]
pub fn compare_rows(expectation: &Expectation, stored: &[Row], names: &Names) -> RowFindings {
    let mut surplus: HashMap<Row, i64> = HashMap::with_capacity(stored.len());
    for row in stored {
        *surplus.entry(*row).or_default() += 1;
    }
    let mut expected: Vec<Row> = expectation.before.clone();
    expected.extend(expectation.must.iter().flatten());
    for row in &expected {
        *surplus.entry(*row).or_default() -= 1;
    }
    let mut unknown_stored_count = 0;
    for rows in &expectation.may {
        if rows.iter().all(|row| surplus.get(row).is_some_and(|count| *count > 0)) {
            unknown_stored_count += 1;
            for row in rows {
                *surplus.entry(*row).or_default() -= 1;
            }
            expected.extend(rows);
        }
    }
    surplus.retain(|_, count| *count != 0);
    let lost: HashSet<&Row> = surplus
        .iter()
        .filter(|(_, count)| **count < 0)
        .map(|(row, _)| row)
        .collect();
    let event_is_lost = |rows: &&Vec<Row>| rows.iter().any(|row| lost.contains(row));
    let mut counts = RowCounts {
        expected: expected.len() as u64,
        stored: stored.len() as u64,
        lost_events: expectation.must.iter().filter(event_is_lost).count() as u64,
        unknown_stored: unknown_stored_count,
        ..RowCounts::default()
    };
    let known: HashSet<&Row> = expected.iter().filter(|row| surplus.contains_key(row)).collect();
    let mut differences = Vec::new();
    for (row, count) in &surplus {
        let times = count.unsigned_abs();
        let check = if *count < 0 {
            counts.lost += times;
            "lost row"
        } else if known.contains(row) {
            counts.duplicated += times;
            "duplicated row"
        } else {
            counts.unexpected += times;
            "row never published"
        };
        let subject = row.describe(names);
        differences.push(Difference::new(check, subject, format!("{times} time(s)")));
    }
    differences.sort();
    differences.truncate(DIFFERENCES_SHOWN_MAX);
    RowFindings {
        counts,
        differences,
        expected,
    }
}
