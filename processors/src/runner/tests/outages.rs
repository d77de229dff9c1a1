//! Backing services that are away: nothing is lost, memory is bounded, and health says so.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use platform::{
    clock::ManualClock,
    health::{Health, State},
    shutdown::Shutdown,
};

use super::world::{GROUP, World, place};
use crate::{
    limits::{FLUSH_DEAF_AFTER, FLUSH_SLOW_AFTER, PENDING_ROWS_MAX},
    pipeline,
    runner::ProcessError,
};

fn health_of(world: &World) -> (Health, platform::shutdown::ShutdownTrigger, tokio::task::JoinHandle<()>) {
    let health = Health::new(Arc::new(ManualClock::at(0)));
    let (trigger, shutdown) = Shutdown::new();
    let (settings, sink, store) = (world.settings.clone(), world.sink(), world.store());
    let (consumer, reported) = (Box::new(world.consumer()), health.clone());
    let task = tokio::spawn(async move {
        pipeline::run(settings, consumer, sink, store, shutdown, &reported)
            .await
            .unwrap();
    });
    (health, trigger, task)
}

#[tokio::test(start_paused = true)]
async fn clickhouse_away_for_a_minute_is_caught_up_with() {
    let world = World::new(21);
    let (health, trigger, task) = health_of(&world);
    let state = || health.report().components[pipeline::HEALTH_COMPONENT].state.clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(state(), State::Ready);
    world.faults.lock().unwrap().is_down = true;
    for second in 0..60 {
        world.feed(20);
        tokio::time::sleep(Duration::from_secs(1)).await;
        if second == FLUSH_SLOW_AFTER.as_secs() + 5 {
            assert!(matches!(state(), State::Degraded(_)), "{:?}", state());
        }
    }
    assert!(FLUSH_DEAF_AFTER.as_secs() < 55);
    assert!(!health.report().is_ready());
    let committed = world.log.committed(GROUP, &place(0));
    assert_eq!(committed, None, "nothing is committed that is not inserted");
    world.faults.lock().unwrap().is_down = false;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(state(), State::Ready);
    world.assert_complete();
    trigger.request();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rows_that_wait_are_bounded_while_clickhouse_is_away() {
    let mut world = World::new(22);
    // Few and coarse cells: it is measurements that wait here.
    world.settings.parameters.rollup = crate::task::Parameters::default().rollup;
    world
        .settings
        .parameters
        .rollup
        .levels
        .retain(|level| (level.period_seconds, level.resolution) == (86_400, 5));
    // Rows are the bound here, not the reach of checkpoints.
    world.settings.reach_records_min = 1_000_000;
    world.lose_checkpoints();
    let running = world.start();
    world.set_metric_count(200);
    world.faults.lock().unwrap().is_down = true;
    for _ in 0..27 {
        world.feed(100);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.faults.lock().unwrap().is_down = false;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let inserts = world.inserts.lock().unwrap().clone();
    let largest = inserts.iter().map(|insert| insert.measurement_count).max().unwrap();
    let beyond_the_bound = 100 * 200 * 2;
    assert!(largest < PENDING_ROWS_MAX + beyond_the_bound, "{largest} rows waited");
    assert!(largest >= PENDING_ROWS_MAX, "the bound was reached: {largest}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    running.stop().await;
    assert_eq!(world.tables.lock().unwrap().measurements, world.expected().measurements);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_store_that_is_away_holds_back_later_rows() {
    let world = World::new(23);
    let running = world.start();
    *world.objects.is_down.lock().unwrap() = true;
    world.feed(100);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let inserted = world.tables.lock().unwrap().clone();
    world.feed(100);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(
        *world.tables.lock().unwrap(),
        inserted,
        "rows after a checkpoint wait until it is durable"
    );
    *world.objects.is_down.lock().unwrap() = false;
    tokio::time::sleep(Duration::from_secs(20)).await;
    running.stop().await;
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_away_is_waited_for() {
    let world = World::new(24);
    let running = world.start();
    for round in 0..20 {
        world.log.set_unavailable(round % 4 == 3);
        world.feed(30);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    world.log.set_unavailable(false);
    tokio::time::sleep(Duration::from_secs(20)).await;
    running.stop().await;
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_clickhouse_is_away_is_bounded_and_loses_nothing() {
    let world = World::new(25);
    let running = world.start();
    world.feed(300);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.faults.lock().unwrap().is_down = true;
    world.feed(300);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let began = tokio::time::Instant::now();
    running.stop().await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    world.faults.lock().unwrap().is_down = false;
    let running = world.start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.stop().await;
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn records_removed_before_they_were_processed_are_an_error_and_not_skipped() {
    let world = World::new(26);
    let running = world.start();
    world.feed(300);
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.stop().await;
    world.feed(300);
    let next = world.log.committed(GROUP, &place(0)).unwrap();
    world.log.truncate_before(&place(0), next + 5);
    let (_trigger, shutdown) = Shutdown::new();
    let error = world.instance(shutdown).await.unwrap_err();
    assert!(
        matches!(&error, ProcessError::RecordsGone { wanted, low, .. } if (*wanted, *low) == (next, next + 5)),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn lost_checkpoints_are_made_again_from_the_whole_log() {
    let mut world = World::new(27);
    let running = world.start();
    world.feed(500);
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.stop().await;
    world.lose_checkpoints();
    world.feed(100);
    let running = world.start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.stop().await;
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn offsets_that_the_log_did_not_take_are_committed_when_it_is_back_though_nothing_new_comes() {
    let world = World::new(8);
    world.feed(100);
    world.faults.lock().unwrap().latency_ms_max = 2_000;
    let running = world.start();
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.log.set_unavailable(true);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(
        !world.is_committed(),
        "all is read and inserted, and cannot be committed"
    );
    world.log.set_unavailable(false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(world.is_committed());
    running.stop().await;
    world.assert_complete();
}

/// Supervisors wait for half a minute.
#[tokio::test(start_paused = true)]
async fn a_log_that_answers_nothing_holds_up_no_stop() {
    // During the takeover, in the middle of a commit, and while everything rests.
    for (seed, silent_after_ms) in [(31, 0), (32, 777), (33, 5_000)] {
        let world = World::new(seed);
        world.feed(200);
        let consumer = world.consumer();
        let is_silent = consumer.is_silent.clone();
        let (trigger, shutdown) = Shutdown::new();
        is_silent.store(silent_after_ms == 0, Ordering::Release);
        let task = tokio::spawn(world.instance_with(Box::new(consumer), shutdown));
        tokio::time::sleep(Duration::from_millis(silent_after_ms)).await;
        is_silent.store(true, Ordering::Release);
        world.feed(200);
        tokio::time::sleep(Duration::from_secs(10)).await;
        trigger.request();
        let ended = tokio::time::timeout(Duration::from_secs(30), task).await;
        ended.expect("it stops in time").unwrap().unwrap();
        let next = world.start();
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.assert_complete();
        next.stop().await;
    }
}
