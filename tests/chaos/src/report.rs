//! What a run has shown, as JSON and as text.

use std::{collections::BTreeMap, fmt, path::Path};

use anyhow::Result;
use loadtest::oracle::{RowCounts, Verdict};
use serde::Serialize;

use crate::nemesis::Happened;

/// One round: faults, then healing, then a comparison of everything.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    /// What it is called.
    pub name: String,
    /// When it began, from the beginning of the suite.
    pub began_ms: u64,
    /// Faults in it.
    pub faults: usize,
    /// Messages that were acknowledged.
    pub acknowledged: u64,
    /// Messages without an answer.
    pub unknown: u64,
    /// Messages that were written again after a reconnect.
    pub resent: u64,
    /// Events that must be stored, each counted once.
    pub events: u64,
    /// Events that may be stored or not.
    pub may_events: u64,
    /// Seconds from the last fault until the last message was acknowledged.
    pub acknowledged_seconds: f64,
    /// From then on, seconds until everything was in `measurements`.
    pub stored_seconds: Option<f64>,
    /// And in every level of the rollups.
    pub rolled_up_seconds: Option<f64>,
    /// And until the consumers' lag was 0.
    pub committed_seconds: Option<f64>,
    /// The comparison, tenant by tenant.
    pub verdicts: Vec<Verdict>,
}

/// Everything about a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// True when nothing is wrong.
    pub clean: bool,
    /// What is wrong.
    pub faults_found: Vec<String>,
    /// What made the run repeatable.
    pub seed: u64,
    /// The command that repeats it.
    pub repeat: String,
    /// From the first start to the last comparison.
    pub seconds: f64,
    /// Faults by kind.
    pub faults_by_kind: BTreeMap<String, u64>,
    /// The most memory that each process held, in MiB, and the most that it may.
    pub peak_rss_mib: BTreeMap<String, (u64, u64)>,
    /// Processes that ended without being asked; started again, as whoever runs them would.
    pub unasked_ends: Vec<String>,
    /// Kinds of damage to what is stored, and whether the checker noticed.
    pub corruptions_noticed: BTreeMap<String, bool>,
    /// What was left out, and why.
    pub left_out: Vec<String>,
    /// The rounds.
    pub rounds: Vec<Round>,
    /// Every fault with its times.
    pub schedule: Vec<Happened>,
}

impl Report {
    /// Faults in all.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.faults_by_kind.values().sum()
    }

    /// Rows over all rounds.
    #[must_use]
    pub fn rows(&self) -> RowCounts {
        let mut total = RowCounts::default();
        for counts in self.verdicts().map(|verdict| verdict.rows) {
            total.expected += counts.expected;
            total.stored += counts.stored;
            total.lost += counts.lost;
            total.duplicated += counts.duplicated;
            total.unexpected += counts.unexpected;
            total.lost_events += counts.lost_events;
            total.unknown_stored += counts.unknown_stored;
            total.repeated_offsets += counts.repeated_offsets;
        }
        total
    }

    fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.rounds.iter().flat_map(|round| &round.verdicts)
    }

    /// Writes `report.json` and `report.txt`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(self)?)?;
        std::fs::write(folder.join("report.txt"), self.to_string())?;
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.clean { "clean" } else { "NOT CLEAN" };
        writeln!(
            f,
            "chaos, seed {}: {verdict}; {} faults in {:.0} s",
            self.seed,
            self.fault_count(),
            self.seconds
        )?;
        for (kind, count) in &self.faults_by_kind {
            writeln!(f, "  {count:>5} {kind}")?;
        }
        let sum = |of: fn(&Round) -> u64| self.rounds.iter().map(of).sum::<u64>();
        writeln!(
            f,
            "messages acknowledged {}, written again {}, without an answer {}; events that must count {}, that may {}",
            sum(|round| round.acknowledged),
            sum(|round| round.resent),
            sum(|round| round.unknown),
            sum(|round| round.events),
            sum(|round| round.may_events)
        )?;
        let rows = self.rows();
        let (mut cells, mut differing) = (0, 0);
        for level in self.verdicts().flat_map(|verdict| &verdict.levels) {
            cells += level.cells_expected;
            differing += level.differ_from_published + level.differ_from_recount;
        }
        writeln!(
            f,
            "rows expected {}, stored {}, lost {}, duplicated {}, never published {}; cells {cells}, differing {differing}",
            rows.expected, rows.stored, rows.lost, rows.duplicated, rows.unexpected
        )?;
        let letters = |of: fn(&Verdict) -> u64| self.verdicts().map(of).sum::<u64>();
        writeln!(
            f,
            "dead letters expected {}, stored {}, missing {}, repeated {}, of good messages {}",
            letters(|verdict| verdict.dead_letters.expected),
            letters(|verdict| verdict.dead_letters.stored),
            letters(|verdict| verdict.dead_letters.missing),
            letters(|verdict| verdict.dead_letters.repeated),
            letters(|verdict| verdict.dead_letters.unexpected)
        )?;
        for round in &self.rounds {
            let seconds =
                |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |value| format!("{value:.1} s"));
            writeln!(
                f,
                "  {}: {} faults, {} events; acknowledged {:.1} s after healing, stored {} later, rolled up {} later, lag 0 {} later",
                round.name,
                round.faults,
                round.events,
                round.acknowledged_seconds,
                seconds(round.stored_seconds),
                seconds(round.rolled_up_seconds),
                seconds(round.committed_seconds)
            )?;
        }
        for (name, (peak, bound)) in &self.peak_rss_mib {
            writeln!(f, "  {name}: at most {peak} MiB of {bound} MiB")?;
        }
        for (name, noticed) in &self.corruptions_noticed {
            writeln!(
                f,
                "  checker, {name}: {}",
                if *noticed { "noticed" } else { "NOT NOTICED" }
            )?;
        }
        for line in self.unasked_ends.iter().chain(&self.left_out) {
            writeln!(f, "  note: {line}")?;
        }
        if self.clean {
            return Ok(());
        }
        for fault in &self.faults_found {
            writeln!(f, "FAULT {fault}")?;
        }
        for difference in self.verdicts().flat_map(|verdict| &verdict.differences) {
            writeln!(
                f,
                "  {}: {}: {}",
                difference.check, difference.subject, difference.detail
            )?;
        }
        for happened in &self.schedule {
            let error = happened
                .error
                .as_ref()
                .map_or_else(String::new, |error| format!(" ({error})"));
            writeln!(
                f,
                "  {:>8.1} to {:>8.1} s: {}{error}",
                happened.began_ms as f64 / 1e3,
                happened.healed_ms as f64 / 1e3,
                happened.fault
            )?;
        }
        writeln!(f, "repeat with: {}", self.repeat)
    }
}
