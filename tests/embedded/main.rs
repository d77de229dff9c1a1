//! The real binary from end to end, on its embedded services: what goes in over MQTT comes out of ClickHouse.
//!
//! Every test starts `meridian` as a user would, with free ports and a folder of its own. Needs the ClickHouse engine
//! library, and Apache Kafka for the roles in processes of their own: `cargo xtask setup` fetches both.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod audit;
mod backlog;
mod bad_messages;
mod cars;
mod clocks;
mod command_line;
mod configuration;
mod crashes;
mod dead_letters;
mod device;
mod first_start;
mod keys;
mod kills;
mod life;
mod live;
mod meridian;
mod messages;
mod queries;
mod rebuild;
mod recovery;
mod replay;
mod roles;
mod store;
mod stream;
mod trace;
