//! The canonical event as it lies in the log: JSON, version 1. Schema: `schemas/json/event.v1.schema.json`.
//!
//! Written by ingest only, so decoding is strict: what is not exactly this form is a rejection.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};

use crate::{
    DeliveryMark, Event, Metric, Motion, Position, Reason, Rejection,
    event::{Attributes, Metrics},
    limits::METRICS_PER_EVENT_MAX,
    name, replay, timestamp,
};

/// Topic of canonical events.
pub const EVENTS_TOPIC: &str = "meridian.events.v1";
/// Topic of refused messages.
pub const DEAD_LETTERS_TOPIC: &str = "meridian.dead-letters.v1";
/// Value of the header `content-type` of canonical events.
pub const EVENT_CONTENT_TYPE: &str = "application/json";
/// CloudEvents type of canonical events.
pub const EVENT_TYPE: &str = "meridian.event.v1";

/// The key of an event's record: all events of a device lie in one partition, in order.
#[must_use]
pub fn key(tenant: &str, device: &str) -> String {
    format!("{tenant}/{device}")
}

/// Appends the canonical form of an event.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &EventV1::from_event(event)).expect("writing to memory, and all keys are text");
}

/// Reads the canonical form back.
///
/// # Errors
/// [`Reason::InvalidRecord`] with what is wrong.
pub fn decode(value: &[u8]) -> Result<Event<'_>, Rejection> {
    let refused = |detail: String| Rejection::new(Reason::InvalidRecord, detail);
    // Checked as a whole, which is faster than text by text.
    let text = std::str::from_utf8(value).map_err(|error| refused(error.to_string()))?;
    let wire: EventV1<'_> = serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
    wire.into_event()
        .map_err(|detail| Rejection::new(Reason::InvalidRecord, detail))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventV1<'a> {
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    #[serde(borrow)]
    device: Cow<'a, str>,
    ts: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_ts: Option<i64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    ts_submilli_ns: u32,
    #[serde(default, skip_serializing_if = "is_false")]
    clock_suspect: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    ts_assigned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lat: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lon: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alt: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speed_mps: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heading_deg: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accuracy_m: Option<f64>,
    #[serde(borrow, default, skip_serializing_if = "Pairs::is_empty")]
    metrics: Pairs<'a>,
    #[serde(borrow, default, skip_serializing_if = "TextPairs::is_empty")]
    attributes: TextPairs<'a>,
    received_at: i64,
    #[serde(borrow)]
    broker: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryV1>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    replay_of: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeliveryV1 {
    packet_id: u16,
    redelivered: bool,
    run: u64,
    number: u64,
    index: u32,
}

// Serde hands the field by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

// Serde hands the field by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl<'a> EventV1<'a> {
    fn from_event(event: &Event<'a>) -> Self {
        Self {
            tenant: event.tenant.clone(),
            device: event.device.clone(),
            ts: event.ts_ms,
            device_ts: event.device_ts_ms,
            ts_submilli_ns: event.ts_submilli_ns,
            clock_suspect: event.clock_suspect(),
            ts_assigned: event.ts_assigned,
            seq: event.seq,
            lat: event.position.map(Position::latitude),
            lon: event.position.map(Position::longitude),
            alt: event.motion.altitude_m,
            speed_mps: event.motion.speed_mps,
            heading_deg: event.motion.heading_deg,
            accuracy_m: event.motion.accuracy_m,
            metrics: Pairs(event.metrics.clone()),
            attributes: TextPairs(event.attributes.clone()),
            received_at: event.received_at_ms,
            broker: event.broker.clone(),
            delivery: event.delivery.map(|mark| DeliveryV1 {
                packet_id: mark.packet_id,
                redelivered: mark.redelivered,
                run: mark.run,
                number: mark.number,
                index: mark.index,
            }),
            replay_of: event.replay_of.clone(),
        }
    }

    fn into_event(self) -> Result<Event<'a>, &'static str> {
        let position = match (self.lat, self.lon) {
            (None, None) => None,
            (Some(lat), Some(lon)) => Some(Position::from_degrees(lat, lon).ok_or("the position is out of range")?),
            _ => return Err("`lat` without `lon`, or the reverse"),
        };
        if !name::is_identifier(&self.tenant) || !name::is_identifier(&self.device) {
            return Err("`tenant` or `device` breaks the grammar");
        }
        if !timestamp::fits_a_bucket(self.ts) || !timestamp::fits_a_bucket(self.received_at) {
            return Err("`ts` or `received_at` is beyond the range of the rollups");
        }
        if self.metrics.0.is_empty() && position.is_none() {
            return Err("neither a metric nor a position");
        }
        if self.replay_of.as_deref().is_some_and(|id| !replay::is_letter_id(id)) {
            return Err("`replay_of` is no id of a dead letter");
        }
        let delivery = self.delivery.map(|mark| DeliveryMark {
            packet_id: mark.packet_id,
            redelivered: mark.redelivered,
            run: mark.run,
            number: mark.number,
            index: mark.index,
        });
        Ok(Event {
            tenant: self.tenant,
            device: self.device,
            ts_ms: self.ts,
            device_ts_ms: self.device_ts,
            ts_submilli_ns: self.ts_submilli_ns,
            seq: self.seq,
            position,
            motion: Motion {
                altitude_m: self.alt,
                speed_mps: self.speed_mps,
                heading_deg: self.heading_deg,
                accuracy_m: self.accuracy_m,
            },
            metrics: self.metrics.0,
            attributes: self.attributes.0,
            received_at_ms: self.received_at,
            broker: self.broker,
            ts_assigned: self.ts_assigned,
            delivery,
            replay_of: self.replay_of,
        })
    }
}

/// The `metrics` object, in order.
#[derive(Default)]
struct Pairs<'a>(Metrics<'a>);

impl Pairs<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for metric in &self.0 {
            map.serialize_entry(metric.name.as_ref(), &metric.value)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Pairs<'de>, A::Error> {
                let mut metrics = Metrics::new();
                while let Some(Text(name)) = entries.next_key()? {
                    let value: f64 = entries.next_value()?;
                    if !value.is_finite() || !crate::name::is_metric_name(&name) {
                        return Err(serde::de::Error::custom("a metric breaks the grammar or is not finite"));
                    }
                    if metrics.len() == METRICS_PER_EVENT_MAX {
                        return Err(serde::de::Error::custom("too many metrics"));
                    }
                    metrics.push(Metric { name, value });
                }
                Ok(Pairs(metrics))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// The `attributes` object, in order.
#[derive(Default)]
struct TextPairs<'a>(Attributes<'a>);

impl TextPairs<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for TextPairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TextPairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextPairsVisitor;
        impl<'de> Visitor<'de> for TextPairsVisitor {
            type Value = TextPairs<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<TextPairs<'de>, A::Error> {
                let mut pairs = Attributes::new();
                while let Some((Text(name), Text(value))) = entries.next_entry()? {
                    pairs.push((name, value));
                }
                Ok(TextPairs(pairs))
            }
        }
        deserializer.deserialize_map(TextPairsVisitor)
    }
}

/// Text, borrowed unless it has escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finite() -> impl Strategy<Value = f64> {
        proptest::num::f64::NORMAL | proptest::num::f64::ZERO
    }

    prop_compose! {
        fn any_motion()(altitude_m in proptest::option::of(finite()), speed_mps in proptest::option::of(finite()),
            heading_deg in proptest::option::of(finite()), accuracy_m in proptest::option::of(finite())) -> Motion {
            Motion { altitude_m, speed_mps, heading_deg, accuracy_m }
        }
    }

    prop_compose! {
        fn any_event()(
            tenant in "[A-Za-z0-9._:-]{1,20}", device in "[A-Za-z0-9._:-]{1,20}", ts_ms in 0..4_000_000_000_000i64,
            device_ts_ms in proptest::option::of(0..i64::MAX), seq in proptest::option::of(any::<u64>()),
            position in (-900_000_000..=900_000_000i32, -1_800_000_000..=1_800_000_000i32), located in any::<bool>(),
            motion in any_motion(), metrics in proptest::collection::btree_map("[A-Za-z_][A-Za-z0-9_.:/-]{0,9}", finite(), 1..6),
            attributes in proptest::collection::btree_map(".{0,9}", ".{0,20}", 0..3), broker in ".{0,9}",
            replay_of in proptest::option::of("[!-~]{1,20}"), ts_assigned in any::<bool>(), mark in proptest::option::of(any::<(u16, bool, u64, u64, u32)>()), ts_submilli_ns in 0..1_000_000u32,
        ) -> Event<'static> {
            Event {
                tenant: tenant.into(), device: device.into(), ts_ms, device_ts_ms, ts_submilli_ns, seq,
                position: located.then(|| Position::from_e7(position.0, position.1).expect("in range")), motion,
                metrics: metrics.into_iter().map(|(name, value)| Metric { name: name.into(), value }).collect(),
                attributes: attributes.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
                received_at_ms: ts_ms, broker: broker.into(), ts_assigned,
                delivery: mark.map(|(packet_id, redelivered, run, number, index)| DeliveryMark { packet_id, redelivered, run, number, index }),
                replay_of: replay_of.map(Into::into),
            }
        }
    }

    proptest! {
        #[test]
        fn every_event_survives_its_record(event in any_event()) {
            let mut bytes = Vec::new();
            encode(&event, &mut bytes);
            prop_assert!(decode(&bytes) == Ok(event));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn the_wire_form_is_the_promised_one() {
        let event = Event {
            tenant: "acme".into(),
            device: "bus-7".into(),
            ts_ms: 1_732_212_345_678,
            device_ts_ms: None,
            ts_submilli_ns: 0,
            seq: Some(42),
            position: Position::from_degrees(37.7749, -122.4194),
            motion: Motion {
                accuracy_m: Some(5.0),
                ..Motion::default()
            },
            metrics: [Metric {
                name: "temperature".into(),
                value: 21.5,
            }]
            .into_iter()
            .collect(),
            attributes: vec![("note".into(), "a \"b\"".into())],
            received_at_ms: 1_732_212_345_700,
            broker: "edge-1".into(),
            ts_assigned: false,
            delivery: None,
            replay_of: None,
        };
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        let golden = include_str!("../golden/event.v1.json");
        assert_eq!(String::from_utf8(bytes).expect("JSON is text"), golden.trim_end());
    }

    #[test]
    fn a_record_that_is_not_canonical_is_rejected() {
        for bad in [
            "",
            "{}",
            r#"{"tenant":"a"}"#,
            r#"{"tenant":"a","device":"b","ts":1,"metrics":{},"received_at":1,"broker":"x"}"#,
            r#"{"tenant":"a","device":"b","ts":-1,"metrics":{"m":1.0},"received_at":1,"broker":"x"}"#,
            r#"{"tenant":"a/b","device":"b","ts":1,"metrics":{"m":1.0},"received_at":1,"broker":"x"}"#,
            r#"{"tenant":"a","device":"b","ts":1,"lat":1.0,"metrics":{"m":1.0},"received_at":1,"broker":"x"}"#,
        ] {
            assert_eq!(
                decode(bad.as_bytes()).expect_err(bad).reason,
                Reason::InvalidRecord,
                "{bad}"
            );
        }
    }
}
