//! Nobody gets an answer older than what they know, and the store is asked no more often than that takes.

use std::sync::atomic::AtomicUsize;

use futures::{FutureExt, future::join_all};
use tokio::time::sleep;

use super::*;

impl Weigh for u64 {
    fn weight_bytes(&self) -> usize {
        1 << 20
    }
}

/// A store with one number, that takes its time.
#[derive(Default)]
struct Store {
    number: AtomicU64,
    version: AtomicU64,
    asked: AtomicUsize,
    is_away: std::sync::atomic::AtomicBool,
    is_told: std::sync::atomic::AtomicBool,
}

const TAKES: Duration = Duration::from_millis(100);

impl Store {
    fn told() -> Arc<Self> {
        let store = Arc::new(Self::default());
        store.is_told.store(true, Ordering::SeqCst);
        store
    }

    fn change(&self) {
        self.number.fetch_add(1, Ordering::SeqCst);
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    fn question(self: &Arc<Self>, key: u32) -> Question<u32, u64> {
        let (told, asked) = (self.clone(), self.clone());
        Question {
            key,
            age_max: Duration::from_secs(60),
            version: Box::new(move || {
                let is_told = told.is_told.load(Ordering::SeqCst);
                is_told.then(|| told.version.load(Ordering::SeqCst))
            }),
            ask: Box::new(move || {
                let store = asked.clone();
                async move {
                    store.asked.fetch_add(1, Ordering::SeqCst);
                    let number = store.number.load(Ordering::SeqCst);
                    sleep(TAKES).await;
                    match store.is_away.load(Ordering::SeqCst) {
                        true => Err(Problem::new(Kind::Unavailable, "away")),
                        false => Ok(number),
                    }
                }
                .boxed()
            }),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_until_something_changes_or_it_is_too_old() {
    let (memory, store) = (Memory::new(), Store::told());
    let ask = async || *memory.answer(store.question(1), false).await.unwrap().value;
    assert_eq!((ask().await, ask().await, store.asked()), (0, 0, 1));
    store.change();
    assert_eq!((ask().await, ask().await, store.asked()), (1, 1, 2));
    sleep(Duration::from_secs(61)).await;
    assert_eq!((ask().await, store.asked()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_change_while_the_store_is_asked_makes_the_answer_old() {
    let (memory, store) = (Memory::new(), Store::told());
    let changing = async {
        sleep(TAKES / 2).await;
        store.change();
    };
    let (first, ()) = tokio::join!(memory.answer(store.question(1), false), changing);
    assert_eq!(*first.unwrap().value, 0);
    let second = memory.answer(store.question(1), false).await.unwrap();
    assert_eq!((*second.value, store.asked()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn of_many_who_ask_at_once_two_ask_the_store_at_most_and_nobody_gets_what_is_too_old() {
    for is_told in [true, false] {
        let (memory, store) = (Memory::new(), Store::told());
        store.is_told.store(is_told, Ordering::SeqCst);
        let early = memory.answer(store.question(1), false);
        let late = async {
            sleep(TAKES / 2).await;
            store.change();
            join_all((0..100).map(|_| memory.answer(store.question(1), false))).await
        };
        let (early, late) = tokio::join!(early, late);
        assert_eq!(*early.unwrap().value, 0);
        for answer in late {
            assert_eq!(*answer.unwrap().value, 1);
        }
        assert_eq!(store.asked(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_tells_of_changes_everybody_asks() {
    let (memory, store) = (Memory::new(), Arc::new(Store::default()));
    for _ in 0..3 {
        assert!(memory.answer(store.question(1), false).await.unwrap().age.is_none());
    }
    assert_eq!(store.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_busy_or_away_is_stood_in_for_with_the_age_shown() {
    let (memory, store) = (Memory::new(), Store::told());
    let _ = memory.answer(store.question(1), false).await.unwrap();
    store.change();
    sleep(Duration::from_secs(5)).await;
    let stale = memory.answer(store.question(1), true).await.unwrap();
    assert_eq!((*stale.value, stale.age.unwrap().as_secs()), (0, 5));
    // It was refreshed meanwhile.
    sleep(TAKES * 2).await;
    let fresh = memory.answer(store.question(1), true).await.unwrap();
    assert_eq!((*fresh.value, store.asked()), (1, 2));
    store.is_away.store(true, Ordering::SeqCst);
    store.change();
    let stale = memory.answer(store.question(1), false).await.unwrap();
    assert_eq!(*stale.value, 1);
    sleep(limits::STALE_AGE_MAX).await;
    assert!(memory.answer(store.question(1), false).await.is_err());
    // Those who ask together are refused together.
    let before = store.asked();
    let refused = join_all((0..50).map(|_| memory.answer(store.question(1), false))).await;
    assert!(refused.iter().all(Result::is_err));
    assert!(store.asked() - before <= 2);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_what_was_used_last_stays() {
    let (memory, store) = (Memory::new(), Store::told());
    let count = u32::try_from(limits::ANSWERS_BYTES_MAX >> 20).unwrap() * 2;
    for key in 0..count {
        let _ = memory.answer(store.question(key), false).await.unwrap();
        let _ = memory.answer(store.question(0), false).await.unwrap();
        let shelf = memory.shelf();
        assert!(shelf.weight_bytes <= limits::ANSWERS_BYTES_MAX);
        let held: usize = shelf
            .slots
            .values()
            .filter_map(|slot| Some(slot.held().made.as_ref()?.weight_bytes))
            .sum();
        assert_eq!(shelf.weight_bytes, held);
    }
    assert_eq!(store.asked(), count as usize, "the first one was never pushed out");
}
