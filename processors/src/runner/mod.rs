//! The I/O around the pure tasks: from the log to ClickHouse, and back to the log with what is done.
//!
//! ```text
//! consumer -> coordinator -> [queue of 8 batches] -> workers (own the tasks)
//!                 ^                                     | collect: encoded rows, checkpoints
//!                 `- commit <- put checkpoints <- insert<'
//! ```
//!
//! Each of insert, checkpoint and commit happens only after the one before has succeeded, and at most one flush is on
//! its way, while workers gather the next. Must never insert rows that a task made after a checkpoint while that
//! checkpoint is not durable: the next owner could take other decisions from there on.

mod coordinator;
mod drain;
mod error;
mod flush;
mod ownership;
mod pool;
mod recover;
mod restore;
mod schedule;
mod takeover;
mod worker;

#[cfg(test)]
mod tests;

pub use error::ProcessError;

pub(crate) use coordinator::Coordinator;

use std::{error::Error, future::Future};

use schemas::rows::Rows;

use crate::recovery::Recovery;

/// Where rows go: ClickHouse, or a double of it in tests.
pub trait RowSink: Send + Sync + 'static {
    /// Rows in the form that [`Self::insert`] sends.
    type Encoded: Send + 'static;
    /// Why rows can never be inserted.
    type Error: Error + Send + Sync + 'static;

    /// Brings rows into the form that is sent. Called on the threads of workers.
    fn encode(&self, rows: Rows) -> Self::Encoded;

    /// Inserts all rows durably: one INSERT for each table that has some. Doing it again does no harm. Waits out
    /// outages without end; dropping the future gives up.
    ///
    /// # Errors
    /// Only what trying again cannot cure.
    fn insert(&self, batches: Vec<Self::Encoded>) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Who knows what is in the tables, for a partition whose checkpoints are lost. Without it only a log that still
    /// begins at its first record can help.
    fn recovery(&self) -> Option<&dyn Recovery> {
        None
    }
}
