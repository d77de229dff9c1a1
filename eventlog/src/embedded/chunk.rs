//! How records lie in the store: consecutive records of one partition are one chunk, whose key says all that
//! retention needs, so that values are loaded for readers only. Changing a layout needs a new name of its keyspace.

use crate::{Message, RecordBatchBuilder};

/// A partition, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic_id: u16,
    pub(super) partition: u16,
}

/// What the key of a chunk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkKey {
    pub(super) place: Place,
    /// Offset of the first record.
    pub(super) base: u64,
    pub(super) record_count: u32,
    /// Largest record timestamp.
    pub(super) newest_ms: i64,
    /// Bytes ever appended to the partition, this chunk included: the difference of two is the size between them.
    pub(super) bytes_until: u64,
}

const KEY_BYTES: usize = 32;

impl Place {
    pub(super) fn to_bytes(self) -> [u8; 4] {
        let [a, b] = self.topic_id.to_be_bytes();
        let [c, d] = self.partition.to_be_bytes();
        [a, b, c, d]
    }

    pub(super) fn from_bytes(bytes: [u8; 4]) -> Self {
        let [a, b, c, d] = bytes;
        Self {
            topic_id: u16::from_be_bytes([a, b]),
            partition: u16::from_be_bytes([c, d]),
        }
    }

    /// Sorts before the chunk that begins at `base`, and after all that begin earlier.
    pub(super) fn seek_key(self, base: u64) -> [u8; 12] {
        let mut key = [0; 12];
        key[..4].copy_from_slice(&self.to_bytes());
        key[4..].copy_from_slice(&base.to_be_bytes());
        key
    }
}

impl ChunkKey {
    pub(super) fn end(&self) -> u64 {
        self.base + u64::from(self.record_count)
    }

    pub(super) fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        key[..12].copy_from_slice(&self.place.seek_key(self.base));
        key[12..16].copy_from_slice(&self.record_count.to_be_bytes());
        key[16..24].copy_from_slice(&self.newest_ms.to_be_bytes());
        key[24..].copy_from_slice(&self.bytes_until.to_be_bytes());
        key
    }

    pub(super) fn from_bytes(key: &[u8]) -> Option<Self> {
        let key: &[u8; KEY_BYTES] = key.try_into().ok()?;
        Some(Self {
            place: Place::from_bytes(key[..4].try_into().ok()?),
            base: u64::from_be_bytes(key[4..12].try_into().ok()?),
            record_count: u32::from_be_bytes(key[12..16].try_into().ok()?),
            newest_ms: i64::from_be_bytes(key[16..24].try_into().ok()?),
            bytes_until: u64::from_be_bytes(key[24..].try_into().ok()?),
        })
    }
}

/// Appends one record to the value of a chunk. The caller has checked that its size fits 32 bits.
pub(super) fn encode(message: &Message, chunk: &mut Vec<u8>) {
    chunk.extend_from_slice(&message.timestamp_ms.to_le_bytes());
    push_length(chunk, message.key.len());
    push_length(chunk, message.value.len());
    push_length(chunk, message.headers.len());
    chunk.extend_from_slice(&message.key);
    chunk.extend_from_slice(&message.value);
    for header in &message.headers {
        push_length(chunk, header.name.len());
        push_length(chunk, header.value.len());
        chunk.extend_from_slice(header.name.as_bytes());
        chunk.extend_from_slice(&header.value);
    }
}

/// Bytes that [`encode`] will add.
pub(super) fn encoded_len(message: &Message) -> usize {
    20 + message.byte_count() + 8 * message.headers.len()
}

/// Copies the records from `offset` on while `room` says so; `None` when the value is damaged.
pub(super) fn decode(
    key: &ChunkKey,
    value: &[u8],
    offset: u64,
    with_headers: bool,
    builder: &mut RecordBatchBuilder,
    room: impl Fn(&RecordBatchBuilder) -> bool,
) -> Option<()> {
    let mut rest = value;
    let mut headers = Vec::new();
    for current in key.base..key.end() {
        let timestamp_ms = i64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
        let key_len = take_length(&mut rest)?;
        let value_len = take_length(&mut rest)?;
        let header_count = take_length(&mut rest)?;
        let record_key = take(&mut rest, key_len)?;
        let record_value = take(&mut rest, value_len)?;
        headers.clear();
        for _ in 0..header_count {
            let name_len = take_length(&mut rest)?;
            let content_len = take_length(&mut rest)?;
            let name = take(&mut rest, name_len)?;
            let content = take(&mut rest, content_len)?;
            if with_headers {
                headers.push((std::str::from_utf8(name).ok()?, content));
            }
        }
        if current < offset {
            continue;
        }
        if !room(builder) {
            return Some(());
        }
        builder.push(current, timestamp_ms, record_key, record_value, headers.iter().copied());
    }
    Some(())
}

fn push_length(chunk: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("the size of a message was checked");
    chunk.extend_from_slice(&length.to_le_bytes());
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn take_length(rest: &mut &[u8]) -> Option<usize> {
    let bytes = take(rest, 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}
