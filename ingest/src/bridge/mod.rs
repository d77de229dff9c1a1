//! The core of ingest, as values only: which connection we are on, how much may be on its way, and when which
//! message may be acknowledged.
//!
//! No I/O, no clock, no randomness: all of it can be played through in a test.

pub mod pressure;
pub mod record;
pub mod session;
pub mod window;

pub use pressure::Pressure;
pub use record::Stamp;
pub use session::{Session, Welcome};
pub use window::{AckDue, Fault, Window};

#[cfg(test)]
mod tests;
