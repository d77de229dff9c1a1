//! What the assignment promises, shown on small groups.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    MemberId,
    assignment::{Group, Notice},
};
use crate::{PartitionId, TopicPartition};

fn topics(list: &[(&str, u16)]) -> BTreeMap<Arc<str>, u16> {
    list.iter().map(|(name, count)| ((*name).into(), *count)).collect()
}

fn place(topic: &str, partition: u16) -> TopicPartition {
    TopicPartition {
        topic: topic.into(),
        partition: PartitionId(partition),
    }
}

fn assigned(group: &mut Group, member: MemberId) -> Vec<TopicPartition> {
    match group.next_notice(member) {
        Some(Notice::Assigned(places)) => places,
        other => panic!("expected an assignment, got {other:?}"),
    }
}

#[test]
fn a_newcomer_gets_half_after_the_owner_let_go_and_the_rest_stays() {
    let partitions = topics(&[("a", 4)]);
    let mut group = Group::default();
    let first = group.join(["a".into()]);
    group.rebalance(&partitions);
    assert_eq!(assigned(&mut group, first).len(), 4);

    let second = group.join(["a".into()]);
    let episodes = group.rebalance(&partitions);
    assert_eq!(group.next_notice(second), None, "nothing before the release");
    let Some(Notice::Revoked(leaving, episode)) = group.next_notice(first) else {
        panic!("the first member is asked to let go");
    };
    assert_eq!(episodes, [episode]);
    assert_eq!(leaving, [place("a", 2), place("a", 3)]);
    assert!(group.owns(first, &place("a", 2)), "until it lets go");

    assert!(group.release(episode));
    group.rebalance(&partitions);
    assert_eq!(assigned(&mut group, second), [place("a", 2), place("a", 3)]);
    assert!(!group.owns(first, &place("a", 2)));
    assert_eq!(group.next_notice(first), None, "the rest never moved");
}

#[test]
fn a_revocation_that_ran_out_of_time_is_told_as_lost() {
    let partitions = topics(&[("a", 2)]);
    let mut group = Group::default();
    let first = group.join(["a".into()]);
    group.rebalance(&partitions);
    assigned(&mut group, first);
    let second = group.join(["a".into()]);
    let episode = group.rebalance(&partitions)[0];
    assert!(group.release(episode), "the timer");
    group.rebalance(&partitions);
    assert_eq!(assigned(&mut group, second).len(), 1);
    assert!(matches!(group.next_notice(first), Some(Notice::Lost(_))));
    assert!(!group.release(episode), "it ended before");
}

#[test]
fn an_expelled_member_owns_again_only_after_it_heard() {
    let partitions = topics(&[("a", 2)]);
    let mut group = Group::default();
    let only = group.join(["a".into()]);
    group.rebalance(&partitions);
    assert_eq!(assigned(&mut group, only).len(), 2);
    group.expel(only);
    group.rebalance(&partitions);
    assert!(!group.owns(only, &place("a", 0)));
    let Some(Notice::Lost(lost)) = group.next_notice(only) else {
        panic!("it hears of the loss first");
    };
    assert_eq!(lost.len(), 2);
    group.rebalance(&partitions);
    assert_eq!(assigned(&mut group, only).len(), 2);
}

#[test]
fn a_pinned_partition_stays_out_of_the_balance() {
    let partitions = topics(&[("a", 3)]);
    let mut group = Group::default();
    let first = group.join(["a".into()]);
    let second = group.join(["a".into()]);
    group.pin(place("a", 0), Some(Some(second)));
    group.pin(place("a", 1), Some(None));
    group.rebalance(&partitions);
    assert_eq!(assigned(&mut group, first), [place("a", 2)]);
    assert_eq!(assigned(&mut group, second), [place("a", 0)]);
}

/// Random joins, leaves and releases: every partition ends with exactly one owner, and shares differ by at most one.
#[test]
fn any_history_of_members_ends_balanced() {
    let partitions = topics(&[("a", 7), ("b", 3)]);
    for seed in 0..200_u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let mut group = Group::default();
        let mut members = vec![group.join(["a".into(), "b".into()])];
        let mut episodes = group.rebalance(&partitions);
        for _ in 0..30 {
            match next(4) {
                0 => members.push(group.join(["a".into(), "b".into()])),
                1 if members.len() > 1 => {
                    let index = usize::try_from(next(members.len() as u64)).unwrap();
                    group.leave(members.remove(index));
                }
                2 if !episodes.is_empty() => {
                    group.release(episodes.remove(0));
                }
                _ => {
                    let index = usize::try_from(next(members.len() as u64)).unwrap();
                    group.next_notice(members[index]);
                }
            }
            episodes.extend(group.rebalance(&partitions));
        }
        while !episodes.is_empty() {
            group.release(episodes.remove(0));
            episodes.extend(group.rebalance(&partitions));
        }
        for (topic, count) in &partitions {
            let mut shares = vec![0; members.len()];
            for partition in 0..*count {
                let place = place(topic, partition);
                let owners: Vec<usize> = (0..members.len())
                    .filter(|index| group.holds(members[*index], &place))
                    .collect();
                assert_eq!(owners.len(), 1, "seed {seed}: owners of {place}");
                shares[owners[0]] += 1;
            }
            let (least, most) = (shares.iter().min(), shares.iter().max());
            assert!(
                most.unwrap() - least.unwrap() <= 1,
                "seed {seed}: shares of {topic}: {shares:?}"
            );
        }
    }
}
