//! What a single reader can rely on.

use std::time::Duration;

use eventlog::{ConsumerEvent, Headers, LogError};

use crate::subject::Subject;

crate::contract! {
    records_keep_key_value_timestamp_and_headers(1);
    headers_can_be_left_out(1);
    nothing_is_delivered_before_start_and_delivery_begins_at_the_offset(1);
    starting_again_moves_the_reader(1);
    a_start_outside_the_log_is_an_error(1);
    an_assignment_tells_what_the_log_holds(1);
    a_waiting_reader_gets_new_records(1);
    a_reader_that_pauses_gets_everything_once(2);
    retention_moves_the_oldest_offset(1);
}

fn numbered(count: u32) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..count).map(|n| (format!("device-{n}"), n.to_be_bytes().to_vec()))
}

async fn records_keep_key_value_timestamp_and_headers(subject: Subject) {
    let mut sender = subject.producer();
    sender.send_all([("tenant/device".into(), b"{\"t\":1}".to_vec())]).await;
    let mut member = subject.member("group");
    member.read(1).await;
    let read = &member.reads[0];
    assert_eq!(read.key, b"tenant/device");
    assert_eq!(read.value, b"{\"t\":1}");
    assert_eq!(read.timestamp_ms, 1_600_000_000_000);
    let expected = ("content-type".to_owned(), b"application/json".to_vec());
    assert_eq!(read.headers, [expected]);
}

async fn headers_can_be_left_out(subject: Subject) {
    subject.producer().send_all(numbered(3)).await;
    let mut member = subject.member_with("group", Headers::Skip);
    member.read(3).await;
    assert!(member.reads.iter().all(|read| read.headers.is_empty()));
}

async fn nothing_is_delivered_before_start_and_delivery_begins_at_the_offset(subject: Subject) {
    let mut sender = subject.producer();
    sender.send_all(numbered(1000)).await;
    let mut member = subject.member("group");
    let ConsumerEvent::Assigned(assigned) = member.next().await else {
        panic!("the assignment comes first");
    };
    let place = assigned[0].topic_partition.clone();
    member.expect_silence(Duration::from_millis(700)).await;
    member.consumer.start(&place, 640).await.unwrap();
    member.positions.insert(0, 640);
    // The member asserts that the first offset is 640 and none is left out.
    member.read(360).await;
    assert_eq!(member.reads[0].value, 640_u32.to_be_bytes());
}

async fn starting_again_moves_the_reader(subject: Subject) {
    subject.producer().send_all(numbered(1000)).await;
    let mut member = subject.member("group");
    member.read(1000).await;
    for offset in [100_u64, 990, 0] {
        member.reads.clear();
        member.positions.insert(0, offset);
        member.consumer.start(&subject.place(0), offset).await.unwrap();
        member.read(1000 - usize::try_from(offset).unwrap()).await;
        assert_eq!(member.reads[0].offset, offset);
    }
    member.expect_silence(Duration::from_millis(300)).await;
}

async fn a_start_outside_the_log_is_an_error(subject: Subject) {
    subject.producer().send_all(numbered(10)).await;
    let mut member = subject.member("group");
    member.wait_for_partitions(1).await;
    let place = subject.place(0);
    let result = member.consumer.start(&place, 11).await;
    let Err(LogError::OutOfRange { low, high, .. }) = result else {
        panic!("{result:?}");
    };
    assert_eq!((low, high), (0, 10));
    member.consumer.start(&place, 10).await.unwrap();
}

async fn an_assignment_tells_what_the_log_holds(subject: Subject) {
    subject.producer().send_all(numbered(10)).await;
    let mut member = subject.member("group");
    let ConsumerEvent::Assigned(assigned) = member.next().await else {
        panic!("the assignment comes first");
    };
    assert_eq!(assigned.len(), 1);
    let first = &assigned[0];
    assert_eq!((first.committed, first.low, first.high), (None, 0, 10));
    let place = first.topic_partition.clone();
    member.consumer.commit(&[(place.clone(), 4)]).await.unwrap();
    assert_eq!(member.consumer.bounds(&place).await.unwrap(), 0..10);
    member.consumer.close().await.unwrap();
    let mut member = subject.member("group");
    let ConsumerEvent::Assigned(assigned) = member.next().await else {
        panic!("the assignment comes first");
    };
    assert_eq!(assigned[0].committed, Some(4));
}

async fn a_waiting_reader_gets_new_records(subject: Subject) {
    let mut member = subject.member("group");
    member.wait_for_partitions(1).await;
    let mut sender = subject.producer();
    for round in 1..=20_usize {
        sender.send_all(numbered(1)).await;
        member.read(round).await;
    }
}

async fn a_reader_that_pauses_gets_everything_once(subject: Subject) {
    // 60 MB: more than any implementation may hold for a reader that does not read.
    let mut sender = subject.producer();
    let messages = (0..60_000_u32).map(|n| {
        let mut value = vec![0; 1000];
        value[..4].copy_from_slice(&n.to_be_bytes());
        (format!("device-{n}"), value)
    });
    sender.send_all(messages).await;
    let mut member = subject.member("group");
    member.read(1000).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    member.read(20_000).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The member asserts that no offset comes twice and none is left out.
    member.read(60_000).await;
    assert_eq!(member.reads.len(), 60_000);
    member.commit_all(&subject.topic).await;
    member.expect_silence(Duration::from_millis(300)).await;
}

async fn retention_moves_the_oldest_offset(subject: Subject) {
    let mut sender = subject.producer();
    for _ in 0..5 {
        sender.send_all(numbered(10)).await;
    }
    let mut member = subject.member("group");
    member.read(50).await;
    member.commit_all(&subject.topic).await;
    subject.remove_oldest().await;
    let place = subject.place(0);
    let bounds = member.consumer.bounds(&place).await.unwrap();
    assert!(bounds.start >= 10, "{bounds:?}");
    assert_eq!(bounds.end, 50, "offsets are never used again");
    let result = member.consumer.start(&place, 0).await;
    assert!(matches!(result, Err(LogError::OutOfRange { .. })), "{result:?}");
    member.reads.clear();
    member.positions.insert(0, bounds.start);
    member.consumer.start(&place, bounds.start).await.unwrap();
    member.read(usize::try_from(bounds.end - bounds.start).unwrap()).await;
}
