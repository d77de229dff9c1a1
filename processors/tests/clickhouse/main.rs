//! Schema, views and sink against the real engine: what users read is exact, whatever was written, and however often.
//!
//! One server for the whole binary, since a process holds one engine; every test has a database of its own.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod audit;
mod columns;
mod faults;
mod fleet;
mod migrations;
mod proxy;
mod recovery;
mod rig;
mod rollups;
mod views;
mod world;
