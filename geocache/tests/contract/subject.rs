//! A cache under test, and what is asked of it again and again.

use std::{sync::Arc, time::Duration};

use geocache::{Batch, CellCache, LocalCache, Notice, Notices, Place, RedisCache, Snapshot};
use platform::clock::ManualClock;
use rig::Redis;
use tokio::time::{Instant, sleep, timeout};

/// The wall clock of all tests.
pub(crate) const NOW_SECONDS: u32 = 1_700_000_040;

/// Whatever is awaited comes long before, on a busy machine too.
pub(crate) const AWAITED_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Subject {
    pub(crate) cache: Arc<dyn CellCache>,
    pub(crate) redis: Option<Redis>,
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(i64::from(NOW_SECONDS) * 1_000))
}

impl Subject {
    pub(crate) fn local() -> Self {
        Self {
            cache: Arc::new(LocalCache::new(clock())),
            redis: None,
        }
    }

    pub(crate) fn redis() -> Self {
        let redis = Redis::start();
        let cache = another(&redis);
        // Whoever publishes nothing at all is not heard, and who hears nobody is told nothing.
        cache.lose();
        Self {
            cache,
            redis: Some(redis),
        }
    }

    /// Watches, and returns once everything that is published is heard.
    pub(crate) async fn watch(&self) -> Notices {
        let mut notices = self.cache.watch();
        until_lost(&mut notices).await;
        notices
    }
}

/// Another process on the same Redis.
pub(crate) fn another(redis: &Redis) -> Arc<dyn CellCache> {
    Arc::new(RedisCache::new(&redis.url(), clock()).unwrap())
}

/// Waits for a notice that something may have been missed.
pub(crate) async fn until_lost(notices: &mut Notices) {
    let lost = async { while !matches!(notices.next().await.unwrap(), Notice::Lost) {} };
    timeout(AWAITED_MAX, lost).await.expect("it is told");
}

/// Waits for a notice that changes are missed from now on.
pub(crate) async fn until_gone(notices: &mut Notices) {
    let gone = async { while !matches!(notices.next().await.unwrap(), Notice::Gone) {} };
    timeout(AWAITED_MAX, gone).await.expect("it is told");
}

/// The next change.
pub(crate) async fn until_changed(notices: &mut Notices) -> Arc<Batch> {
    let changed = async {
        loop {
            if let Notice::Changed(batch) = notices.next().await.unwrap() {
                return batch;
            }
        }
    };
    timeout(AWAITED_MAX, changed).await.expect("it is told")
}

/// Waits until exactly this is held.
pub(crate) async fn hold(subject: &Subject, place: &Place, mut expected: Vec<Snapshot>) {
    let order = |snapshot: &Snapshot| (snapshot.cell, snapshot.source);
    expected.sort_by_key(order);
    let started = Instant::now();
    loop {
        let mut held = subject.cache.held(place).await.unwrap();
        held.sort_by_key(order);
        if held == expected {
            return;
        }
        assert!(started.elapsed() < AWAITED_MAX, "{place:?}: {held:?}");
        sleep(Duration::from_millis(10)).await;
    }
}
