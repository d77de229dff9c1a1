//! Where a partition's task begins when it comes to us: the decision, apart from any I/O.
//!
//! Must never skip a record silently: where the state and the log do not meet, it refuses.

use eventlog::AssignedPartition;

use super::{ProcessError, worker::Beginning};
use crate::{
    checkpoint::{CheckpointNumber, Found},
    recovery::{Books, GoesOn},
};

/// The incarnation of state that was never rebuilt.
const FIRST_INCARNATION: u16 = 0;

/// What comes before the decision where a task begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: a checkpoint, or the log itself, says it all.
    None,
    /// Whether the tables say where to go on.
    AskTables,
    /// The partition has begun anew and has not come further: what lost state has written beyond may still be there.
    Mend,
}

/// Looks at what the store has of a partition. `is_unusable`: the newest checkpoint is that of an earlier incarnation than
/// the one that writes now; or its task does not count yet, and records are gone that it was to learn from.
pub(super) fn step(found: &Found, is_unusable: bool) -> Step {
    // Also where the log still has its first record: a state that is derived anew is the lost one only if nothing was
    // configured otherwise since.
    if found.newest.is_none() || is_unusable {
        return Step::AskTables;
    }
    match found.newest_number.is_some_and(CheckpointNumber::is_beginning) {
        false => Step::None,
        true => Step::Mend,
    }
}

/// Nobody has written a checkpoint, nor told the group of one.
fn has_no_trace(assigned: &AssignedPartition, found: &Found) -> bool {
    assigned.committed.is_none_or(|offset| offset == 0) && found.damaged_count == 0
}

/// Where a partition goes on whose checkpoints are lost, by the books in the tables; `None` without books.
pub(super) fn goes_on(
    assigned: &AssignedPartition,
    found: &Found,
    books: Option<Books>,
) -> Result<Option<(Books, GoesOn)>, ProcessError> {
    let Some(books) = books else { return Ok(None) };
    let topic_partition = assigned.topic_partition.clone();
    let (end, low, high) = (books.end(), assigned.low, assigned.high);
    let is_known = found.damaged_count > 0 || found.newest.is_some() || assigned.committed.is_some();
    if !is_known && low == 0 {
        return Err(ProcessError::UnknownLedger { topic_partition, end });
    }
    if end > high {
        return Err(ProcessError::LogReplaced {
            topic_partition,
            wanted: end,
            high,
        });
    }
    if end < low {
        if assigned.committed.is_some_and(|offset| offset > 0) {
            return Err(ProcessError::RecordsUnaccounted {
                topic_partition,
                end,
                low,
            });
        }
        tracing::error!(
            partition = %topic_partition,
            from = end,
            to = low,
            "records between what ClickHouse has and what the log has are gone, and the group has no offsets: going on \
             without them, and `meridian audit` names the hole"
        );
    }
    let last_number = CheckpointNumber(found.next_number.0.saturating_sub(1));
    let before = books.incarnation.max(last_number.incarnation());
    let goes_on = GoesOn {
        counts_from: end.max(low),
        incarnation: before.checked_add(1).expect("state is not lost 65,535 times"),
    };
    Ok(Some((books, goes_on)))
}

/// Decides how the task of an assigned partition begins.
pub(super) fn beginning(assigned: &AssignedPartition, found: Found) -> Result<Beginning, ProcessError> {
    let topic_partition = &assigned.topic_partition;
    let (low, high) = (assigned.low, assigned.high);
    let is_new = has_no_trace(assigned, &found);
    if let Some(checkpoint) = found.newest {
        if checkpoint.offset < low {
            return Err(ProcessError::RecordsGone {
                topic_partition: topic_partition.clone(),
                wanted: checkpoint.offset,
                low,
            });
        }
        if checkpoint.offset > high {
            return Err(ProcessError::LogReplaced {
                topic_partition: topic_partition.clone(),
                wanted: checkpoint.offset,
                high,
            });
        }
        return Ok(Beginning::Restored(checkpoint));
    }
    if !is_new && low > 0 {
        return Err(ProcessError::CheckpointsLost {
            topic_partition: topic_partition.clone(),
            committed: assigned.committed.unwrap_or(0),
            low,
        });
    }
    if !is_new {
        tracing::warn!(
            partition = %topic_partition,
            committed = assigned.committed,
            damaged_count = found.damaged_count,
            "checkpoints are lost, and ClickHouse has no ledger of the partition: all of it is processed again"
        );
    }
    Ok(Beginning::Fresh {
        first_offset: low,
        incarnation: FIRST_INCARNATION,
    })
}

#[cfg(test)]
mod tests {
    use eventlog::{PartitionId, TopicPartition};

    use super::*;
    use crate::checkpoint::Checkpoint;

    fn assigned(committed: Option<u64>, low: u64, high: u64) -> AssignedPartition {
        AssignedPartition {
            topic_partition: TopicPartition {
                topic: "t".into(),
                partition: PartitionId(0),
            },
            committed,
            low,
            high,
        }
    }

    fn found(offset: Option<u64>, damaged_count: usize) -> Found {
        let newest = offset.map(|offset| Checkpoint {
            offset,
            reach: None,
            incarnation: 0,
            state: Vec::new(),
        });
        Found {
            newest_number: newest.as_ref().map(|_| CheckpointNumber(1)),
            newest,
            next_number: CheckpointNumber(1),
            damaged_count,
        }
    }

    fn fresh(first_offset: u64) -> Beginning {
        Beginning::Fresh {
            first_offset,
            incarnation: 0,
        }
    }

    fn books(end: u64, incarnation: u16) -> Option<Books> {
        let mut books = Books {
            incarnation,
            ..Books::default()
        };
        books.last_chunk.last_offset = end - 1;
        Some(books)
    }

    #[test]
    fn only_without_any_readable_checkpoint_the_tables_are_asked() {
        assert_eq!(step(&found(Some(7), 2), false), Step::None);
        assert_eq!(step(&found(None, 0), false), Step::AskTables);
        assert_eq!(step(&found(None, 3), false), Step::AskTables);
    }

    #[test]
    fn what_lost_state_wrote_is_taken_back_until_the_partition_has_gone_on() {
        let mut found = found(Some(7), 0);
        found.newest_number = Some(CheckpointNumber::beginning_of(2));
        assert_eq!(step(&found, false), Step::Mend);
        assert_eq!(
            step(&found, true),
            Step::AskTables,
            "what was to be learned from is gone"
        );
        found.newest_number = Some(CheckpointNumber::beginning_of(2).next());
        assert_eq!(step(&found, false), Step::None);
    }

    #[test]
    fn it_goes_on_where_the_books_end_however_far_behind_the_group_is() {
        for committed in [None, Some(1), Some(6), Some(9)] {
            let (_, next) = goes_on(&assigned(committed, 5, 10), &found(None, 0), books(7, 0))
                .unwrap()
                .unwrap();
            assert_eq!((next.counts_from, next.incarnation), (7, 1));
        }
        assert_eq!(goes_on(&assigned(Some(6), 5, 10), &found(None, 0), None).unwrap(), None);
    }

    #[test]
    fn tables_of_a_partition_that_nobody_knows_are_those_of_another_log() {
        let refused = goes_on(&assigned(None, 0, 10), &found(None, 0), books(7, 0)).unwrap_err();
        assert!(refused.to_string().contains("up to offset 7"), "{refused}");
        for (committed, damaged_count) in [(Some(0), 0), (None, 1)] {
            let next = goes_on(&assigned(committed, 0, 10), &found(None, damaged_count), books(7, 0)).unwrap();
            assert_eq!(next.unwrap().1.counts_from, 7);
        }
        assert_eq!(
            goes_on(&assigned(None, 0, 10), &found(None, 0), None).unwrap(),
            None,
            "a new one"
        );
    }

    #[test]
    fn a_new_incarnation_is_above_what_is_in_the_tables_and_above_damaged_checkpoints() {
        let mut damaged = found(None, 1);
        damaged.next_number = CheckpointNumber::beginning_of(6).next().next();
        for (incarnation, expected) in [(0, 7), (6, 7), (9, 10)] {
            let next = goes_on(&assigned(Some(6), 5, 10), &damaged, books(7, incarnation)).unwrap();
            assert_eq!(next.unwrap().1.incarnation, expected);
        }
    }

    #[test]
    fn what_is_in_neither_is_refused_unless_the_offsets_of_the_group_were_deleted() {
        let refused = goes_on(&assigned(Some(7), 9, 10), &found(None, 0), books(7, 0)).unwrap_err();
        assert!(refused.to_string().contains("of the 2 records between"), "{refused}");
        let (_, next) = goes_on(&assigned(None, 9, 10), &found(None, 0), books(7, 0))
            .unwrap()
            .unwrap();
        assert_eq!(next.counts_from, 9);
        let replaced = goes_on(&assigned(Some(7), 3, 5), &found(None, 0), books(7, 0)).unwrap_err();
        assert!(replaced.to_string().contains("restore the log"), "{replaced}");
    }

    #[test]
    fn a_checkpoint_decides_and_not_the_committed_offset() {
        for offset in [5, 7, 10] {
            let restored = beginning(&assigned(Some(9), 5, 10), found(Some(offset), 1)).unwrap();
            assert!(matches!(restored, Beginning::Restored(checkpoint) if checkpoint.offset == offset));
        }
    }

    #[test]
    fn a_partition_without_any_trace_begins_at_the_oldest_record() {
        assert_eq!(beginning(&assigned(None, 0, 10), found(None, 0)).unwrap(), fresh(0));
        assert_eq!(beginning(&assigned(None, 4, 10), found(None, 0)).unwrap(), fresh(4));
        assert_eq!(beginning(&assigned(Some(0), 4, 10), found(None, 0)).unwrap(), fresh(4));
    }

    #[test]
    fn without_a_ledger_lost_checkpoints_are_made_again_while_the_log_is_whole() {
        assert_eq!(beginning(&assigned(Some(8), 0, 10), found(None, 0)).unwrap(), fresh(0));
        assert_eq!(beginning(&assigned(None, 0, 10), found(None, 2)).unwrap(), fresh(0));
    }

    #[test]
    fn a_gap_between_state_and_log_is_refused_with_what_to_do() {
        let message = |result: Result<Beginning, ProcessError>| result.unwrap_err().to_string();
        let gone = message(beginning(&assigned(Some(3), 4, 10), found(Some(3), 0)));
        assert!(gone.contains("longer retention"), "{gone}");
        let replaced = message(beginning(&assigned(Some(11), 0, 10), found(Some(11), 0)));
        assert!(replaced.contains("restore the log"), "{replaced}");
        let lost = message(beginning(&assigned(Some(8), 1, 10), found(None, 0)));
        assert!(lost.contains("from a copy"), "{lost}");
        let damaged = message(beginning(&assigned(None, 1, 10), found(None, 3)));
        assert!(damaged.contains("from a copy"), "{damaged}");
    }
}
