//! What becomes of bad input: a closed list of reasons, and the record that keeps the original bytes.

use std::borrow::Cow;

use crate::{Replay, limits::DETAIL_CHARS_MAX};

/// Why a message cannot become events. The texts are part of the contract and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No route fits the topic, or its tenant or device is missing or breaks the grammar.
    InvalidTopic,
    /// More bytes than `ingest.payload_bytes_max`.
    PayloadTooLarge,
    /// Not JSON, or not UTF-8.
    InvalidJson,
    /// JSON, but neither an object nor an array of objects.
    NotAnObject,
    /// NaN, an infinity, or a number beyond the range of a double.
    NonFiniteNumber,
    /// Latitude beyond 90 degrees.
    LatitudeOutOfRange,
    /// Longitude beyond 180 degrees.
    LongitudeOutOfRange,
    /// One of latitude and longitude without the other.
    IncompletePosition,
    /// Neither a metric nor a position.
    NoData,
    /// Containers nested deeper than allowed.
    NestingTooDeep,
    /// More metrics in one event than allowed.
    TooManyMetrics,
    /// More events in one batch than allowed.
    BatchTooLarge,
    /// `ts` is neither an integer time since 1970 nor RFC 3339 text.
    InvalidTimestamp,
    /// `seq` is not an unsigned integer.
    InvalidSequence,
    /// A known field has the wrong type.
    InvalidField,
    /// A metric name breaks the grammar.
    InvalidMetricName,
    /// A metric is neither number nor boolean.
    InvalidMetricValue,
    /// A record in the log that is not a canonical event.
    InvalidRecord,
    /// The log refuses the record for good.
    RecordRefused,
    /// ClickHouse refuses the row, and takes its neighbours.
    RowRefused,
}

impl Reason {
    /// All reasons, in the order of the checks.
    pub const ALL: [Self; 20] = [
        Self::InvalidTopic,
        Self::PayloadTooLarge,
        Self::InvalidJson,
        Self::NotAnObject,
        Self::NonFiniteNumber,
        Self::LatitudeOutOfRange,
        Self::LongitudeOutOfRange,
        Self::IncompletePosition,
        Self::NoData,
        Self::NestingTooDeep,
        Self::TooManyMetrics,
        Self::BatchTooLarge,
        Self::InvalidTimestamp,
        Self::InvalidSequence,
        Self::InvalidField,
        Self::InvalidMetricName,
        Self::InvalidMetricValue,
        Self::InvalidRecord,
        Self::RecordRefused,
        Self::RowRefused,
    ];

    /// The text in headers, tables and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidTopic => "invalid_topic",
            Self::PayloadTooLarge => "payload_too_large",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::NonFiniteNumber => "non_finite_number",
            Self::LatitudeOutOfRange => "latitude_out_of_range",
            Self::LongitudeOutOfRange => "longitude_out_of_range",
            Self::IncompletePosition => "incomplete_position",
            Self::NoData => "no_data",
            Self::NestingTooDeep => "nesting_too_deep",
            Self::TooManyMetrics => "too_many_metrics",
            Self::BatchTooLarge => "batch_too_large",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::InvalidSequence => "invalid_sequence",
            Self::InvalidField => "invalid_field",
            Self::InvalidMetricName => "invalid_metric_name",
            Self::InvalidMetricValue => "invalid_metric_value",
            Self::InvalidRecord => "invalid_record",
            Self::RecordRefused => "record_refused",
            Self::RowRefused => "row_refused",
        }
    }

    /// The reason of that text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Where on the path a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before the log: topic, size, decoding, validation.
    Ingest,
    /// After the log.
    Process,
    /// At the table.
    Insert,
}

impl Stage {
    /// All stages, in the order of the path.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Process, Self::Insert];

    /// The text in headers and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Process => "process",
            Self::Insert => "insert",
        }
    }

    /// The stage of that text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }
}

/// A refusal: the reason for machines, the detail for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Rejection {
    /// Which rule was broken.
    pub reason: Reason,
    /// Where and how, in a few words.
    pub detail: String,
}

impl Rejection {
    /// A rejection whose detail is cut to a bounded length.
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if let Some((cut, _)) = detail.char_indices().nth(DETAIL_CHARS_MAX) {
            detail.truncate(cut);
        }
        Self { reason, detail }
    }
}

/// A refused message as it lies in the dead-letter topic: the value is the original payload, all else are headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<'a> {
    /// Unique for each receipt; the same when one record is sent to the log again.
    pub id: Cow<'a, str>,
    /// Which rule was broken.
    pub reason: Reason,
    /// Where and how.
    pub detail: Cow<'a, str>,
    /// Where on the path.
    pub stage: Stage,
    /// MQTT topic that it was published to.
    pub topic: Cow<'a, str>,
    /// Name of the MQTT broker.
    pub broker: Cow<'a, str>,
    /// Time of receipt, Unix milliseconds.
    pub received_at_ms: i64,
    /// MQTT packet identifier; 0 for QoS 0.
    pub packet_id: u16,
    /// The broker may have sent it before.
    pub redelivered: bool,
    /// It is a letter published again, and refused again.
    pub replay: Option<Replay<'a>>,
    /// The bytes as received.
    pub payload: Cow<'a, [u8]>,
}

/// Stands in the detail of a letter whose payload was cut, before what was kept of it.
pub const PAYLOAD_CUT_MARK: &str = " (payload cut: ";

/// Names of the headers of a record in the dead-letter topic.
pub mod header {
    /// [`super::DeadLetter::id`].
    pub const ID: &str = "id";
    /// [`super::Reason::as_str`].
    pub const REASON: &str = "reason";
    /// [`super::DeadLetter::detail`].
    pub const DETAIL: &str = "detail";
    /// MQTT topic.
    pub const ORIGIN: &str = "origin";
    /// [`super::Stage::as_str`].
    pub const STAGE: &str = "stage";
    /// Unix milliseconds, decimal.
    pub const RECEIVED_AT: &str = "received-at";
    /// Broker name.
    pub const BROKER: &str = "broker";
    /// Decimal.
    pub const PACKET_ID: &str = "packet-id";
    /// `true` or `false`.
    pub const REDELIVERED: &str = "redelivered";
    /// [`crate::Replay::of`]; only on a letter that was published again, as the two below.
    pub const REPLAY_OF: &str = "replay-of";
    /// [`crate::Replay::count`], decimal.
    pub const REPLAY_COUNT: &str = "replay-count";
    /// [`crate::Replay::received_at_ms`], decimal.
    pub const REPLAY_RECEIVED_AT: &str = "replay-received-at";
}

impl<'a> DeadLetter<'a> {
    /// The headers of its record, in a fixed order.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (header::ID, self.id.to_string()),
            (header::REASON, self.reason.as_str().to_owned()),
            (header::DETAIL, self.detail.to_string()),
            (header::ORIGIN, self.topic.to_string()),
            (header::STAGE, self.stage.as_str().to_owned()),
            (header::RECEIVED_AT, self.received_at_ms.to_string()),
            (header::BROKER, self.broker.to_string()),
            (header::PACKET_ID, self.packet_id.to_string()),
            (header::REDELIVERED, self.redelivered.to_string()),
        ];
        if let Some(replay) = &self.replay {
            headers.extend([
                (header::REPLAY_OF, replay.of.to_string()),
                (header::REPLAY_COUNT, replay.count.to_string()),
                (header::REPLAY_RECEIVED_AT, replay.received_at_ms.to_string()),
            ]);
        }
        headers
    }

    /// Reads a record of the dead-letter topic. `find` gives the value of a header. None when the record was not
    /// written by us (its headers are missing or malformed).
    pub fn from_record(find: impl Fn(&str) -> Option<&'a [u8]>, payload: &'a [u8]) -> Option<Self> {
        let text = |name: &str| find(name).and_then(|value| std::str::from_utf8(value).ok());
        let replay = text(header::REPLAY_OF).and_then(|of| {
            let count = text(header::REPLAY_COUNT)?.parse().ok()?;
            Replay::new(of, count, text(header::REPLAY_RECEIVED_AT)?.parse().ok()?)
        });
        Some(Self {
            id: text(header::ID)?.into(),
            reason: Reason::from_text(text(header::REASON)?)?,
            detail: text(header::DETAIL)?.into(),
            stage: Stage::from_text(text(header::STAGE)?)?,
            topic: text(header::ORIGIN)?.into(),
            broker: text(header::BROKER)?.into(),
            received_at_ms: text(header::RECEIVED_AT)?.parse().ok()?,
            packet_id: text(header::PACKET_ID)?.parse().ok()?,
            redelivered: text(header::REDELIVERED)?.parse().ok()?,
            replay,
            payload: payload.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_reasons_and_stages_are_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_text(reason.as_str()), Some(reason));
        }
        assert_eq!(Stage::from_text("process"), Some(Stage::Process));
        assert_eq!(Reason::from_text("other"), None);
    }

    #[test]
    fn a_dead_letter_survives_its_record() {
        let letter = DeadLetter {
            id: "1-2".into(),
            reason: Reason::NoData,
            detail: "nothing in it".into(),
            stage: Stage::Ingest,
            topic: "telemetry/a/b".into(),
            broker: "edge".into(),
            received_at_ms: 12,
            packet_id: 3,
            redelivered: true,
            replay: Replay::new("1-1", 3, 11),
            payload: b"{}\0\xff".as_slice().into(),
        };
        let headers = letter.headers();
        let find = |name: &str| {
            headers
                .iter()
                .find(|(header, _)| *header == name)
                .map(|(_, value)| value.as_bytes())
        };
        assert_eq!(DeadLetter::from_record(find, &letter.payload), Some(letter.clone()));
        assert_eq!(DeadLetter::from_record(|_| None, b"x"), None);
    }

    #[test]
    fn a_detail_is_bounded_and_cut_between_characters() {
        assert_eq!(
            Rejection::new(Reason::NoData, "ü".repeat(500)).detail.chars().count(),
            DETAIL_CHARS_MAX
        );
    }
}
