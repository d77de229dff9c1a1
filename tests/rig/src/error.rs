//! What can go wrong with a daemon, in words that say what to do. `Debug` is the same text, so that `expect` in a test
//! prints it readably.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why a daemon could not be started, reached or stopped.
pub enum RigError {
    /// A program or file that `cargo xtask setup` installs is not there.
    MissingPart {
        /// What was looked for.
        part: String,
    },
    /// The operating system refused something.
    Io {
        /// What was being done.
        doing: String,
        /// The refusal.
        source: std::io::Error,
    },
    /// The daemon ended although it was expected to run.
    Ended {
        /// Name of the daemon.
        name: String,
        /// How it ended.
        status: String,
        /// The end of its output.
        log_tail: String,
    },
    /// The daemon did not do what was waited for.
    TimedOut {
        /// Name of the daemon.
        name: String,
        /// What was waited for.
        waiting_for: String,
        /// How long.
        after: Duration,
        /// The end of its output.
        log_tail: String,
    },
    /// Kafka has no leader for the partition at this moment; asking again helps.
    NoLeaderYet {
        /// What was asked.
        what: String,
    },
    /// The daemon answered, and the answer is an error.
    Refused {
        /// What was asked, and the answer.
        what: String,
    },
    /// A configuration file of `docker/` cannot be read.
    Configuration {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
}

impl RigError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl fmt::Display for RigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingPart { part } => {
                write!(f, "`{part}` is missing: run `cargo xtask setup`")
            }
            Self::Io { doing, source } => write!(f, "cannot {doing}: {source}"),
            Self::Ended { name, status, log_tail } => write!(
                f,
                "`{name}` ended ({status}) although it should run; the end of its output:\n{log_tail}"
            ),
            Self::TimedOut {
                name,
                waiting_for,
                after,
                log_tail,
            } => write!(
                f,
                "`{name}`: still waiting for {waiting_for} after {after:?}; the end of its output:\n{log_tail}"
            ),
            Self::NoLeaderYet { what } => write!(f, "no leader to {what}"),
            Self::Refused { what } => f.write_str(what),
            Self::Configuration { path, source } => {
                write!(f, "cannot read `{}`: {source}", path.display())
            }
        }
    }
}

impl fmt::Debug for RigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for RigError {}
