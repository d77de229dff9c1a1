//! The durable log of a single node.
mod config;
use crate::*;
pub use config::EmbeddedConfig;
/// The embedded log.
#[derive(Clone, Debug)]
pub struct EmbeddedLog(MemoryLog);
impl EmbeddedLog {
    pub(crate) fn open(_: EmbeddedConfig) -> Result<Self, LogError> {
        Err(LogError::Fatal {
            reason: "this implementation is still being written".into(),
        })
    }
    pub(crate) fn producer(
        &self,
        limits: ProducerLimits,
    ) -> (
        crate::memory::MemoryProducer,
        tokio::sync::mpsc::Receiver<Vec<Delivery>>,
    ) {
        self.0.producer(limits)
    }
    pub(crate) fn consumer(&self, subscription: Subscription) -> crate::memory::MemoryConsumer {
        self.0.consumer(subscription)
    }
    pub(crate) async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        self.0.ensure_topics(topics)
    }
}
