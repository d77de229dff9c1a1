//! Insert, then checkpoint, then commit. The doubles assert it at every step; these tests give them steps to watch.

use std::time::Duration;

use super::world::{GROUP, World, place};

#[tokio::test(start_paused = true)]
async fn everything_consumed_is_inserted_checkpointed_and_committed_once_it_is_quiet() {
    let world = World::new(1);
    world.feed(2_000);
    let running = world.start();
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.assert_complete();
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_pipeline_shows_everything_within_a_second() {
    let world = World::new(2);
    let running = world.start();
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.feed(10);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.tables.lock().unwrap().rollups, world.expected().rollups);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_drains_what_was_consumed() {
    let world = World::new(3);
    let running = world.start();
    for _ in 0..20 {
        world.feed(50);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.stop().await;
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn coarse_levels_are_written_less_often_than_fine_ones() {
    let mut world = World::new(4);
    world.settings.checkpoint_interval = Duration::from_secs(60);
    // Nor do checkpoints come early, with which everything is written.
    world.settings.reach_records_min = 1_000_000;
    // Nothing is evicted, so that all that is written is written by schedule.
    world.settings.parameters.rollup = crate::task::Parameters::default().rollup;
    world.lose_checkpoints();
    let running = world.start();
    for _ in 0..200 {
        world.feed(10);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let inserts = world.inserts.lock().unwrap().clone();
    let with = |period: u32| inserts.iter().filter(|insert| insert.periods.contains(&period)).count();
    assert!((19..=21).contains(&with(60)), "minutes once a second: {}", with(60));
    assert!(
        (3..=4).contains(&with(3_600)),
        "hours every five seconds: {}",
        with(3_600)
    );
    assert!(
        (1..=2).contains(&with(86_400)),
        "days every ten seconds: {}",
        with(86_400)
    );
    running.stop().await;
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn a_trickle_does_not_become_an_insert_per_event() {
    let world = World::new(5);
    let running = world.start();
    for _ in 0..40 {
        world.feed(1);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let insert_count = world.inserts.lock().unwrap().len();
    assert!(insert_count <= 21, "{insert_count} inserts in 10 s");
    running.stop().await;
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn only_three_checkpoints_of_a_partition_are_kept() {
    use futures::TryStreamExt;
    use object_store::ObjectStore;

    let world = World::new(6);
    let running = world.start();
    for _ in 0..100 {
        world.feed(20);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    running.stop().await;
    let objects: Vec<_> = world.objects.list(None).try_collect().await.unwrap();
    let of_first = objects
        .iter()
        .filter(|object| object.location.as_ref().contains("events.v1/00000"));
    assert_eq!(of_first.count(), 3);
    assert!(world.high(&place(0)) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_whose_commit_was_cut_off_is_committed_by_the_next_owner() {
    let world = World::new(7);
    world.feed(200);
    let running = world.start();
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.log.set_unavailable(true);
    tokio::time::sleep(Duration::from_secs(3)).await;
    running.kill().await;
    world.log.set_unavailable(false);
    let committed = || world.log.committed(GROUP, &place(0));
    let durable = world.objects.durable.lock().unwrap().get(&place(0)).copied();
    // The checkpoint before the first record was committed.
    assert_eq!((durable, committed()), (Some(world.high(&place(0))), Some(0)));
    let running = world.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(committed(), Some(world.high(&place(0))));
    running.stop().await;
    world.assert_complete();
}
