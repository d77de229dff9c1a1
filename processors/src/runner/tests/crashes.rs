//! Instances die at any await point, in any number, and the tables are as if nothing had happened.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use platform::shutdown::Shutdown;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::world::World;

/// Schedules tried in every run of the tests; more with the variable below.
const SEEDS: u64 = 60;

/// Runs an instance for so many polls or so long, whichever ends first, and drops it on the spot.
async fn run_and_crash(world: &World, polls: u64, at_most: Duration) {
    let (_trigger, shutdown) = Shutdown::new();
    let mut instance = pin!(world.instance(shutdown));
    let mut left = polls;
    let crash = poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        instance.as_mut().poll(context).map(|ended| ended.unwrap())
    });
    let _ = tokio::time::timeout(at_most, crash).await;
}

async fn one_schedule(seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let world = World::new(seed);
    for _ in 0..random.random_range(3..12) {
        world.feed(random.random_range(0..120));
        world.faults.lock().unwrap().latency_ms_max = random.random_range(0..1_500);
        *world.objects.is_down.lock().unwrap() = random.random_bool(0.1);
        let polls = random.random_range(1..400);
        let at_most = Duration::from_millis(random.random_range(1..8_000));
        match random.random_range(0..4) {
            0 => run_and_crash(&world, polls, at_most).await,
            1 => {
                // Two instances, which crash one after the other.
                let other = random.random_range(1..400);
                let longer = Duration::from_millis(random.random_range(1..8_000));
                tokio::join!(
                    run_and_crash(&world, polls, at_most),
                    run_and_crash(&world, other, longer)
                );
            }
            2 => {
                // One that works while another one crashes, and then is killed itself.
                let running = world.start();
                run_and_crash(&world, polls, at_most).await;
                world.feed(random.random_range(0..120));
                tokio::time::sleep(at_most).await;
                running.kill().await;
            }
            _ => {
                let running = world.start();
                tokio::time::sleep(at_most).await;
                running.stop().await;
            }
        }
    }
    world.faults.lock().unwrap().latency_ms_max = 0;
    *world.objects.is_down.lock().unwrap() = false;
    let running = world.start();
    tokio::time::sleep(Duration::from_secs(30)).await;
    running.stop().await;
    world.assert_complete();
}

#[test]
fn crashes_at_any_point_leave_the_same_tables_as_no_crash() {
    let seeds = match std::env::var("MERIDIAN_SEED") {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 0..SEEDS,
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(one_schedule(seed))));
        assert!(result.is_ok(), "run again with MERIDIAN_SEED={seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_with_worker_threads_and_real_time() {
    let mut world = World::new(99);
    world.settings.workers = crate::config::Workers::Threads(std::num::NonZeroUsize::new(3).unwrap());
    world.settings.checkpoint_interval = Duration::from_millis(100);
    world.settings.flush_interval = Duration::from_millis(50);
    world.faults.lock().unwrap().latency_ms_max = 20;
    for round in 0..12 {
        world.feed(500);
        let running = world.start();
        tokio::time::sleep(Duration::from_millis(20 + round * 30)).await;
        running.kill().await;
    }
    let running = world.start();
    // In real time a busy machine may be slow, so wait for the end of the log rather than for a while.
    let started = std::time::Instant::now();
    while !world.is_committed() && started.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.stop().await;
    world.assert_complete();
}
