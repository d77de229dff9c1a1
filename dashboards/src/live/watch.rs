//! What those share who look at one metric at one level: the open bucket, and the news of each round.
//!
//! What is read from the store and what is told by notices are merged by version, so it does not matter which comes first.
//! Must never be shown before it was read once: notices alone do not know what was there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use geocache::{Snapshot, Values};
use tokio::sync::watch;

use super::bucket::{Applied, Bucket, Changes, Hexagon};
use crate::{
    api::{
        problem::{Kind, Problem},
        view::Aggregate,
    },
    limits,
};

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Empty: all of them.
    pub(crate) tenant: String,
    pub(crate) metric: String,
    /// Of the stored level, in seconds.
    pub(crate) period: u32,
    /// Of the stored level.
    pub(crate) resolution: u8,
}

impl Key {
    /// Start of the bucket that is open at a time.
    pub(crate) fn open_bucket(&self, now_ms: i64) -> u32 {
        let seconds = u32::try_from(now_ms / 1_000).unwrap_or(0);
        seconds - seconds % self.period
    }
}

/// How far the open bucket is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is being read.
    Loading,
    /// It can be shown. Not exact: the store does not answer, and this is what the cache had.
    Ready { is_exact: bool },
    /// It cannot be shown.
    Failed(Problem),
}

/// What a round brought.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) stage: Stage,
    /// Changes with everything that makes who follows begin with a snapshot.
    pub(crate) generation: u64,
    pub(crate) round: u64,
    pub(crate) bucket: u32,
    /// Of this round alone.
    pub(crate) changes: Changes,
    pub(crate) newest_ms: Option<i64>,
    /// The same for all who look at the same: made by the first of them.
    deltas: Mutex<HashMap<u64, Delta>>,
}

/// What a round means for a view.
#[derive(Clone, Debug)]
pub(crate) struct Delta {
    /// None where nothing in view changed.
    pub(crate) event: Option<Bytes>,
    /// Hexagons that were not there before.
    pub(crate) new_count: usize,
}

impl News {
    /// What the round means for the view with this fingerprint.
    pub(crate) fn delta(&self, view: u64, make: impl FnOnce() -> Delta) -> Delta {
        let mut deltas = self.deltas.lock().unwrap_or_else(PoisonError::into_inner);
        deltas.entry(view).or_insert_with(make).clone()
    }
}

/// Hexagons of a place as of a round.
pub(crate) struct Found {
    pub(crate) generation: u64,
    pub(crate) round: u64,
    pub(crate) bucket: u32,
    pub(crate) is_exact: bool,
    pub(crate) newest_ms: Option<i64>,
    pub(crate) hexagons: Vec<Hexagon>,
}

/// One metric at one level.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) key: Key,
    /// No other watch has the same, in this process or another one.
    pub(crate) epoch: u64,
    state: Mutex<State>,
    news: watch::Sender<Arc<News>>,
    /// Snapshots of the round that is shown, by the view: many come at once, mostly for the same.
    snapshots: Mutex<HashMap<u64, Whole>>,
}

/// A snapshot as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) generation: u64,
    pub(crate) round: u64,
    pub(crate) resolution: u8,
    pub(crate) is_exact: bool,
    /// Hexagons in it.
    pub(crate) count: usize,
    pub(crate) event: Bytes,
}

#[derive(Debug)]
struct State {
    open: Bucket,
    /// Devices may be ahead: what comes for the bucket after.
    next: Bucket,
    newest_ms: Option<i64>,
    stage: Stage,
    generation: u64,
    /// How often reading the store was asked for, and how often it had been when the last good reading began.
    wanted: u64,
    read: u64,
    is_reading: bool,
    /// Changes may have been missed since the last good reading began.
    may_lack: bool,
    is_news: bool,
}

impl Watch {
    pub(crate) fn new(key: Key, epoch: u64, now_ms: i64) -> Self {
        let bucket = key.open_bucket(now_ms);
        let news = News {
            stage: Stage::Loading,
            generation: 0,
            round: 0,
            bucket,
            changes: Changes::new(),
            newest_ms: None,
            deltas: Mutex::default(),
        };
        Self {
            epoch,
            state: Mutex::new(State {
                open: Bucket::new(bucket, key.resolution),
                next: Bucket::new(bucket.saturating_add(key.period), key.resolution),
                newest_ms: None,
                stage: Stage::Loading,
                generation: 0,
                wanted: 0,
                read: 0,
                is_reading: false,
                may_lack: false,
                is_news: false,
            }),
            news: watch::Sender::new(Arc::new(news)),
            snapshots: Mutex::default(),
            key,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn follow(&self) -> watch::Receiver<Arc<News>> {
        self.news.subscribe()
    }

    pub(crate) fn followers(&self) -> usize {
        self.news.receiver_count()
    }

    /// Takes in snapshots that a notice told.
    pub(crate) fn told(&self, bucket: u32, snapshots: &[Snapshot]) {
        let mut state = self.state();
        let state = &mut *state;
        let Some(into) = [&mut state.open, &mut state.next]
            .into_iter()
            .find(|one| one.start == bucket)
        else {
            return;
        };
        for snapshot in snapshots {
            into.apply(snapshot, false);
        }
        if state.open.len().max(state.next.len()) > limits::WATCHED_CELLS_MAX {
            state.fail(too_many());
        }
    }

    /// The newest event time of a tenant that is looked at.
    pub(crate) fn told_newest(&self, newest_ms: i64) {
        let mut state = self.state();
        state.newest_ms = state.newest_ms.max(Some(newest_ms));
    }

    /// Asks for the store to be read; `is_lost`: since changes may have been missed. True when somebody has to begin with
    /// it, since nobody is at it.
    pub(crate) fn want(&self, is_lost: bool) -> bool {
        let mut state = self.state();
        state.wanted += 1;
        state.may_lack |= is_lost;
        !std::mem::replace(&mut state.is_reading, true)
    }

    /// What to read now: the bucket, and the number of the wish; none when all wishes are met.
    pub(crate) fn wish(&self) -> Option<(u32, u64)> {
        let mut state = self.state();
        if state.read >= state.wanted || matches!(state.stage, Stage::Failed(_)) {
            state.is_reading = false;
            return None;
        }
        Some((state.open.start, state.wanted))
    }

    /// What was read of a bucket. Returns how many values had been mended there.
    pub(crate) fn loaded(&self, bucket: u32, wish: u64, snapshots: &[Snapshot], newest_ms: Option<i64>) -> u64 {
        let mut state = self.state();
        // It is over, and the next one is wanted already.
        if state.open.start != bucket {
            return 0;
        }
        state.read = wish;
        state.may_lack &= state.wanted > wish;
        state.newest_ms = state.newest_ms.max(newest_ms);
        let applied = snapshots.iter().map(|snapshot| state.open.apply(snapshot, true));
        let corrected = applied.filter(|applied| *applied == Applied::Corrected).count();
        if state.open.len() > limits::WATCHED_CELLS_MAX {
            state.fail(too_many());
        } else if state.stage != (Stage::Ready { is_exact: true }) {
            state.show(true);
        }
        corrected as u64
    }

    /// The store does not answer: what the cache had, if there is one.
    pub(crate) fn not_loaded(&self, bucket: u32, held: Option<&[Snapshot]>, problem: Problem) {
        let mut state = self.state();
        if state.open.start != bucket {
            return;
        }
        if problem.kind == Kind::TooLarge {
            state.fail(problem);
            return;
        }
        match (&state.stage, held) {
            (Stage::Loading, Some(held)) => {
                for snapshot in held {
                    state.open.apply(snapshot, false);
                }
                state.show(false);
            }
            (Stage::Loading, None) => state.fail(problem),
            (Stage::Ready { is_exact: true }, _) if state.may_lack => {
                state.stage = Stage::Ready { is_exact: false };
                state.is_news = true;
            }
            (Stage::Ready { .. } | Stage::Failed(_), _) => {}
        }
    }

    /// True for one that will never be shown again.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state().stage, Stage::Failed(_))
    }

    /// Goes over to the bucket that is open now. True when it is another one, which has to be read. A clock that is set back
    /// a little waits for the bucket that it had seen; one that was far ahead goes back to the bucket that is open indeed.
    pub(crate) fn roll(&self, now_ms: i64) -> bool {
        let mut state = self.state();
        let start = self.key.open_bucket(now_ms);
        let begins_ms = i64::from(state.open.start) * 1_000;
        let was_ahead = begins_ms > now_ms.saturating_add(limits::AHEAD_MS_MAX);
        let is_another = start > state.open.start || was_ahead;
        if !is_another || matches!(state.stage, Stage::Failed(_)) {
            return false;
        }
        let next = Bucket::new(start.saturating_add(self.key.period), self.key.resolution);
        let open = std::mem::replace(&mut state.next, next);
        state.open = match open.start == start {
            true => open,
            false => Bucket::new(start, self.key.resolution),
        };
        state.stage = Stage::Loading;
        state.generation += 1;
        state.is_news = true;
        true
    }

    /// Tells at once what nobody should wait for: that a bucket can be shown, or cannot.
    pub(crate) fn tell_stage(&self) {
        let is_news = self.state().is_news;
        if is_news {
            self.end_round();
        }
    }

    /// Ends a round and tells it, if there is anything to tell.
    pub(crate) fn end_round(&self) {
        let mut state = self.state();
        let changes = match state.stage {
            Stage::Ready { .. } => state.open.end_round(),
            Stage::Loading | Stage::Failed(_) => None,
        };
        let is_news = std::mem::take(&mut state.is_news);
        if changes.is_none() && !is_news {
            return;
        }
        let news = News {
            stage: state.stage.clone(),
            generation: state.generation,
            round: state.open.round(),
            bucket: state.open.start,
            changes: changes.unwrap_or_default(),
            newest_ms: state.newest_ms,
            deltas: Mutex::default(),
        };
        self.news.send_replace(Arc::new(news));
    }

    /// The snapshot of a view that somebody was sent in this round; none while nothing can be shown.
    pub(crate) fn whole(&self, view: u64) -> Option<Whole> {
        let (generation, round, stage) = {
            let state = self.state();
            (state.generation, state.open.round(), state.stage.clone())
        };
        let Stage::Ready { is_exact } = stage else { return None };
        let snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current =
            |whole: &&Whole| (whole.generation, whole.round, whole.is_exact) == (generation, round, is_exact);
        snapshots.get(&view).filter(is_current).cloned()
    }

    /// Keeps a snapshot for those who ask for the same in this round.
    pub(crate) fn share(&self, view: u64, whole: Whole) {
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.retain(|_, held| (held.generation, held.round) == (whole.generation, whole.round));
        if snapshots.len() < limits::SHARED_SNAPSHOTS_MAX {
            snapshots.insert(view, whole);
        }
    }

    /// Hexagons of a resolution that `is_in` wants: those that changed after a round, or all. None while they cannot be
    /// shown.
    pub(crate) fn find(&self, resolution: u8, round: Option<u64>, is_in: impl Fn(&Hexagon) -> bool) -> Option<Found> {
        let mut state = self.state();
        let Stage::Ready { is_exact } = state.stage else {
            return None;
        };
        let hexagons = state.open.since(resolution, round);
        let hexagons = hexagons.filter(|hexagon| is_in(hexagon)).copied().collect();
        Some(Found {
            generation: state.generation,
            round: state.open.round(),
            bucket: state.open.start,
            is_exact,
            newest_ms: state.newest_ms,
            hexagons,
        })
    }
}

impl State {
    fn fail(&mut self, problem: Problem) {
        self.stage = Stage::Failed(problem);
        self.is_news = true;
    }

    fn show(&mut self, is_exact: bool) {
        self.stage = Stage::Ready { is_exact };
        self.generation += 1;
        // What was read belongs to the snapshot that everybody begins with.
        let _ = self.open.end_round();
        self.is_news = true;
    }
}

fn too_many() -> Problem {
    let max = limits::WATCHED_CELLS_MAX;
    Problem::new(
        Kind::TooLarge,
        format!("more than {max} hexagons of this level are open: ask for a coarser `res` or one tenant"),
    )
}

/// What is shown of values by an aggregate that adds up.
pub(crate) fn value(aggregate: Aggregate, values: &Values) -> f64 {
    match aggregate {
        Aggregate::Count => values.count as f64,
        Aggregate::Sum => values.sum,
        Aggregate::Min => values.min,
        Aggregate::Max => values.max,
        Aggregate::Avg => values.sum / values.count as f64,
        Aggregate::P50 | Aggregate::P90 | Aggregate::P99 | Aggregate::Devices => f64::NAN,
    }
}

#[cfg(test)]
mod tests;
