//! Wires processing: the one place where its parts meet.

use eventlog::{Consumer, Headers, Subscription};
use platform::{
    health::{Health, Need},
    shutdown::Shutdown,
};
use schemas::record::{DEAD_LETTERS_TOPIC, EVENTS_TOPIC};

use crate::{
    checkpoint::CheckpointStore,
    config::ProcessSettings,
    runner::{Coordinator, ProcessError, RowSink},
};

/// Name of the component in health answers.
pub const HEALTH_COMPONENT: &str = "process";

/// What an instance reads: both topics; of events the record says it all, of dead letters the headers say why.
#[must_use]
pub fn subscription(group: &str) -> Subscription {
    Subscription {
        group: group.to_owned(),
        topics: vec![
            (EVENTS_TOPIC.into(), Headers::Skip),
            (DEAD_LETTERS_TOPIC.into(), Headers::Keep),
        ],
    }
}

/// Processes the partitions that the group gives to `consumer`, until shutdown is requested; then drains and returns.
///
/// The consumer is one of [`subscription`]. The sink must not stop at the same shutdown: what is in flight is still
/// inserted then, and dropped when that takes too long.
///
/// # Errors
/// Only what needs a person: outages of the log, ClickHouse or the checkpoint store are waited out.
pub async fn run<S: RowSink>(
    settings: ProcessSettings,
    consumer: Box<dyn Consumer>,
    sink: S,
    checkpoints: CheckpointStore,
    shutdown: Shutdown,
    health: &Health,
) -> Result<(), ProcessError> {
    let reporter = health.component(HEALTH_COMPONENT, Need::Required);
    let faults = settings.faults();
    if !faults.is_empty() {
        return Err(ProcessError::Settings(faults));
    }
    let coordinator = Coordinator::new(settings, consumer, sink, checkpoints, shutdown, reporter)?;
    coordinator.run(health.clock()).await
}
