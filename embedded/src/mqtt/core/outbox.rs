//! Records on their way to the disk.
//!
//! Everything that must survive is appended here in order; the writer takes all of it at a time. Each record has a
//! number; an answer that depends on it waits until the writer has reported a number as high.

use super::Snapshot;
use crate::mqtt::journal::record::Record;

/// What the writer makes safe in one go.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Records for the newest segment, or for a new one.
    pub(crate) bytes: Vec<u8>,
    /// The records begin a new segment, whose first message will have this offset.
    pub(crate) begins_segment: Option<u64>,
    /// Records for the file of retained messages; they become safe before the others.
    pub(crate) retained: Vec<u8>,
    /// That file is written anew from these records.
    pub(crate) replaces_retained: bool,
    /// Somebody waits for this to survive a power cut, not only the end of the process.
    pub(crate) must_sync: bool,
    /// Segments that hold only messages below this offset can go.
    pub(crate) needed_from: Option<u64>,
    /// Number of the last record.
    pub(crate) last_number: u64,
    /// Offset after the last message.
    pub(crate) end_offset: u64,
}

/// Records that no writer has taken yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    retained: Vec<u8>,
    must_sync: bool,
    last_number: u64,
    begins_segment: Option<u64>,
    /// The part of `bytes` that is only the head of a segment: no reason to write.
    head_bytes: usize,
    segment_bytes: u64,
    /// Bytes that a writer has and has not reported yet.
    taken_bytes: usize,
}

impl Outbox {
    /// Appends a record; its number is returned.
    pub(super) fn append(&mut self, record: &Record<'_>, must_sync: bool) -> u64 {
        record.write(&mut self.bytes);
        self.numbered(must_sync)
    }

    /// Appends a record to the file of retained messages.
    pub(super) fn append_retained(&mut self, record: &Record<'_>) -> u64 {
        record.write(&mut self.retained);
        self.numbered(true)
    }

    fn numbered(&mut self, must_sync: bool) -> u64 {
        self.must_sync |= must_sync;
        self.last_number += 1;
        self.last_number
    }

    /// Number of the last record.
    pub(super) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// Bytes that are not safe yet.
    pub(super) fn pending_bytes(&self) -> usize {
        self.bytes.len() + self.retained.len() + self.taken_bytes
    }

    /// Whether there is something to take.
    pub(super) fn has_news(&self) -> bool {
        self.bytes.len() > self.head_bytes || !self.retained.is_empty()
    }

    /// The next records begin a segment.
    pub(super) fn begin_segment(&mut self, base_offset: u64, snapshot: Snapshot<'_>) {
        debug_assert!(self.bytes.is_empty(), "a segment begins with its head");
        for record in snapshot {
            record.write(&mut self.bytes);
        }
        self.begins_segment = Some(base_offset);
        self.head_bytes = self.bytes.len();
        self.segment_bytes = 0;
    }

    /// Takes everything. True when the segment has become full, so that the next one is to begin.
    pub(super) fn take(&mut self, end_offset: u64, segment_bytes_max: u64) -> (Batch, bool) {
        let batch = Batch {
            bytes: std::mem::take(&mut self.bytes),
            begins_segment: self.begins_segment.take(),
            retained: std::mem::take(&mut self.retained),
            must_sync: std::mem::take(&mut self.must_sync),
            last_number: self.last_number,
            end_offset,
            ..Batch::default()
        };
        self.head_bytes = 0;
        self.taken_bytes = batch.bytes.len() + batch.retained.len();
        self.segment_bytes += batch.bytes.len() as u64;
        let is_full = self.segment_bytes >= segment_bytes_max;
        (batch, is_full)
    }

    /// The writer has reported the batch; its memory is used again.
    pub(super) fn reported(&mut self, mut spent: Vec<u8>) {
        self.taken_bytes = 0;
        if self.bytes.is_empty() && self.bytes.capacity() < spent.capacity() {
            spent.clear();
            self.bytes = spent;
        }
    }
}
