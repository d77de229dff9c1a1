//! Up to which batch everything that was told can be read in a level.
//!
//! Newest events are told as soon as their measurements are stored, while levels wait for their flushes, each log partition
//! for its own. What was told is in a level once all partitions that had told anything since have said that they are whole.
//! Pure. Must never count a batch whose events a level may lack: a partition that falls silent holds its level back.

use std::collections::{BTreeMap, HashMap};

use geocache::Batch;

/// Period in seconds and resolution.
pub(crate) type LevelName = (u32, u8);

/// What partitions have told last.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    /// The newest version of their events, by partition.
    told: BTreeMap<u16, u64>,
    levels: HashMap<LevelName, Level>,
}

#[derive(Debug, Default)]
struct Level {
    /// By partition.
    partitions: BTreeMap<u16, Reached>,
    /// The level has what was told until this batch. Never falls: it would lose nothing again.
    until: u64,
}

/// Of a level of a partition.
#[derive(Clone, Copy, Debug, Default)]
struct Reached {
    /// It has the events up to this one; none is known of yet.
    version: Option<u64>,
    /// The last batch at which it had all that was told.
    batch: u64,
}

impl Whole {
    /// Takes note of a batch, which is number `now`.
    pub(crate) fn tell(&mut self, batch: &Batch, now: u64) {
        for (partition, version) in &batch.newest_of {
            let told = self.told.entry(*partition).or_default();
            *told = (*told).max(*version);
        }
        for whole in &batch.whole {
            let level = self.levels.entry((whole.period_seconds, whole.resolution)).or_default();
            let reached = level.partitions.entry(whole.partition).or_default();
            // Whoever takes a partition over begins further back than where its owner before had come.
            reached.version = reached.version.max(Some(whole.version));
        }
        for level in self.levels.values_mut() {
            level.look(&self.told, now);
        }
    }

    /// The last batch of which a level has everything, and of all before; 0: of none.
    pub(crate) fn until(&self, level: LevelName) -> u64 {
        self.levels.get(&level).map_or(0, |level| level.until)
    }
}

impl Level {
    fn look(&mut self, told: &BTreeMap<u16, u64>, now: u64) {
        let mut until = now;
        for (partition, told) in told {
            let reached = self.partitions.entry(*partition).or_default();
            if reached.version >= Some(*told) {
                reached.batch = now;
            }
            until = until.min(reached.batch);
        }
        self.until = self.until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use schemas::rows::WholeLevel;

    use super::*;

    const MINUTES: LevelName = (60, 9);
    const HOURS: LevelName = (3_600, 9);

    fn batch(newest_of: &[(u16, u64)], whole: &[(u16, LevelName, u64)]) -> Batch {
        let whole = whole
            .iter()
            .map(|(partition, (period_seconds, resolution), version)| WholeLevel {
                partition: *partition,
                period_seconds: *period_seconds,
                resolution: *resolution,
                version: *version,
            });
        Batch {
            newest_of: newest_of.iter().copied().collect(),
            whole: whole.collect(),
            ..Batch::default()
        }
    }

    #[test]
    fn a_level_has_what_was_told_once_all_partitions_that_told_it_are_whole() {
        let mut whole = Whole::default();
        whole.tell(&batch(&[(1, 5), (2, 7)], &[(1, MINUTES, 5), (2, MINUTES, 8)]), 1);
        assert_eq!((whole.until(MINUTES), whole.until(HOURS)), (1, 0));
        whole.tell(&batch(&[(1, 6)], &[(1, HOURS, 6)]), 2);
        assert_eq!((whole.until(MINUTES), whole.until(HOURS)), (1, 0), "the second one");
        whole.tell(&batch(&[], &[(1, MINUTES, 6), (2, HOURS, 8)]), 3);
        assert_eq!((whole.until(MINUTES), whole.until(HOURS)), (3, 3));
        // Who was silent for long takes nothing back of what is in.
        whole.tell(&batch(&[(2, 9)], &[]), 4);
        whole.tell(&batch(&[(1, 8)], &[(1, MINUTES, 8), (1, HOURS, 8)]), 5);
        assert_eq!((whole.until(MINUTES), whole.until(HOURS)), (3, 3));
        whole.tell(&batch(&[], &[(2, HOURS, 9)]), 6);
        assert_eq!((whole.until(MINUTES), whole.until(HOURS)), (3, 6));
    }

    #[test]
    fn who_takes_a_partition_over_is_behind_until_it_has_come_as_far() {
        let mut whole = Whole::default();
        whole.tell(&batch(&[(1, 5)], &[(1, HOURS, 5)]), 1);
        whole.tell(&batch(&[(1, 9)], &[]), 2);
        whole.tell(&batch(&[(1, 7)], &[(1, HOURS, 8)]), 3);
        assert_eq!(whole.until(HOURS), 1);
        whole.tell(&batch(&[(1, 9)], &[(1, HOURS, 9)]), 4);
        assert_eq!(whole.until(HOURS), 4);
    }
}
