//! From message to records: every good shape becomes events, every bad one exactly one dead letter.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use schemas::{Reason, record, topic::TopicPattern};

use super::*;
use crate::{
    config::Filter,
    message::{Epoch, Publish, Qos},
};

fn rules() -> Rules {
    let route = Route {
        filter: Filter("telemetry/+/+".into()),
        topic: TopicPattern::parse("telemetry/{tenant}/{device}").unwrap(),
        format: PayloadFormat::Json,
    };
    Rules {
        routes: Arc::new([route]),
        payload_bytes_max: 1000,
        future_skew_ms_max: 60_000,
        record_bytes_max: 100_000,
    }
}

fn received(topic: &[u8], payload: &[u8]) -> Received {
    Received {
        publish: Publish {
            topic: Bytes::copy_from_slice(topic),
            payload: Bytes::copy_from_slice(payload),
            packet_id: 9,
            qos: Qos::AtLeastOnce,
            redelivered: false,
            replay: None,
        },
        payload_bytes: payload.len(),
        epoch: Epoch(1),
        number: 3,
        number_on_connection: 2,
        received_at_ms: 1_700_000_000_000,
        received_at: Duration::ZERO,
    }
}

fn decode(messages: &[(&[u8], &[u8])]) -> DecodedBatch {
    let (rules, stamp) = (rules(), Stamp::new("edge", "client", "run", 100_000));
    let mut batch = Batch::new(&rules, &stamp);
    for (topic, payload) in messages {
        batch.add(received(topic, payload));
    }
    batch.finish()
}

const TOPIC: &[u8] = b"telemetry/acme/bus-7";

#[test]
fn a_message_becomes_a_record_with_its_device_as_key() {
    let batch = decode(&[(TOPIC, br#"{"temperature": 21.5}"#)]);
    let record = &batch.records[0];
    assert_eq!((&record.key[..], &record.id[..]), (&b"acme/bus-7"[..], &b"run-3-0"[..]));
    assert_eq!(record.timestamp_ms, 1_700_000_000_000);
    let event = record::decode(&record.value).unwrap();
    assert_eq!((&*event.broker, event.metrics[0].value), ("edge", 21.5));
    assert_eq!(event.delivery.map(|mark| (mark.packet_id, mark.number)), Some((9, 2)));
}

#[test]
fn a_batch_message_becomes_one_record_per_event_in_order() {
    let batch = decode(&[(TOPIC, br#"[{"a":1,"seq":1},{"a":2,"seq":2},{"a":3,"seq":3}]"#)]);
    assert_eq!(batch.messages[0].record_count, 3);
    let seqs: Vec<_> = batch
        .records
        .iter()
        .map(|record| record::decode(&record.value).unwrap().seq)
        .collect();
    assert_eq!(seqs, [Some(1), Some(2), Some(3)]);
    assert_eq!(&batch.records[2].id[..], b"run-3-2");
}

#[test]
fn a_bad_message_becomes_one_dead_letter_and_its_neighbours_stay_whole() {
    let good = br#"{"a":1}"#;
    let batch = decode(&[(TOPIC, good), (TOPIC, br#"[{"a":1},{"a":"#), (TOPIC, good)]);
    let counts: Vec<_> = batch
        .messages
        .iter()
        .map(|message| (message.record_count, message.rejected))
        .collect();
    assert_eq!(counts, [(1, None), (1, Some(Reason::InvalidJson)), (1, None)]);
    assert_eq!(&batch.records[1].value[..], br#"[{"a":1},{"a":"#);
    assert!(record::decode(&batch.records[0].value).is_ok() && record::decode(&batch.records[2].value).is_ok());
}

fn check_rejected(topic: &[u8], payload: &[u8], expected: Reason) {
    let batch = decode(&[(topic, payload)]);
    assert_eq!(batch.messages[0].rejected, Some(expected));
    assert_eq!(batch.records.len(), 1);
    assert!(batch.records[0].is_dead_letter());
}

#[test]
fn topics_that_no_route_reads_are_dead_letters() {
    check_rejected(b"telemetry/acme", b"{}", Reason::InvalidTopic);
    check_rejected(b"telemetry//bus", br#"{"a":1}"#, Reason::InvalidTopic);
    check_rejected(b"telemetry/acme/b us", br#"{"a":1}"#, Reason::InvalidTopic);
    check_rejected(b"telemetry/acme/\xff", br#"{"a":1}"#, Reason::InvalidTopic);
}

#[test]
fn payloads_over_the_bound_are_dead_letters_without_being_decoded() {
    check_rejected(TOPIC, &[b' '; 1001], Reason::PayloadTooLarge);
}

#[test]
fn an_event_that_no_record_can_hold_is_a_dead_letter() {
    let (mut rules, stamp) = (rules(), Stamp::new("edge", "client", "run", 300));
    rules.record_bytes_max = 300;
    let mut batch = Batch::new(&rules, &stamp);
    batch.add(received(
        TOPIC,
        format!(r#"{{"a":1,"name":"{}"}}"#, "x".repeat(300)).as_bytes(),
    ));
    assert_eq!(batch.finish().messages[0].rejected, Some(Reason::RecordRefused));
}
