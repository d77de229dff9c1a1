//! The embedded ClickHouse server through its clients' eyes: raw HTTP and the official `clickhouse` crate.
//!
//! One server for the whole binary, since a process holds one engine; every test has a database of its own.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "measured numbers, and words of child processes to their parents"
)]

mod client_crate;
mod durability;
mod http;
mod inserts;
mod rig;
mod sessions;
mod streaming;
