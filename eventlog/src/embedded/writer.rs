//! The one thread that appends: takes a group of messages, makes it durable with one sync, reports.
//!
//! Must never report a message, or let a reader see it, before the sync is done.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    chunk::{self, ChunkKey, Place},
    core::{Core, Topic},
    limits,
    queue::{Group, GroupLane},
    store::StoredOffset,
};
use crate::{Delivery, DeliveryFailure, LogError, Message, PartitionId, Position};

/// Runs until the log is closed.
pub(super) fn run(core: &Core) {
    let linger = Duration::from_millis(core.config.linger_ms);
    let mut unchecked_bytes = u64::MAX;
    while let Some(group) = core.queue.next_group(linger) {
        let ready = wait_for_disk(core, &mut unchecked_bytes);
        unchecked_bytes += write(core, group, ready);
    }
}

/// Waits while the disk has no room; an error when the log closes meanwhile.
fn wait_for_disk(core: &Core, unchecked_bytes: &mut u64) -> Result<(), LogError> {
    if *unchecked_bytes < limits::DISK_CHECK_BYTES {
        return Ok(());
    }
    let mut reported = false;
    loop {
        let reason = match rustix::fs::statvfs(&core.config.data_dir) {
            Ok(disk) if disk.f_bavail * disk.f_frsize >= core.config.disk_free_bytes_min => {
                *unchecked_bytes = 0;
                return Ok(());
            }
            Ok(disk) => format!(
                "{} bytes are free and {} are kept in reserve: make room on the disk",
                disk.f_bavail * disk.f_frsize,
                core.config.disk_free_bytes_min
            ),
            Err(error) => error.to_string(),
        };
        let address = core.store.address();
        if !reported {
            tracing::error!(folder = address, error = reason, "event log waits for disk");
            reported = true;
        }
        if core.queue.is_closed() {
            return Err(LogError::Unavailable {
                address: address.into(),
                reason,
            });
        }
        std::thread::sleep(limits::DISK_RETRY);
    }
}

/// Where a message will lie once the group is durable, or why it never will.
type Plan = Result<Position, String>;

/// Writes a group and reports it. Returns the bytes written.
fn write(core: &Core, group: Group, ready: Result<(), LogError>) -> u64 {
    let mut tails = Tails::default();
    let plans: Vec<Vec<Plan>> = group
        .lanes
        .iter()
        .map(|lane| {
            let messages = lane.messages.iter();
            messages.map(|message| tails.append(core, message)).collect()
        })
        .collect();
    let offsets: Vec<StoredOffset> = group
        .commits
        .iter()
        .flat_map(|commit| commit.offsets.iter().cloned())
        .collect();
    let chunks = tails.take_chunks();
    let byte_count: usize = chunks.iter().map(|(_, value)| value.len()).sum();
    let result = ready.and_then(|()| core.store.write(chunks, &offsets));
    match &result {
        Ok(()) => tails.publish(core),
        Err(LogError::Fatal { reason }) => {
            tracing::error!(error = reason, "event log failed for good");
            core.queue.set_broken(reason.clone());
        }
        Err(_) => {}
    }
    for commit in group.commits {
        let answer = match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(same_error(error)),
        };
        // A caller that stopped waiting needs no answer.
        drop(commit.done.send(answer));
    }
    for (lane, plans) in group.lanes.into_iter().zip(plans) {
        report(core, lane, plans, &result);
    }
    core.coordinator.wake();
    byte_count as u64
}

fn report(core: &Core, lane: GroupLane, plans: Vec<Plan>, result: &Result<(), LogError>) {
    let byte_count = lane.messages.iter().map(chunk::encoded_len).sum();
    let count = lane.messages.len();
    let deliveries = lane.messages.iter().zip(plans).map(|(message, plan)| {
        let result = match (plan, result) {
            (Err(refusal), _) => Err(DeliveryFailure::Refused(refusal)),
            (Ok(position), Ok(())) => Ok(position),
            // What is in is known after the next open; until then it may or may not be.
            (Ok(_), Err(error)) => Err(DeliveryFailure::Ambiguous(error.to_string())),
        };
        Delivery {
            token: message.token,
            result,
        }
    });
    let deliveries: Vec<Delivery> = deliveries.collect();
    core.queue.settle(lane.lane, count, byte_count, || {
        if let Some(permit) = lane.permit {
            permit.send(deliveries);
        }
    });
}

fn same_error(error: &LogError) -> LogError {
    match error {
        LogError::Fatal { reason } => LogError::Fatal { reason: reason.clone() },
        other => LogError::Unavailable {
            address: "embedded".into(),
            reason: other.to_string(),
        },
    }
}

/// The ends of the partitions that a group touches, with what it adds to them.
#[derive(Default)]
struct Tails {
    tails: BTreeMap<Place, Tail>,
    /// The topic of the last message: most groups have one.
    last_topic: Option<Arc<Topic>>,
}

struct Tail {
    topic: Arc<Topic>,
    partition: PartitionId,
    next: u64,
    bytes_until: u64,
    chunks: Vec<(ChunkKey, Vec<u8>)>,
}

impl Tails {
    fn append(&mut self, core: &Core, message: &Message) -> Plan {
        let known = self.last_topic.take().filter(|topic| topic.spec.name == message.topic);
        let Some(topic) = known.or_else(|| core.topic(&message.topic)) else {
            return Err(format!("topic `{}` does not exist", message.topic));
        };
        let bytes = message.byte_count();
        let max = topic.spec.max_message_bytes;
        if bytes > max as usize {
            self.last_topic = Some(topic);
            return Err(format!("{bytes} bytes, and the topic takes {max}"));
        }
        let partition = topic.choose(&message.key);
        let tail = match self.tails.entry(topic.place(partition)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Tail::of(topic.clone(), partition)),
        };
        self.last_topic = Some(topic);
        let offset = tail.push(message);
        Ok(Position { partition, offset })
    }

    fn take_chunks(&mut self) -> Vec<(ChunkKey, Vec<u8>)> {
        let tails = self.tails.values_mut();
        tails.flat_map(|tail| std::mem::take(&mut tail.chunks)).collect()
    }

    /// Lets readers see what is durable now.
    fn publish(&self, core: &Core) {
        for tail in self.tails.values() {
            let head = tail.head();
            let before = head.high.load(Ordering::Acquire);
            head.bytes_until.store(tail.bytes_until, Ordering::Release);
            head.high.store(tail.next, Ordering::Release);
            let appended = &core.counters.appended_records;
            appended.fetch_add(tail.next - before, Ordering::Relaxed);
        }
    }
}

impl Tail {
    fn of(topic: Arc<Topic>, partition: PartitionId) -> Self {
        let mut tail = Self {
            topic,
            partition,
            next: 0,
            bytes_until: 0,
            chunks: Vec::new(),
        };
        tail.next = tail.head().high.load(Ordering::Acquire);
        tail.bytes_until = tail.head().bytes_until.load(Ordering::Acquire);
        tail
    }

    fn head(&self) -> &super::core::Head {
        self.topic
            .head(self.partition)
            .expect("the topic chose one of its partitions")
    }

    fn push(&mut self, message: &Message) -> u64 {
        let offset = self.next;
        let length = chunk::encoded_len(message);
        let has_room = self
            .chunks
            .last()
            .is_some_and(|(_, value)| value.len() + length <= limits::CHUNK_BYTES_MAX);
        if !has_room {
            let key = ChunkKey {
                place: self.topic.place(self.partition),
                base: offset,
                record_count: 0,
                newest_ms: i64::MIN,
                bytes_until: self.bytes_until,
            };
            self.chunks.push((key, Vec::new()));
        }
        let (key, value) = self.chunks.last_mut().expect("just ensured");
        chunk::encode(message, value);
        self.next += 1;
        self.bytes_until += length as u64;
        key.record_count += 1;
        key.newest_ms = key.newest_ms.max(message.timestamp_ms);
        key.bytes_until = self.bytes_until;
        offset
    }
}
