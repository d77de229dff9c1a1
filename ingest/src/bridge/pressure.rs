//! How much may be on its way: the only back-pressure towards the broker.
//!
//! A broker that keeps to the receive maximum never gets beyond [`Pressure::Open`]: it holds what we have not
//! acknowledged. The other two are for QoS 0, MQTT 3.1.1 and brokers that miscount.

use crate::{config::WindowSettings, limits};

/// What to do about the messages that are on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Read on.
    Open,
    /// Read slowly: just enough to keep the connection alive.
    Slow,
    /// Give the connection up, and stay away until there is room.
    HangUp,
}

/// What to do with this much on its way.
#[must_use]
pub fn pressure(window: WindowSettings, messages: u64, bytes: u64) -> Pressure {
    let over = |messages_max: usize, bytes_max: usize| messages >= messages_max as u64 || bytes >= bytes_max as u64;
    if over(messages_hard_max(window), window.bytes_max + limits::OVERFLOW_BYTES) {
        Pressure::HangUp
    } else if over(window.messages_max, window.bytes_max) {
        Pressure::Slow
    } else {
        Pressure::Open
    }
}

/// True when there is room enough to connect again after hanging up: half the window, so that the next connection is
/// worth its while.
#[must_use]
pub fn may_return(window: WindowSettings, messages: u64, bytes: u64) -> bool {
    messages <= window.messages_max as u64 / 2 && bytes <= window.bytes_max as u64 / 2
}

/// Messages that are never exceeded.
#[must_use]
pub fn messages_hard_max(window: WindowSettings) -> usize {
    window.messages_max + limits::OVERFLOW_MESSAGES
}
