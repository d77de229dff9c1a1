//! Opens the log that the configuration names: the one place where the three implementations are told apart.

use crate::{
    Consumer, Deliveries, EmbeddedConfig, KafkaConfig, LogError, MemoryLog, Producer, ProducerLimits, Subscription,
    TopicSpec, embedded::EmbeddedLog, kafka,
};

/// Which log, and how.
#[derive(Clone, Debug)]
pub enum LogConfig {
    /// A Kafka cluster.
    Kafka(KafkaConfig),
    /// A durable log in a folder of this machine, for one process.
    Embedded(EmbeddedConfig),
    /// Memory, for simulation and tests.
    Memory(MemoryLog),
}

/// An open log. Clones share it.
#[derive(Clone, Debug)]
pub struct Log {
    implementation: Implementation,
}

#[derive(Clone, Debug)]
enum Implementation {
    Kafka(KafkaConfig),
    Embedded(EmbeddedLog),
    Memory(MemoryLog),
}

impl Log {
    /// Opens the log. Kafka is only reached by what is made from it. Blocks while an embedded log recovers.
    ///
    /// # Errors
    /// [`LogError::Config`] for properties that break our promises, [`LogError::Unavailable`] when the folder is in
    /// use or cannot be read.
    pub fn open(config: LogConfig) -> Result<Self, LogError> {
        let implementation = match config {
            LogConfig::Kafka(config) => {
                config.check()?;
                Implementation::Kafka(config)
            }
            LogConfig::Embedded(config) => Implementation::Embedded(EmbeddedLog::open(config)?),
            LogConfig::Memory(log) => Implementation::Memory(log),
        };
        Ok(Self { implementation })
    }

    /// A producer, and the channel on which its delivery reports arrive in batches. Read it without pause: a full
    /// channel fills the queue. Flush before the process ends: a dropped producer sends what it holds in the
    /// background.
    ///
    /// # Errors
    /// [`LogError::Config`] when the client refuses its properties.
    pub fn producer(&self, limits: ProducerLimits) -> Result<(Box<dyn Producer>, Deliveries), LogError> {
        match &self.implementation {
            Implementation::Kafka(config) => boxed(kafka::KafkaProducer::connect(config, limits)?),
            Implementation::Embedded(log) => boxed(log.producer(limits)),
            Implementation::Memory(log) => boxed(log.producer(limits)),
        }
    }

    /// A new member of a group. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`LogError::Config`] when the client refuses its properties.
    pub fn consumer(&self, subscription: Subscription) -> Result<Box<dyn Consumer>, LogError> {
        Ok(match &self.implementation {
            Implementation::Kafka(config) => Box::new(kafka::KafkaConsumer::connect(config, subscription)?),
            Implementation::Embedded(log) => Box::new(log.consumer(subscription)),
            Implementation::Memory(log) => Box::new(log.consumer(subscription)),
        })
    }

    /// Creates the topics that do not exist; waits until they can be used.
    ///
    /// # Errors
    /// [`LogError::Config`] when one exists with another number of partitions, [`LogError::Unavailable`] when the log
    /// does not answer.
    pub async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        match &self.implementation {
            Implementation::Kafka(config) => kafka::ensure_topics(config, topics).await,
            Implementation::Embedded(log) => log.ensure_topics(topics).await,
            Implementation::Memory(log) => log.ensure_topics(topics),
        }
    }
}

impl From<EmbeddedLog> for Log {
    /// For callers that also want the embedded log's own figures.
    fn from(log: EmbeddedLog) -> Self {
        Self {
            implementation: Implementation::Embedded(log),
        }
    }
}

fn boxed<P: Producer + 'static>(
    (producer, deliveries): (P, Deliveries),
) -> Result<(Box<dyn Producer>, Deliveries), LogError> {
    Ok((Box::new(producer), deliveries))
}
