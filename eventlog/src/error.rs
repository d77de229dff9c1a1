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
    /// The client or the store is broken for good: the process must end and be started again.
    #[error("event log failed for good: {reason}")]
    Fatal {
        /// What the client said.
        reason: String,
    },
}
