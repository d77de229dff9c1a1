//! The log on Kafka: the only code that knows rdkafka.
//!
//! One thread per producer and per consumer drives librdkafka ([`producer`], [`poll`]); everything else asks it. Must
//! never acknowledge what not all replicas in sync have, nor commit for a partition that left us.

mod admin;
mod batches;
mod config;
mod consumer;
mod errors;
mod limits;
mod membership;
mod poll;
mod producer;
mod rebalances;
#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod waits;

pub use admin::ensure_topics;
pub use config::KafkaConfig;
pub use consumer::KafkaConsumer;
pub use producer::KafkaProducer;
