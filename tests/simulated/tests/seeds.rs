//! What every run of the simulation must show.

use simulated::{Options, run};

#[test]
fn nothing_is_lost_and_nothing_is_counted_twice_whatever_fails() {
    for seed in 0..200 {
        let outcome = run(seed, Options::default());
        assert!(outcome.is_clean(), "{outcome}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..5 {
        let (first, second) = (run(seed, Options::default()), run(seed, Options::default()));
        assert_eq!(first.digest, second.digest, "seed {seed}");
    }
}
