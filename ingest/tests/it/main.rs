//! Ingest as a whole: against a scripted broker for what only a broken one would do, and against real Mosquitto.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod fake_broker;
mod mosquitto;
mod publisher;
mod replays;
mod running;
mod scripted;
mod tls;
