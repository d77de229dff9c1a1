//! What a topic should be like. Creation never changes a topic that exists: a different number of partitions would
//! send the same key elsewhere, so it is refused.

use std::sync::Arc;

use crate::{LogError, limits};

/// A topic to create if it does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Name.
    pub name: Arc<str>,
    /// Number of partitions; must not change during the life of the topic.
    pub partitions: u16,
    /// Age at which records may be removed; `None` keeps them.
    pub retention_ms: Option<u64>,
    /// Largest record (key, value and headers).
    pub max_message_bytes: u32,
    /// Copies on different brokers; has no meaning outside Kafka.
    pub replication: u16,
}

impl TopicSpec {
    /// A topic with one copy, unlimited age and the default record size.
    #[must_use]
    pub fn new(name: &str, partitions: u16) -> Self {
        Self {
            name: name.into(),
            partitions,
            retention_ms: None,
            max_message_bytes: limits::MESSAGE_BYTES_MAX,
            replication: 1,
        }
    }

    /// Checks what every implementation needs.
    ///
    /// # Errors
    /// [`LogError::Config`] names the fault.
    pub fn check(&self) -> Result<(), LogError> {
        let fault = |reason: String| {
            Err(LogError::Config {
                what: self.name.to_string(),
                reason,
            })
        };
        let name_is_legal = !self.name.is_empty()
            && self.name.len() <= 249
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !name_is_legal {
            return fault("a topic name has 1 to 249 letters, digits, `.`, `_` or `-`".into());
        }
        if self.partitions == 0 || self.partitions > limits::PARTITIONS_MAX {
            let max = limits::PARTITIONS_MAX;
            return fault(format!("a topic has 1 to {max} partitions"));
        }
        if self.replication == 0 {
            return fault("a topic has at least one copy".into());
        }
        Ok(())
    }

    /// The refusal of a topic that exists with another number of partitions.
    pub(crate) fn partition_mismatch(&self, existing: usize) -> LogError {
        LogError::Config {
            what: self.name.to_string(),
            reason: format!(
                "the topic exists with {existing} partitions and {} are configured: set the number to {existing}, or \
                 delete the topic (keys would move between partitions)",
                self.partitions
            ),
        }
    }
}
