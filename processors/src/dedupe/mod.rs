//! Has this event been counted before? Two memories, both bounded, both moved by offsets and the log clock only.
//!
//! With a `seq`, a device's own count is remembered ([`sequence`], [`counts`]): a whole history fits in a few words.
//! Without, a 64 bit fingerprint of what was said is remembered for a while ([`recent`]); and of events without a time
//! either, how they were delivered ([`delivery`]).

pub mod counts;
pub mod delivery;
pub mod fingerprint;
pub mod recent;
pub mod sequence;
