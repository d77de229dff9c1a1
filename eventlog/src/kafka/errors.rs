//! What librdkafka's error codes mean to our callers: the one place that decides.

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

use crate::DeliveryFailure;

/// What became of a message that was not confirmed.
pub(super) fn delivery_failure(error: &KafkaError) -> DeliveryFailure {
    let reason = error.to_string();
    match error.rdkafka_error_code() {
        Some(Code::Fatal | Code::Fenced) => DeliveryFailure::Fatal(reason),
        // The second is what librdkafka makes of the first where several records of a batch are meant. Nothing else that
        // Kafka finds invalid in a record can be in ours: topics are not compacted, and the client writes the rest.
        Some(Code::InvalidTimestamp | Code::InvalidRecord) => DeliveryFailure::Misdated(reason),
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidMessage
            | Code::BadMessage
            | Code::PolicyViolation,
        ) => DeliveryFailure::Refused(reason),
        // Everything else may pass: leaders move, permissions are granted, topics are created.
        _ => DeliveryFailure::Ambiguous(reason),
    }
}

/// What a failed commit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommitFailure {
    /// The group does not know us any more.
    Fenced,
    /// A rebalance is on its way: the same commit may succeed in its next generation, if the partition is still ours.
    Rebalancing,
    /// The brokers did not answer.
    Unavailable,
}

pub(super) fn commit_failure(error: &KafkaError) -> CommitFailure {
    match error.rdkafka_error_code() {
        Some(
            Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::AssignmentLost
            | Code::Fatal,
        ) => CommitFailure::Fenced,
        Some(Code::IllegalGeneration | Code::RebalanceInProgress | Code::StaleMemberEpoch) => {
            CommitFailure::Rebalancing
        }
        _ => CommitFailure::Unavailable,
    }
}

/// True when the brokers do not have the offset that was to be read.
pub(super) fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::NoOffset)
    )
}
