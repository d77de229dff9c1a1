//! From log partitions to ClickHouse rows: a pure state machine and the runner around it.
//!
//! In the order of an event's path: [`task`] applies records, with [`dedupe`], [`device`] (last known state) and
//! [`rollup`] as its parts. Around these pure parts, [`runner`] reads the log, inserts what tasks make and keeps
//! [`checkpoint`]s; [`pipeline`] wires it.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

pub mod audit;
pub mod checkpoint;
pub mod config;
pub mod dedupe;
pub mod device;
pub mod limits;
pub mod metrics;
pub mod migrate;
pub mod pipeline;
pub mod rebuild;
pub mod recovery;
pub mod rollup;
pub mod runner;
pub mod sink;
pub mod symbols;
pub mod task;
