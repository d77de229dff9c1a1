//! Redis away, frozen, or back with nothing: whoever watches hears of it, and nobody waits.

use std::time::Duration;

use geocache::{CellCache, Notice};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    batch, place, snapshot,
    subject::{AWAITED_MAX, NOW_SECONDS, Subject, another, until_changed, until_lost},
};

async fn until_gone(notices: &mut geocache::Notices) {
    let gone = async { while !matches!(notices.next().await.unwrap(), Notice::Gone) {} };
    timeout(AWAITED_MAX, gone).await.expect("it is told");
}

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

#[tokio::test]
async fn a_publisher_that_ends_is_told_since_it_may_not_have_told_everything() {
    let subject = Subject::redis();
    let mut notices = subject.watch().await;
    let publisher = another(subject.redis.as_ref().unwrap());
    publisher.publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, 1)]));
    until_changed(&mut notices).await;
    // As long as it lives, it is quiet and nothing is lost.
    let quiet = timeout(Duration::from_secs(6), notices.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    drop(publisher);
    until_lost(&mut notices).await;
    sleep(Duration::from_millis(1)).await;
}
