//! What those who watch hear: each change, or that some were lost.

use std::sync::Arc;

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::Batch;

/// One piece of news.
#[derive(Clone, Debug)]
pub enum Notice {
    /// ClickHouse has these snapshots.
    Changed(Arc<Batch>),
    /// Changes may have been missed: only ClickHouse knows all of them.
    Lost,
    /// The cache has gone, and changes are missed until it is back, which begins with [`Self::Lost`].
    Gone,
}

/// Everything that is published from the first [`Notice::Lost`] on.
#[derive(Debug)]
pub struct Notices {
    receiver: Receiver<Notice>,
    has_begun: bool,
}

impl Notices {
    /// Notices of a channel that tells everything from now on.
    pub(crate) fn from_now_on(receiver: Receiver<Notice>) -> Self {
        Self {
            receiver,
            has_begun: false,
        }
    }

    /// Notices of a channel that tells [`Notice::Lost`] when it begins.
    pub(crate) fn later(receiver: Receiver<Notice>) -> Self {
        Self {
            receiver,
            has_begun: true,
        }
    }

    /// The next piece of news; none when the cache was dropped. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Notice> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(Notice::Lost);
        }
        match self.receiver.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(_)) => Some(Notice::Lost),
            Err(RecvError::Closed) => None,
        }
    }
}
