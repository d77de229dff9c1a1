//! Every kind of poison is refused for the reason it claims.

use std::collections::BTreeSet;

use schemas::{payload::decode_json, topic::TopicPattern};

use super::*;

/// The reason that an honest pipeline would find: topic first, then size, then content.
fn reason_of(message: &Message) -> Option<Reason> {
    let pattern = TopicPattern::parse("telemetry/{tenant}/{device}").unwrap();
    let text = std::str::from_utf8(&message.topic).unwrap();
    if let Err(rejection) = pattern.read(text).expect("every topic has the shape of the route") {
        return Some(rejection.reason);
    }
    if message.payload.len() > PAYLOAD_BYTES_MAX_DEFAULT {
        return Some(Reason::PayloadTooLarge);
    }
    decode_json(&message.payload).err().map(|rejection| rejection.reason)
}

#[test]
fn every_kind_is_refused_for_the_reason_it_claims() {
    for kind in PoisonKind::ALL {
        let message = kind.message("acme", "bus-7", 42);
        assert_eq!(reason_of(&message), Some(kind.reason()), "{kind:?}");
    }
}

#[test]
fn every_reason_that_a_device_can_cause_has_a_kind() {
    let covered: BTreeSet<Reason> = PoisonKind::ALL.into_iter().map(PoisonKind::reason).collect();
    let missing: Vec<Reason> = Reason::ALL
        .into_iter()
        .filter(|reason| !covered.contains(reason))
        .collect();
    assert_eq!(
        missing,
        [Reason::InvalidRecord, Reason::RecordRefused, Reason::RowRefused]
    );
}

#[test]
fn no_two_messages_are_equal() {
    for kind in PoisonKind::ALL {
        let (one, other) = (kind.message("acme", "bus", 1), kind.message("acme", "bus", 2));
        assert_ne!(one.payload, other.payload, "{kind:?}");
    }
}
