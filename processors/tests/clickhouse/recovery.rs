//! All checkpoints are lost and the log was cut off: the pipeline goes on from what the tables hold, and in the end they
//! hold what one task would have made of all records that there ever were.

use std::time::Duration;

use processors::{audit::HoleKind, task::Parameters};

use crate::world::{World, places};

/// Short lives of few accumulators: generations begin all the time.
fn restless(parameters: &mut Parameters) {
    parameters.rollup.linger_ms = 5_000;
    parameters.rollup.accumulators_max = 400;
}

/// Some load, and the owner dies while more of it is on its way.
async fn until_death(world: &mut World) {
    let running = world.start();
    world.feed_for(Duration::from_millis(1_500)).await;
    world.settle().await;
    world.feed_for(Duration::from_millis(2_500)).await;
    running.kill().await;
    world.assert_there_is_something_to_take_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_log_cut_off_where_the_books_end_everything_is_counted_exactly_once() {
    let mut world = World::new("recovery_cut", 1, restless).await;
    until_death(&mut world).await;
    world.lose(|_, end| end).await;
    let running = world.start();
    world.feed_for(Duration::from_millis(1_500)).await;
    world.settle().await;
    world.assert_exact().await;
    running.stop().await;
    // The next start is an ordinary one.
    world.lives_for(Duration::from_millis(500)).await;
    world.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_the_log_tells_what_the_tables_do_not() {
    let mut world = World::new("recovery_learns", 2, restless).await;
    world.lives_for(Duration::from_millis(500)).await;
    let first = world.settled_ends().await;
    // Only the first records are gone: repetitions of everything later are known again, also of events without a count.
    world.fleet.forget_all_uncounted();
    world.fleet.repeats_uncounted = true;
    until_death(&mut world).await;
    world.lose(|place, _| first[place]).await;
    world.lives_for(Duration::from_millis(1_500)).await;
    world.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_it_again_and_again_it_is_done_again() {
    let mut world = World::new("recovery_killed", 3, restless).await;
    until_death(&mut world).await;
    world.lose(|_, end| end).await;
    for round in 0..12u64 {
        let running = world.start();
        world.fleet.publish(20);
        tokio::time::sleep(Duration::from_millis(round * 23)).await;
        running.kill().await;
        // And lost again: what was begun anew is lost as well.
        if round % 4 == 3 {
            world.lose(|_, end| end).await;
        }
    }
    world.lives_for(Duration::from_millis(1_000)).await;
    world.assert_exact().await;
}

/// A former owner wakes up with the lost state, and writes all that follows from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_still_has_the_lost_state_changes_nothing() {
    let mut world = World::new("recovery_zombie", 4, |_| {}).await;
    until_death(&mut world).await;
    world.lose(|_, end| end).await;
    let running = world.start();
    // Also while it is being taken back.
    for _ in 0..15 {
        world.feed_for(Duration::from_millis(100)).await;
        world.database.insert(world.expected()).await;
    }
    world.fleet.publish(50);
    world.settle().await;
    world.database.insert(world.expected()).await;
    world.assert_exact().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_that_are_all_damaged_are_lost_ones_also_those_of_a_new_incarnation() {
    let mut world = World::new("recovery_damaged", 6, restless).await;
    until_death(&mut world).await;
    let objects = world.objects.clone();
    world.lose(|_, end| end).await;
    world.objects = objects;
    for _ in 0..3 {
        world.damage().await;
        let running = world.start();
        world.feed_for(Duration::from_millis(700)).await;
        running.kill().await;
    }
    let running = world.start();
    world.settle().await;
    running.stop().await;
    world.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_deletes_the_offsets_of_the_group_goes_on_with_a_hole_that_the_audit_names() {
    let mut world = World::new("recovery_hole", 7, |_| {}).await;
    world.lives_for(Duration::from_millis(500)).await;
    world.fleet.publish(300);
    world.lose(|_, end| end + 3).await;
    world.group = "another";
    world.lives_for(Duration::from_millis(500)).await;
    let (holes, differences) = world.audited().await;
    let missing: Vec<u64> = holes.iter().map(|hole| hole.expected - hole.found).collect();
    assert!(holes.iter().all(|hole| hole.kind == HoleKind::Records), "{holes:#?}");
    assert_eq!(missing, vec![3; places().len()], "{holes:#?}");
    assert!(differences.is_empty(), "{differences:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_neither_in_the_log_nor_in_the_tables_are_refused_with_words() {
    let mut world = World::new("recovery_refused", 5, |_| {}).await;
    world.lives_for(Duration::from_millis(500)).await;
    world.fleet.publish(300);
    world.lose(|_, end| end + 3).await;
    let refused = world.start().task.await.unwrap().unwrap_err().to_string();
    assert!(
        refused.contains("what became of the 3 records between is not known"),
        "{refused}"
    );
}

/// A copy of checkpoints that is put back says nothing of what was written since under another incarnation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_of_an_earlier_life_that_come_back_are_lost_ones() {
    let mut world = World::new("recovery_copy", 8, restless).await;
    until_death(&mut world).await;
    let copy = world.objects.clone();
    // The log is whole: nothing else would notice.
    world.lose(|_, _| 0).await;
    world.lives_for(Duration::from_millis(1_000)).await;
    world.assert_exact().await;
    world.objects = copy;
    world.lives_for(Duration::from_millis(1_000)).await;
    world.assert_exact().await;
}
