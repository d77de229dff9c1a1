//! What happened in a run, folded into one number: two runs of one seed must agree on it. Must never influence a run.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

/// The trace of one run. Clones share it.
#[derive(Clone)]
pub(crate) struct Trace {
    shared: Arc<Mutex<Inner>>,
    started: Instant,
}

struct Inner {
    hash: Xxh3,
    is_printed: bool,
    faults: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
}

/// Violations kept: the first ones explain the others.
const VIOLATIONS_MAX: usize = 10;

impl std::fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("trace")
    }
}

impl Trace {
    pub(crate) fn new(is_printed: bool) -> Self {
        let inner = Inner {
            hash: Xxh3::new(),
            is_printed,
            faults: BTreeMap::new(),
            violations: Vec::new(),
        };
        Self {
            shared: Arc::new(Mutex::new(inner)),
            started: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub(crate) fn note(&self, what: impl Display) {
        let line = format!("{:>9} us  {what}", self.started.elapsed().as_micros());
        let mut inner = self.lock();
        inner.hash.update(line.as_bytes());
        if inner.is_printed {
            #[expect(clippy::print_stdout, reason = "asked for by the person who replays a seed")]
            {
                println!("{line}");
            }
        }
    }

    /// A fault was injected.
    pub(crate) fn fault(&self, kind: &'static str, detail: impl Display) {
        *self.lock().faults.entry(kind).or_default() += 1;
        self.note(format_args!("fault: {kind} {detail}"));
    }

    /// A promise was broken.
    pub(crate) fn violation(&self, what: impl Display) {
        let what = what.to_string();
        self.note(format_args!("VIOLATION: {what}"));
        let mut inner = self.lock();
        if inner.violations.len() < VIOLATIONS_MAX {
            inner.violations.push(what);
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.lock().faults.clone()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.lock().hash.digest()
    }
}
