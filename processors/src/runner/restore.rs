//! Where a partition's task begins when it comes to us: the decision, apart from any I/O.
//!
//! Must never skip a record silently: where the state and the log do not meet, it refuses.

use eventlog::AssignedPartition;

use super::{ProcessError, worker::Beginning};
use crate::checkpoint::Found;

/// The incarnation of state that was never rebuilt. A replay from the first record makes the same rows again, so it
/// stays the same incarnation.
const FIRST_INCARNATION: u16 = 0;

/// Decides how the task of an assigned partition begins.
pub(super) fn beginning(assigned: &AssignedPartition, found: Found) -> Result<Beginning, ProcessError> {
    let topic_partition = &assigned.topic_partition;
    let (low, high) = (assigned.low, assigned.high);
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
    let committed = assigned.committed.filter(|offset| *offset > 0);
    let is_new = committed.is_none() && found.damaged_count == 0;
    if !is_new && low > 0 {
        return Err(ProcessError::CheckpointsLost {
            topic_partition: topic_partition.clone(),
            committed: committed.unwrap_or(0),
            low,
        });
    }
    if !is_new {
        tracing::warn!(
            partition = %topic_partition,
            committed,
            damaged_count = found.damaged_count,
            "checkpoints are lost: the whole partition is processed again, which makes the same rows again"
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
    use crate::checkpoint::{Checkpoint, CheckpointNumber};

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
    fn lost_checkpoints_are_made_again_while_the_log_is_whole() {
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
