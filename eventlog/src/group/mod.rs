//! Consumer groups whose members all live in this process: for the memory and the embedded log.
//!
//! [`assignment`] decides who owns what (pure), [`coordinator`] tells members and waits for hand overs. Must never
//! assign a partition to a member before its former owner let it go or ran out of time.

pub(crate) mod assignment;
pub(crate) mod coordinator;
#[cfg(test)]
mod tests;

pub(crate) use coordinator::{Coordinator, GroupEvent, Membership};

/// A member of a group, numbered in the order of joining; numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub u64);
