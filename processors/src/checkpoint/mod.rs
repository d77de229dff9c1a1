//! Checkpoints of partitions: the state of a task at an offset, where any machine can find it again.
//!
//! Names rise, `{topic}/{partition:05}/{number:020}.ckpt`, and each is created only if absent: of two owners of a
//! partition exactly one gets a number, and the other one learns that it is not alone. Must never overwrite a
//! checkpoint, and never delete one before three newer ones are durable.

mod frame;
mod location;

pub use frame::{Checkpoint, FrameError};

use std::{fmt, sync::Arc};

use bytes::Bytes;
use eventlog::TopicPartition;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path};
use platform::retry::{Classify, Domain, Retry};

use crate::limits::CHECKPOINTS_KEPT;

/// Number of a checkpoint within its partition; the first one is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckpointNumber(pub u64);

impl CheckpointNumber {
    /// Bits of a number below the incarnation: a checkpoint every second for 30,000 years.
    const WITHIN_INCARNATION_BITS: u32 = 40;

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number of the checkpoint that a later incarnation begins with: higher than any that an owner with the state
    /// before it can reach.
    #[must_use]
    pub fn beginning_of(incarnation: u16) -> Self {
        Self(u64::from(incarnation) << Self::WITHIN_INCARNATION_BITS)
    }

    /// The incarnation that a number belongs to.
    #[must_use]
    pub fn incarnation(self) -> u16 {
        u16::try_from(self.0 >> Self::WITHIN_INCARNATION_BITS).unwrap_or(u16::MAX)
    }

    /// A later incarnation begins with it, and has not come further.
    #[must_use]
    pub fn is_beginning(self) -> bool {
        self.incarnation() > 0 && self == Self::beginning_of(self.incarnation())
    }
}

/// What the store holds for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The newest checkpoint that can be read.
    pub newest: Option<Checkpoint>,
    /// Its number.
    pub newest_number: Option<CheckpointNumber>,
    /// The number to give to the next one.
    pub next_number: CheckpointNumber,
    /// Newer ones that were torn or damaged, and are passed over.
    pub damaged_count: usize,
}

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The address cannot be used.
    #[error("checkpoints at `{url}` cannot be opened: {reason}")]
    Location {
        /// As configured.
        url: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The store did not do it now; it may be tried again.
    #[error("cannot {action} checkpoint `{name}`: {source}; check that the store can be reached and written to")]
    Store {
        /// What was tried.
        action: &'static str,
        /// Object or folder.
        name: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// Another owner of the partition is ahead of us: what we hold is not the newest state.
    #[error("checkpoint `{name}` was refused: another owner of the partition wrote it first")]
    Fenced {
        /// The object that exists.
        name: String,
    },
    /// A whole checkpoint that this version cannot read: never passed over, since an older one may be gone from the
    /// log.
    #[error("checkpoint `{name}` cannot be read: {reason}; run the version that wrote it, or a newer one")]
    Unreadable {
        /// The object.
        name: String,
        /// What is wrong with it.
        reason: FrameError,
    },
}

impl Classify for CheckpointError {
    fn domain(&self) -> Domain {
        match self {
            Self::Location { .. } | Self::Store { .. } | Self::Fenced { .. } => Domain::External,
            Self::Unreadable { .. } => Domain::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Store { .. } => Retry::Same,
            Self::Location { .. } | Self::Fenced { .. } | Self::Unreadable { .. } => Retry::Never,
        }
    }
}

/// All checkpoints of a deployment. Clones share the connection.
#[derive(Clone)]
pub struct CheckpointStore {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl CheckpointStore {
    /// Opens what `[checkpoints] url` names. A folder is created when absent.
    ///
    /// # Errors
    /// [`CheckpointError::Location`] says what is wrong with the address, and which feature a build lacks.
    pub fn open(url: &str) -> Result<Self, CheckpointError> {
        let (store, prefix) = location::open(url)?;
        Ok(Self { store, prefix })
    }

    /// Checkpoints in a store that is open already, under `prefix`.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self {
            store,
            prefix: Path::from(prefix),
        }
    }

    /// The newest checkpoint of a partition. Torn and damaged ones are passed over, counted and logged.
    ///
    /// # Errors
    /// [`CheckpointError::Store`] when the store does not answer, [`CheckpointError::Unreadable`] when the newest
    /// whole one is of another version.
    pub async fn latest(&self, topic_partition: &TopicPartition) -> Result<Found, CheckpointError> {
        loop {
            let numbers = self.numbers(topic_partition).await?;
            let (found, vanished_count) = self.newest_of(topic_partition, numbers).await?;
            // What is gone since it was listed was deleted by an owner who wrote newer ones meanwhile.
            if found.newest.is_some() || vanished_count == 0 {
                return Ok(found);
            }
        }
    }

    /// The newest of these that is whole, and how many were not there any more.
    async fn newest_of(
        &self,
        topic_partition: &TopicPartition,
        numbers: Vec<CheckpointNumber>,
    ) -> Result<(Found, usize), CheckpointError> {
        let mut vanished_count = 0;
        let next_number = numbers.last().map_or(CheckpointNumber(1), |newest| newest.next());
        let mut damaged_count = 0;
        for number in numbers.into_iter().rev() {
            let path = self.path(topic_partition, number);
            let Some(bytes) = self.read(&path).await? else {
                vanished_count += 1;
                continue;
            };
            match Checkpoint::decode(&bytes) {
                Ok(checkpoint) => {
                    let found = Found {
                        newest: Some(checkpoint),
                        newest_number: Some(number),
                        next_number,
                        damaged_count,
                    };
                    return Ok((found, vanished_count));
                }
                Err(error @ (FrameError::Damaged | FrameError::Foreign)) => {
                    damaged_count += 1;
                    tracing::error!(checkpoint = %path, %error, "checkpoint passed over, the one before is used");
                }
                Err(reason @ FrameError::UnknownFormat(_)) => {
                    let name = path.to_string();
                    return Err(CheckpointError::Unreadable { name, reason });
                }
            }
        }
        let found = Found {
            newest: None,
            newest_number: None,
            next_number,
            damaged_count,
        };
        Ok((found, vanished_count))
    }

    /// Writes a checkpoint ([`Checkpoint::encode`]) under `number`, durably, if nobody has taken that number or a
    /// higher one; then deletes those that are no longer needed.
    ///
    /// # Errors
    /// [`CheckpointError::Fenced`] when another owner is ahead. An earlier try of our own that failed ambiguously
    /// looks the same: reading [`Self::latest`] is the answer to both.
    pub async fn put(
        &self,
        topic_partition: &TopicPartition,
        number: CheckpointNumber,
        frame: Bytes,
    ) -> Result<(), CheckpointError> {
        let path = self.path(topic_partition, number);
        let only_if_absent = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&path, frame.into(), only_if_absent).await {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. }) => {
                return Err(CheckpointError::Fenced { name: path.to_string() });
            }
            Err(source) => return Err(store_error("write", &path, source)),
        }
        let numbers = self.numbers(topic_partition).await?;
        // A number can be free again because its checkpoint is so old that the owner deleted it.
        if let Some(newer) = numbers.last().filter(|newest| **newest > number) {
            self.remove(&path).await;
            let name = self.path(topic_partition, *newer).to_string();
            return Err(CheckpointError::Fenced { name });
        }
        let outdated_count = numbers.len().saturating_sub(CHECKPOINTS_KEPT);
        for outdated in &numbers[..outdated_count] {
            self.remove(&self.path(topic_partition, *outdated)).await;
        }
        Ok(())
    }

    /// Numbers in the store, rising.
    async fn numbers(&self, topic_partition: &TopicPartition) -> Result<Vec<CheckpointNumber>, CheckpointError> {
        let folder = self.folder(topic_partition);
        let objects: Vec<_> = self
            .store
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|source| store_error("list", &folder, source))?;
        let mut numbers: Vec<_> = objects
            .iter()
            .filter_map(|object| number_of(&object.location))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The bytes of an object; `None` when it was deleted since it was listed.
    async fn read(&self, path: &Path) -> Result<Option<Bytes>, CheckpointError> {
        let result = match self.store.get(path).await {
            Ok(object) => object.bytes().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(store_error("read", path, source)),
        }
    }

    /// Deletes an object that nobody needs. One that stays behind costs space only, and the next round takes it.
    async fn remove(&self, path: &Path) {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(checkpoint = %path, %error, "cannot delete an outdated checkpoint"),
        }
    }

    fn folder(&self, topic_partition: &TopicPartition) -> Path {
        let partition = format!("{:05}", topic_partition.partition.0);
        self.prefix.clone().join(&*topic_partition.topic).join(partition)
    }

    fn path(&self, topic_partition: &TopicPartition, number: CheckpointNumber) -> Path {
        self.folder(topic_partition).join(format!("{:020}.ckpt", number.0))
    }
}

impl fmt::Debug for CheckpointStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CheckpointStore({}, {})", self.store, self.prefix)
    }
}

fn number_of(path: &Path) -> Option<CheckpointNumber> {
    let digits = path.filename()?.strip_suffix(".ckpt")?;
    digits.parse().ok().map(CheckpointNumber)
}

fn store_error(action: &'static str, path: &Path, source: object_store::Error) -> CheckpointError {
    CheckpointError::Store {
        action,
        name: path.to_string(),
        source,
    }
}

#[cfg(test)]
mod tests;
