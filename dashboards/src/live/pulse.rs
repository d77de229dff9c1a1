//! Whether a client still reads: its stream leaves a mark whenever it is asked for more, and somebody outside looks at the
//! marks. The stream itself cannot: nobody asks it while the client does not read.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// Ends one connection, from anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hangup {
    wanted: Arc<Notify>,
}

impl Hangup {
    pub(crate) fn hang_up(&self) {
        self.wanted.notify_one();
    }

    /// Waits until the connection has to end.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

/// The mark of one client.
#[derive(Debug)]
pub(crate) struct Pulse {
    beat_ms: AtomicU64,
    hangup: Hangup,
}

impl Pulse {
    pub(crate) fn new(hangup: Hangup, now_ms: u64) -> Self {
        Self {
            beat_ms: AtomicU64::new(now_ms),
            hangup,
        }
    }

    /// The client was asked for more.
    pub(crate) fn beat(&self, now_ms: u64) {
        self.beat_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Ends the connection of a client that has not read for so long. True when it did.
    pub(crate) fn check(&self, now_ms: u64, silent_max_ms: u64) -> bool {
        let is_silent = now_ms.saturating_sub(self.beat_ms.load(Ordering::Relaxed)) > silent_max_ms;
        if is_silent {
            self.hangup.hang_up();
        }
        is_silent
    }
}
