//! From MQTT brokers to the event log: every message is acknowledged only after the log has it, or its dead letter.
//!
//! In the order of a message's path: [`source`] (one MQTT connection), `subscriber` (keeps it up and reads it),
//! `decoder` (message to records), `forwarder` (records to the log, through the ordered window of `bridge`), `acker`
//! (acknowledgements back to the broker). [`pipeline`] wires them. [`replayer`] publishes dead letters again, for the path
//! to begin anew.
//!
//! Nothing here may acknowledge, drop or reorder a message on its own: only [`bridge`] decides, and it does no I/O.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

mod acker;
pub mod bridge;
pub mod config;
mod decoder;
pub mod error;
mod forwarder;
pub mod ledger;
pub mod limits;
pub mod message;
pub mod metrics;
mod occupancy;
pub mod pipeline;
pub mod replayer;
pub mod source;
mod subscriber;

pub use config::{BrokerSettings, Filter, IngestSettings, PayloadFormat, Protocol, Route, TlsFiles, WindowSettings};
pub use error::IngestError;
pub use ledger::{BrokerTotals, Ledger};
pub use metrics::METRICS;
pub use pipeline::{Services, run, run_on};
