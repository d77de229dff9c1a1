//! Creates topics that do not exist, and checks those that do.

use std::time::Instant;

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    types::RDKafkaErrorCode,
};

use super::{KafkaConfig, limits};
use crate::{LogError, TopicSpec};

/// Creates the topics that do not exist, and waits until the brokers show them with all partitions.
///
/// # Errors
/// [`LogError::Config`] when one exists with another number of partitions, [`LogError::Unavailable`] when the brokers
/// do not answer.
pub async fn ensure_topics(config: &KafkaConfig, topics: &[TopicSpec]) -> Result<(), LogError> {
    config.check()?;
    for spec in topics {
        spec.check()?;
    }
    let client: AdminClient<DefaultClientContext> =
        config.admin().create().map_err(|error| refused(&error.to_string()))?;
    create(config, &client, topics).await?;
    let config = config.clone();
    let topics = topics.to_vec();
    let shown = tokio::task::spawn_blocking(move || wait_until_shown(&config, &topics));
    shown.await.expect("looking at metadata does not panic")
}

async fn create(
    config: &KafkaConfig,
    client: &AdminClient<DefaultClientContext>,
    topics: &[TopicSpec],
) -> Result<(), LogError> {
    let settings: Vec<(String, String)> = topics
        .iter()
        .map(|spec| {
            let retention_ms = spec.retention_ms.map_or("-1".into(), |age| age.to_string());
            (retention_ms, spec.max_message_bytes.to_string())
        })
        .collect();
    let new_topics: Vec<NewTopic<'_>> = topics
        .iter()
        .zip(&settings)
        .map(|(spec, (retention_ms, max_message_bytes))| {
            NewTopic::new(
                &spec.name,
                i32::from(spec.partitions),
                TopicReplication::Fixed(i32::from(spec.replication)),
            )
            .set("retention.ms", retention_ms)
            .set("max.message.bytes", max_message_bytes)
            .set("message.timestamp.type", "CreateTime")
        })
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(limits::TOPIC_WAIT))
        .request_timeout(Some(limits::TOPIC_WAIT));
    let results = client
        .create_topics(&new_topics, &options)
        .await
        .map_err(|error| config.unavailable(error))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(LogError::Config {
                    what: topic,
                    reason: format!("the brokers refuse to create it: {code}"),
                });
            }
        }
    }
    Ok(())
}

/// A topic is created before all brokers know of it.
fn wait_until_shown(config: &KafkaConfig, topics: &[TopicSpec]) -> Result<(), LogError> {
    let client: BaseConsumer = config.admin().create().map_err(|error| refused(&error.to_string()))?;
    let began = Instant::now();
    for spec in topics {
        loop {
            let found = client
                .fetch_metadata(Some(&spec.name), limits::REQUEST_TIMEOUT)
                .map(|metadata| {
                    let topic = metadata.topics().first();
                    let led = topic.map_or(0, |topic| {
                        let partitions = topic.partitions().iter();
                        partitions.filter(|one| one.leader() >= 0).count()
                    });
                    (topic.map_or(0, |topic| topic.partitions().len()), led)
                });
            match found {
                Ok((count, led)) if count == usize::from(spec.partitions) && led == count => break,
                Ok((count, _)) if count > 0 && count != usize::from(spec.partitions) => {
                    return Err(spec.partition_mismatch(count));
                }
                Ok(_) if began.elapsed() < limits::TOPIC_WAIT => {}
                Ok(_) => {
                    let name = &spec.name;
                    return Err(config.unavailable(format!("topic `{name}` has no leader yet")));
                }
                Err(error) if began.elapsed() >= limits::TOPIC_WAIT => {
                    return Err(config.unavailable(error));
                }
                Err(_) => {}
            }
            std::thread::sleep(limits::RETRY_PAUSE);
        }
    }
    Ok(())
}

/// librdkafka refuses a property.
pub(super) fn refused(reason: &str) -> LogError {
    LogError::Config {
        what: "kafka.properties".into(),
        reason: reason.into(),
    }
}
