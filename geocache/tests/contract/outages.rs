//! Redis away, frozen, or back with nothing: whoever watches hears of it, and nobody waits.

use std::time::Duration;

use geocache::{CellCache, Notice};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    batch, place, snapshot,
    subject::{AWAITED_MAX, NOW_SECONDS, Subject, another, until_changed, until_gone, until_lost},
};

/// Publishes until it is heard again.
async fn until_heard_again(cache: &dyn CellCache, notices: &mut geocache::Notices) {
    let started = Instant::now();
    for version in 100.. {
        cache.publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, version)]));
        if let Ok(heard) = timeout(Duration::from_millis(200), until_changed(notices)).await {
            assert!(heard.groups[0].snapshots[0].version >= 100);
            return;
        }
        assert!(started.elapsed() < AWAITED_MAX, "it is heard again");
    }
}

#[tokio::test]
async fn a_redis_that_is_killed_is_told_and_its_return_as_well() {
    let mut subject = Subject::redis();
    let mut notices = subject.watch().await;
    subject.redis.as_mut().unwrap().daemon().kill9();
    until_gone(&mut notices).await;
    let started = Instant::now();
    for version in 0..1_000 {
        subject
            .cache
            .publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, version)]));
    }
    assert!(started.elapsed() < Duration::from_millis(500), "nobody waits for it");
    assert!(subject.cache.held(&place("acme", NOW_SECONDS)).await.is_err());
    subject.redis.as_mut().unwrap().restart();
    until_lost(&mut notices).await;
    until_heard_again(&*subject.cache, &mut notices).await;
}

#[tokio::test]
async fn a_redis_that_is_frozen_is_told_though_its_connections_stay_open() {
    let mut subject = Subject::redis();
    let mut notices = subject.watch().await;
    subject.redis.as_mut().unwrap().daemon().pause();
    until_gone(&mut notices).await;
    subject.redis.as_mut().unwrap().daemon().resume();
    until_lost(&mut notices).await;
    until_heard_again(&*subject.cache, &mut notices).await;
}

#[tokio::test]
async fn what_one_process_could_not_send_another_one_knows_as_lost() {
    let subject = Subject::redis();
    let (publisher, watcher) = (&subject.cache, another(subject.redis.as_ref().unwrap()));
    let mut notices = watcher.watch();
    until_lost(&mut notices).await;
    publisher.publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, 1)]));
    until_changed(&mut notices).await;
    // More at once than the queue takes: without a pause in between the sending task never runs.
    for version in 2..1_000 {
        publisher.publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, version)]));
    }
    until_lost(&mut notices).await;
}

/// Longer than a publisher may be silent, and some.
const QUIET: Duration = Duration::from_secs(7);

#[tokio::test]
async fn a_publisher_that_falls_silent_is_missed_until_others_tell_of_its_partitions() {
    let subject = Subject::redis();
    let mut notices = subject.watch().await;
    let publisher = another(subject.redis.as_ref().unwrap());
    publisher.publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, 1)]));
    until_changed(&mut notices).await;
    // As long as it lives, it is quiet and nothing is lost.
    let quiet = timeout(QUIET, notices.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    // Dead, or cut off and still writing: nobody can tell.
    drop(publisher);
    until_gone(&mut notices).await;
    let quiet = timeout(QUIET, notices.next()).await;
    assert!(
        quiet.is_err(),
        "another one that is heard does not make up for it: {quiet:?}"
    );
    subject
        .cache
        .publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, 2)]));
    until_lost(&mut notices).await;
}

#[tokio::test]
async fn a_publisher_that_leaves_in_order_has_told_everything_and_is_not_missed() {
    let subject = Subject::redis();
    let mut notices = subject.watch().await;
    let publisher = another(subject.redis.as_ref().unwrap());
    for version in 1..=10 {
        publisher.publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, version)]));
    }
    publisher.leave().await;
    for version in 1..=10 {
        let heard = until_changed(&mut notices).await;
        assert_eq!(heard.groups[0].snapshots, [snapshot(1, 1, version)]);
    }
    let next = timeout(AWAITED_MAX, notices.next()).await.unwrap();
    assert!(matches!(next, Some(Notice::Lost)), "{next:?}");
    drop(publisher);
    let quiet = timeout(QUIET, notices.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    // With the last one nobody is left who tells.
    subject.cache.leave().await;
    until_gone(&mut notices).await;
}

#[tokio::test]
async fn where_nobody_publishes_nothing_counts_as_told() {
    let subject = Subject::local();
    assert!(matches!(subject.cache.watch().next().await, Some(Notice::Lost)));
    let redis = rig::Redis::start();
    let (publisher, watcher) = (another(&redis), another(&redis));
    let mut notices = watcher.watch();
    let quiet = timeout(QUIET, notices.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    publisher.publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, 1)]));
    until_lost(&mut notices).await;
}

#[tokio::test]
async fn who_does_not_keep_up_is_told_how_things_are_now() {
    let subject = Subject::redis();
    let mut notices = subject.watch().await;
    let publisher = another(subject.redis.as_ref().unwrap());
    // Never heard from again, and pushed out of what waits by what another one tells of another partition.
    publisher.publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, 1)]));
    until_changed(&mut notices).await;
    drop(publisher);
    sleep(QUIET).await;
    let mut elsewhere = snapshot(1, 1, 1);
    elsewhere.source.partition = 8;
    for _ in 0..100 {
        subject
            .cache
            .publish(batch(place("acme", NOW_SECONDS), vec![elsewhere]));
        sleep(Duration::from_millis(10)).await;
    }
    let next = notices.next().await;
    assert!(matches!(next, Some(Notice::Gone)), "{next:?}");
}
