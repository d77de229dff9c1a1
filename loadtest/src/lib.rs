//! Simulated fleets, replays and the oracles that check every rollup cell.
//!
//! In the order of use: what is published ([`fleet`], [`replay`], [`poison`]), the publisher that keeps an exact ledger
//! of it ([`publisher`]), and the checks of what has become of it ([`oracle`]). Nothing here may share code with the
//! roles that it checks, beyond what a device and a user share with them: wire formats and the ClickHouse views.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

pub mod fleet;
pub mod limits;
pub mod message;
pub mod oracle;
pub mod poison;
pub mod publisher;
pub mod replay;

mod error;

pub use error::LoadtestError;
pub use message::{Kind, Message};
