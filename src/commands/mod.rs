//! One file for each command. A command reads its options, starts what it needs, and says what came of it.

mod access;
pub(crate) mod audit;
pub(crate) mod config;
pub(crate) mod dlq;
pub(crate) mod embedded;
pub(crate) mod ingest;
pub(crate) mod keys;
pub(crate) mod loadtest;
pub(crate) mod migrate;
pub(crate) mod process;
pub(crate) mod rollups;
pub(crate) mod serve;
pub(crate) mod tap;
pub(crate) mod trace;
pub(crate) mod up;
pub(crate) mod validate;
