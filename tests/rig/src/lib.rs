//! Starts the real daemons that tests run against: Mosquitto, Apache Kafka, Redis and any other child process.
//!
//! Every daemon gets free ports, its data in a temporary folder and its output in a file whose end is shown when a test
//! fails. It is stopped when its value is dropped, and the kernel stops it when the test process dies in any other way.
//! Ready means that the daemon has answered in its own protocol. The configuration files are those of `docker/`; only
//! ports, folders and the account are changed.
//!
//! This crate must never be part of the product: it panics where a test should fail. It knows nothing about events, and
//! must stay light, since every other crate may use it in its tests.

pub mod cache;
mod configuration;
mod daemon;
mod error;
pub mod kafka;
pub mod limits;
mod mosquitto;
pub mod ports;
mod redis;
mod spawner;

pub use daemon::{Daemon, DaemonCommand};
pub use error::RigError;
pub use kafka::Kafka;
pub use mosquitto::{Mosquitto, MosquittoOptions};
pub use redis::Redis;
