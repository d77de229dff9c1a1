//! Why the schema could not be brought up to date.

use schemas::clickhouse::RenderError;

use crate::sink::error::chain;

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A name cannot be used in SQL.
    #[error(transparent)]
    Name(#[from] RenderError),
    /// A question to the server failed.
    #[error(
        "ClickHouse did not answer when asked for {what}: {}; check `[clickhouse] url`, `user` and its rights",
        chain(source)
    )]
    Query {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: clickhouse::error::Error,
    },
    /// A statement of a migration failed. What was done before it stays, and is skipped or repeated by the next run.
    #[error("migration `{name}` failed: {source}\n{statement}")]
    Statement {
        /// Which migration.
        name: String,
        /// What was run.
        statement: String,
        /// Why it failed.
        source: clickhouse::error::Error,
    },
    /// An applied migration is not the one that this program knows.
    #[error(
        "migration `{name}` was applied to database `{database}` with checksum {applied}, but this program has {known}; \
         the two were built from different sources: use the program that created the database, or another database"
    )]
    ChecksumChanged {
        /// Where.
        database: String,
        /// Which migration.
        name: String,
        /// What the database remembers.
        applied: String,
        /// What we would apply.
        known: String,
    },
    /// The database is ahead of this program.
    #[error(
        "database `{database}` has migration {version} (`{name}`), which this program does not know: upgrade meridian"
    )]
    TooNew {
        /// Where.
        database: String,
        /// Number of the migration.
        version: u32,
        /// Its name.
        name: String,
    },
}

impl MigrateError {
    pub(super) fn query(what: &'static str) -> impl FnOnce(clickhouse::error::Error) -> Self {
        move |source| Self::Query { what, source }
    }
}
