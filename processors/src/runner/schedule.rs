//! When to flush what: free to follow the wall clock, since rows are idempotent. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::{ownership::Ownership, worker::CollectPlan};
use crate::{config::ProcessSettings, limits};

/// What is known of the past and what is due next.
#[derive(Debug)]
pub(super) struct Schedule {
    flush_interval: Duration,
    checkpoint_interval: Duration,
    levels: Vec<LevelTimer>,
    flushed_at: Instant,
    record_at: Instant,
    /// Records came since the last flush.
    has_records: bool,
    /// Records came since everything was collected: some level may be behind.
    has_changes: bool,
}

#[derive(Debug)]
struct LevelTimer {
    interval: Duration,
    due_at: Instant,
}

impl Schedule {
    pub(super) fn new(settings: &ProcessSettings, now: Instant) -> Self {
        let levels = settings.parameters.rollup.levels.iter();
        let levels = levels.map(|level| {
            let interval = Duration::from_millis(level.flush_interval_ms);
            let due_at = now + interval;
            LevelTimer { interval, due_at }
        });
        Self {
            flush_interval: settings.flush_interval,
            checkpoint_interval: settings.checkpoint_interval,
            levels: levels.collect(),
            flushed_at: now,
            record_at: now,
            has_records: false,
            has_changes: false,
        }
    }

    pub(super) fn on_records(&mut self, now: Instant) {
        self.record_at = now;
        self.has_records = true;
        self.has_changes = true;
    }

    /// True when time alone can make a flush due.
    pub(super) fn is_waiting(&self, ownership: &Ownership) -> bool {
        self.has_changes || ownership.has_unsaved() || ownership.is_held()
    }

    /// The flush that should begin now, if there is one. `rows` and `bytes` wait for it.
    pub(super) fn plan(
        &self,
        now: Instant,
        (rows, bytes): (usize, usize),
        ownership: &Ownership,
    ) -> Option<CollectPlan> {
        let is_pressed = rows >= limits::FLUSH_ROWS || bytes >= limits::FLUSH_BYTES || ownership.is_held();
        let since_flush = now - self.flushed_at;
        if !is_pressed && since_flush < limits::FLUSH_GAP_MIN.min(self.flush_interval) {
            return None;
        }
        // Under pressure nothing new comes because nothing is read.
        let is_idle = !is_pressed && now - self.record_at >= limits::IDLE_AFTER;
        let checkpoint_age = if is_idle {
            self.checkpoint_interval.min(limits::IDLE_CHECKPOINT_AGE)
        } else {
            self.checkpoint_interval
        };
        let plan = CollectPlan {
            only: None,
            everything: is_idle && self.has_changes,
            levels: self.due_levels(now),
            checkpoints: ownership.unsaved(now.checked_sub(checkpoint_age)),
        };
        let is_tick = since_flush >= self.flush_interval;
        let has_news = self.has_records || (self.has_changes && plan.levels != 0);
        let is_due = is_pressed || plan.everything || !plan.checkpoints.is_empty() || (is_tick && has_news);
        is_due.then_some(plan)
    }

    /// A flush begins.
    pub(super) fn on_flush(&mut self, now: Instant, plan: &CollectPlan) {
        if plan.only.is_some() {
            return;
        }
        self.flushed_at = now;
        self.has_records = false;
        self.has_changes &= !plan.everything;
        for (index, level) in self.levels.iter_mut().enumerate() {
            if plan.everything || plan.levels & (1 << index) != 0 {
                level.due_at = now + level.interval;
            }
        }
    }

    fn due_levels(&self, now: Instant) -> u32 {
        let levels = self.levels.iter().enumerate();
        let due = levels.filter(|(_, level)| level.due_at <= now);
        due.fold(0, |mask, (index, _)| mask | 1 << index)
    }
}

#[cfg(test)]
mod tests;
