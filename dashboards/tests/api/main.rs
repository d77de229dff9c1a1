//! The query API against the real engine: what it answers is what is stored, whatever is asked.
//!
//! One engine for the whole binary, since a process holds one; every test has a database of its own.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod bad_input;
mod caching;
mod charts;
mod complete;
mod devices;
mod fleet;
mod head;
mod hostile;
mod keys;
mod limited;
mod lite;
mod live;
mod mixing;
mod nearby;
mod open_door;
mod oracle;
mod rig;
mod tokens;
mod trouble;
mod wide;
