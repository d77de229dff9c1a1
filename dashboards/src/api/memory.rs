//! Answers kept in memory for whoever asks the same again.
//!
//! An answer is used as long as nothing of what it was made of has changed. Of those who ask the same at once, one asks the
//! store. Only where the store is overtaxed or away is an older answer shown, with its age, while a new one is made. Must
//! never give an answer whose reading began before a change that whoever asks may know of.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::problem::{Kind, Problem};
use crate::{limits, metrics::MemoryMetrics};

/// What is kept says how much memory it takes.
pub(crate) trait Weigh: Send + Sync + 'static {
    fn weight_bytes(&self) -> usize;
}

/// An answer, and how old it is.
pub(crate) struct Kept<V> {
    pub(crate) value: Arc<V>,
    /// None for one that was just made.
    pub(crate) age: Option<Duration>,
    /// It was not asked of the store, and nothing has changed since: whoever wants may compare.
    pub(crate) is_hit: bool,
}

/// Kept answers.
pub(crate) struct Memory<K, V> {
    shelf: Mutex<Shelf<K, V>>,
    pub(crate) metrics: MemoryMetrics,
    inspected_at: Mutex<Option<Instant>>,
}

struct Shelf<K, V> {
    slots: HashMap<K, Arc<Slot<V>>>,
    weight_bytes: usize,
    uses: u64,
}

/// The place of one question.
struct Slot<V> {
    held: Mutex<Held<V>>,
    /// Held by who asks the store.
    turn: tokio::sync::Mutex<()>,
    used: AtomicU64,
}

struct Held<V> {
    made: Option<Made<V>>,
    failed: Option<(Instant, Problem)>,
}

struct Made<V> {
    value: Arc<V>,
    version: Option<u64>,
    /// When the reading began, and when it ended.
    began_at: Instant,
    made_at: Instant,
    weight_bytes: usize,
}

/// A question.
pub(crate) struct Question<K, V> {
    pub(crate) key: K,
    /// How long an answer may be used though no change is told: the backstop.
    pub(crate) age_max: Duration,
    /// The last change of what it is about; none where nobody tells.
    pub(crate) version: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    /// Asks the store.
    pub(crate) ask: Box<dyn Fn() -> BoxFuture<'static, Result<V, Problem>> + Send + Sync>,
}

impl<K: Clone + Eq + Hash + Send + Sync + 'static, V: Weigh> Memory<K, V> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            shelf: Mutex::new(Shelf {
                slots: HashMap::new(),
                weight_bytes: 0,
                uses: 0,
            }),
            metrics: MemoryMetrics::new(),
            inspected_at: Mutex::new(None),
        })
    }

    /// The answer. `is_busy`: the store has no place for more questions now.
    ///
    /// # Errors
    /// As the store's, where nothing is kept.
    pub(crate) async fn answer(self: &Arc<Self>, question: Question<K, V>, is_busy: bool) -> Result<Kept<V>, Problem> {
        let slot = self.slot(&question.key);
        let asked_at = Instant::now();
        if let Some(kept) = slot.fresh(&question, asked_at) {
            self.metrics.hits.increment(1);
            return Ok(kept);
        }
        if is_busy && let Some(kept) = slot.stale() {
            self.metrics.stale.increment(1);
            // One refreshes it; nobody waits for that.
            if slot.turn.try_lock().is_ok() {
                let memory = self.clone();
                tokio::spawn(async move { memory.ask(&slot, &question, asked_at).await.map(drop) });
            }
            return Ok(kept);
        }
        match self.ask(&slot, &question, asked_at).await {
            Err(problem) if matches!(problem.kind, Kind::Unavailable | Kind::Busy) => match slot.stale() {
                Some(kept) => {
                    self.metrics.stale.increment(1);
                    Ok(kept)
                }
                None => Err(problem),
            },
            answer => answer,
        }
    }

    /// What is kept though the store is not asked: still good, or an older one.
    pub(crate) fn peek(&self, question: &Question<K, V>) -> Option<Kept<V>> {
        let slot = self.shelf().slots.get(&question.key).cloned()?;
        slot.fresh(question, Instant::now()).or_else(|| slot.stale())
    }

    /// True for one hit now and then, which is to be compared with the store: what that costs does not grow with those who
    /// ask.
    pub(crate) fn is_inspection_due(&self) -> bool {
        let now = Instant::now();
        let mut inspected_at = self.inspected_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = inspected_at.is_none_or(|last| now - last >= limits::INSPECTION_INTERVAL);
        if is_due {
            *inspected_at = Some(now);
        }
        is_due
    }

    async fn ask(&self, slot: &Arc<Slot<V>>, question: &Question<K, V>, asked_at: Instant) -> Result<Kept<V>, Problem> {
        let _turn = slot.turn.lock().await;
        // Who had the turn before may have asked for us as well.
        if let Some(answer) = slot.since(asked_at) {
            self.metrics.shared.increment(1);
            return answer;
        }
        if let Some(kept) = slot.fresh(question, Instant::now()) {
            self.metrics.hits.increment(1);
            return Ok(kept);
        }
        self.metrics.misses.increment(1);
        // In this order: what changes while the store is asked makes the answer stale.
        let version = (question.version)();
        let began_at = Instant::now();
        match (question.ask)().await {
            Ok(value) => {
                let value = Arc::new(value);
                let made = Made {
                    value: value.clone(),
                    version,
                    began_at,
                    made_at: Instant::now(),
                    weight_bytes: value.weight_bytes() + limits::ANSWER_OVERHEAD_BYTES,
                };
                self.keep(&question.key, slot, made);
                Ok(Kept {
                    value,
                    age: None,
                    is_hit: false,
                })
            }
            Err(problem) => {
                slot.held().failed = Some((began_at, problem.clone()));
                Err(problem)
            }
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<K, V>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, key: &K) -> Arc<Slot<V>> {
        let mut shelf = self.shelf();
        shelf.uses += 1;
        let uses = shelf.uses;
        if let Some(slot) = shelf.slots.get(key) {
            slot.used.store(uses, Ordering::Relaxed);
            return slot.clone();
        }
        let slot = Arc::new(Slot {
            held: Mutex::new(Held {
                made: None,
                failed: None,
            }),
            turn: tokio::sync::Mutex::default(),
            used: AtomicU64::new(uses),
        });
        shelf.weight_bytes += limits::ANSWER_OVERHEAD_BYTES;
        shelf.slots.insert(key.clone(), slot.clone());
        shelf.make_room();
        slot
    }

    fn keep(&self, key: &K, slot: &Arc<Slot<V>>, made: Made<V>) {
        let mut shelf = self.shelf();
        let weight_bytes = made.weight_bytes;
        let before = {
            let mut held = slot.held();
            held.failed = None;
            held.made.replace(made)
        };
        // One that was pushed out meanwhile weighs nothing any more.
        if shelf.slots.get(key).is_some_and(|kept| Arc::ptr_eq(kept, slot)) {
            shelf.weight_bytes += weight_bytes;
            shelf.weight_bytes -= before.map_or(limits::ANSWER_OVERHEAD_BYTES, |before| before.weight_bytes);
            shelf.make_room();
        }
        self.metrics.bytes.set(shelf.weight_bytes as f64);
    }
}

impl<K: Clone + Eq + Hash, V> Shelf<K, V> {
    /// Pushes out the least recently used quarter when there is too much.
    fn make_room(&mut self) {
        if self.weight_bytes <= limits::ANSWERS_BYTES_MAX {
            return;
        }
        let mut by_use: Vec<(u64, K)> = self
            .slots
            .iter()
            .map(|(key, slot)| (slot.used.load(Ordering::Relaxed), key.clone()))
            .collect();
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in by_use {
            if self.weight_bytes <= limits::ANSWERS_BYTES_MAX / 4 * 3 {
                break;
            }
            if let Some(slot) = self.slots.remove(&key) {
                let held = slot.held();
                let weight = held.made.as_ref().map(|made| made.weight_bytes);
                self.weight_bytes -= weight.unwrap_or(limits::ANSWER_OVERHEAD_BYTES);
            }
        }
    }
}

impl<V> Slot<V> {
    fn held(&self) -> MutexGuard<'_, Held<V>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept, if it holds still.
    fn fresh<K>(&self, question: &Question<K, V>, now: Instant) -> Option<Kept<V>> {
        let version = (question.version)();
        let held = self.held();
        let made = held.made.as_ref()?;
        let age = now.saturating_duration_since(made.began_at);
        let holds = version.is_some() && made.version == version && age < question.age_max;
        holds.then(|| Kept {
            value: made.value.clone(),
            age: Some(age),
            is_hit: true,
        })
    }

    /// What is kept, though something may have changed since.
    fn stale(&self) -> Option<Kept<V>> {
        let held = self.held();
        let made = held.made.as_ref()?;
        let age = made.made_at.elapsed();
        (age < limits::STALE_AGE_MAX).then(|| Kept {
            value: made.value.clone(),
            age: Some(age),
            is_hit: false,
        })
    }

    /// What came of a reading that began after we asked, or a refusal that would only come again.
    fn since(&self, asked_at: Instant) -> Option<Result<Kept<V>, Problem>> {
        let held = self.held();
        if let Some((began_at, problem)) = &held.failed {
            let would_come_again = problem.kind == Kind::TooLarge && began_at.elapsed() < limits::REFUSAL_AGE_MAX;
            if *began_at >= asked_at || would_come_again {
                return Some(Err(problem.clone()));
            }
        }
        let made = held.made.as_ref().filter(|made| made.began_at >= asked_at)?;
        Some(Ok(Kept {
            value: made.value.clone(),
            age: None,
            is_hit: false,
        }))
    }
}

#[cfg(test)]
mod tests;
