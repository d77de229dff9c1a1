//! Doubles of ClickHouse, the consumer and the checkpoint store. Each one watches that what must come before it has
//! come, and some fail on demand.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eventlog::{Consumer, ConsumerEvent, LogError, MemoryLog, PartitionId, TopicPartition};
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
};
use schemas::rows::Rows;

use super::{
    tables::{Tables, replay},
    world::{Insert, World},
};
use crate::{checkpoint::Checkpoint, runner::RowSink, task::Parameters};

/// A double of ClickHouse: slow, at times down, and killed at any moment between two tables.
pub(super) struct WatchedSink(pub(super) World);

impl RowSink for WatchedSink {
    type Encoded = Rows;
    type Error = Infallible;

    fn encode(&self, rows: Rows) -> Rows {
        rows
    }

    async fn insert(&self, batches: Vec<Rows>) -> Result<(), Infallible> {
        let World {
            tables,
            faults,
            inserts,
            ..
        } = &self.0;
        let mut insert = Insert::default();
        for rows in batches {
            insert.measurement_count += rows.counts()[0];
            insert.periods.extend(&rows.rollups.period_seconds);
            let latency_ms = faults.lock().unwrap().latency_ms();
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
            while faults.lock().unwrap().is_down {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let measurements = Rows {
                measurements: rows.measurements,
                ..Rows::default()
            };
            tables.lock().unwrap().insert(&measurements);
            tokio::task::yield_now().await;
            let others = Rows {
                measurements: Rows::default().measurements,
                ..rows
            };
            tables.lock().unwrap().insert(&others);
        }
        inserts.lock().unwrap().push(insert);
        Ok(())
    }
}

/// The memory log, watched: what is committed must be in a durable checkpoint.
pub(super) struct WatchedConsumer {
    pub(super) inner: Box<dyn Consumer>,
    pub(super) world: World,
    /// While true it hears nothing of the group: the member of a zombie.
    pub(super) is_deaf: Arc<AtomicBool>,
    /// While true the log answers nothing that it is asked.
    pub(super) is_silent: Arc<AtomicBool>,
}

async fn until_answered(is_silent: &AtomicBool) {
    while is_silent.load(Ordering::Acquire) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[async_trait::async_trait]
impl Consumer for WatchedConsumer {
    async fn next(&mut self) -> Result<ConsumerEvent, LogError> {
        loop {
            match self.inner.next().await? {
                ConsumerEvent::Revoked(_) | ConsumerEvent::Assigned(_) if self.is_deaf.load(Ordering::Acquire) => {}
                event => return Ok(event),
            }
        }
    }

    async fn start(&mut self, topic_partition: &TopicPartition, offset: u64) -> Result<(), LogError> {
        until_answered(&self.is_silent).await;
        self.inner.start(topic_partition, offset).await
    }

    async fn commit(&mut self, offsets: &[(TopicPartition, u64)]) -> Result<(), LogError> {
        for (place, offset) in offsets {
            let durable = self.world.objects.durable.lock().unwrap().get(place).copied();
            assert!(
                durable >= Some(*offset),
                "{place}: {offset} committed, and durable is {durable:?}"
            );
        }
        until_answered(&self.is_silent).await;
        self.inner.commit(offsets).await
    }

    async fn bounds(&mut self, topic_partition: &TopicPartition) -> Result<Range<u64>, LogError> {
        until_answered(&self.is_silent).await;
        self.inner.bounds(topic_partition).await
    }

    async fn close(self: Box<Self>) -> Result<(), LogError> {
        until_answered(&self.is_silent).await;
        self.inner.close().await
    }
}

/// The checkpoint store, watched: what is checkpointed must be in the tables.
#[derive(Debug)]
pub(super) struct WatchedStore {
    inner: InMemory,
    log: MemoryLog,
    tables: Arc<Mutex<Tables>>,
    parameters: Parameters,
    /// Largest offset in a checkpoint, by partition.
    pub(super) durable: Mutex<BTreeMap<TopicPartition, u64>>,
    /// Writes fail while this is set.
    pub(super) is_down: Mutex<bool>,
}

impl WatchedStore {
    pub(super) fn new(log: &MemoryLog, tables: &Arc<Mutex<Tables>>, parameters: &Parameters) -> Self {
        Self {
            inner: InMemory::new(),
            log: log.clone(),
            tables: tables.clone(),
            parameters: parameters.clone(),
            durable: Mutex::default(),
            is_down: Mutex::default(),
        }
    }

    fn assert_inserted(&self, place: &TopicPartition, offset: u64) {
        let mut expected = Tables::default();
        expected.insert(&replay(&self.log, &self.parameters, place, offset));
        let tables = self.tables.lock().unwrap();
        for key in expected.measurements.keys() {
            assert!(
                tables.measurements.contains_key(key),
                "{place}: checkpoint {offset} without row {key:?}"
            );
        }
        for (key, (version, _)) in &expected.rollups {
            let found = tables.rollups.get(key).map(|(version, _)| *version);
            assert!(
                found >= Some(*version),
                "{place}: checkpoint {offset} without snapshot {key:?} {version}"
            );
        }
        for (key, (version, _)) in &expected.devices {
            let found = tables.devices.get(key).map(|(version, _)| *version);
            assert!(
                found >= Some(*version),
                "{place}: checkpoint {offset} without device {key:?} {version}"
            );
        }
        assert!(tables.dead_letters.is_superset(&expected.dead_letters));
    }
}

/// The partition of a checkpoint's name.
fn place_of(location: &Path) -> TopicPartition {
    let parts: Vec<_> = location.parts().map(|part| part.as_ref().to_owned()).collect();
    TopicPartition {
        topic: parts[1].as_str().into(),
        partition: PartitionId(parts[2].parse().unwrap()),
    }
}

impl std::fmt::Display for WatchedStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("watched")
    }
}

#[async_trait::async_trait]
impl ObjectStore for WatchedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        tokio::task::yield_now().await;
        if *self.is_down.lock().unwrap() {
            let source = "made unavailable by a test".into();
            return Err(object_store::Error::Generic {
                store: "watched",
                source,
            });
        }
        let bytes: Vec<u8> = payload.iter().flatten().copied().collect();
        let checkpoint = Checkpoint::decode(&bytes).unwrap();
        let place = place_of(location);
        self.assert_inserted(&place, checkpoint.offset);
        let result = self.inner.put_opts(location, payload, options).await?;
        let mut durable = self.durable.lock().unwrap();
        let newest = durable.entry(place).or_default();
        *newest = checkpoint.offset.max(*newest);
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        tokio::task::yield_now().await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
