//! Checkpoints in memory, in a store that is slow and fails on demand: before it has written, or after.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::trace::Trace;

/// A store of checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    inner: InMemory,
    faults: Mutex<Faults>,
    trace: Trace,
}

#[derive(Debug)]
struct Faults {
    /// Chance that an operation fails.
    chance: f64,
    random: ChaCha8Rng,
}

impl Checkpoints {
    pub(crate) fn new(seed: u64, trace: &Trace) -> Arc<Self> {
        Arc::new(Self {
            inner: InMemory::new(),
            faults: Mutex::new(Faults {
                chance: 0.0,
                random: ChaCha8Rng::seed_from_u64(seed),
            }),
            trace: trace.clone(),
        })
    }

    pub(crate) fn set_fault_chance(&self, chance: f64) {
        self.lock().chance = chance;
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails, perhaps.
    fn step(&self, what: &'static str) -> object_store::Result<()> {
        let mut faults = self.lock();
        let chance = faults.chance;
        if !faults.random.random_bool(chance) {
            return Ok(());
        }
        drop(faults);
        self.trace.fault(what, "");
        Err(object_store::Error::Generic {
            store: "simulated",
            source: what.into(),
        })
    }
}

impl std::fmt::Display for Checkpoints {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("simulated")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Checkpoints {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        tokio::task::yield_now().await;
        self.step("checkpoint not written")?;
        let result = self.inner.put_opts(location, payload, options).await;
        tokio::task::yield_now().await;
        self.step("checkpoint written with an error")?;
        result
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
        self.step("checkpoint not read")?;
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
