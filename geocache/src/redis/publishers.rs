//! What one who watches knows of those who publish: who is heard, and who may be changing things without being heard.
//!
//! A publisher that falls silent may be dead, or may go on writing to ClickHouse behind a link that is cut: nobody can tell
//! from here. So it is missed until it is heard again, says that it leaves, or others have told of every log partition that it
//! told of last: a partition has one owner, so then it is theirs. Pure: time is an argument. Must never count as complete
//! while somebody is missed, or while nobody is heard at all.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use super::wire::Message;
use crate::{Batch, limits};

/// All that are known.
#[derive(Debug, Default)]
pub(super) struct Publishers {
    known: HashMap<u64, Known>,
}

#[derive(Debug)]
struct Known {
    sequence: u64,
    heard_at: Instant,
    is_missed: bool,
    /// Log partitions that it was the last to tell of.
    partitions: BTreeSet<u16>,
}

impl Publishers {
    /// Takes note of a message. True when some before it were not heard, or may not have been.
    pub(super) fn hear(&mut self, message: &Message, now: Instant) -> bool {
        let told = message.batch.as_ref().map(Batch::partitions).unwrap_or_default();
        self.pass_on(message.publisher, &told);
        if message.has_left {
            return self.known.remove(&message.publisher).is_some();
        }
        let known = self.known.remove(&message.publisher);
        if known.is_none() && self.known.len() >= limits::PUBLISHERS_MAX {
            return true;
        }
        let before = message.sequence - u64::from(message.batch.is_some() && message.sequence > 0);
        let has_missed = known.as_ref().map_or(0, |known| known.sequence) != before;
        let mut partitions = known.map(|known| known.partitions).unwrap_or_default();
        partitions.extend(told);
        // What it told meanwhile, or before anybody listened.
        if has_missed {
            partitions.extend(&message.partitions);
        }
        let known = Known {
            sequence: message.sequence,
            heard_at: now,
            is_missed: false,
            partitions,
        };
        self.known.insert(message.publisher, known);
        has_missed
    }

    /// These partitions are that publisher's now.
    fn pass_on(&mut self, publisher: u64, partitions: &BTreeSet<u16>) {
        self.known.retain(|other, known| {
            if *other != publisher {
                known.partitions.retain(|partition| !partitions.contains(partition));
            }
            !known.is_missed || !known.partitions.is_empty() || *other == publisher
        });
    }

    /// Misses those who fell silent. True when there were some that had nothing to tell of: these are only forgotten.
    pub(super) fn check(&mut self, now: Instant) -> bool {
        self.miss(|known| now - known.heard_at > limits::PUBLISHER_SILENT_MAX)
    }

    /// Nobody was heard for a while: all are missed until they are heard again.
    pub(super) fn miss_all(&mut self) {
        self.miss(|_| true);
    }

    fn miss(&mut self, is_silent: impl Fn(&Known) -> bool) -> bool {
        let count = self.known.len();
        self.known.retain(|_, known| {
            known.is_missed |= is_silent(known);
            !known.is_missed || !known.partitions.is_empty()
        });
        self.known.len() < count
    }

    /// Nobody publishes, and nobody is missed.
    pub(super) fn are_none(&self) -> bool {
        self.known.is_empty()
    }

    /// Everything that is published is heard, as far as anybody can know.
    pub(super) fn are_complete(&self) -> bool {
        let is_bounded = self.known.len() < limits::PUBLISHERS_MAX;
        is_bounded && !self.known.is_empty() && self.known.values().all(|known| !known.is_missed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Position;

    /// A message that tells of this log partition; none: a heartbeat.
    fn message(publisher: u64, sequence: u64, partition: Option<u16>) -> Message {
        let position = |partition| Position {
            tenant: "acme",
            device: "bus",
            partition,
            version: 1,
            ts_ms: 1,
            latitude_e7: 0,
            longitude_e7: 0,
        };
        Message {
            publisher,
            sequence,
            batch: partition.map(|partition| Batch {
                positions: [position(partition)].into_iter().collect(),
                ..Batch::default()
            }),
            partitions: Vec::new(),
            has_left: false,
        }
    }

    fn leaving(publisher: u64, sequence: u64) -> Message {
        Message {
            has_left: true,
            ..message(publisher, sequence, None)
        }
    }

    const SILENCE: Duration = Duration::from_millis(limits::PUBLISHER_SILENT_MAX.as_millis() as u64 + 1);

    #[test]
    fn what_is_left_out_is_noticed_by_its_number() {
        let mut publishers = Publishers::default();
        let now = Instant::now();
        // From its beginning on.
        assert!(!publishers.hear(&message(1, 1, Some(0)), now));
        assert!(!publishers.hear(&message(1, 2, Some(0)), now));
        assert!(!publishers.hear(&message(1, 2, None), now));
        // Number 3 was dropped: the next message tells, or the next heartbeat.
        assert!(publishers.hear(&message(1, 4, Some(0)), now));
        assert!(publishers.hear(&message(1, 5, None), now));
        assert!(!publishers.hear(&message(1, 6, Some(0)), now));
        // One that was there before us may have told something meanwhile.
        assert!(publishers.hear(&message(2, 7, None), now));
        assert!(!publishers.hear(&message(2, 8, Some(0)), now));
    }

    #[test]
    fn nobody_is_complete_and_who_falls_silent_is_missed_until_it_is_heard_again() {
        let mut publishers = Publishers::default();
        let now = Instant::now();
        assert!(!publishers.are_complete());
        publishers.hear(&message(1, 1, Some(3)), now);
        publishers.hear(&message(2, 1, Some(4)), now + SILENCE);
        publishers.check(now + limits::PUBLISHER_SILENT_MAX);
        assert!(publishers.are_complete());
        publishers.check(now + SILENCE);
        assert!(!publishers.are_complete());
        // Whatever the other one says of its own partition, and for however long.
        for hour in 1..100 {
            let now = now + SILENCE + Duration::from_secs(3_600 * hour);
            publishers.hear(&message(2, 1 + hour, Some(4)), now);
            publishers.check(now);
            assert!(!publishers.are_complete());
        }
        publishers.hear(&message(1, 1, None), now + Duration::from_secs(3_600 * 99));
        assert!(publishers.are_complete());
    }

    #[test]
    fn who_is_silent_is_not_missed_once_others_tell_of_all_its_partitions() {
        let mut publishers = Publishers::default();
        let now = Instant::now();
        for (sequence, partition) in [(1, 3), (2, 4), (3, 5)] {
            publishers.hear(&message(1, sequence, Some(partition)), now);
        }
        // One of them went over while both were heard.
        let later = now + SILENCE;
        publishers.hear(&message(2, 1, Some(5)), later);
        publishers.check(later);
        publishers.hear(&message(2, 2, Some(3)), later);
        assert!(!publishers.are_complete(), "partition 4 may still be written unheard");
        publishers.hear(&message(2, 3, Some(4)), later);
        assert!(publishers.are_complete());
    }

    #[test]
    fn what_was_told_before_anybody_listened_counts_as_well() {
        let mut publishers = Publishers::default();
        let now = Instant::now();
        let heartbeat = Message {
            partitions: vec![3, 4],
            ..message(1, 70, None)
        };
        publishers.hear(&heartbeat, now);
        publishers.hear(&message(2, 1, Some(3)), now + SILENCE);
        publishers.check(now + SILENCE);
        assert!(!publishers.are_complete());
        publishers.hear(&message(2, 2, Some(4)), now + SILENCE);
        assert!(publishers.are_complete());
    }

    #[test]
    fn who_leaves_in_order_is_not_missed_and_its_end_is_told_once() {
        let mut publishers = Publishers::default();
        let now = Instant::now();
        publishers.hear(&message(1, 1, Some(3)), now);
        publishers.hear(&message(2, 1, Some(4)), now + SILENCE);
        assert!(
            publishers.hear(&leaving(1, 1), now),
            "something may have been on its way"
        );
        assert!(!publishers.hear(&leaving(1, 1), now));
        assert!(!publishers.check(now + SILENCE));
        assert!(publishers.are_complete());
        publishers.hear(&leaving(2, 1), now);
        assert!(!publishers.are_complete(), "nobody is there");
        // One that never told anything has nothing to be missed for.
        publishers.hear(&message(3, 1, None), now);
        publishers.hear(&message(2, 1, Some(4)), now + SILENCE);
        assert!(publishers.check(now + SILENCE) && publishers.are_complete());
    }

    #[test]
    fn after_an_absence_each_has_to_be_heard_again() {
        let mut publishers = Publishers::default();
        let now = Instant::now();
        publishers.hear(&message(1, 1, Some(3)), now);
        publishers.hear(&message(2, 1, Some(4)), now);
        publishers.miss_all();
        publishers.hear(&message(2, 1, None), now);
        assert!(!publishers.are_complete());
        publishers.hear(&message(1, 1, None), now);
        assert!(publishers.are_complete());
    }

    #[test]
    fn a_crowd_that_cannot_be_known_is_never_complete() {
        let mut publishers = Publishers::default();
        let now = Instant::now();
        for publisher in 0..=limits::PUBLISHERS_MAX as u64 {
            publishers.hear(&message(publisher, 1, None), now);
        }
        assert_eq!(publishers.known.len(), limits::PUBLISHERS_MAX);
        assert!(!publishers.are_complete());
        publishers.check(now + SILENCE);
        publishers.hear(&message(1, 1, None), now + SILENCE);
        assert!(publishers.are_complete(), "they had nothing to tell");
    }
}
