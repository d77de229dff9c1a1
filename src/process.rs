//! What every long-running command has: a clock, health, metrics, and signals that end it.

use std::sync::Arc;

use platform::{
    clock::{Clock, SystemClock},
    config::HostPort,
    health::{Health, HealthReporter, Need},
    shutdown::{Shutdown, Signals},
    telemetry::{self, MetricSpec, Metrics, MetricsServer},
};

use crate::{
    failure::Failure,
    startup::{port_failure, until_ready},
};

/// Every metric there is, in the order of an event's path.
pub(crate) const METRICS: &[&[MetricSpec]] = &[
    ingest::METRICS,
    processors::metrics::METRICS,
    geocache::metrics::METRICS,
    dashboards::metrics::METRICS,
];

/// What every long-running command has.
#[derive(Clone)]
pub(crate) struct Process {
    /// Where the time comes from.
    pub(crate) clock: Arc<dyn Clock>,
    /// How its parts are.
    pub(crate) health: Health,
    /// That all parts were started.
    starting: HealthReporter,
    /// Requested by the first signal.
    pub(crate) shutdown: Shutdown,
    metrics: Metrics,
}

impl Process {
    /// Once per process, inside the runtime.
    ///
    /// # Errors
    /// When the lists of metrics clash, or signals cannot be taken over.
    pub(crate) fn start() -> Result<Self, Failure> {
        let metrics = Metrics::install(METRICS).map_err(Failure::runtime)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let health = Health::new(clock.clone());
        Ok(Self {
            clock,
            starting: health.component("start", Need::Required),
            health,
            shutdown: until_signalled()?,
            metrics,
        })
    }

    /// Waits until every required component works. Comes when all parts were started: probes before that hear that the
    /// process is not ready, whatever is there already.
    pub(crate) async fn until_ready(&self) {
        self.starting.ready();
        until_ready(&self.health).await;
    }

    /// Serves metrics and probes. The server outlives the first signal: it stops with `shutdown`.
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) async fn serve_metrics(&self, listen: &HostPort, shutdown: Shutdown) -> Result<MetricsServer, Failure> {
        telemetry::serve(&listen.to_string(), self.metrics.clone(), self.health.clone(), shutdown)
            .await
            .map_err(|error| port_failure(error, "--metrics-port"))
    }
}

/// Requested by the first signal; the second one ends the process.
///
/// # Errors
/// When signals cannot be taken over.
pub(crate) fn until_signalled() -> Result<Shutdown, Failure> {
    let (trigger, shutdown) = Shutdown::new();
    let signals = Signals::listen().map_err(|error| Failure::runtime(format!("cannot listen to signals: {error}")))?;
    tokio::spawn(signals.drive(trigger));
    Ok(shutdown)
}
