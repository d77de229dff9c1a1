//! Answers of the tables that never come: whoever takes partitions over asks again.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use eventlog::TopicPartition;
use futures::{FutureExt, future::BoxFuture};
use platform::{clock::ManualClock, health::Health, shutdown::Shutdown};
use schemas::rows::Rows;

use super::{doubles::WatchedSink, world::World};
use crate::{
    pipeline,
    recovery::{Books, GoesOn, Mended, Recovery, RecoveryError},
    runner::RowSink,
    task::{Parameters, Remains},
};

/// The network swallows this many answers.
const SWALLOWED: u32 = 2;

struct FarSink {
    inner: WatchedSink,
    asked: Arc<AtomicU32>,
}

impl RowSink for FarSink {
    type Encoded = Rows;
    type Error = Infallible;

    fn encode(&self, rows: Rows) -> Rows {
        self.inner.encode(rows)
    }

    async fn insert(&self, batches: Vec<Rows>) -> Result<(), Infallible> {
        self.inner.insert(batches).await
    }

    fn recovery(&self) -> Option<&dyn Recovery> {
        Some(self)
    }
}

impl Recovery for FarSink {
    fn incarnations(&self) -> BoxFuture<'_, Result<HashMap<TopicPartition, u16>, RecoveryError>> {
        async {
            if self.asked.fetch_add(1, Ordering::SeqCst) < SWALLOWED {
                std::future::pending::<()>().await;
            }
            Ok(HashMap::new())
        }
        .boxed()
    }

    fn books<'call>(
        &'call self,
        _topic_partition: &'call TopicPartition,
    ) -> BoxFuture<'call, Result<Option<Books>, RecoveryError>> {
        async { Ok(None) }.boxed()
    }

    fn remains<'call>(
        &'call self,
        _topic_partition: &'call TopicPartition,
        _books: Books,
        _counts_from: u64,
        _low: u64,
        _parameters: &'call Parameters,
    ) -> BoxFuture<'call, Result<Remains, RecoveryError>> {
        unreachable!("there are no books")
    }

    fn mend<'call>(
        &'call self,
        _topic_partition: &'call TopicPartition,
        _goes_on: GoesOn,
        _parameters: &'call Parameters,
    ) -> BoxFuture<'call, Result<Mended, RecoveryError>> {
        unreachable!("nothing begins anew")
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_does_not_hold_up_a_takeover_for_ever() {
    let world = World::new(29);
    let running = world.start();
    world.feed(500);
    tokio::time::sleep(Duration::from_secs(5)).await;
    running.stop().await;
    world.feed(100);
    let asked = Arc::new(AtomicU32::new(0));
    let sink = FarSink {
        inner: world.sink(),
        asked: asked.clone(),
    };
    let health = Health::new(Arc::new(ManualClock::at(0)));
    let (trigger, shutdown) = Shutdown::new();
    let (settings, consumer, store) = (world.settings.clone(), Box::new(world.consumer()), world.store());
    let task = tokio::spawn(async move { pipeline::run(settings, consumer, sink, store, shutdown, &health).await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(asked.load(Ordering::SeqCst), SWALLOWED + 1);
    world.assert_complete();
    trigger.request();
    task.await.unwrap().unwrap();
}
