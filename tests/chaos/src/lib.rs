//! Faults at every hop between real processes, and a checker that recounts everything.
//!
//! In the order of use: the processes ([`stack`]) with a [`proxy`] on every hop, what devices publish meanwhile
//! ([`load`]), which faults come when ([`schedule`], [`fault`]), who makes them ([`nemesis`]), what must be true
//! afterwards ([`check`], with the oracle of `loadtest`), and [`run`], which puts it together into a [`report`].
//!
//! Must never share code with the roles that it checks, and must only ever end processes that it started itself.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

pub mod check;
pub mod corrupt;
pub mod disk;
pub mod fault;
pub mod limits;
pub mod load;
pub mod nemesis;
pub mod proxy;
pub mod report;
pub mod run;
pub mod schedule;
pub mod stack;
pub mod watch;

pub use report::Report;
pub use run::{Options, run};
