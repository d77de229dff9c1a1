//! Backing services in process: MQTT broker and the ClickHouse engine behind its HTTP interface.
//!
//! `meridian up` starts here whatever the configuration does not name, so that one command is the whole pipeline.
//! Clients reach both services over their usual sockets and cannot tell them from the stand-alone ones, within the
//! limits written on [`clickhouse`] and [`mqtt`]. This crate knows nothing of events, topics or schemas.

pub mod clickhouse;
mod error;
pub mod limits;
pub mod mqtt;

pub use error::EmbeddedError;
