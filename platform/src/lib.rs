//! What every role needs and no event knows: configuration, telemetry, shutdown, retry, clock, health.
//!
//! Nothing here may know what an event, a topic or a table is: those who do build on this crate.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

pub mod atomic_file;
pub mod browsers;
pub mod clock;
pub mod config;
pub mod health;
pub mod limits;
pub mod retry;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod shutdown;
pub mod telemetry;
pub mod units;
