//! The newest message of each topic that was published to be kept.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::topics::covers;
use crate::{
    limits,
    mqtt::{codec::Qos, journal::record::Record, message::Message},
};

/// One retained message.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) message: Arc<Message>,
    pub(super) qos: Qos,
}

/// Retained messages by topic, bounded.
#[derive(Debug, Default)]
pub(super) struct Retained {
    by_topic: BTreeMap<Box<str>, Kept>,
    kept_bytes: usize,
    /// What the file of retained messages holds, old and new.
    written_bytes: usize,
}

impl Retained {
    /// Keeps a message, or forgets that of its topic when the payload is empty. False when there is no room.
    pub(super) fn put(&mut self, topic: &str, qos: Qos, message: Arc<Message>) -> bool {
        let before = self.by_topic.get(topic).map_or(0, |kept| kept.message.bytes());
        if message.payload().is_empty() {
            self.by_topic.remove(topic);
            self.kept_bytes -= before;
            return true;
        }
        let after = self.kept_bytes - before + message.bytes();
        if after > limits::MQTT_RETAINED_BYTES_MAX {
            return false;
        }
        self.kept_bytes = after;
        self.by_topic.insert(topic.into(), Kept { message, qos });
        true
    }

    /// Counts what was written to the file.
    pub(super) fn written(&mut self, bytes: usize) {
        self.written_bytes += bytes;
    }

    /// The whole file anew, when most of it is old.
    pub(super) fn rewritten(&mut self) -> Option<Vec<u8>> {
        if self.written_bytes < 2 * self.kept_bytes + limits::MQTT_RETAINED_WASTE_BYTES_MAX {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.kept_bytes);
        for kept in self.by_topic.values() {
            record(kept).write(&mut bytes);
        }
        self.written_bytes = bytes.len();
        Some(bytes)
    }

    /// Messages that a new subscription is to get.
    pub(super) fn matching(&self, filter: &str, unix_ms: u64) -> Vec<Kept> {
        let literal = filter.find(['+', '#']).map_or(filter, |end| &filter[..end]);
        // `a/#` covers `a` too, so the range begins before the separator.
        let prefix = literal.strip_suffix('/').unwrap_or(literal);
        self.by_topic
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, kept)| covers(filter, topic) && kept.message.expiry_s(unix_ms) != Some(0))
            .map(|(_, kept)| kept.clone())
            .collect()
    }
}

/// How a retained message is written.
pub(super) fn record(kept: &Kept) -> Record<'_> {
    Record::Retained {
        qos: kept.qos as u8,
        expires_unix_ms: kept.message.expires_unix_ms,
        topic: kept.message.topic(),
        properties: kept.message.properties(),
        payload: kept.message.payload(),
    }
}
