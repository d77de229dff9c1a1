//! The HTTP side: so far probes and a start page that says what runs and where.
//!
//! Nothing here may touch the log or write to a table: it only shows.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

pub mod limits;
mod page;
mod server;

pub use page::StartPage;
pub use server::{ServeError, WebServer, serve};
