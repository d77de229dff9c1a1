//! Messages that no pipeline may take: one kind for each rule that a device can break.
//!
//! Every message carries a mark, so that no two are equal and none can be taken for a good one.

use bytes::Bytes;
use schemas::{
    Reason,
    limits::{EVENTS_PER_BATCH_MAX, METRICS_PER_EVENT_MAX, NESTING_MAX, PAYLOAD_BYTES_MAX_DEFAULT},
};

use crate::message::{Kind, Message, topic};

/// Which rule a message breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PoisonKind {
    /// JSON that ends in the middle.
    CutJson,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A number instead of an object.
    BareNumber,
    /// `NaN` as a value.
    NotANumber,
    /// An infinity as a value.
    Infinite,
    /// A number beyond the range of a double.
    BeyondDouble,
    /// Latitude beyond 90 degrees.
    Latitude,
    /// Longitude beyond 180 degrees.
    Longitude,
    /// Latitude without longitude.
    HalfPosition,
    /// Neither metric nor position.
    NoData,
    /// One container too deep.
    TooDeep,
    /// One metric too many.
    TooManyMetrics,
    /// One event too many in a batch.
    BatchTooLarge,
    /// One bad event among good ones in a batch: the whole message is bad.
    BadEventInBatch,
    /// A time that is none.
    Timestamp,
    /// A negative sequence number.
    Sequence,
    /// A latitude that is text.
    Field,
    /// A metric name with a space.
    MetricName,
    /// A metric that is text.
    MetricValue,
    /// More bytes than a payload may have.
    TooLarge,
    /// A topic with an empty tenant.
    MissingTenant,
    /// A topic with an empty device.
    MissingDevice,
    /// A device name with a character that is not allowed.
    ForbiddenName,
}

impl PoisonKind {
    /// All kinds.
    pub const ALL: [Self; 23] = [
        Self::CutJson,
        Self::NotUtf8,
        Self::BareNumber,
        Self::NotANumber,
        Self::Infinite,
        Self::BeyondDouble,
        Self::Latitude,
        Self::Longitude,
        Self::HalfPosition,
        Self::NoData,
        Self::TooDeep,
        Self::TooManyMetrics,
        Self::BatchTooLarge,
        Self::BadEventInBatch,
        Self::Timestamp,
        Self::Sequence,
        Self::Field,
        Self::MetricName,
        Self::MetricValue,
        Self::TooLarge,
        Self::MissingTenant,
        Self::MissingDevice,
        Self::ForbiddenName,
    ];

    /// The reason that its dead letter must carry.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::CutJson | Self::NotUtf8 => Reason::InvalidJson,
            Self::BareNumber => Reason::NotAnObject,
            Self::NotANumber | Self::Infinite | Self::BeyondDouble => Reason::NonFiniteNumber,
            Self::Latitude => Reason::LatitudeOutOfRange,
            Self::Longitude => Reason::LongitudeOutOfRange,
            Self::HalfPosition => Reason::IncompletePosition,
            Self::NoData | Self::BadEventInBatch => Reason::NoData,
            Self::TooDeep => Reason::NestingTooDeep,
            Self::TooManyMetrics => Reason::TooManyMetrics,
            Self::BatchTooLarge => Reason::BatchTooLarge,
            Self::Timestamp => Reason::InvalidTimestamp,
            Self::Sequence => Reason::InvalidSequence,
            Self::Field => Reason::InvalidField,
            Self::MetricName => Reason::InvalidMetricName,
            Self::MetricValue => Reason::InvalidMetricValue,
            Self::TooLarge => Reason::PayloadTooLarge,
            Self::MissingTenant | Self::MissingDevice | Self::ForbiddenName => Reason::InvalidTopic,
        }
    }

    /// A message of this kind as this device would send it.
    #[must_use]
    pub fn message(self, tenant: &str, device: &str, mark: u64) -> Message {
        let topic = match self {
            Self::MissingTenant => topic("", device),
            Self::MissingDevice => topic(tenant, ""),
            Self::ForbiddenName => topic(tenant, &format!("{device} copy")),
            _ => topic(tenant, device),
        };
        Message {
            topic,
            payload: self.payload(mark),
            kind: Kind::Poison(self),
        }
    }

    fn payload(self, mark: u64) -> Bytes {
        let text = match self {
            Self::CutJson => format!(r#"{{"poison": {mark}, "metrics": {{"speed": 1"#),
            Self::NotUtf8 => {
                let mut bytes = format!(r#"{{"poison": {mark}, "note": ""#).into_bytes();
                bytes.extend_from_slice(b"\xc3\x28\"}");
                return bytes.into();
            }
            Self::BareNumber => mark.to_string(),
            Self::NotANumber => format!(r#"{{"poison": {mark}, "speed": NaN}}"#),
            Self::Infinite => format!(r#"{{"poison": {mark}, "speed": -Infinity}}"#),
            Self::BeyondDouble => format!(r#"{{"poison": {mark}, "speed": 1e999}}"#),
            Self::Latitude => format!(r#"{{"poison": {mark}, "lat": 90.5, "lon": 13.4}}"#),
            Self::Longitude => format!(r#"{{"poison": {mark}, "lat": 52.5, "lon": -180.5}}"#),
            Self::HalfPosition => format!(r#"{{"poison": {mark}, "lat": 52.5}}"#),
            Self::NoData => format!(r#"{{"note": "poison {mark}"}}"#),
            Self::TooDeep => {
                let (open, close) = ("[".repeat(NESTING_MAX), "]".repeat(NESTING_MAX));
                format!(r#"{{"poison": {mark}, "deep": {open}{close}}}"#)
            }
            Self::TooManyMetrics => {
                let metrics: Vec<String> = (0..=METRICS_PER_EVENT_MAX)
                    .map(|index| format!(r#""m{index}": {mark}"#))
                    .collect();
                format!(r#"{{"metrics": {{{}}}}}"#, metrics.join(", "))
            }
            Self::BatchTooLarge => {
                let rest = r#",{"a":1}"#.repeat(EVENTS_PER_BATCH_MAX);
                format!(r#"[{{"poison": {mark}}}{rest}]"#)
            }
            Self::BadEventInBatch => format!(r#"[{{"poison": {mark}}}, {{}}]"#),
            Self::Timestamp => format!(r#"{{"poison": {mark}, "ts": "yesterday"}}"#),
            Self::Sequence => format!(r#"{{"poison": {mark}, "seq": -1}}"#),
            Self::Field => format!(r#"{{"poison": {mark}, "lat": "north", "lon": 13.4}}"#),
            Self::MetricName => format!(r#"{{"poison {mark}": 1}}"#),
            Self::MetricValue => format!(r#"{{"metrics": {{"poison": {mark}, "state": "on"}}}}"#),
            Self::TooLarge => {
                let filler = "x".repeat(PAYLOAD_BYTES_MAX_DEFAULT);
                format!(r#"{{"poison": {mark}, "note": "{filler}"}}"#)
            }
            Self::MissingTenant | Self::MissingDevice | Self::ForbiddenName => format!(r#"{{"poison": {mark}}}"#),
        };
        text.into()
    }
}

#[cfg(test)]
mod tests;
