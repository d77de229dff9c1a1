//! The answer of an audit, for people and for programs.

use std::fmt::Write;

use processors::audit::{Books, Report, Verification};
use serde_json::json;

use super::roles::Received;

/// Tables of everything that was compared, then holes.
pub(super) fn text(received: &Received, report: &Report) -> String {
    let mut text = String::new();
    let header = [
        "broker",
        "received",
        "acknowledged",
        "in flight",
        "dead-lettered",
        "returned",
    ];
    let brokers = received.brokers.iter().map(|one| {
        let counts = [
            one.received,
            one.acknowledged,
            one.in_flight,
            one.dead_lettered,
            one.returned,
        ];
        row(&one.broker, &counts.map(Some))
    });
    columns(&mut text, &header, brokers);
    let header = [
        "partition",
        "log from",
        "log to",
        "ledger to",
        "records",
        "duplicates",
        "dead letters",
        "measurements",
        "in table",
        "buffered",
    ];
    let partitions = report.partitions.iter().map(|books: &Books| {
        let is_of_events = books.topic == schemas::record::EVENTS_TOPIC;
        let counts = [
            books.log_low,
            books.log_end,
            Some(books.to),
            Some(books.records),
            Some(books.duplicates),
            Some(books.dead_letters),
            is_of_events.then_some(books.measurements),
            is_of_events.then_some(books.found),
            books.buffered,
        ];
        row(&format!("{}/{}", books.topic, books.partition), &counts)
    });
    columns(&mut text, &header, partitions);
    let levels = report.levels.iter().map(|level| {
        let name = format!("period {}, res {}", level.period, level.resolution);
        row(&name, &[Some(level.hole_count), Some(level.incomplete_buckets)])
    });
    columns(&mut text, &["level", "holes", "incomplete buckets"], levels);
    let incomplete = report.levels.iter().any(|level| level.incomplete_buckets > 0);
    let hint =
        "levels that were added later lack what came before: `meridian rollups rebuild` fills them in".to_owned();
    let notices = received
        .unanswered
        .iter()
        .chain(&report.notices)
        .chain(incomplete.then_some(&hint));
    for notice in notices {
        let _ = writeln!(text, "note: {notice}");
    }
    for hole in &report.holes {
        let _ = writeln!(text, "hole: {hole}");
    }
    let is_partial = !received.unanswered.is_empty();
    text.push_str(match (report.holes.as_slice(), report.partitions.as_slice()) {
        ([_, ..], _) => "",
        ([], []) => "nothing to compare: the ledger is empty, so nothing was processed yet into this database\n",
        ([], _) if is_partial => "what could be compared adds up; the notes say what could not\n",
        ([], _) => "everything adds up\n",
    });
    text
}

/// One object in one line.
pub(super) fn json(received: &Received, report: &Report) -> String {
    let value = json!({
        "clean": report.holes.is_empty(),
        "brokers": received.brokers,
        "unanswered": received.unanswered,
        "partitions": report.partitions,
        "levels": report.levels,
        "holes": report.holes,
        "notices": report.notices,
    });
    format!("{value}\n")
}

/// Levels, then the cells that differ.
pub(super) fn verification(verification: &Verification) -> String {
    let mut text = String::new();
    let levels = verification.levels.iter().map(|level| {
        let name = format!("period {}, res {}", level.period, level.resolution);
        row(&name, &[Some(level.snapshots), Some(level.differing)])
    });
    columns(&mut text, &["level", "snapshots", "cells that differ"], levels);
    for difference in &verification.differences {
        let _ = writeln!(text, "differs: {difference}");
    }
    let is_empty = verification.levels.iter().all(|level| level.snapshots == 0);
    text.push_str(match verification.differing_count() {
        0 if is_empty => "nothing to compare: nothing is stored of this time\n",
        0 => "every cell is what the measurements say\n",
        _ => "",
    });
    text
}

fn row(name: &str, counts: &[Option<u64>]) -> Vec<String> {
    let counts = counts
        .iter()
        .map(|count| count.map_or("-".to_owned(), |count| count.to_string()));
    std::iter::once(name.to_owned()).chain(counts).collect()
}

/// A table with a header; nothing at all without rows. Names stand to the left, numbers to the right.
fn columns(text: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let header = header.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    if rows.len() == 1 {
        return;
    }
    for row in &rows {
        for (index, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[index].len()).max().unwrap_or(0);
            let _ = match index {
                0 => write!(text, "{cell:width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    text.push('\n');
}
