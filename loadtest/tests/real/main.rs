//! The load tester against real backing services: Mosquitto, and the ClickHouse engine with the product's own schema.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod engine;
mod fleet;
mod oracle;
mod publisher;
mod reference;
mod replay;
