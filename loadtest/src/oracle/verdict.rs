//! What a run has shown: every number, and the first differences. Written as `report.json`.

use std::path::Path;

use platform::atomic_file::AtomicFileError;
use serde::Serialize;

use super::cells::Level;
use crate::limits::DIFFERENCES_SHOWN_MAX;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// Which check found it.
    pub check: String,
    /// Where.
    pub subject: String,
    /// What is wrong.
    pub detail: String,
}

impl Difference {
    /// A difference.
    #[must_use]
    pub fn new(check: &str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            subject: subject.into(),
            detail: detail.into(),
        }
    }
}

/// What was published.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PublishedCounts {
    /// Messages made, with duplicates and poison.
    pub offered: u64,
    /// Of these, written to a connection.
    pub sent: u64,
    /// Acknowledged by the broker.
    pub acknowledged: u64,
    /// Acknowledged with the remark that nobody subscribes.
    pub unrouted: u64,
    /// Refused by the broker.
    pub refused: u64,
    /// Sent without an answer.
    pub unknown: u64,
    /// Written again after a reconnect.
    pub resent: u64,
    /// Connections built anew.
    pub reconnects: u64,
    /// Acknowledgements for nothing that was on the wire.
    pub unsolicited: u64,
    /// Good messages that were published a second time on purpose.
    pub duplicates: u64,
    /// Bad messages.
    pub poison: u64,
    /// Events, each counted once, that must be stored.
    pub events: u64,
    /// Rows of the file that cannot become an event.
    pub skipped_rows: u64,
}

/// Time from the intended sending to the broker's acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// Half were faster.
    pub p50_ms: f64,
    /// Nine of ten were faster.
    pub p90_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// `measurements` against what was published and acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Rows that should be there, with those from before the run.
    pub expected: u64,
    /// Rows that are there.
    pub stored: u64,
    /// Should be there and are not.
    pub lost: u64,
    /// There more often than they should.
    pub duplicated: u64,
    /// There, and nobody published them.
    pub unexpected: u64,
    /// Acknowledged events with a row that is not there.
    pub lost_events: u64,
    /// Events without an answer from the broker that are there.
    pub unknown_stored: u64,
    /// Rows that share their place in the log with another.
    pub repeated_offsets: u64,
}

/// `dead_letters` against the poison that was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeadLetterCounts {
    /// Acknowledged poison.
    pub expected: u64,
    /// New dead letters.
    pub stored: u64,
    /// Acknowledged poison that is no dead letter.
    pub missing: u64,
    /// Poison that is a dead letter more often than it was sent.
    pub repeated: u64,
    /// Good messages that became dead letters.
    pub unexpected: u64,
    /// Poison with another reason than it has.
    pub misjudged: u64,
}

/// One level of `rollups`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LevelCounts {
    /// Length of a bucket in seconds.
    pub period: u32,
    /// H3 resolution.
    pub res: u8,
    /// Cells that should be there.
    pub cells_expected: u64,
    /// Cells that are there.
    pub cells_stored: u64,
    /// Cells that differ from what was published, worked out here.
    pub differ_from_published: u64,
    /// Cells that differ from a recount of `measurements` inside ClickHouse.
    pub differ_from_recount: u64,
    /// Measurements in all cells; must be the number of rows.
    pub measurements: u64,
}

impl LevelCounts {
    /// The level without numbers.
    #[must_use]
    pub fn of(level: Level) -> Self {
        Self {
            period: level.period_seconds,
            res: level.resolution,
            ..Self::default()
        }
    }
}

/// The result of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// True when nothing is wrong.
    pub clean: bool,
    /// What is wrong, in words, one line for each kind of fault.
    pub faults: Vec<String>,
    /// Owner of the devices.
    pub tenant: String,
    /// What made the run repeatable.
    pub seed: u64,
    /// Milliseconds that were added to the times of the file.
    pub shift_ms: i64,
    /// What was published.
    pub published: PublishedCounts,
    /// Seconds from the first to the last acknowledgement, and messages for each.
    pub publish_seconds: f64,
    /// Acknowledged messages for each of these seconds.
    pub publish_rate: f64,
    /// Seconds from the last acknowledgement until everything was stored.
    pub drain_seconds: f64,
    /// How long acknowledgements took.
    pub puback_latency: Latencies,
    /// Measurements.
    pub rows: RowCounts,
    /// Dead letters.
    pub dead_letters: DeadLetterCounts,
    /// Rollups, level by level.
    pub levels: Vec<LevelCounts>,
    /// The first differences of each check.
    pub differences: Vec<Difference>,
}

impl Verdict {
    /// Judges: fills `clean` and `faults` from the numbers.
    pub fn judge(&mut self) {
        let (published, rows, letters) = (&self.published, &self.rows, &self.dead_letters);
        let numbers = [
            (published.refused, "messages were refused by the broker"),
            (published.unknown, "messages were never acknowledged"),
            (
                published.unrouted,
                "messages were acknowledged though nobody subscribes: is ingest running?",
            ),
            (published.offered - published.sent, "messages were never sent"),
            (rows.lost_events, "acknowledged events are not fully stored"),
            (rows.lost, "rows are lost"),
            (rows.duplicated, "rows are stored more than once"),
            (rows.unexpected, "rows were never published"),
            (rows.repeated_offsets, "rows share their place in the log"),
            (letters.missing, "bad messages are no dead letters"),
            (letters.repeated, "dead letters are repeated"),
            (letters.unexpected, "good messages became dead letters"),
            (letters.misjudged, "dead letters have a wrong reason"),
        ];
        let mut faults: Vec<String> = numbers
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        for level in &self.levels {
            let name = format!("period {} s, res {}", level.period, level.res);
            let (published, recount) = (level.differ_from_published, level.differ_from_recount);
            if published > 0 || recount > 0 {
                faults.push(format!(
                    "{name}: {published} cells differ from what was published, {recount} from a recount in ClickHouse"
                ));
            }
            if level.measurements != rows.stored {
                faults.push(format!(
                    "{name}: cells count {}, rows are {}",
                    level.measurements, rows.stored
                ));
            }
        }
        if self.published.acknowledged == 0 {
            faults.push("nothing was acknowledged, so nothing was shown".to_owned());
        }
        self.clean = faults.is_empty();
        self.faults = faults;
    }

    /// Adds the first differences of a check.
    pub fn add_differences(&mut self, differences: impl IntoIterator<Item = Difference>) {
        self.differences
            .extend(differences.into_iter().take(DIFFERENCES_SHOWN_MAX));
    }

    /// The report as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain numbers and texts")
    }

    /// Writes `report.json`, whole or not at all.
    ///
    /// # Errors
    /// When the folder is missing or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), AtomicFileError> {
        platform::atomic_file::write(path, self.to_json().as_bytes())
    }
}
