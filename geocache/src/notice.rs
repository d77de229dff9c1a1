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

/// Everything that is published from the moment of watching on.
#[derive(Debug)]
pub struct Notices {
    receiver: Receiver<Notice>,
}

impl Notices {
    pub(crate) fn new(receiver: Receiver<Notice>) -> Self {
        Self { receiver }
    }

    /// The next piece of news; none when the cache was dropped. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.receiver.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(_)) => Some(Notice::Lost),
            Err(RecvError::Closed) => None,
        }
    }
}
