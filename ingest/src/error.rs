//! Why ingest ends other than by shutdown.

use eventlog::LogError;
use platform::retry::{Classify, Domain, Retry};

use crate::source::SetupError;

/// A fault that only a person or a restart cures. Faults of one message are dead letters; faults of the network are
/// waited out.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The settings contradict themselves.
    #[error("ingest is not configured well: {}", faults.join("; "))]
    Settings {
        /// All of them.
        faults: Vec<String>,
    },
    /// A connection to a broker cannot even be set up.
    #[error("mqtt broker `{broker}` cannot be used: {source}")]
    Source {
        /// Name of the broker.
        broker: String,
        /// What is wrong.
        source: SetupError,
    },
    /// The log failed for good.
    #[error("ingest stopped acknowledging: {0}")]
    Log(#[from] LogError),
    /// The log takes not even an empty dead letter, so bad messages have nowhere to go.
    #[error("the log refuses dead letters: {reason}; check the topic `meridian.dead-letters.v1` and its rights")]
    DeadLetterRefused {
        /// What the log said.
        reason: String,
    },
    /// A part of ingest ended unexpectedly.
    #[error("a part of ingest ended unexpectedly: {reason}")]
    Internal {
        /// Which, and how.
        reason: String,
    },
}

impl Classify for IngestError {
    fn domain(&self) -> Domain {
        match self {
            Self::Settings { .. } | Self::Source { .. } => Domain::Data,
            Self::Log(_) | Self::DeadLetterRefused { .. } => Domain::External,
            Self::Internal { .. } => Domain::Internal,
        }
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}
