//! The faults that simulations ask for do what they say. What every log promises is in the contract suite.

use std::time::Duration;

use bytes::Bytes;

use super::{DeliveryFault, MemoryLog};
use crate::{
    Consumer as _, ConsumerEvent, Delivery, DeliveryFailure, Headers, LogError, MemberId, Message, PartitionId,
    Producer as _, ProducerLimits, Subscription, Token, TopicPartition, TopicSpec,
};

fn log() -> MemoryLog {
    let log = MemoryLog::new();
    log.ensure_topics(&[TopicSpec::new("events", 2)]).unwrap();
    log
}

fn place(partition: u16) -> TopicPartition {
    TopicPartition {
        topic: "events".into(),
        partition: PartitionId(partition),
    }
}

fn message(token: u64) -> Message {
    Message {
        topic: "events".into(),
        key: Bytes::from_static(b"device"),
        value: Bytes::from(token.to_be_bytes().to_vec()),
        headers: Vec::new(),
        timestamp_ms: 1,
        token: Token(token),
    }
}

fn subscription() -> Subscription {
    Subscription {
        group: "group".into(),
        topics: vec![("events".into(), Headers::Skip)],
    }
}

fn stored(log: &MemoryLog) -> usize {
    let partitions = (0..2).map(|partition| log.records(&place(partition)).unwrap().len());
    partitions.sum()
}

#[test]
fn ambiguous_messages_are_stored_or_not_as_asked() {
    let log = log();
    let (producer, mut deliveries) = log.producer(ProducerLimits::default());
    log.fail_next(1, DeliveryFault::AmbiguousStored);
    log.fail_next(1, DeliveryFault::AmbiguousLost);
    log.fail_next(1, DeliveryFault::Refused);
    let mut stored_after = Vec::new();
    for token in 0..4 {
        producer.send(message(token)).unwrap();
        stored_after.push(stored(&log));
    }
    assert_eq!(stored_after, [1, 1, 1, 2]);
    let mut results = Vec::new();
    while let Ok(batch) = deliveries.try_recv() {
        results.extend(batch.into_iter().map(|Delivery { result, .. }| result));
    }
    use DeliveryFailure::{Ambiguous, Refused};
    assert!(
        matches!(
            &results[..],
            [Err(Ambiguous(_)), Err(Ambiguous(_)), Err(Refused(_)), Ok(_)]
        ),
        "{results:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn held_reports_come_when_they_are_let_go() {
    let log = log();
    let (producer, mut deliveries) = log.producer(ProducerLimits::default());
    log.hold_deliveries();
    for token in 0..3 {
        producer.send(message(token)).unwrap();
    }
    assert!(deliveries.try_recv().is_err());
    let flushed = producer.flush(Duration::from_secs(1)).await;
    assert!(matches!(flushed, Err(LogError::Unavailable { .. })));
    assert_eq!(log.release_deliveries(2), 2);
    assert_eq!(deliveries.try_recv().unwrap()[0].token, Token(0));
    assert_eq!(deliveries.try_recv().unwrap()[0].token, Token(1));
    assert!(deliveries.try_recv().is_err());
    log.resume_deliveries();
    assert_eq!(deliveries.try_recv().unwrap()[0].token, Token(2));
    producer.flush(Duration::ZERO).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_overtaken_by_truncation_is_told_and_may_go_on() {
    let log = log();
    let (producer, _deliveries) = log.producer(ProducerLimits::default());
    for token in 0..20 {
        producer.send(message(token)).unwrap();
    }
    let mut consumer = log.consumer(subscription());
    let ConsumerEvent::Assigned(assigned) = consumer.next().await.unwrap() else {
        panic!("the assignment comes first");
    };
    let full = assigned.iter().find(|one| one.high == 20).unwrap();
    let place = full.topic_partition.clone();
    consumer.start(&place, 0).await.unwrap();
    log.truncate_before(&place, 5);
    let overtaken = consumer.next().await;
    let Err(LogError::OutOfRange { offset, low, .. }) = overtaken else {
        panic!("{overtaken:?}");
    };
    assert_eq!((offset, low), (0, 5));
    consumer.start(&place, low).await.unwrap();
    let ConsumerEvent::Records(batch) = consumer.next().await.unwrap() else {
        panic!("records from the oldest on");
    };
    assert_eq!(batch.iter().next().unwrap().offset, 5);
}

#[tokio::test(start_paused = true)]
async fn an_expelled_member_hears_of_its_loss_and_its_commits_are_fenced() {
    let log = log();
    let mut zombie = log.consumer(subscription());
    let event = zombie.next().await.unwrap();
    assert!(matches!(event, ConsumerEvent::Assigned(ref all) if all.len() == 2));
    let mut heir = log.consumer(subscription());
    log.expel("group", MemberId(0));
    let fenced = zombie.commit(&[(place(0), 1)]).await;
    assert!(matches!(fenced, Err(LogError::Fenced { .. })), "{fenced:?}");
    let event = heir.next().await.unwrap();
    assert!(matches!(event, ConsumerEvent::Assigned(ref all) if all.len() == 2));
    heir.commit(&[(place(0), 3)]).await.unwrap();
    let ConsumerEvent::Revoked(revocation) = zombie.next().await.unwrap() else {
        panic!("the loss comes first");
    };
    assert!(revocation.lost);
    assert_eq!(revocation.partitions.len(), 2);
    // It has heard, so it takes its share again once the heir lets go.
    let ConsumerEvent::Revoked(revocation) = heir.next().await.unwrap() else {
        panic!("the zombie is a member again");
    };
    drop(revocation);
    let event = zombie.next().await.unwrap();
    assert!(matches!(event, ConsumerEvent::Assigned(ref all) if all.len() == 1));
    assert_eq!(log.committed("group", &place(0)), Some(3));
}

#[tokio::test(start_paused = true)]
async fn partitions_move_by_hand() {
    let log = log();
    let mut first = log.consumer(subscription());
    let mut second = log.consumer(subscription());
    first.next().await.unwrap();
    log.pin("group", &place(0), Some(MemberId(1)));
    log.pin("group", &place(1), Some(MemberId(1)));
    let mut owned = 0;
    while owned < 2 {
        tokio::select! {
            // Dropping the revocation lets go.
            event = first.next() => assert!(matches!(event.unwrap(), ConsumerEvent::Revoked(_))),
            event = second.next() => match event.unwrap() {
                ConsumerEvent::Assigned(all) => owned += all.len(),
                other => panic!("{other:?}"),
            },
        }
    }
    log.unpin("group", &place(0));
    log.unpin("group", &place(1));
    let ConsumerEvent::Revoked(revocation) = second.next().await.unwrap() else {
        panic!("the balance returns");
    };
    assert_eq!(revocation.partitions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_log_neither_commits_nor_delivers() {
    let log = log();
    let mut consumer = log.consumer(subscription());
    consumer.next().await.unwrap();
    consumer.start(&place(0), 0).await.unwrap();
    consumer.start(&place(1), 0).await.unwrap();
    log.set_unavailable(true);
    let (producer, mut deliveries) = log.producer(ProducerLimits::default());
    producer.send(message(0)).unwrap();
    assert!(deliveries.try_recv().is_err());
    let commit = consumer.commit(&[(place(0), 0)]).await;
    assert!(matches!(commit, Err(LogError::Unavailable { .. })));
    let next = tokio::time::timeout(Duration::from_secs(5), consumer.next()).await;
    assert!(next.is_err(), "{next:?}");
    log.set_unavailable(false);
    assert!(deliveries.try_recv().is_ok());
    let event = consumer.next().await.unwrap();
    assert!(matches!(event, ConsumerEvent::Records(_)), "{event:?}");
}
