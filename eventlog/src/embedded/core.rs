//! What the handles and threads of one embedded log share.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    EmbeddedConfig,
    chunk::Place,
    queue::Queue,
    store::{Store, StoredTopic},
};
use crate::{LogError, PartitionId, TopicPartition, TopicSpec, group::Coordinator, partitioner};

pub(super) struct Core {
    pub(super) config: EmbeddedConfig,
    pub(super) store: Store,
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) queue: Queue,
    pub(super) counters: Counters,
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
    /// Held while a topic is created, so that two callers do not give one number twice.
    creating: Mutex<()>,
}

/// Counts since the log was opened.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) appended_records: AtomicU64,
    pub(super) removed_records: AtomicU64,
    pub(super) removed_uncommitted_records: AtomicU64,
}

pub(super) struct Topic {
    pub(super) id: u16,
    pub(super) spec: TopicSpec,
    heads: Arc<[Head]>,
    keyless_count: Arc<AtomicU64>,
}

/// Where a partition begins and ends. Written by the writer (`high`, `bytes_until`) and retention (the rest) only.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) low: AtomicU64,
    /// Next offset; everything below is durable.
    pub(super) high: AtomicU64,
    /// Bytes ever appended.
    pub(super) bytes_until: AtomicU64,
    /// Bytes ever removed.
    pub(super) bytes_removed: AtomicU64,
}

impl Head {
    pub(super) fn bounds(&self) -> Range<u64> {
        // Low first: it may move on in between, and the range must not claim what is gone for what is there.
        let low = self.low.load(Ordering::Acquire);
        low..self.high.load(Ordering::Acquire)
    }

    pub(super) fn byte_count(&self) -> u64 {
        let removed = self.bytes_removed.load(Ordering::Acquire);
        self.bytes_until.load(Ordering::Acquire).saturating_sub(removed)
    }
}

impl Core {
    /// Reads topics, heads and committed offsets back.
    pub(super) fn recover(config: EmbeddedConfig) -> Result<Self, LogError> {
        let store = Store::open(&config.data_dir)?;
        let core = Self {
            config,
            store,
            coordinator: Arc::default(),
            queue: Queue::default(),
            counters: Counters::default(),
            topics: RwLock::default(),
            creating: Mutex::default(),
        };
        for stored in core.store.topics()? {
            core.add(stored)?;
        }
        for stored in core.store.offsets()? {
            let Some(topic_partition) = core.name(stored.place) else {
                return Err(core.store.damaged("the topic of a committed offset"));
            };
            core.coordinator.restore(&stored.group, topic_partition, stored.offset);
        }
        Ok(core)
    }

    /// Creates the topic, or takes over what may change of one that exists.
    pub(super) fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        spec.check()?;
        let _creating = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let id = match self.topic(&spec.name) {
            Some(topic) if topic.spec.partitions != spec.partitions => {
                return Err(spec.partition_mismatch(usize::from(topic.spec.partitions)));
            }
            Some(topic) if topic.spec == *spec => return Ok(()),
            Some(topic) => topic.id,
            None => {
                let taken = self.all_topics().iter().map(|topic| topic.id + 1).max();
                taken.unwrap_or(0)
            }
        };
        let stored = StoredTopic { id, spec: spec.clone() };
        self.store.put_topic(&stored)?;
        self.add(stored)
    }

    fn add(&self, stored: StoredTopic) -> Result<(), LogError> {
        let name = stored.spec.name.clone();
        let partitions = stored.spec.partitions;
        let known = self.topic(&name);
        let (heads, keyless_count) = match known {
            Some(topic) => (topic.heads.clone(), topic.keyless_count.clone()),
            None => (self.heads(&stored)?, Arc::default()),
        };
        let topic = Topic {
            id: stored.id,
            spec: stored.spec,
            heads,
            keyless_count,
        };
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(name.clone(), Arc::new(topic));
        drop(topics);
        self.coordinator.add_topic(name, partitions);
        Ok(())
    }

    fn heads(&self, stored: &StoredTopic) -> Result<Arc<[Head]>, LogError> {
        let places = (0..stored.spec.partitions).map(|partition| Place {
            topic_id: stored.id,
            partition,
        });
        let heads = places.map(|place| {
            let head = Head::default();
            let first = self.store.oldest_chunks(place).next().transpose()?;
            let last = self.store.last_chunk(place)?;
            if let (Some(first), Some(last)) = (first, last) {
                head.low.store(first.base, Ordering::Release);
                head.high.store(last.end(), Ordering::Release);
                head.bytes_until.store(last.bytes_until, Ordering::Release);
                // Off by the first chunk, which counts as removed: its own size is not in its key.
                head.bytes_removed.store(first.bytes_until, Ordering::Release);
            }
            Ok(head)
        });
        heads.collect()
    }

    pub(super) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned()
    }

    pub(super) fn all_topics(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().cloned().collect()
    }

    fn name(&self, place: Place) -> Option<TopicPartition> {
        let topics = self.all_topics();
        let topic = topics.iter().find(|topic| topic.id == place.topic_id)?;
        Some(TopicPartition {
            topic: topic.spec.name.clone(),
            partition: PartitionId(place.partition),
        })
    }

    pub(super) fn bounds(&self, topic_partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        let topic = self.topic(&topic_partition.topic);
        let bounds = topic
            .as_ref()
            .and_then(|topic| topic.head(topic_partition.partition))
            .map(Head::bounds);
        bounds.ok_or_else(|| LogError::Unavailable {
            address: self.store.address().into(),
            reason: format!("there is no `{topic_partition}`"),
        })
    }
}

impl Topic {
    pub(super) fn head(&self, partition: PartitionId) -> Option<&Head> {
        self.heads.get(usize::from(partition.0))
    }

    pub(super) fn place(&self, partition: PartitionId) -> Place {
        Place {
            topic_id: self.id,
            partition: partition.0,
        }
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = (PartitionId, &Head)> {
        let numbers = (0..self.spec.partitions).map(PartitionId);
        numbers.zip(self.heads.iter())
    }

    pub(super) fn choose(&self, key: &[u8]) -> PartitionId {
        let count = self.spec.partitions;
        if !key.is_empty() {
            return partitioner::partition_of(key, count);
        }
        let next = self.keyless_count.fetch_add(1, Ordering::Relaxed) % u64::from(count);
        PartitionId(u16::try_from(next).expect("less than the count"))
    }
}
