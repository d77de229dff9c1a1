//! The JSON wire format of devices: one object, or an array of them.
//!
//! Objects are read in one pass without an intermediate tree. A broken rule ends the pass at once; its reason leaves
//! through [`Verdict`], since a parser's own error carries only text.

use std::{borrow::Cow, cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{
    metrics::{MetricsSeed, add_metric},
    value::{Value, ValueSeed},
};
use crate::{
    Motion, Position, Reading, Reason, Rejection,
    limits::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_PER_EVENT_MAX, EVENTS_PER_BATCH_MAX},
    timestamp::{self, WrittenTime},
};

/// The readings of one message, in order.
///
/// # Errors
/// The first rule that the message breaks. A batch is refused as a whole, so that it is one dead letter.
pub fn decode(payload: &[u8]) -> Result<Vec<Reading<'_>>, Rejection> {
    let verdict = Verdict::default();
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let decoded = MessageSeed(&verdict)
        .deserialize(&mut deserializer)
        .and_then(|readings| deserializer.end().map(|()| readings));
    decoded.map_err(|error| verdict.0.take().unwrap_or_else(|| syntax_rejection(payload, &error)))
}

/// The rule that ended the pass.
#[derive(Default)]
pub(super) struct Verdict(RefCell<Option<Rejection>>);

impl Verdict {
    pub(super) fn reject<E: Error>(&self, reason: Reason, detail: impl Into<String>) -> E {
        let rejection = Rejection::new(reason, detail);
        let error = E::custom(&rejection);
        *self.0.borrow_mut() = Some(rejection);
        error
    }
}

/// Tells numbers that JSON cannot write from plain syntax errors.
fn syntax_rejection(payload: &[u8], error: &serde_json::Error) -> Rejection {
    if payload.is_empty() {
        return Rejection::new(Reason::InvalidJson, "the payload is empty");
    }
    let at = byte_index(payload, error.line(), error.column()).saturating_sub(2);
    let around = &payload[at..payload.len().min(at + 12)];
    let names_no_number = [b"NaN".as_slice(), b"nan", b"Inf", b"inf"]
        .iter()
        .any(|word| around.windows(word.len()).any(|window| window == *word));
    let reason = if names_no_number || error.to_string().starts_with("number out of range") {
        Reason::NonFiniteNumber
    } else {
        Reason::InvalidJson
    };
    Rejection::new(reason, error.to_string())
}

fn byte_index(payload: &[u8], line: usize, column: usize) -> usize {
    let line_start = match line.checked_sub(2) {
        Some(breaks_before) => payload
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .nth(breaks_before)
            .map_or(0, |(index, _)| index + 1),
        None => 0,
    };
    (line_start + column.saturating_sub(1)).min(payload.len())
}

struct MessageSeed<'v>(&'v Verdict);

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = Vec<Reading<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl MessageSeed<'_> {
    fn not_an_object<E: Error>(&self, what: &str) -> E {
        let detail = format!("a message is an object or an array of objects, not {what}");
        self.0.reject(Reason::NotAnObject, detail)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = Vec<Reading<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        read_event(self.0, entries).map(|reading| vec![reading])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut readings = Vec::new();
        while let Some(reading) = items.next_element_seed(EventSeed(self.0))? {
            if readings.len() == EVENTS_PER_BATCH_MAX {
                let detail = format!("more than {EVENTS_PER_BATCH_MAX} events in one message");
                return Err(self.0.reject(Reason::BatchTooLarge, detail));
            }
            readings.push(reading);
        }
        if readings.is_empty() {
            return Err(self.0.reject(Reason::NoData, "the batch is empty"));
        }
        Ok(readings)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Err(self.not_an_object("null"))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(self.not_an_object("a boolean"))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(self.not_an_object("a number"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(self.not_an_object("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(self.not_an_object("a number"))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(self.not_an_object("text"))
    }
}

/// An element of a batch: anything but an object is refused.
struct EventSeed<'v>(&'v Verdict);

impl<'de> DeserializeSeed<'de> for EventSeed<'_> {
    type Value = Reading<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Reading<'de>, D::Error> {
        let verdict = self.0;
        deserializer.deserialize_map(self).map_err(|error| {
            // A parser that met another kind of value says so itself; name the rule unless one was named already.
            if verdict.0.borrow().is_none() && error.to_string().starts_with("invalid type") {
                return verdict.reject(Reason::NotAnObject, format!("an element of the batch: {error}"));
            }
            error
        })
    }
}

impl<'de> Visitor<'de> for EventSeed<'_> {
    type Value = Reading<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Reading<'de>, A::Error> {
        read_event(self.0, entries)
    }
}

/// What was read of an event so far; position and metrics are judged when all fields are in.
#[derive(Default)]
struct Draft<'de> {
    reading: Reading<'de>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

fn read_event<'de, A: MapAccess<'de>>(verdict: &Verdict, mut entries: A) -> Result<Reading<'de>, A::Error> {
    let mut draft = Draft::default();
    let value_seed = || ValueSeed { verdict, depth: 1 };
    while let Some(Key(key)) = entries.next_key::<Key<'de>>()? {
        if key == "metrics" {
            entries.next_value_seed(MetricsSeed {
                verdict,
                depth: 1,
                prefix: "",
                metrics: &mut draft.reading.metrics,
            })?;
            continue;
        }
        let value = entries.next_value_seed(value_seed())?;
        read_field(verdict, &mut draft, key, value)?;
    }
    finish(verdict, draft)
}

fn read_field<'de, E: Error>(
    verdict: &Verdict,
    draft: &mut Draft<'de>,
    key: Cow<'de, str>,
    value: Value<'de>,
) -> Result<(), E> {
    let motion: &mut Motion = &mut draft.reading.motion;
    let number_field = match key.as_ref() {
        "ts" => {
            let time = read_timestamp(verdict, value)?;
            draft.reading.claimed_ts_ms = time.map(|time| time.ms);
            draft.reading.claimed_submilli_ns = time.map_or(0, |time| time.submilli_ns);
            return Ok(());
        }
        "seq" => {
            draft.reading.seq = read_sequence(verdict, &value)?;
            return Ok(());
        }
        "lat" => &mut draft.latitude,
        "lon" => &mut draft.longitude,
        "alt" => &mut motion.altitude_m,
        "speed_mps" => &mut motion.speed_mps,
        "heading_deg" => &mut motion.heading_deg,
        "accuracy_m" => &mut motion.accuracy_m,
        _ => return read_free_field(verdict, &mut draft.reading, key, value),
    };
    *number_field = match value {
        Value::Null => None,
        value => match value.as_number() {
            Some(number) if (number as f32).is_finite() => Some(number),
            Some(number) => {
                let detail = format!("`{key}` is {number}, more than can be stored");
                return Err(verdict.reject(Reason::InvalidField, detail));
            }
            None => {
                let detail = format!("`{key}` is {}, not a number", value.kind());
                return Err(verdict.reject(Reason::InvalidField, detail));
            }
        },
    };
    Ok(())
}

/// A field that the format does not name: numbers are metrics, texts are attributes, the rest is left out.
fn read_free_field<'de, E: Error>(
    verdict: &Verdict,
    reading: &mut Reading<'de>,
    key: Cow<'de, str>,
    value: Value<'de>,
) -> Result<(), E> {
    if let Some(measurement) = value.as_measurement() {
        return add_metric(verdict, &mut reading.metrics, key, measurement);
    }
    if let Value::Text(text) = value
        && reading.attributes.len() < ATTRIBUTES_PER_EVENT_MAX
    {
        reading.attributes.push((key, cut_text(text)));
    }
    Ok(())
}

fn cut_text(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= ATTRIBUTE_BYTES_MAX {
        return text;
    }
    let end = text.floor_char_boundary(ATTRIBUTE_BYTES_MAX);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

fn read_timestamp<E: Error>(verdict: &Verdict, value: Value<'_>) -> Result<Option<WrittenTime>, E> {
    let time = match &value {
        Value::Null => return Ok(None),
        Value::Unsigned(integer) => i64::try_from(*integer).ok().and_then(timestamp::from_integer),
        Value::Text(text) => timestamp::from_rfc3339(text),
        _ => None,
    };
    time.map(Some).ok_or_else(|| {
        let detail = match &value {
            Value::Unsigned(integer) => format!("`ts` {integer} is beyond any time that can be stored"),
            Value::Text(text) => format!("`ts` \"{text}\" is not RFC 3339 with an offset, or before 1970"),
            other => format!("`ts` is {}, not an integer since 1970 nor RFC 3339 text", other.kind()),
        };
        verdict.reject(Reason::InvalidTimestamp, detail)
    })
}

fn read_sequence<E: Error>(verdict: &Verdict, value: &Value<'_>) -> Result<Option<u64>, E> {
    match value {
        Value::Null => Ok(None),
        Value::Unsigned(seq) => Ok(Some(*seq)),
        _ => Err(verdict.reject(Reason::InvalidSequence, "`seq` is not an unsigned integer of 64 bits")),
    }
}

fn finish<'de, E: Error>(verdict: &Verdict, draft: Draft<'de>) -> Result<Reading<'de>, E> {
    let mut reading = draft.reading;
    reading.position = match (draft.latitude, draft.longitude) {
        (None, None) => None,
        (Some(latitude), Some(longitude)) => {
            if latitude.abs() > 90.0 {
                let detail = format!("`lat` {latitude} is beyond 90 degrees");
                return Err(verdict.reject(Reason::LatitudeOutOfRange, detail));
            }
            if longitude.abs() > 180.0 {
                let detail = format!("`lon` {longitude} is beyond 180 degrees");
                return Err(verdict.reject(Reason::LongitudeOutOfRange, detail));
            }
            Position::from_degrees(latitude, longitude)
        }
        _ => {
            let detail = "`lat` and `lon` come together or not at all";
            return Err(verdict.reject(Reason::IncompletePosition, detail));
        }
    };
    if reading.metrics.is_empty() && reading.position.is_none() {
        return Err(verdict.reject(Reason::NoData, "the event has neither a metric nor a position"));
    }
    Ok(reading)
}

/// A key, borrowed unless it has escapes.
pub(super) struct Key<'de>(pub(super) Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
