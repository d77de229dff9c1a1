//! The records of a message: their names, their headers, and the dead letter when there can be no events.
//!
//! The same message always gives the same records, so that sending one again is recognised downstream.

use std::{fmt::Write, sync::Arc};

use bytes::Bytes;
use eventlog::{Header, Message, Token};
use schemas::{
    DeadLetter, DeliveryMark, Reason, Rejection, Stage,
    dead_letter::{PAYLOAD_CUT_MARK, header},
    record::{DEAD_LETTERS_TOPIC, EVENT_CONTENT_TYPE, EVENT_TYPE, EVENTS_TOPIC},
};

use crate::{
    limits::{CUT_PAYLOAD_BYTES, DEAD_LETTER_TOPIC_BYTES},
    message::{Epoch, Received, Record, RecordKind},
};

/// CloudEvents type of dead letters.
const DEAD_LETTER_TYPE: &str = "meridian.dead-letter.v1";
/// Dead letters are whatever was sent.
const DEAD_LETTER_CONTENT_TYPE: &str = "application/octet-stream";
/// Bytes of the headers that all events have, about: counted against the size that the log takes.
const HEADER_BYTES: usize = 256;

/// What all records of a connection have in common.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Name of the broker.
    pub broker: Arc<str>,
    /// Differs between any two runs of any two connections.
    run: Arc<str>,
    client_hash: u64,
    run_hash: u64,
    record_bytes_max: usize,
    source: Bytes,
    events_topic: Arc<str>,
    dead_letters_topic: Arc<str>,
}

impl Stamp {
    /// The stamp of a connection's records in this run.
    #[must_use]
    pub fn new(broker: &str, client_id: &str, run: &str, record_bytes_max: usize) -> Self {
        Self {
            broker: broker.into(),
            run: run.into(),
            client_hash: hash(client_id),
            run_hash: hash(run),
            record_bytes_max,
            source: format!("/meridian/mqtt/{broker}").into(),
            events_topic: EVENTS_TOPIC.into(),
            dead_letters_topic: DEAD_LETTERS_TOPIC.into(),
        }
    }

    /// A connection of this run, as the marks of deliveries name it.
    #[must_use]
    pub fn delivery_run(&self, epoch: Epoch) -> u64 {
        DeliveryMark::run_of(self.client_hash, self.run_hash.wrapping_add(epoch.0))
    }

    /// Appends the id of an event.
    pub fn write_event_id(&self, number: u64, index: u32, out: &mut Vec<u8>) {
        use std::io::Write;
        write!(out, "{}-{number}-{index}", self.run).expect("writing to memory");
    }

    /// True when the log would refuse a record of that size.
    #[must_use]
    pub fn is_too_large(&self, byte_count: usize) -> bool {
        byte_count + HEADER_BYTES > self.record_bytes_max
    }

    /// The dead letter of a message. Its payload is cut when the log could not take it whole; the detail says so.
    #[must_use]
    pub fn dead_letter(&self, received: &Received, rejection: &Rejection) -> Record {
        let publish = &received.publish;
        let topic_bytes = publish.topic.len().min(DEAD_LETTER_TOPIC_BYTES);
        let key = publish.topic.slice(..topic_bytes);
        let topic = String::from_utf8_lossy(&key);
        let id = format!("{}-{}", self.run, received.number);
        let letter = DeadLetter {
            id: (&*id).into(),
            reason: rejection.reason,
            detail: (&*rejection.detail).into(),
            stage: Stage::Ingest,
            topic,
            broker: (&*self.broker).into(),
            received_at_ms: received.received_at_ms,
            packet_id: publish.packet_id,
            redelivered: publish.redelivered,
            replay: publish.replay.as_deref().cloned(),
            payload: (&[][..]).into(),
        };
        let headers = letter.headers();
        let mut record = Record {
            key,
            value: publish.payload.clone(),
            id: id.into(),
            timestamp_ms: received.received_at_ms,
            kind: RecordKind::DeadLetter(headers),
        };
        if self.is_too_large(record.byte_count()) {
            let keep = CUT_PAYLOAD_BYTES.min(self.record_bytes_max / 2);
            record.value.truncate(keep);
        }
        if record.value.len() < received.payload_bytes {
            say_cut(&mut record, received.payload_bytes);
        }
        record
    }

    /// The message for the log.
    #[must_use]
    pub fn message(&self, token: Token, record: &Record) -> Message {
        let (topic, content_type, event_type, own) = match &record.kind {
            RecordKind::Event => (&self.events_topic, EVENT_CONTENT_TYPE, EVENT_TYPE, &[][..]),
            RecordKind::DeadLetter(headers) => {
                let topic = &self.dead_letters_topic;
                (topic, DEAD_LETTER_CONTENT_TYPE, DEAD_LETTER_TYPE, &headers[..])
            }
        };
        let fixed = |name, text: &'static str| Header {
            name,
            value: Bytes::from_static(text.as_bytes()),
        };
        let mut headers = Vec::with_capacity(5 + own.len());
        headers.extend([
            fixed("content-type", content_type),
            fixed("ce_specversion", "1.0"),
            fixed("ce_type", event_type),
            Header {
                name: "ce_source",
                value: self.source.clone(),
            },
            Header {
                name: "ce_id",
                value: record.id.clone(),
            },
        ]);
        headers.extend(own.iter().map(|(name, value)| Header {
            name,
            value: Bytes::copy_from_slice(value.as_bytes()),
        }));
        Message {
            topic: topic.clone(),
            key: record.key.clone(),
            value: record.value.clone(),
            headers,
            timestamp_ms: record.timestamp_ms,
            token,
        }
    }
}

/// Cuts the payload of a dead letter that the log refused to a quarter. False when nothing is left to cut.
pub(super) fn cut_further(record: &mut Record, received: &Received) -> bool {
    if record.value.is_empty() {
        return false;
    }
    record.value.truncate(record.value.len() / 4);
    say_cut(record, received.payload_bytes);
    true
}

/// FNV-1a: any hash would do.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Replaces what the detail says about the cut, or adds it.
fn say_cut(record: &mut Record, payload_bytes: usize) {
    let kept = record.value.len();
    if let RecordKind::DeadLetter(headers) = &mut record.kind
        && let Some((_, detail)) = headers.iter_mut().find(|(name, _)| *name == header::DETAIL)
    {
        if let Some(at) = detail.find(PAYLOAD_CUT_MARK) {
            detail.truncate(at);
        }
        write!(
            detail,
            "{PAYLOAD_CUT_MARK}the first {kept} of {payload_bytes} bytes are kept)"
        )
        .expect("writing to memory");
    }
}

/// The refusal of a record by the log.
pub(super) fn refusal(said: &str) -> Rejection {
    Rejection::new(Reason::RecordRefused, format!("the log refuses its record: {said}"))
}
