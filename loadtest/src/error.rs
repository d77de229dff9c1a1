//! What can end a load test before its verdict.

use std::path::PathBuf;

use crate::{publisher::PublishError, replay::MapError};

/// Why there is no verdict. Faults of the system under test are no errors: they are in the verdict.
#[derive(Debug, thiserror::Error)]
pub enum LoadtestError {
    /// The publisher cannot work.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The column mapping cannot be used.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}; check the path, and that the file is a CSV with a header line (also .gz)", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system or the decoder says.
        source: std::io::Error,
    },
    /// The file has no row that can be published.
    #[error("`{}` has no row that can be published{}; check the column mapping", path.display(), first_reason(.reason.as_ref()))]
    NothingToPublish {
        /// Which file.
        path: PathBuf,
        /// Why the first row was left out.
        reason: Option<String>,
    },
    /// More rows than fit in memory together with their oracle.
    #[error("`{}` has more than {max} rows: split it and replay the parts one after the other", path.display())]
    TooManyRows {
        /// Which file.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// An option is out of range.
    #[error("`{option}` is {value}: {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// ClickHouse did not answer a question of the oracle.
    #[error(
        "cannot ask ClickHouse for {what}: {source}; check that it runs at `{url}` and that `meridian migrate` has been run"
    )]
    ClickHouse {
        /// Which question.
        what: &'static str,
        /// Where.
        url: String,
        /// What the client says.
        source: clickhouse::error::Error,
    },
    /// The server's H3 functions cannot check ours.
    #[error(
        "`geoToH3` of the ClickHouse server at `{url}` gives {found}, not {expected}, for (37.7749, -122.4194, 9): it takes (longitude, latitude); use server 25.8 or newer"
    )]
    OtherArgumentOrder {
        /// Where.
        url: String,
        /// What the server computed.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] platform::atomic_file::AtomicFileError),
}

fn first_reason(reason: Option<&String>) -> String {
    reason.map_or_else(String::new, |reason| format!(" (first fault: {reason})"))
}
