//! Whether a connection still lives, for those who hold only its sending end. The client itself does not tell: a full
//! queue and a dead connection look the same.

use std::sync::{Arc, Weak};

use crate::message::AckFailure;

/// Kept by the connection, dropped with it.
#[derive(Debug, Default)]
pub(super) struct Lifeline(Arc<()>);

/// Kept by whoever sends.
#[derive(Debug)]
pub(super) struct LifelineEnd(Weak<()>);

impl Lifeline {
    pub(super) fn end(&self) -> LifelineEnd {
        LifelineEnd(Arc::downgrade(&self.0))
    }
}

impl LifelineEnd {
    /// What it means that the client did not take a request.
    pub(super) fn failure(&self) -> AckFailure {
        if self.0.strong_count() == 0 {
            AckFailure::Closed
        } else {
            AckFailure::Full
        }
    }
}
