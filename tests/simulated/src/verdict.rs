//! Compares the tables with what was published. Counts everything anew from the ledger of the fleet, with no code of the
//! product in it but the grid.

use std::collections::{BTreeMap, BTreeSet};

use h3o::{LatLng, Resolution};

use crate::{
    broker::Broker,
    fleet::{Fleet, NUMBER_METRIC, Published, RunBegin},
    schedule::RECORD_LOST,
    tables::{CellKey, Contents, Measurement},
    trace::Trace,
    world::World,
};

/// Periods in seconds.
const PERIODS: [u32; 3] = [60, 3_600, 86_400];
const RESOLUTIONS: [u8; 3] = [9, 7, 5];

/// Count, sum, minimum, maximum.
type Totals = (u64, f64, f64, f64);

/// Reports every promise that the end of a run breaks.
pub(crate) fn judge(world: &World) {
    let fleet = world.fleet();
    let unpromised: BTreeSet<usize> = world.brokers.iter().flat_map(Broker::unpromised).collect();
    world.tables.with(|contents| {
        let found = measurements(&fleet, contents, &world.trace);
        events(&fleet, &unpromised, &found, &world.trace);
        // A record that the log loses alone is sent again behind those that it stored.
        if !world.trace.faults().contains_key(RECORD_LOST) {
            order(&fleet, &unpromised, &found, &world.trace);
        }
        rollups(&fleet, &found, contents, &world.trace);
        dead_letters(&fleet, &unpromised, contents, &world.trace);
    });
}

/// Where the events turned up.
type Found<'rows> = BTreeMap<usize, Vec<((u16, u64), &'rows Measurement)>>;

fn measurements<'rows>(fleet: &Fleet, contents: &'rows Contents, trace: &Trace) -> Found<'rows> {
    let mut found = Found::new();
    for ((partition, offset, metric), row) in &contents.measurements {
        let event = row.value as usize;
        if metric != NUMBER_METRIC || row.value < 0.0 || event >= fleet.events.len() {
            trace.violation(format_args!("a measurement that nobody published: {metric} {row:?}"));
            continue;
        }
        found.entry(event).or_default().push(((*partition, *offset), row));
    }
    found
}

/// Each event is there exactly once, and says what its device said.
fn events(fleet: &Fleet, unpromised: &BTreeSet<usize>, found: &Found<'_>, trace: &Trace) {
    for (number, event) in fleet.events.iter().enumerate() {
        let rows = found.get(&number).map_or(&[][..], Vec::as_slice);
        match rows {
            [] if is_promised(fleet, unpromised, event) => {
                trace.violation(format_args!("event {number} is lost: {event:?}"));
            }
            [] | [_] => {}
            many => trace.violation(format_args!(
                "event {number} is there {} times: {event:?} {many:?}",
                many.len()
            )),
        }
        let device = &fleet.devices[event.device];
        for (_, row) in rows {
            let time_is_right = match event.claimed_ms {
                Some(claimed_ms) => row.ts_ms == claimed_ms && row.device_ts_ms == claimed_ms,
                None => row.ts_ms == row.received_at_ms,
            };
            let is_right = row.tenant == device.tenant
                && row.device == device.name
                && row.cell == cell(device.position, Resolution::Nine)
                && time_is_right;
            if !is_right {
                trace.violation(format_args!("event {number} is {event:?}, and its row says {row:?}"));
            }
        }
    }
}

/// Somebody promised to keep this event.
///
/// Of a run that begins at 0 again nobody does when its first event, or the last one before it, went with a lost session:
/// then a short step back cannot be told from a repetition (see the decision on identity). Nor of the run after such a
/// one, whose beginning may have come late, as a repetition, and looks like the beginning of both.
fn is_promised(fleet: &Fleet, unpromised: &BTreeSet<usize>, event: &Published) -> bool {
    let arrived = event.messages.iter().any(|message| !unpromised.contains(message));
    let is_known = |event: usize| !unpromised.contains(&fleet.events[event].messages[0]);
    let is_told_apart = |begin: RunBegin| is_known(begin.first) && is_known(begin.before);
    let run_before = |begin: RunBegin| fleet.events[begin.before].run_begin;
    arrived
        && event
            .run_begin
            .is_none_or(|begin| is_told_apart(begin) && run_before(begin).is_none_or(is_told_apart))
}

/// When an event was published, its number, and its partition and offset.
type Ordered = (usize, usize, (u16, u64));

/// A device's events lie in one partition, in the order in which they were published. Those published again, and those
/// that nobody promised to keep and that may still have come through, are free to be anywhere.
fn order(fleet: &Fleet, unpromised: &BTreeSet<usize>, found: &Found<'_>, trace: &Trace) {
    let mut by_device: BTreeMap<usize, Vec<Ordered>> = BTreeMap::new();
    for (number, rows) in found {
        let event = &fleet.events[*number];
        if let [message] = event.messages[..]
            && is_promised(fleet, unpromised, event)
        {
            let published = (fleet.messages[message].turn, *number, rows[0].0);
            by_device.entry(event.device).or_default().push(published);
        }
    }
    for mut published in by_device.into_values() {
        published.sort_unstable();
        for pair in published.windows(2) {
            let ((_, earlier, before), (_, later, after)) = (pair[0], pair[1]);
            if before.0 != after.0 || before.1 >= after.1 {
                trace.violation(format_args!(
                    "event {earlier} was published before {later} of the same device and lies at {before:?}, not before {after:?}"
                ));
            }
        }
    }
}

fn rollups(fleet: &Fleet, found: &Found<'_>, contents: &Contents, trace: &Trace) {
    let expected = expected(fleet, found);
    let mut actual: BTreeMap<CellKey, Totals> = BTreeMap::new();
    let is_judged = |cell: &CellKey| PERIODS.contains(&cell.2) && RESOLUTIONS.contains(&cell.3);
    for ((cell, ..), row) in contents.rollups.iter().filter(|((cell, ..), _)| is_judged(cell)) {
        let more = (row.count, row.sum, row.min, row.max);
        add(actual.entry(cell.clone()).or_insert(NOTHING), more);
    }
    for (cell, totals) in &expected {
        let there = actual.get(cell);
        if there != Some(totals) {
            trace.violation(format_args!("cell {cell:?} must be {totals:?} and is {there:?}"));
        }
    }
    for cell in actual.keys().filter(|cell| !expected.contains_key(*cell)) {
        trace.violation(format_args!("cell {cell:?} is there, and nothing was published in it"));
    }
}

const NOTHING: Totals = (0, 0.0, f64::INFINITY, f64::NEG_INFINITY);

fn add(totals: &mut Totals, more: Totals) {
    totals.0 += more.0;
    // Whole numbers far below 2^53: the order of adding does not matter.
    totals.1 += more.1;
    totals.2 = totals.2.min(more.2);
    totals.3 = totals.3.max(more.3);
}

/// Every cell of every level, from the events that came through.
fn expected(fleet: &Fleet, found: &Found<'_>) -> BTreeMap<CellKey, Totals> {
    let mut cells = BTreeMap::new();
    for (number, rows) in found {
        let event = &fleet.events[*number];
        let device = &fleet.devices[event.device];
        // Only the time of receipt has to be believed; there is no other witness of it.
        let ts_ms = event.claimed_ms.unwrap_or(rows[0].1.ts_ms);
        let seconds = u32::try_from(ts_ms / 1_000).expect("a time of this century");
        for period in PERIODS {
            for resolution in RESOLUTIONS {
                let grid = Resolution::try_from(resolution).expect("a resolution");
                let key = (
                    device.tenant.to_owned(),
                    NUMBER_METRIC.to_owned(),
                    period,
                    resolution,
                    seconds / period * period,
                    cell(device.position, grid),
                );
                let value = *number as f64;
                add(cells.entry(key).or_insert(NOTHING), (1, value, value, value));
            }
        }
    }
    cells
}

/// The cell of a place: at the base resolution, and its parent from there.
fn cell(position: Option<(f64, f64)>, resolution: Resolution) -> u64 {
    position.map_or(0, |(latitude, longitude)| {
        let base = LatLng::new(latitude, longitude)
            .expect("a place on Earth")
            .to_cell(Resolution::Nine);
        base.parent(resolution).expect("no finer than the base").into()
    })
}

/// Every message that cannot be read is there with all its bytes, and nothing else is.
fn dead_letters(fleet: &Fleet, unpromised: &BTreeSet<usize>, contents: &Contents, trace: &Trace) {
    let there: BTreeSet<&[u8]> = contents.dead_letters.values().map(Vec::as_slice).collect();
    let mut published = BTreeSet::new();
    for (number, message) in fleet.messages.iter().enumerate() {
        if !message.events.is_empty() {
            continue;
        }
        published.insert(message.payload.as_bytes());
        if !there.contains(message.payload.as_bytes()) && !unpromised.contains(&number) {
            trace.violation(format_args!("the dead letter of message {number} is lost"));
        }
    }
    for payload in there.difference(&published) {
        let text = String::from_utf8_lossy(payload);
        trace.violation(format_args!("a dead letter that nobody published: {text}"));
    }
}
