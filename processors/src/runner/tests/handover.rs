//! Partitions move between instances, and come back, and have two owners for a while.

use std::{sync::atomic::Ordering, time::Duration};

use eventlog::MemberId;
use platform::shutdown::Shutdown;

use super::world::{GROUP, PARTITIONS, Running, World, place};

#[tokio::test(start_paused = true)]
async fn an_instance_that_joins_takes_over_where_the_other_one_ended() {
    let world = World::new(11);
    world.faults.lock().unwrap().latency_ms_max = 300;
    let first = world.start();
    let mut second: Option<Running> = None;
    for round in 0..60 {
        world.feed(30);
        tokio::time::sleep(Duration::from_millis(200)).await;
        if round % 10 == 5 {
            match second.take() {
                None => second = Some(world.start()),
                Some(running) => running.stop().await,
            }
        }
    }
    if let Some(second) = second {
        second.stop().await;
    }
    first.stop().await;
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn a_handover_commits_before_the_next_owner_begins() {
    let world = World::new(12);
    let first = world.start();
    world.feed(300);
    tokio::time::sleep(Duration::from_millis(50)).await;
    for partition in 0..PARTITIONS {
        world.log.pin(GROUP, &place(partition), Some(MemberId(1)));
    }
    let second = world.start();
    // Shorter than any interval of flush or checkpoint: the hand over itself must have done it.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for partition in 0..PARTITIONS {
        let high = world.high(&place(partition));
        assert_eq!(world.log.committed(GROUP, &place(partition)), Some(high));
    }
    first.stop().await;
    second.stop().await;
    world.assert_complete();
}

/// How far beyond its offset the newest checkpoint of a partition reaches.
async fn ahead(world: &World, partition: u16) -> u64 {
    let newest = world.store().latest(&place(partition)).await.unwrap().newest.unwrap();
    newest.reach.unwrap() - newest.offset
}

#[tokio::test(start_paused = true)]
async fn who_stops_in_good_order_leaves_no_reach_behind_and_who_is_killed_does() {
    let world = World::new(14);
    for is_killed in [false, true, false] {
        let running = world.start();
        world.feed(300);
        // Everything is in idle checkpoints by then.
        tokio::time::sleep(Duration::from_secs(5)).await;
        for partition in 0..PARTITIONS {
            assert!(ahead(&world, partition).await >= world.settings.reach_records_min);
        }
        match is_killed {
            true => running.kill().await,
            false => running.stop().await,
        }
        for partition in 0..PARTITIONS {
            assert_eq!(ahead(&world, partition).await > 0, is_killed);
        }
        if is_killed {
            // What the one that was killed may still write is passed before anybody else stops.
            world.feed(30_000);
        }
    }
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn a_zombie_is_fenced_and_harms_nothing() {
    let world = World::new(13);
    let consumer = world.consumer();
    let is_deaf = consumer.is_deaf.clone();
    let (trigger, shutdown) = Shutdown::new();
    let task = tokio::spawn(world.instance_with(Box::new(consumer), shutdown));
    let zombie = Running { trigger, task };
    world.feed(200);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.feed(200);
    tokio::time::sleep(Duration::from_millis(50)).await;
    // From here on it holds rows that nobody has, and does not hear that it lost everything.
    is_deaf.store(true, Ordering::Release);
    for place in (0..PARTITIONS).map(place) {
        world.log.pin(GROUP, &place, Some(MemberId(1)));
    }
    world.log.expel(GROUP, MemberId(0));
    world.faults.lock().unwrap().latency_ms_max = 20_000;
    let owner = world.start();
    for _ in 0..100 {
        world.feed(5);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    world.faults.lock().unwrap().latency_ms_max = 0;
    tokio::time::sleep(Duration::from_secs(30)).await;
    owner.stop().await;
    zombie.stop().await;
    let last = world.start();
    tokio::time::sleep(Duration::from_secs(30)).await;
    last.stop().await;
    world.assert_complete();
}

#[tokio::test(start_paused = true)]
async fn the_owner_that_loses_a_checkpoint_to_a_zombie_goes_on_from_it() {
    let world = World::new(14);
    let running = world.start();
    world.feed(200);
    tokio::time::sleep(Duration::from_secs(5)).await;
    // What a zombie would have written: the newest state again, under the number that the owner will use next.
    for place in (0..PARTITIONS).map(place) {
        let found = world.store().latest(&place).await.unwrap();
        let frame = found.newest.unwrap().encode();
        world.store().put(&place, found.next_number, frame).await.unwrap();
    }
    world.feed(200);
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.assert_complete();
    world.feed(200);
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.assert_complete();
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_partition_is_dropped_at_once_and_taken_again() {
    let world = World::new(15);
    let running = world.start();
    for _ in 0..10 {
        world.feed(50);
        tokio::time::sleep(Duration::from_millis(700)).await;
        world.log.expel(GROUP, MemberId(0));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.stop().await;
    world.assert_complete();
}
