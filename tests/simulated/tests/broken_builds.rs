//! A simulation that finds nothing could be one that cannot find anything: builds that break one rule each, and every one
//! must be caught within the seeds that are run in CI.

use simulated::{Options, Rule, run};

/// As many as CI runs of the whole build.
const SEEDS: u64 = 1_000;

/// The first seed that catches a build with this rule broken.
fn caught_by(rule: Rule) -> Option<u64> {
    let options = Options {
        broken: Some(rule),
        ..Options::default()
    };
    (0..SEEDS).find(|seed| !run(*seed, options).is_clean())
}

#[test]
fn every_broken_rule_is_caught() {
    let mut missed = Vec::new();
    for rule in Rule::ALL {
        let began = std::time::Instant::now();
        match caught_by(rule) {
            Some(seed) => println!("{rule:?} is caught by seed {seed}, after {:?}", began.elapsed()),
            None => missed.push(rule),
        }
    }
    assert!(missed.is_empty(), "not caught in {SEEDS} seeds: {missed:?}");
}

#[test]
fn the_same_build_with_no_rule_broken_is_clean() {
    for seed in 0..20 {
        let outcome = run(seed, Options::default());
        assert!(outcome.is_clean(), "{outcome}");
    }
}
