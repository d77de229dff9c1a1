//! What those who watch hear: each change, or that some were lost.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::Batch;

/// One piece of news.
#[derive(Clone, Debug)]
pub enum Notice {
    /// ClickHouse has these snapshots.
    Changed(Arc<Batch>),
    /// Changes may have been missed: only ClickHouse knows all of them.
    Lost,
    /// The cache has gone, or not everybody who publishes is heard: changes are missed until that is over, which begins with
    /// [`Self::Lost`].
    Gone,
}

/// Everything that is published from the first [`Notice::Lost`] on.
#[derive(Debug)]
pub struct Notices {
    receiver: Receiver<Notice>,
    has_begun: bool,
    /// What the last of [`Notice::Lost`] and [`Notice::Gone`] was, for those who fell behind and did not hear it.
    is_gone: Arc<AtomicBool>,
}

impl Notices {
    /// Notices of a channel that tells everything from now on.
    pub(crate) fn from_now_on(receiver: Receiver<Notice>) -> Self {
        Self {
            receiver,
            has_begun: false,
            is_gone: Arc::default(),
        }
    }

    /// Notices of a channel that tells [`Notice::Lost`] when it begins. `is_gone` is set before what it says is told.
    pub(crate) fn later(receiver: Receiver<Notice>, is_gone: Arc<AtomicBool>) -> Self {
        Self {
            receiver,
            has_begun: true,
            is_gone,
        }
    }

    /// The next piece of news; none when the cache was dropped. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Notice> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(Notice::Lost);
        }
        match self.receiver.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(_)) => Some(match self.is_gone.load(Ordering::Acquire) {
                true => Notice::Gone,
                false => Notice::Lost,
            }),
            Err(RecvError::Closed) => None,
        }
    }
}
