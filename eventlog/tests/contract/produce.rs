//! What a producer promises.

use std::{collections::BTreeMap, time::Duration};

use eventlog::{DeliveryFailure, LogError, ProducerLimits, SendError, TopicSpec, partitioner};

use crate::subject::{PATIENCE, Subject};

crate::contract! {
    each_message_is_reported_once_and_lies_where_the_report_says(4);
    messages_of_one_key_stay_in_order(4);
    partitions_are_chosen_as_java_clients_do(7);
    a_full_queue_gives_the_message_back(1);
    a_message_too_large_is_refused_and_its_neighbours_are_not(1);
    flush_waits_for_all_reports(4);
    a_topic_is_created_once_and_keeps_its_partitions(3);
}

async fn each_message_is_reported_once_and_lies_where_the_report_says(subject: Subject) {
    let mut sender = subject.producer();
    let messages = (0..5000_u32).map(|n| (format!("device-{}", n % 50), n.to_be_bytes().to_vec()));
    let positions = sender.send_all(messages).await;
    let mut member = subject.member("group");
    member.read(5000).await;
    let stored: BTreeMap<(u16, u64), Vec<u8>> = member
        .reads
        .iter()
        .map(|read| ((read.partition, read.offset), read.value.clone()))
        .collect();
    assert_eq!(stored.len(), 5000, "each stored once");
    for (token, position) in positions {
        let value = &stored[&(position.partition.0, position.offset)];
        let number = u32::from_be_bytes(value[..].try_into().unwrap());
        assert_eq!(u64::from(number), token);
    }
}

async fn messages_of_one_key_stay_in_order(subject: Subject) {
    let mut sender = subject.producer();
    let messages = (0..5000_u32).map(|n| (format!("device-{}", n % 7), n.to_be_bytes().to_vec()));
    sender.send_all(messages).await;
    let mut member = subject.member("group");
    member.read(5000).await;
    let mut last = BTreeMap::<Vec<u8>, (u16, u32)>::new();
    for read in member.reads {
        let number = u32::from_be_bytes(read.value[..].try_into().unwrap());
        if let Some((partition, before)) = last.insert(read.key, (read.partition, number)) {
            assert_eq!(partition, read.partition, "a key keeps its partition");
            assert!(before < number, "{before} came before {number}");
        }
    }
    assert_eq!(last.len(), 7);
}

async fn partitions_are_chosen_as_java_clients_do(subject: Subject) {
    let mut sender = subject.producer();
    let keys: Vec<String> = (0..200).map(|n| format!("tenant/device-{n}")).collect();
    let messages = keys.iter().map(|key| (key.clone(), vec![1]));
    let positions = sender.send_all(messages).await;
    for (key, position) in keys.iter().zip(positions.values()) {
        let expected = partitioner::partition_of(key.as_bytes(), 7);
        assert_eq!(position.partition, expected, "{key}");
    }
}

async fn a_full_queue_gives_the_message_back(subject: Subject) {
    let mut sender = subject.producer_with(ProducerLimits {
        queue_messages_max: 100,
        queue_bytes_max: 1 << 20,
    });
    // Nobody reads the reports, so the queue must fill up, however fast the log is.
    let mut accepted = 0_usize;
    let mut returned = loop {
        let message = sender.message("device", vec![7; 100]);
        let token = message.token;
        match sender.producer.send(message) {
            Ok(()) => accepted += 1,
            Err(SendError::Full(message)) => {
                assert_eq!(message.token, token, "the same message comes back");
                break message;
            }
            Err(SendError::Fatal(error)) => panic!("{error}"),
        }
        assert!(accepted < 1_000_000, "the queue is bounded");
    };
    assert!(accepted >= 100, "{accepted} were accepted");
    let mut reported = 0;
    loop {
        match sender.producer.send(returned) {
            Ok(()) => break,
            Err(SendError::Full(message)) => returned = message,
            Err(SendError::Fatal(error)) => panic!("{error}"),
        }
        let batch = tokio::time::timeout(PATIENCE, sender.deliveries.recv()).await;
        reported += batch.expect("a report in time").unwrap().len();
    }
    while reported < accepted + 1 {
        let batch = tokio::time::timeout(PATIENCE, sender.deliveries.recv()).await;
        reported += batch.expect("a report in time").unwrap().len();
    }
    assert_eq!(reported, accepted + 1);
}

async fn a_message_too_large_is_refused_and_its_neighbours_are_not(subject: Subject) {
    let mut sender = subject.producer();
    let sizes = [10, 3 << 20, 20];
    for size in sizes {
        let message = sender.message("device", vec![1; size]);
        let sent = sender.producer.send(message);
        assert!(sent.is_ok(), "{sent:?}");
    }
    let mut results = BTreeMap::new();
    while results.len() < sizes.len() {
        let batch = tokio::time::timeout(PATIENCE, sender.deliveries.recv()).await;
        for delivery in batch.expect("a report in time").unwrap() {
            results.insert(delivery.token.0, delivery.result);
        }
    }
    assert!(results[&0].is_ok(), "{:?}", results[&0]);
    assert!(
        matches!(results[&1], Err(DeliveryFailure::Refused(_))),
        "{:?}",
        results[&1]
    );
    assert!(results[&2].is_ok(), "{:?}", results[&2]);
}

async fn flush_waits_for_all_reports(subject: Subject) {
    let mut sender = subject.producer();
    for n in 0..1000 {
        let message = sender.message(&format!("device-{n}"), vec![1; 100]);
        assert!(sender.producer.send(message).is_ok());
    }
    sender.producer.flush(PATIENCE).await.unwrap();
    let mut reported = 0;
    while let Ok(batch) = sender.deliveries.try_recv() {
        reported += batch.len();
    }
    assert_eq!(reported, 1000);
    sender.producer.flush(Duration::ZERO).await.unwrap();
}

async fn a_topic_is_created_once_and_keeps_its_partitions(subject: Subject) {
    let mut spec = TopicSpec::new(&subject.topic, 3);
    spec.retention_ms = Some(3_600_000);
    subject.log.ensure_topics(&[spec.clone()]).await.unwrap();
    spec.partitions = 4;
    let refused = subject.log.ensure_topics(&[spec]).await;
    let Err(LogError::Config { what, reason }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(what, *subject.topic);
    assert!(reason.contains('3') && reason.contains('4'), "{reason}");
}
