//! What an event is, in every shape it takes on its way.
//!
//! In the order of the path: the MQTT topic and payload a device publishes ([`topic`], [`payload`]), the domain types
//! ([`event`]), the record in the log ([`record`]), and what becomes of bad input ([`dead_letter`], [`replay`]). Everything here
//! is pure: no I/O, no clock.

pub mod arrow;
pub mod clickhouse;
pub mod dead_letter;
pub mod event;
pub mod limits;
pub mod name;
pub mod payload;
pub mod record;
pub mod replay;
pub mod rows;
pub mod timestamp;
pub mod topic;

pub use dead_letter::{DeadLetter, Reason, Rejection, Stage};
pub use event::{DeliveryMark, Event, Metric, Motion, Position, Reading, Receipt};
pub use replay::Replay;
