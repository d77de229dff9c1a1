//! What must hold for any bytes whatever: used by the fuzz targets, and by the tests that replay their corpus. A check
//! panics when its promise is broken, and never for any other reason.

// Each user needs one of the two.
#![allow(dead_code)]

use schemas::{DeliveryMark, Event, Reading, Reason, Receipt, Rejection, limits, payload, record};

/// Reasons that a payload alone cannot give.
const NOT_OF_A_PAYLOAD: [Reason; 5] = [
    Reason::InvalidTopic,
    Reason::PayloadTooLarge,
    Reason::InvalidRecord,
    Reason::RecordRefused,
    Reason::RowRefused,
];

const RECEIVED_AT_MS: i64 = 1_732_212_345_678;

/// A payload is either refused for a reason that users know, or each of its events survives its record.
pub(crate) fn payload(bytes: &[u8]) {
    match payload::decode_json(bytes) {
        Ok(readings) => {
            assert!((1..=limits::EVENTS_PER_BATCH_MAX).contains(&readings.len()));
            for (index, reading) in (0..).zip(readings) {
                event(reading, index);
            }
        }
        Err(rejection) => {
            known(&rejection);
            assert!(!NOT_OF_A_PAYLOAD.contains(&rejection.reason), "{rejection}");
        }
    }
}

/// A record is refused as one, or what was read of it survives being written again.
pub(crate) fn record(bytes: &[u8]) {
    match record::decode(bytes) {
        Ok(event) => survives(&event),
        Err(rejection) => {
            known(&rejection);
            assert_eq!(rejection.reason, Reason::InvalidRecord, "{rejection}");
        }
    }
}

fn event(reading: Reading<'_>, index: u32) {
    assert!(!reading.metrics.is_empty() || reading.position.is_some());
    assert!(reading.metrics.len() <= limits::METRICS_PER_EVENT_MAX);
    let receipt = Receipt {
        tenant: "acme",
        device: "bus-7",
        broker: "edge-1",
        received_at_ms: RECEIVED_AT_MS,
        delivery: DeliveryMark {
            packet_id: 7,
            redelivered: false,
            run: 1,
            number: 1,
            index,
        },
        replay: None,
    };
    let event = Event::new(reading, receipt, limits::FUTURE_SKEW_MS_MAX_DEFAULT);
    assert!(event.ts_ms <= RECEIVED_AT_MS + limits::FUTURE_SKEW_MS_MAX_DEFAULT);
    survives(&event);
}

fn survives(event: &Event<'_>) {
    let mut bytes = Vec::new();
    record::encode(event, &mut bytes);
    let read = record::decode(&bytes).unwrap_or_else(|rejection| panic!("{rejection} in {bytes:?}"));
    assert_eq!(&read, event);
}

fn known(rejection: &Rejection) {
    assert_eq!(Reason::from_text(rejection.reason.as_str()), Some(rejection.reason));
    assert!(
        rejection.detail.chars().count() <= limits::DETAIL_CHARS_MAX,
        "{rejection}"
    );
}
