//! Refused messages: each becomes one searchable row; a redelivery of the same message becomes none.

use eventlog::{RecordBatch, RecordRef, TopicPartition};
use schemas::{DeadLetter, rows::Rows};
use xxhash_rust::xxh3::xxh3_64;

use super::{Due, Parameters, TaskStats, ledger::Ledger};
use crate::{
    dedupe::recent::{RecentLimits, RecentSet},
    rollup::accumulator::Origin,
};

/// The state machine of one partition of the dead-letter topic.
#[derive(Clone, Debug)]
pub struct DeadLettersTask {
    pub(super) topic_partition: TopicPartition,
    pub(super) limits: RecentLimits,
    pub(super) next_offset: u64,
    pub(super) log_clock_ms: i64,
    pub(super) identities: RecentSet,
    pub(super) ledger: Ledger,
    pending: Rows,
    stats: TaskStats,
}

impl DeadLettersTask {
    pub(super) fn new(topic_partition: TopicPartition, first_offset: u64, parameters: &Parameters) -> Self {
        Self::with_state(
            topic_partition,
            parameters.identities,
            first_offset,
            i64::MIN,
            RecentSet::default(),
            Ledger::default(),
        )
    }

    pub(super) fn with_state(
        topic_partition: TopicPartition,
        limits: RecentLimits,
        next_offset: u64,
        log_clock_ms: i64,
        identities: RecentSet,
        ledger: Ledger,
    ) -> Self {
        let (pending, stats) = (Rows::default(), TaskStats::default());
        Self {
            topic_partition,
            limits,
            next_offset,
            log_clock_ms,
            identities,
            ledger,
            pending,
            stats,
        }
    }

    pub(super) fn next_offset(&self) -> u64 {
        self.next_offset
    }

    pub(super) fn apply(&mut self, batch: &RecordBatch) {
        let first = self.next_offset;
        for record in batch.iter().skip_while(|record| record.offset < first) {
            self.next_offset = record.offset + 1;
            self.log_clock_ms = self.log_clock_ms.max(record.timestamp_ms);
            self.stats.consumed += 1;
            self.ledger.record(record.offset);
            self.apply_record(record);
        }
    }

    fn apply_record(&mut self, record: RecordRef<'_>) {
        let letter = DeadLetter::from_record(|name| record.header(name), record.value);
        let Some(letter) = letter else {
            return self.keep_foreign(record);
        };
        // Sent to the log again by a producer that did not know whether the first one is there.
        if self
            .identities
            .insert(xxh3_64(letter.id.as_bytes()), self.log_clock_ms, self.limits)
        {
            self.stats.duplicates += 1;
            self.ledger.duplicate();
            return;
        }
        let delivery = xxh3_64(&delivery_bytes(&letter));
        let known = self.identities.insert(delivery, self.log_clock_ms, self.limits);
        if known && letter.redelivered {
            self.stats.duplicates += 1;
            self.ledger.duplicate();
            return;
        }
        let rows = &mut self.pending.dead_letters;
        rows.id.push(letter.id.as_ref());
        rows.received_at_ms.push(letter.received_at_ms);
        rows.stage.push(letter.stage.as_str());
        rows.reason.push(letter.reason.as_str());
        rows.detail.push(letter.detail.as_ref());
        rows.broker.push(letter.broker.as_ref());
        rows.topic.push(letter.topic.as_ref());
        rows.payload.push(letter.payload.as_ref());
        let replay = letter.replay.as_ref();
        rows.replay_of.push(replay.map_or("", |replay| &replay.of));
        rows.replay_count.push(replay.map_or(0, |replay| replay.count));
        rows.first_received_at_ms
            .push(replay.map_or(letter.received_at_ms, |replay| replay.received_at_ms));
        self.place(record);
    }

    /// A record without our headers was put there by somebody else: it is shown as it is.
    fn keep_foreign(&mut self, record: RecordRef<'_>) {
        let rows = &mut self.pending.dead_letters;
        rows.id.push(format!("{}-{}", self.topic_partition, record.offset));
        rows.received_at_ms.push(record.timestamp_ms);
        rows.stage.push(schemas::Stage::Process.as_str());
        rows.reason.push(schemas::Reason::InvalidRecord.as_str());
        rows.detail
            .push("a record of the dead-letter topic without the headers that name its origin");
        rows.broker.push("");
        rows.topic.push(String::from_utf8_lossy(record.key).as_ref());
        rows.payload.push(record.value);
        rows.replay_of.push("");
        rows.replay_count.push(0);
        rows.first_received_at_ms.push(record.timestamp_ms);
        self.place(record);
    }

    fn place(&mut self, record: RecordRef<'_>) {
        self.pending
            .dead_letters
            .partition
            .push(self.topic_partition.partition.0);
        self.pending.dead_letters.offset.push(record.offset);
        self.stats.dead_letters += 1;
        self.ledger.dead_letter();
    }

    pub(super) fn collect(&mut self, due: Due, rows: &mut Rows) {
        rows.append(&mut self.pending);
        if due == Due::All {
            // Rows here have no version that an incarnation could raise.
            let origin = Origin {
                partition: self.topic_partition.partition.0,
                incarnation: 0,
            };
            self.ledger.collect(&self.topic_partition, origin, &mut rows.ledger);
        }
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty() || self.ledger.is_dirty()
    }

    pub(super) fn pending_row_count(&self) -> usize {
        self.pending.counts().iter().sum()
    }

    pub(super) fn checkpoint(&self) -> Vec<u8> {
        super::checkpoint::encode_dead_letters(self)
    }

    /// Only a bound on memory: it shapes no rollup, so it may change at once.
    pub(super) fn propose_parameters(&mut self, parameters: &Parameters) {
        self.limits = parameters.identities;
    }

    pub(super) fn stats(&self) -> TaskStats {
        TaskStats {
            log_clock_ms: self.log_clock_ms,
            identities: self.identities.len(),
            ..self.stats
        }
    }
}

/// The delivery that a letter came by, unambiguously encoded.
fn delivery_bytes(letter: &DeadLetter<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(letter.payload.len() + 64);
    for part in [letter.broker.as_bytes(), letter.topic.as_bytes(), &letter.payload] {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&letter.packet_id.to_le_bytes());
    bytes
}
