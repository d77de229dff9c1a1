//! Turns messages into records: topic, size, payload, event. What cannot become events becomes one dead letter.
//!
//! Never drops a message, never reorders, never waits for the log other than through the bound on decoded bytes.

use std::sync::Arc;

use bytes::Bytes;
use schemas::{DeliveryMark, Event, Reading, Reason, Receipt, Rejection, payload, record};
use tokio::sync::mpsc;

use crate::{
    IngestError,
    bridge::Stamp,
    config::{PayloadFormat, Route},
    limits::{DECODE_BATCH_BYTES, DECODE_BATCH_MESSAGES},
    message::{Decoded, DecodedBatch, DecodedMessage, Intake, Received, Record, RecordKind},
    occupancy::Occupancy,
};

/// What decoding needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) routes: Arc<[Route]>,
    pub(crate) payload_bytes_max: usize,
    pub(crate) future_skew_ms_max: i64,
    pub(crate) record_bytes_max: usize,
}

/// Runs until the intake ends.
pub(crate) async fn run(
    rules: Rules,
    stamp: Stamp,
    occupancy: Arc<Occupancy>,
    intake: mpsc::Receiver<Intake>,
    decoded: mpsc::Sender<Decoded>,
) -> Result<(), IngestError> {
    if decode(&rules, &stamp, &occupancy, intake, &decoded).await.is_err() {
        // The forwarder is gone and says itself why; this stage is ended together with it.
        std::future::pending::<()>().await;
    }
    Ok(())
}

type ForwarderGone = mpsc::error::SendError<Decoded>;

async fn decode(
    rules: &Rules,
    stamp: &Stamp,
    occupancy: &Occupancy,
    mut intake: mpsc::Receiver<Intake>,
    decoded: &mpsc::Sender<Decoded>,
) -> Result<(), ForwarderGone> {
    let mut waiting = Vec::with_capacity(DECODE_BATCH_MESSAGES);
    let mut batch = Batch::new(rules, stamp);
    while intake.recv_many(&mut waiting, DECODE_BATCH_MESSAGES).await > 0 {
        for item in waiting.drain(..) {
            let control = match item {
                Intake::Received(messages) => {
                    for received in messages {
                        batch.add(received);
                        if batch.is_full() {
                            batch.hand_over(occupancy, decoded).await?;
                        }
                    }
                    continue;
                }
                Intake::Connected(connected) => Decoded::Connected(connected),
                Intake::Ended => {
                    batch.hand_over(occupancy, decoded).await?;
                    return decoded.send(Decoded::Ended).await;
                }
            };
            batch.hand_over(occupancy, decoded).await?;
            decoded.send(control).await?;
        }
        batch.hand_over(occupancy, decoded).await?;
    }
    Ok(())
}

/// Messages on their way to the forwarder. Their records lie in one buffer, so that a message costs no allocation of
/// its own for them.
pub(crate) struct Batch<'rules> {
    rules: &'rules Rules,
    stamp: &'rules Stamp,
    buffer: Vec<u8>,
    spans: Vec<Span>,
    messages: Vec<DecodedMessage>,
    /// Bytes of payload taken in.
    payload_bytes: usize,
    /// The size of the last buffer, as a guess for the next.
    buffer_bytes_before: usize,
}

/// A record while its buffer still grows.
enum Span {
    /// Ends of key, value and id, one after the other from `start`.
    Event {
        start: usize,
        key_end: usize,
        value_end: usize,
        id_end: usize,
        timestamp_ms: i64,
    },
    DeadLetter(Record),
}

impl<'rules> Batch<'rules> {
    pub(crate) fn new(rules: &'rules Rules, stamp: &'rules Stamp) -> Self {
        Self {
            rules,
            stamp,
            buffer: Vec::new(),
            spans: Vec::new(),
            messages: Vec::new(),
            payload_bytes: 0,
            buffer_bytes_before: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.messages.len() >= DECODE_BATCH_MESSAGES || self.payload_bytes >= DECODE_BATCH_BYTES
    }

    /// Decodes a message and adds it.
    pub(crate) fn add(&mut self, received: Received) {
        if self.messages.is_empty() {
            self.buffer.reserve(self.buffer_bytes_before);
        }
        self.payload_bytes += received.publish.payload.len();
        let (buffer_mark, span_mark) = (self.buffer.len(), self.spans.len());
        let rejected = self.write_events(&received).err().map(|rejection| {
            self.buffer.truncate(buffer_mark);
            self.spans.truncate(span_mark);
            let letter = self.stamp.dead_letter(&received, &rejection);
            self.spans.push(Span::DeadLetter(letter));
            rejection.reason
        });
        self.messages.push(DecodedMessage {
            received,
            record_count: self.spans.len() - span_mark,
            rejected,
        });
    }

    /// The batch as the forwarder takes it; this one is empty afterwards.
    pub(crate) fn finish(&mut self) -> DecodedBatch {
        self.buffer_bytes_before = self.buffer.len();
        self.payload_bytes = 0;
        let buffer = Bytes::from(std::mem::take(&mut self.buffer));
        let records = self.spans.drain(..).map(|span| match span {
            Span::DeadLetter(record) => record,
            Span::Event {
                start,
                key_end,
                value_end,
                id_end,
                timestamp_ms,
            } => Record {
                key: buffer.slice(start..key_end),
                value: buffer.slice(key_end..value_end),
                id: buffer.slice(value_end..id_end),
                timestamp_ms,
                kind: RecordKind::Event,
            },
        });
        DecodedBatch {
            records: records.collect(),
            messages: std::mem::take(&mut self.messages),
        }
    }

    async fn hand_over(&mut self, occupancy: &Occupancy, decoded: &mpsc::Sender<Decoded>) -> Result<(), ForwarderGone> {
        if self.messages.is_empty() {
            return Ok(());
        }
        let batch = self.finish();
        let record_bytes: usize = batch.records.iter().map(Record::byte_count).sum();
        occupancy.record_room().await;
        occupancy.records_taken(record_bytes);
        decoded.send(Decoded::Batch(batch)).await
    }

    fn write_events(&mut self, received: &Received) -> Result<(), Rejection> {
        let topic = std::str::from_utf8(&received.publish.topic)
            .map_err(|_| Rejection::new(Reason::InvalidTopic, "the topic is not UTF-8"))?;
        let (route, tenant, device) = self.route(topic)?;
        if received.payload_bytes > self.rules.payload_bytes_max {
            let detail = format!(
                "{} bytes, and `ingest.payload_bytes_max` is {}",
                received.payload_bytes, self.rules.payload_bytes_max
            );
            return Err(Rejection::new(Reason::PayloadTooLarge, detail));
        }
        let readings = match route {
            PayloadFormat::Json => payload::decode_json(&received.publish.payload)?,
        };
        for (index, reading) in (0..).zip(readings) {
            self.write_event(received, tenant, device, index, reading)?;
        }
        Ok(())
    }

    fn route<'topic>(&self, topic: &'topic str) -> Result<(PayloadFormat, &'topic str, &'topic str), Rejection> {
        for route in &*self.rules.routes {
            if let Some(names) = route.topic.read(topic) {
                return names.map(|(tenant, device)| (route.format, tenant, device));
            }
        }
        Err(Rejection::new(
            Reason::InvalidTopic,
            "no route has a topic of this shape",
        ))
    }

    fn write_event(
        &mut self,
        received: &Received,
        tenant: &str,
        device: &str,
        index: u32,
        reading: Reading<'_>,
    ) -> Result<(), Rejection> {
        let publish = &received.publish;
        let receipt = Receipt {
            tenant,
            device,
            broker: &self.stamp.broker,
            received_at_ms: received.received_at_ms,
            delivery: DeliveryMark {
                packet_id: publish.packet_id,
                redelivered: publish.redelivered,
                run: self.stamp.delivery_run(received.epoch),
                number: received.number_on_connection,
                index,
            },
            replay: publish.replay.as_deref(),
        };
        let event = Event::new(reading, receipt, self.rules.future_skew_ms_max);
        let start = self.buffer.len();
        for part in [tenant, "/", device] {
            self.buffer.extend_from_slice(part.as_bytes());
        }
        let key_end = self.buffer.len();
        record::encode(&event, &mut self.buffer);
        let value_end = self.buffer.len();
        self.stamp.write_event_id(received.number, index, &mut self.buffer);
        let id_end = self.buffer.len();
        if self.stamp.is_too_large(id_end - start) {
            let detail = format!(
                "event {index} takes {} bytes, and the log takes {}",
                value_end - key_end,
                self.rules.record_bytes_max
            );
            return Err(Rejection::new(Reason::RecordRefused, detail));
        }
        self.spans.push(Span::Event {
            start,
            key_end,
            value_end,
            id_end,
            timestamp_ms: received.received_at_ms,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
