//! The short form of the suite: one round with every kind of fault, ClickHouse killed in the middle of INSERTs, all
//! checkpoints lost, and the checker checked. `cargo xtask chaos` runs the long one.

use std::{path::PathBuf, time::Duration};

use chaos::{Options, run};

/// This one hurts every process and every part of the path. Another one is a new test: `MERIDIAN_CHAOS_SEED` names it.
const SEED: u64 = 139;

#[tokio::test(flavor = "multi_thread")]
async fn faults_at_every_hop_lose_nothing_and_count_nothing_twice() {
    let seed = std::env::var("MERIDIAN_CHAOS_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    let options = Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_meridian")),
        seed,
        at_least: Duration::ZERO,
        faults_min: 14,
        faults_per_round: 14,
        rate: 100,
        insert_kills: 5,
        // Mounting is nothing that a test should do unasked.
        with_disks: false,
        out: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}")),
        repeat: format!("MERIDIAN_CHAOS_SEED={seed} cargo test --test chaos"),
        progress: |_| {},
    };
    let out = options.out.clone();
    let report = run(options).await.unwrap();
    assert!(report.clean, "{report}\nreport and logs: {}", out.display());
    assert_eq!(report.fault_count(), 14 + 5 + 1, "{report}");
    assert!(report.rows().stored > 1_000, "there was something to lose: {report}");
    assert!(report.corruptions_noticed.values().all(|noticed| *noticed));
    assert_eq!(report.corruptions_noticed.len(), 8);
}
