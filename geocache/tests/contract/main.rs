//! What every cache promises, asked of both: the one in process, and a real Redis.
//!
//! Needs Redis: `cargo xtask setup` installs it.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod outages;
mod subject;

use std::collections::BTreeMap;

use geocache::{Batch, Group, Notice, Place, Position, Positions, Snapshot, Values, snapshot::Source};

use crate::subject::{NOW_SECONDS, Subject, hold, until_changed, until_lost};

/// One test for each kind of cache.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Subject::local()).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Subject::redis()).await;
            })*
        }
    };
}

promises!(
    the_highest_version_of_each_accumulator_is_held_in_whatever_order_they_come,
    places_do_not_mix_and_no_tenant_means_all,
    whoever_watches_hears_every_change,
    a_large_batch_is_heard_whole,
    old_buckets_are_told_and_not_held,
    what_was_changed_otherwise_is_told_as_lost,
    positions_of_devices_are_told_whole_and_in_order,
);

fn place(tenant: &str, bucket_seconds: u32) -> Place {
    Place {
        bucket_seconds,
        period_seconds: 60,
        resolution: 9,
        tenant: tenant.into(),
        metric: "speed".into(),
    }
}

fn snapshot(cell: u64, generation: u64, version: u64) -> Snapshot {
    Snapshot {
        cell,
        source: Source {
            partition: 7,
            generation,
        },
        version,
        values: Values {
            count: version,
            sum: version as f64 / 3.0,
            min: -1.5,
            max: version as f64,
        },
    }
}

fn batch(place: Place, snapshots: Vec<Snapshot>) -> Batch {
    Batch {
        groups: vec![Group { place, snapshots }],
        ..Batch::default()
    }
}

async fn the_highest_version_of_each_accumulator_is_held_in_whatever_order_they_come(subject: Subject) {
    let here = place("acme", NOW_SECONDS);
    let mut newest: BTreeMap<(u64, u64), Snapshot> = BTreeMap::new();
    let mut lasts = Vec::new();
    // A walk that takes all orders: versions rise, fall and come twice.
    for step in 0..500_u64 {
        let mixed = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        // Versions of all lengths, since they are compared as text somewhere.
        let version = (mixed % 40) << (mixed % 20);
        let one = snapshot(mixed % 7, mixed % 3, version);
        let held = newest.entry((one.cell, one.source.generation)).or_insert(one);
        if one.version > held.version {
            *held = one;
        }
        subject.cache.publish(batch(here.clone(), vec![one]));
        // Never more than a queue has room for: what is told later is held later.
        if step % 10 == 9 {
            let last = snapshot(step, 0, step);
            subject.cache.publish(batch(place("last", NOW_SECONDS), vec![last]));
            lasts.push(last);
            hold(&subject, &place("last", NOW_SECONDS), lasts.clone()).await;
        }
    }
    hold(&subject, &here, newest.into_values().collect()).await;
}

async fn places_do_not_mix_and_no_tenant_means_all(subject: Subject) {
    let (acme, other) = (place("acme", NOW_SECONDS), place("other", NOW_SECONDS));
    let before = place("acme", NOW_SECONDS - 60);
    let finer = Place {
        resolution: 10,
        ..acme.clone()
    };
    let metric = Place {
        metric: "speed:max".into(),
        ..acme.clone()
    };
    for (version, place) in [&acme, &other, &before, &finer, &metric].into_iter().enumerate() {
        let version = version as u64 + 1;
        subject
            .cache
            .publish(batch(place.clone(), vec![snapshot(1, version, version)]));
    }
    for (version, place) in [&acme, &other, &before, &finer, &metric].into_iter().enumerate() {
        let version = version as u64 + 1;
        hold(&subject, place, vec![snapshot(1, version, version)]).await;
    }
    hold(
        &subject,
        &place("", NOW_SECONDS),
        vec![snapshot(1, 1, 1), snapshot(1, 2, 2)],
    )
    .await;
    hold(&subject, &place("nobody", NOW_SECONDS), Vec::new()).await;
}

async fn whoever_watches_hears_every_change(subject: Subject) {
    let mut watching = [subject.watch().await, subject.watch().await];
    for version in 1..=12 {
        subject
            .cache
            .publish(batch(place("acme", NOW_SECONDS), vec![snapshot(version, 1, version)]));
    }
    for notices in &mut watching {
        for version in 1..=12 {
            let heard = until_changed(notices).await;
            assert_eq!(heard.groups[0].snapshots, [snapshot(version, 1, version)]);
        }
    }
}

async fn a_large_batch_is_heard_whole(subject: Subject) {
    let mut notices = subject.watch().await;
    let all: Vec<Snapshot> = (0..20_000).map(|cell| snapshot(cell, 1, 1)).collect();
    subject.cache.publish(batch(place("acme", NOW_SECONDS), all.clone()));
    let mut heard = Vec::new();
    while heard.len() < all.len() {
        let part = until_changed(&mut notices).await;
        heard.extend(part.groups.iter().flat_map(|group| group.snapshots.clone()));
    }
    assert_eq!(heard, all);
    hold(&subject, &place("acme", NOW_SECONDS), all).await;
}

async fn old_buckets_are_told_and_not_held(subject: Subject) {
    let mut notices = subject.watch().await;
    let old = place("acme", NOW_SECONDS - 86_400);
    subject.cache.publish(batch(old.clone(), Vec::new()));
    let heard = until_changed(&mut notices).await;
    assert_eq!(
        heard.groups,
        [Group {
            place: old.clone(),
            snapshots: Vec::new()
        }]
    );
    hold(&subject, &old, Vec::new()).await;
}

async fn what_was_changed_otherwise_is_told_as_lost(subject: Subject) {
    let mut notices = subject.watch().await;
    subject.cache.lose();
    until_lost(&mut notices).await;
    subject
        .cache
        .publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, 1)]));
    until_changed(&mut notices).await;
    subject.cache.lose();
    until_lost(&mut notices).await;
}

/// Some of a large fleet, each with a position of its own.
fn positions(count: u32) -> Positions {
    let names: Vec<String> = (0..count).map(|number| format!("bus-{number}")).collect();
    let mut positions = Positions::default();
    for (number, device) in (0..).zip(&names) {
        positions.push(&Position {
            tenant: ["acme", "beta"][number as usize % 2],
            device,
            partition: 7,
            version: u64::MAX - number as u64,
            ts_ms: i64::from(NOW_SECONDS) * 1_000 + i64::from(number),
            latitude_e7: number * 1_000,
            longitude_e7: if number % 5 == 0 { i32::MIN } else { -number },
        });
    }
    positions
}

async fn positions_of_devices_are_told_whole_and_in_order(subject: Subject) {
    let mut notices = subject.watch().await;
    for count in [1, 20_000] {
        let all = positions(count);
        subject.cache.publish(Batch {
            groups: batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, count.into())]).groups,
            positions: all.clone(),
            ..Batch::default()
        });
        let (mut heard, mut snapshots) = (Positions::default(), 0);
        while heard.len() < all.len() {
            let part = until_changed(&mut notices).await;
            snapshots += part.snapshot_count();
            part.positions.iter().for_each(|position| heard.push(&position));
        }
        assert!(heard == all && snapshots == 1, "{count}");
    }
}

#[tokio::test]
async fn who_does_not_keep_up_is_told_so() {
    let subject = Subject::local();
    let mut notices = subject.watch().await;
    for version in 0..1_000 {
        subject
            .cache
            .publish(batch(place("acme", NOW_SECONDS), vec![snapshot(1, 1, version)]));
    }
    assert!(matches!(notices.next().await, Some(Notice::Lost)));
}
