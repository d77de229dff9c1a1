//! Acknowledgements between our hands and the wire: how many the client still owes the broker, and whether its
//! connection still lives. The client itself tells neither.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::message::AckFailure;

/// Kept by the connection: when it is dropped, the handles know that nothing goes out any more.
#[derive(Debug, Default)]
pub(super) struct OwedAcks(Arc<AtomicU64>);

/// Kept by whoever hands acknowledgements over.
#[derive(Debug)]
pub(super) struct OwedAcksHandle(Weak<AtomicU64>);

impl OwedAcks {
    pub(super) fn handle(&self) -> OwedAcksHandle {
        OwedAcksHandle(Arc::downgrade(&self.0))
    }

    /// One was written to the connection. It may be counted before the handing over is.
    pub(super) fn sent(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// Some were handed over and not written.
    pub(super) fn any(&self) -> bool {
        let owed = self.0.load(Relaxed);
        // Wrapped below zero for a moment: written before it was counted.
        owed != 0 && owed < u64::MAX / 2
    }
}

impl OwedAcksHandle {
    /// What it means that the client took a request, or did not.
    pub(super) fn after(&self, taken: bool) -> Result<(), AckFailure> {
        match (taken, self.0.strong_count()) {
            (_, 0) => Err(AckFailure::Closed),
            (true, _) => Ok(()),
            (false, _) => Err(AckFailure::Full),
        }
    }

    /// One was handed over.
    pub(super) fn added(&self) {
        if let Some(owed) = self.0.upgrade() {
            owed.fetch_add(1, Relaxed);
        }
    }
}
