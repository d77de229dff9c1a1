//! The comparisons, apart from any I/O: what was made against what is there.

use std::collections::BTreeMap;

use schemas::{
    record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC},
    timestamp::show_bucket,
};

use super::{
    Hole, HoleKind, Known, LevelState, Report,
    store::{
        BEFORE, BEYOND, CountedChunk, CountedLetters, DifferingBucket, DifferingCell, LedgerRow, Positions, WITHIN,
    },
};
use crate::limits::AUDIT_SHOWN_MAX;

/// From which offset on each partition has a level, complete.
pub(super) type Sinces = BTreeMap<u16, u64>;

/// Every record between the first and the last one in the books is in the books, and was one thing or another.
pub(super) fn continuity(ledger: &[LedgerRow], report: &mut Report) {
    let mut before: Option<&LedgerRow> = None;
    for row in ledger {
        let parts = row.events + row.duplicates + row.dead_letters;
        let expected = row.last_offset + 1 - row.first_offset;
        let mut check = |first: u64, last: u64, expected: u64, found: u64| {
            if expected != found {
                report.holes.push(Hole {
                    kind: HoleKind::Records,
                    place: format!("{}/{}", row.topic, row.partition),
                    offsets: Some((first, last)),
                    expected,
                    found,
                });
            }
        };
        check(row.first_offset, row.last_offset, expected, row.records);
        check(row.first_offset, row.last_offset, row.records, parts);
        let same = before.filter(|before| (&before.topic, before.partition) == (&row.topic, row.partition));
        if let Some(before) = same {
            let gap = row.first_offset.saturating_sub(before.last_offset + 1);
            check(before.last_offset + 1, row.first_offset.max(1) - 1, gap, 0);
        }
        before = Some(row);
    }
}

/// The measurements of every chunk are those that the task made. Of a chunk with events older than the horizon some may
/// have expired, so there may be fewer, but never more.
pub(super) fn measurements(ledger: &[LedgerRow], counted: &[CountedChunk], horizon_ms: i64, report: &mut Report) {
    let mut found: BTreeMap<(u16, u64), &CountedChunk> = counted
        .iter()
        .filter(|chunk| chunk.place == WITHIN)
        .map(|chunk| ((chunk.partition, chunk.chunk), chunk))
        .collect();
    let mut by_partition: BTreeMap<u16, u64> = BTreeMap::new();
    for row in ledger.iter().filter(|row| row.topic == EVENTS_TOPIC) {
        let chunk = found.remove(&(row.partition, row.chunk));
        let (count, checksum) = chunk.map_or((0, 0), |chunk| (chunk.found, chunk.checksum));
        *by_partition.entry(row.partition).or_default() += count;
        let may_have_expired = row.events > 0 && row.ts_min_ms < horizon_ms;
        let is_wrong = |kind| match kind {
            HoleKind::Contents => count == row.measurements && checksum != row.checksum,
            _ => count > row.measurements || (count < row.measurements && !may_have_expired),
        };
        for (kind, found) in [(HoleKind::Measurements, count), (HoleKind::Contents, checksum)] {
            if is_wrong(kind) {
                report.holes.push(Hole {
                    kind,
                    place: format!("{EVENTS_TOPIC}/{}", row.partition),
                    offsets: Some((row.first_offset, row.last_offset)),
                    expected: row.measurements,
                    found,
                });
            }
        }
    }
    // Chunks in the middle of the books that these do not have.
    for ((partition, _), chunk) in found {
        report.holes.push(Hole {
            kind: HoleKind::Measurements,
            place: format!("{EVENTS_TOPIC}/{partition}"),
            offsets: Some((chunk.offset_max, chunk.offset_max)),
            expected: 0,
            found: chunk.found,
        });
    }
    for books in report.partitions.iter_mut().filter(|books| books.topic == EVENTS_TOPIC) {
        books.found = by_partition.get(&books.partition).copied().unwrap_or(0);
    }
    let older: u64 = counted
        .iter()
        .filter(|chunk| chunk.place == BEFORE)
        .map(|chunk| chunk.found)
        .sum();
    if older > 0 {
        report.notices.push(format!(
            "{older} measurements are older than the ledger: they are compared with the rollups only"
        ));
    }
}

/// Nothing comes from records that no task was given.
pub(super) fn beyond(
    positions: &Positions,
    counted: &[CountedChunk],
    rollup_ends: &BTreeMap<u16, u64>,
    known: &Known,
    report: &mut Report,
) {
    let mut ends: BTreeMap<u16, u64> = rollup_ends.clone();
    for chunk in counted.iter().filter(|chunk| chunk.place == BEYOND) {
        let end = ends.entry(chunk.partition).or_default();
        *end = (*end).max(chunk.offset_max);
    }
    let mut unknown = Vec::new();
    for (partition, offset_max) in ends {
        let position = positions.0.get(&partition).map_or(0, |(_, end)| *end);
        let end = known.ends.get(&(EVENTS_TOPIC.to_owned(), partition)).copied();
        let end = end
            .map(|end| end.max(position))
            .or(known.is_complete.then_some(position));
        match end {
            Some(end) if offset_max >= end => report.holes.push(Hole {
                kind: HoleKind::Beyond,
                place: format!("{EVENTS_TOPIC}/{partition}"),
                offsets: Some((end, offset_max)),
                expected: end,
                found: offset_max,
            }),
            None if offset_max >= position => unknown.push(partition),
            Some(_) | None => {}
        }
    }
    if !unknown.is_empty() {
        report.notices.push(format!(
            "partitions {unknown:?} have rows beyond the ledger, and neither the log nor a processor could be asked whether \
             these records exist"
        ));
    }
}

/// The dead letters of every partition are those that the tasks made.
pub(super) fn dead_letters(ledger: &[LedgerRow], counted: &[CountedLetters], expire: bool, report: &mut Report) {
    let mut made: BTreeMap<(bool, u16), u64> = BTreeMap::new();
    for row in ledger {
        *made.entry((row.topic == EVENTS_TOPIC, row.partition)).or_default() += row.dead_letters;
    }
    let key = |letters: &CountedLetters| (letters.of_events == 1, letters.partition);
    let mut found: BTreeMap<(bool, u16), u64> = counted.iter().map(|letters| (key(letters), letters.found)).collect();
    for ((of_events, partition), expected) in made {
        let found = found.remove(&(of_events, partition)).unwrap_or(0);
        if found > expected || (found < expected && !expire) {
            let topic = if of_events { EVENTS_TOPIC } else { DEAD_LETTERS_TOPIC };
            report.holes.push(Hole {
                kind: HoleKind::DeadLetters,
                place: format!("{topic}/{partition}"),
                offsets: None,
                expected,
                found,
            });
        }
    }
}

/// The rollup levels in force, with what each partition has of them.
pub(super) fn levels(ledger: &[LedgerRow]) -> BTreeMap<(u32, u8), Sinces> {
    let mut newest: BTreeMap<u16, &LedgerRow> = BTreeMap::new();
    for row in ledger.iter().filter(|row| row.topic == EVENTS_TOPIC) {
        newest.insert(row.partition, row);
    }
    let mut levels: BTreeMap<(u32, u8), Sinces> = BTreeMap::new();
    for (partition, row) in newest {
        for (period, resolution, since) in &row.levels {
            levels
                .entry((*period, *resolution))
                .or_default()
                .insert(partition, *since);
        }
    }
    levels
}

/// Judges the buckets of a level; returns those that are still being filled, by their start.
pub(super) fn buckets(
    level: (u32, u8),
    sinces: &Sinces,
    differing: &[DifferingBucket],
    state: &mut LevelState,
    holes: &mut Vec<Hole>,
) -> Vec<u32> {
    let mut hot = Vec::new();
    for bucket in differing.iter().filter(|bucket| bucket.res == level.1) {
        let since = sinces.get(&bucket.partition);
        if bucket.is_hot == 1 {
            hot.push(bucket.bucket);
        } else if bucket.found < bucket.expected && since.is_none_or(|since| bucket.first_offset < *since) {
            state.incomplete_buckets += 1;
        } else if since.is_some() || bucket.found > bucket.expected {
            state.hole_count += 1;
            if state.hole_count <= AUDIT_SHOWN_MAX as u64 {
                holes.push(rollup_hole(
                    level,
                    bucket.partition,
                    bucket.bucket,
                    None,
                    (bucket.expected, bucket.found),
                ));
            }
        }
    }
    hot.sort_unstable();
    hot.dedup();
    hot
}

/// Judges the cells of buckets that are still being filled.
pub(super) fn cells(
    sinces: &Sinces,
    differing_count: u64,
    cells: &[DifferingCell],
    state: &mut LevelState,
    holes: &mut Vec<Hole>,
) {
    let level = (state.period, state.resolution);
    let mut excused = 0;
    for cell in cells {
        let is_incomplete = sinces
            .get(&cell.partition)
            .is_none_or(|since| cell.first_offset < *since);
        if is_incomplete && cell.found_count < cell.expected_count {
            excused += 1;
            continue;
        }
        let what = (cell.tenant.as_str(), cell.metric.as_str(), cell.cell);
        let counts = (cell.expected_count, cell.found_count);
        holes.push(rollup_hole(level, cell.partition, cell.bucket, Some(what), counts));
    }
    state.incomplete_buckets += excused;
    state.hole_count += differing_count - excused;
}

fn rollup_hole(
    (period, resolution): (u32, u8),
    partition: u16,
    bucket: u32,
    cell: Option<(&str, &str, u64)>,
    (expected, found): (u64, u64),
) -> Hole {
    let bucket = show_bucket(bucket);
    let mut place = format!("rollups, period {period}, res {resolution}, bucket {bucket}, partition {partition}");
    if let Some((tenant, metric, cell)) = cell {
        place = format!("{place}, tenant `{tenant}`, metric `{metric}`, cell {cell:x}");
    }
    Hole {
        kind: HoleKind::Rollups,
        place,
        offsets: None,
        expected,
        found,
    }
}
