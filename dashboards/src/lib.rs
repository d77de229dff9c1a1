//! The HTTP side: the web dashboard, the query API that it lives on, probes, a page that says what runs and where, and a
//! tap on the event log.
//!
//! Nothing here may touch the log or write to a table: it only shows.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

mod access;
mod api;
mod assets;
mod connections;
pub mod limits;
mod live;
pub mod metrics;
mod near;
mod page;
mod server;
mod tap;

pub use access::{
    buckets::Rate,
    caller::Scope,
    key::{NewKey, NoRandomness},
    limiter::{Network, NoNetwork, RequestLimits},
    ring::{KEY_TABLE, KeyRow, read_keys},
    token::{KeySource, Signing, TokenSettings},
};
pub use page::StartPage;
pub use server::{Access, Queries, ServeError, Site, StoredLevel, WebServer, serve};
pub use tap::{PATH as TAP_PATH, Tap};
