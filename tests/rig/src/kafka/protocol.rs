//! The few requests of the Kafka protocol that preparing and checking a test needs, each on a connection of its own. Not a
//! client: no retries, one broker, the oldest request versions that Kafka 4 still speaks.

use crate::{RigError, limits};
use std::io::{Read, Write};
use std::net::TcpStream;

const PRODUCE: i16 = 0;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const OFFSET_FETCH: i16 = 9;
const FIND_COORDINATOR: i16 = 10;
const CREATE_TOPICS: i16 = 19;
const DELETE_RECORDS: i16 = 21;

/// A topic and how many partitions it has.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) partitions: u32,
}

/// All topics, once at least one broker is registered.
pub(super) fn topics(port: u16) -> Result<Vec<Topic>, RigError> {
    let mut request = Request::new(METADATA, 1);
    request.i32(-1); // no list: all topics
    let mut answer = request.exchange(port)?;
    let brokers = answer.i32()?;
    if brokers == 0 {
        return Err(refused("no broker is registered yet"));
    }
    for _ in 0..brokers {
        answer.i32()?;
        answer.text()?;
        answer.i32()?;
        answer.text()?;
    }
    answer.i32()?; // the controller
    let mut topics = Vec::new();
    for _ in 0..answer.i32()? {
        answer.i16()?;
        let name = answer.text()?;
        answer.take(1)?; // whether internal
        let partitions = answer.i32()?;
        for _ in 0..partitions {
            answer.i16()?;
            answer.i32()?;
            answer.i32()?; // the leader
            for _replicas_then_in_sync in 0..2 {
                for _ in 0..answer.i32()? {
                    answer.i32()?;
                }
            }
        }
        let partitions = u32::try_from(partitions).unwrap_or(0);
        topics.push(Topic { name, partitions });
    }
    Ok(topics)
}

pub(super) fn create_topic(port: u16, name: &str, partitions: u32) -> Result<(), RigError> {
    let mut request = Request::new(CREATE_TOPICS, 4);
    request.i32(1);
    request.text(name);
    request.i32(i32::try_from(partitions).map_err(|_| refused("too many partitions"))?);
    request.i16(1); // replication factor
    request.i32(0); // assignments
    request.i32(0); // settings
    request.i32(timeout_ms());
    request.bytes.push(0); // not only validate
    let mut answer = request.exchange(port)?;
    answer.i32()?; // throttle time
    answer.i32()?; // one topic
    answer.text()?;
    let code = answer.i16()?;
    let message = answer.text()?;
    check(code, &format!("create the topic `{name}`: {message}"))
}

pub(super) fn produce(port: u16, topic: &str, partition: u32, value: &[u8]) -> Result<u64, RigError> {
    let mut request = Request::new(PRODUCE, 3);
    request.i16(-1); // no transaction
    request.i16(-1); // acks=all
    request.i32(timeout_ms());
    request.i32(1);
    request.text(topic);
    request.i32(1);
    request.i32(index(partition)?);
    let batch = record_batch(value);
    request.i32(i32::try_from(batch.len()).map_err(|_| refused("the value is too long"))?);
    request.bytes.extend_from_slice(&batch);
    let mut answer = request.exchange(port)?;
    answer.i32()?;
    answer.text()?;
    answer.i32()?;
    answer.i32()?;
    check(answer.i16()?, &format!("append to `{topic}`"))?;
    offset(answer.i64()?)
}

pub(super) fn end_offset(port: u16, topic: &str, partition: u32) -> Result<u64, RigError> {
    const LATEST: i64 = -1;
    let mut request = Request::new(LIST_OFFSETS, 1);
    request.i32(-1); // an ordinary client
    request.i32(1);
    request.text(topic);
    request.i32(1);
    request.i32(index(partition)?);
    request.i64(LATEST);
    let mut answer = request.exchange(port)?;
    answer.i32()?;
    answer.text()?;
    answer.i32()?;
    answer.i32()?;
    check(answer.i16()?, &format!("find the end of `{topic}`"))?;
    answer.i64()?; // timestamp
    offset(answer.i64()?)
}

/// Removes the records before an offset, as retention does.
pub(super) fn delete_records(port: u16, topic: &str, partition: u32, before: u64) -> Result<(), RigError> {
    let mut request = Request::new(DELETE_RECORDS, 1);
    request.i32(1);
    request.text(topic);
    request.i32(1);
    request.i32(index(partition)?);
    request.i64(i64::try_from(before).map_err(|_| refused("no such offset"))?);
    request.i32(timeout_ms());
    let mut answer = request.exchange(port)?;
    answer.i32()?; // throttle time
    answer.i32()?;
    answer.text()?;
    answer.i32()?;
    answer.i32()?;
    answer.i64()?; // where the partition begins now
    check(answer.i16()?, &format!("delete records of `{topic}`"))
}

/// Asks who keeps the offsets of a group: before the first such question Kafka has nobody for it.
pub(super) fn find_coordinator(port: u16, group: &str) -> Result<(), RigError> {
    let mut request = Request::new(FIND_COORDINATOR, 0);
    request.text(group);
    let mut answer = request.exchange(port)?;
    check(answer.i16()?, &format!("find who keeps the offsets of `{group}`"))
}

/// What a group has committed for a partition: the offset of the next record it wants. None: nothing yet.
pub(super) fn committed_offset(port: u16, group: &str, topic: &str, partition: u32) -> Result<Option<u64>, RigError> {
    let mut request = Request::new(OFFSET_FETCH, 1);
    request.text(group);
    request.i32(1);
    request.text(topic);
    request.i32(1);
    request.i32(index(partition)?);
    let mut answer = request.exchange(port)?;
    answer.i32()?;
    answer.text()?;
    answer.i32()?;
    answer.i32()?;
    let committed = answer.i64()?;
    answer.text()?; // what the group noted beside it
    check(
        answer.i16()?,
        &format!("find what `{group}` has committed of `{topic}`"),
    )?;
    Ok(u64::try_from(committed).ok())
}

/// A batch (format 2) with one record, no key, no headers.
fn record_batch(value: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0, 0]; // attributes, timestamp delta, offset delta
    variable_length(&mut record, -1); // no key
    variable_length(&mut record, i64::try_from(value.len()).unwrap_or(i64::MAX));
    record.extend_from_slice(value);
    record.push(0); // headers
    let mut checked = Vec::new();
    checked.extend_from_slice(&0_i16.to_be_bytes()); // attributes
    checked.extend_from_slice(&0_i32.to_be_bytes()); // last offset delta
    checked.extend_from_slice(&now_ms().to_be_bytes()); // first and largest timestamp
    checked.extend_from_slice(&now_ms().to_be_bytes());
    checked.extend_from_slice(&(-1_i64).to_be_bytes()); // producer id
    checked.extend_from_slice(&(-1_i16).to_be_bytes()); // producer epoch
    checked.extend_from_slice(&(-1_i32).to_be_bytes()); // sequence
    checked.extend_from_slice(&1_i32.to_be_bytes()); // records
    variable_length(&mut checked, i64::try_from(record.len()).unwrap_or(i64::MAX));
    checked.extend_from_slice(&record);
    let mut rest = Vec::new();
    rest.extend_from_slice(&(-1_i32).to_be_bytes()); // leader epoch
    rest.push(2); // format
    rest.extend_from_slice(&crc32c(&checked).to_be_bytes());
    rest.extend_from_slice(&checked);
    let mut batch = 0_i64.to_be_bytes().to_vec(); // base offset
    let length = i32::try_from(rest.len()).unwrap_or(i32::MAX);
    batch.extend_from_slice(&length.to_be_bytes());
    batch.extend_from_slice(&rest);
    batch
}

/// Zig-zag base-128, as Kafka writes lengths inside records.
fn variable_length(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

/// The Castagnoli checksum, bit by bit: test values are short.
fn crc32c(bytes: &[u8]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= REVERSED_POLYNOMIAL;
            }
        }
    }
    !crc
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

fn timeout_ms() -> i32 {
    i32::try_from(limits::EXCHANGE_TIMEOUT.as_millis()).unwrap_or(i32::MAX)
}

fn index(partition: u32) -> Result<i32, RigError> {
    i32::try_from(partition).map_err(|_| refused("no such partition"))
}

fn offset(value: i64) -> Result<u64, RigError> {
    u64::try_from(value).map_err(|_| refused("kafka answered with a negative offset"))
}

fn check(code: i16, doing: &str) -> Result<(), RigError> {
    match code {
        0 => Ok(()),
        // Unknown topic or partition, leader not available, not the leader: a node that has just started knows its
        // topics before it leads them.
        3 | 5 | 6 => Err(RigError::NoLeaderYet { what: doing.into() }),
        _ => Err(refused(&format!("kafka refuses with code {code} to {doing}"))),
    }
}

fn refused(what: &str) -> RigError {
    RigError::Refused { what: what.into() }
}

struct Request {
    bytes: Vec<u8>,
}

impl Request {
    fn new(key: i16, version: i16) -> Self {
        let mut request = Self { bytes: Vec::new() };
        request.i16(key);
        request.i16(version);
        request.i32(0); // correlation: one request per connection
        request.text("rig");
        request
    }

    fn i16(&mut self, value: i16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.i16(i16::try_from(text.len()).expect("names in tests are short"));
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn exchange(&self, port: u16) -> Result<Answer, RigError> {
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_read_timeout(Some(limits::EXCHANGE_TIMEOUT))?;
            let length = u32::try_from(self.bytes.len()).map_err(std::io::Error::other)?;
            stream.write_all(&length.to_be_bytes())?;
            stream.write_all(&self.bytes)?;
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            if length > limits::KAFKA_ANSWER_BYTES_MAX {
                return Err(std::io::ErrorKind::InvalidData.into());
            }
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = exchange().map_err(RigError::io("ask Kafka"))?;
        let mut answer = Answer { bytes, at: 0 };
        answer.i32()?; // correlation
        Ok(answer)
    }
}

struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn take(&mut self, count: usize) -> Result<&[u8], RigError> {
        let taken = self.bytes.get(self.at..self.at + count);
        self.at += count;
        taken.ok_or_else(|| refused("kafka's answer is too short"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RigError> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("`take` gives as many as asked for"))
    }

    fn i16(&mut self) -> Result<i16, RigError> {
        self.array().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, RigError> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, RigError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A text; empty where Kafka sends none.
    fn text(&mut self) -> Result<String, RigError> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{crc32c, variable_length};

    #[test]
    fn checksum_matches_the_published_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn lengths_are_zig_zag() {
        let encode = |value| {
            let mut bytes = Vec::new();
            variable_length(&mut bytes, value);
            bytes
        };
        assert_eq!(encode(-1), [1]);
        assert_eq!(encode(1), [2]);
        assert_eq!(encode(300), [0xd8, 0x04]);
    }
}
