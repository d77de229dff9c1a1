//! Many seeds over all cores, and what they came to together. A seed runs in one thread and knows nothing of the others.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{Options, Outcome, run};

/// Failed seeds that are told in full: the first ones, since they are most often of one cause.
const FAILED_TOLD_MAX: usize = 5;

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds that ran.
    pub seed_count: u64,
    /// Those that broke a promise, by seed.
    pub failed: BTreeMap<u64, Outcome>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Events that were published.
    pub event_count: u64,
    /// Messages that brokers sent again.
    pub redelivered_count: u64,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seed_count += 1;
        self.event_count += outcome.event_count;
        self.redelivered_count += outcome.redelivered_count;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        if !outcome.is_clean() {
            self.failed.insert(outcome.seed, outcome);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault_count: u64 = self.faults.values().sum();
        writeln!(
            formatter,
            "{} seeds in {:.1} s: {} events, {} redelivered messages, {fault_count} faults",
            self.seed_count,
            self.took.as_secs_f64(),
            self.event_count,
            self.redelivered_count,
        )?;
        for (kind, count) in &self.faults {
            writeln!(formatter, "  {count:>9}  {kind}")?;
        }
        for outcome in self.failed.values().take(FAILED_TOLD_MAX) {
            write!(formatter, "{outcome}")?;
        }
        match self.failed.len() {
            0 => write!(formatter, "no promise was broken"),
            count => write!(formatter, "{count} seeds broke a promise"),
        }
    }
}

/// Runs all seeds of a range over all cores.
#[must_use]
pub fn many(seeds: Range<u64>, options: Options) -> Summary {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run(seed, options);
                    summary.lock().unwrap_or_else(PoisonError::into_inner).add(outcome);
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.took = began.elapsed();
    summary
}
