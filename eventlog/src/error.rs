//! What can go wrong with a log, told apart by what the caller should do.

/// A failure of the log itself (never of one message: see [`crate::DeliveryFailure`]).
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log cannot be reached now; the operation may be tried again.
    #[error("event log `{address}` is not reachable: {reason}")]
    Unavailable {
        /// Broker list or folder.
        address: String,
        /// What the client said.
        reason: String,
    },
    /// This member no longer owns what it acted on: another one does. Stop working on it.
    #[error("no longer the owner of `{what}`: {reason}")]
    Fenced {
        /// Topic partitions or group.
        what: String,
        /// What the client said.
        reason: String,
    },
    /// The records from this offset on are not in the log: removed by retention, or never written (the log was
    /// replaced). Decide where to go on, and call [`crate::Consumer::start`] again.
    #[error("offset {offset} of `{what}` is not in the log, which holds {low}..{high}")]
    OutOfRange {
        /// Topic partition.
        what: String,
        /// The offset that was asked for.
        offset: u64,
        /// Oldest offset in the log.
        low: u64,
        /// Offset that the next message will get.
        high: u64,
    },
    /// The configuration contradicts the log or our promises: a human must change it.
    #[error("event log configuration of `{what}` is refused: {reason}")]
    Config {
        /// Topic or property.
        what: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The client or the store is broken for good: the process must end and be started again.
    #[error("event log failed for good: {reason}")]
    Fatal {
        /// What the client said.
        reason: String,
    },
}
