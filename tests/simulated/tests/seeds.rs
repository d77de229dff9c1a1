//! What every run of the simulation must show.

use simulated::{Options, many, run};

/// Seeds in every run of the tests: about 45 s of two cores without optimisation. More with `cargo xtask simulate`.
const SEEDS: u64 = 1_000;

#[test]
fn nothing_is_lost_and_nothing_is_counted_twice_whatever_fails() {
    let summary = many(0..SEEDS, Options::default());
    println!("{summary}");
    assert!(summary.failed.is_empty(), "{summary}");
    assert_eq!(summary.seed_count, SEEDS);
    assert!(
        summary.event_count > 100 * SEEDS && summary.redelivered_count > SEEDS,
        "{summary}"
    );
}

#[test]
fn every_kind_of_fault_is_injected() {
    let summary = many(0..100, Options::default());
    let kinds: Vec<_> = summary.faults.keys().copied().collect();
    assert_eq!(kinds, KINDS, "{summary}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..5 {
        let (first, second) = (run(seed, Options::default()), run(seed, Options::default()));
        assert_eq!(first.digest, second.digest, "seed {seed}");
    }
}

#[test]
fn without_faults_nothing_is_sent_twice() {
    let options = Options {
        faults: false,
        ..Options::default()
    };
    let summary = many(0..20, options);
    assert!(summary.failed.is_empty(), "{summary}");
    assert_eq!((summary.redelivered_count, summary.faults.len()), (0, 0), "{summary}");
}

/// Every fault that the simulation knows.
const KINDS: [&str; 23] = [
    "all checkpoints lost",
    "broker down or slow",
    "checkpoint not read",
    "checkpoint not written",
    "checkpoint written with an error",
    "checkpoints fail",
    "clock set",
    "connection broken",
    "ingest killed",
    "ingest restarted",
    "insert ambiguous",
    "insert refused",
    "log holds its confirmations",
    "log unavailable",
    "other configuration",
    "process killed",
    "process restarted",
    "rebalance",
    "record neither stored nor confirmed",
    "record stored, not confirmed",
    "session lost",
    "tables fail",
    "zombie",
];
