//! What the members of a group can rely on.

use std::{collections::BTreeMap, time::Duration};

use eventlog::{ConsumerEvent, LogError, limits};

use crate::subject::{Member, Subject};

crate::contract! {
    a_group_resumes_where_it_committed(2);
    groups_do_not_disturb_each_other(1);
    members_share_partitions_and_each_record_has_one_owner(4);
    a_member_that_leaves_hands_everything_over(3);
    a_member_that_clings_to_its_partitions_is_fenced(2);
    a_partition_of_another_member_is_fenced(1);
}

fn numbered(count: u32) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..count).map(|n| (format!("device-{n}"), n.to_be_bytes().to_vec()))
}

async fn a_group_resumes_where_it_committed(subject: Subject) {
    let mut sender = subject.producer();
    sender.send_all(numbered(1000)).await;
    let mut member = subject.member("group");
    member.read(1000).await;
    member.commit_all(&subject.topic).await;
    member.consumer.close().await.unwrap();
    sender.send_all(numbered(500)).await;
    let mut member = subject.member("group");
    // Starts at the committed offset; asserts that nothing is left out.
    member.read(500).await;
    member.expect_silence(Duration::from_millis(300)).await;
}

async fn groups_do_not_disturb_each_other(subject: Subject) {
    subject.producer().send_all(numbered(100)).await;
    let mut first = subject.member("first");
    let mut second = subject.member("second");
    first.read(100).await;
    first.commit_all(&subject.topic).await;
    second.read(100).await;
}

async fn members_share_partitions_and_each_record_has_one_owner(subject: Subject) {
    let mut sender = subject.producer();
    let mut first = subject.member("group");
    sender.send_all(numbered(2000)).await;
    first.wait_for_partitions(4).await;
    first.read(500).await;
    let mut second = subject.member("group");
    // Records keep coming while partitions move, and for a while after.
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let sending = tokio::spawn(async move {
        let mut sent = 2_000;
        let mut stopped = std::pin::pin!(stopped);
        loop {
            sender.send_all(numbered(1000)).await;
            sent += 1_000;
            let pause = tokio::time::sleep(Duration::from_millis(200));
            tokio::select! {
                _ = &mut stopped => break,
                () = pause => {}
            }
        }
        sender.send_all(numbered(1000)).await;
        sent + 1_000
    });
    while (first.positions.len(), second.positions.len()) != (2, 2) {
        read_by_either(&mut first, &mut second).await;
    }
    stop.send(()).unwrap();
    let sent: usize = sending.await.unwrap();
    while first.reads.len() + second.reads.len() < sent {
        read_by_either(&mut first, &mut second).await;
    }
    assert_eq!((first.positions.len(), second.positions.len()), (2, 2));
    let mut owners = BTreeMap::<(u16, u64), u32>::new();
    for read in first.reads.iter().chain(&second.reads) {
        *owners.entry((read.partition, read.offset)).or_default() += 1;
    }
    assert_eq!(owners.len(), sent, "every record has an owner");
    assert!(owners.values().all(|count| *count == 1), "and only one");
    assert!(!second.reads.is_empty());
}

async fn read_by_either(first: &mut Member, second: &mut Member) {
    tokio::select! {
        event = first.consumer.next() => first.handle(event.unwrap()).await,
        event = second.consumer.next() => second.handle(event.unwrap()).await,
        () = tokio::time::sleep(crate::subject::PATIENCE) => panic!(
            "{} and {} records", first.reads.len(), second.reads.len()
        ),
    }
}

async fn a_member_that_leaves_hands_everything_over(subject: Subject) {
    let mut first = subject.member("group");
    first.wait_for_partitions(3).await;
    let mut second = subject.member("group");
    while first.positions.len() + second.positions.len() > 3 || second.positions.is_empty() {
        tokio::select! {
            event = first.consumer.next() => first.handle(event.unwrap()).await,
            event = second.consumer.next() => second.handle(event.unwrap()).await,
        }
    }
    let began = std::time::Instant::now();
    first.consumer.close().await.unwrap();
    second.wait_for_partitions(3).await;
    let took = began.elapsed();
    assert!(took < limits::SESSION_TIMEOUT / 2, "it was noticed after {took:?} only");
}

async fn a_member_that_clings_to_its_partitions_is_fenced(subject: Subject) {
    subject.producer().send_all(numbered(100)).await;
    let mut zombie = subject.member("group");
    zombie.wait_for_partitions(2).await;
    let mut heir = subject.member("group");
    let revocation = loop {
        tokio::select! {
            event = zombie.consumer.next() => match event.unwrap() {
                ConsumerEvent::Revoked(revocation) => break revocation,
                other => zombie.handle(other).await,
            },
            event = heir.consumer.next() => heir.handle(event.unwrap()).await,
        }
    };
    let place = revocation.partitions[0].clone();
    // Still ours, as long as we hold the revocation and have time.
    zombie.consumer.commit(&[(place.clone(), 7)]).await.unwrap();
    let began = std::time::Instant::now();
    while !heir.positions.contains_key(&place.partition.0) {
        heir.step().await;
    }
    assert!(began.elapsed() < limits::REVOCATION_WAIT + Duration::from_secs(20));
    assert_eq!(heir.positions[&place.partition.0].min(7), 7, "from the commit");
    let refused = zombie.consumer.commit(&[(place.clone(), 9)]).await;
    assert!(matches!(refused, Err(LogError::Fenced { .. })), "{refused:?}");
    let refused = zombie.consumer.start(&place, 0).await;
    assert!(matches!(refused, Err(LogError::Fenced { .. })), "{refused:?}");
    heir.consumer.commit(&[(place, 8)]).await.unwrap();
    drop(revocation);
}

async fn a_partition_of_another_member_is_fenced(subject: Subject) {
    let mut owner = subject.member("group");
    owner.wait_for_partitions(1).await;
    let mut other = subject.member("group");
    let place = subject.place(0);
    let refused = other.consumer.start(&place, 0).await;
    assert!(matches!(refused, Err(LogError::Fenced { .. })), "{refused:?}");
    let refused = other.consumer.commit(&[(place.clone(), 0)]).await;
    assert!(matches!(refused, Err(LogError::Fenced { .. })), "{refused:?}");
    owner.consumer.commit(&[(place, 0)]).await.unwrap();
}
