//! Records of one partition in one buffer: one allocation for many records, and cheap to pass on.

use std::ops::Range;

use crate::TopicPartition;

/// Consecutive records of one partition, in offset order.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    topic_partition: TopicPartition,
    buffer: Vec<u8>,
    spans: Vec<Span>,
    headers: Vec<(Range<usize>, Range<usize>)>,
}

#[derive(Clone, Debug)]
struct Span {
    offset: u64,
    timestamp_ms: i64,
    key: Range<usize>,
    value: Range<usize>,
    headers: Range<usize>,
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'batch> {
    /// Offset within the partition.
    pub offset: u64,
    /// Record timestamp, Unix milliseconds.
    pub timestamp_ms: i64,
    /// Key; empty when there is none.
    pub key: &'batch [u8],
    /// Value; empty when there is none.
    pub value: &'batch [u8],
    batch: &'batch RecordBatch,
    headers: (usize, usize),
}

impl<'batch> RecordRef<'batch> {
    /// Headers in order; none when the subscription skips them.
    pub fn headers(&self) -> impl Iterator<Item = (&'batch str, &'batch [u8])> + use<'batch> {
        let batch = self.batch;
        batch.headers[self.headers.0..self.headers.1]
            .iter()
            .map(move |(name, value)| {
                let name = std::str::from_utf8(&batch.buffer[name.clone()]).expect("header names are pushed as text");
                (name, &batch.buffer[value.clone()])
            })
    }

    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'batch [u8]> {
        self.headers()
            .find(|(header, _)| *header == name)
            .map(|(_, value)| value)
    }
}

impl RecordBatch {
    /// The partition that all records belong to.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True when there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of keys, values and headers.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.buffer.len()
    }

    /// Offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Option<u64> {
        self.spans.last().map(|span| span.offset + 1)
    }

    /// The records in offset order.
    pub fn iter(&self) -> impl Iterator<Item = RecordRef<'_>> {
        self.spans.iter().map(|span| RecordRef {
            offset: span.offset,
            timestamp_ms: span.timestamp_ms,
            key: &self.buffer[span.key.clone()],
            value: &self.buffer[span.value.clone()],
            batch: self,
            headers: (span.headers.start, span.headers.end),
        })
    }
}

/// Builds a [`RecordBatch`].
#[derive(Debug)]
pub struct RecordBatchBuilder {
    batch: RecordBatch,
}

impl RecordBatchBuilder {
    /// An empty batch for one partition.
    #[must_use]
    pub fn new(topic_partition: TopicPartition) -> Self {
        let batch = RecordBatch {
            topic_partition,
            buffer: Vec::new(),
            spans: Vec::new(),
            headers: Vec::new(),
        };
        Self { batch }
    }

    /// Appends a record; offsets must rise.
    pub fn push<'header>(
        &mut self,
        offset: u64,
        timestamp_ms: i64,
        key: &[u8],
        value: &[u8],
        headers: impl IntoIterator<Item = (&'header str, &'header [u8])>,
    ) {
        debug_assert!(
            self.batch.spans.last().is_none_or(|last| last.offset < offset),
            "offsets rise"
        );
        let key = self.append(key);
        let value = self.append(value);
        let first_header = self.batch.headers.len();
        for (name, content) in headers {
            let name = self.append(name.as_bytes());
            let content = self.append(content);
            self.batch.headers.push((name, content));
        }
        let headers = first_header..self.batch.headers.len();
        self.batch.spans.push(Span {
            offset,
            timestamp_ms,
            key,
            value,
            headers,
        });
    }

    /// Number of records so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// True when there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Bytes so far.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.batch.byte_count()
    }

    /// The finished batch.
    #[must_use]
    pub fn finish(self) -> RecordBatch {
        self.batch
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.batch.buffer.len();
        self.batch.buffer.extend_from_slice(bytes);
        start..self.batch.buffer.len()
    }
}
