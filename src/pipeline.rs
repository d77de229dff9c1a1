//! The roles of the pipeline and what they stand on, each started in one function.
//!
//! Wiring only: settings and handles go in, running parts come out. Nothing here decides anything about events.

use std::{fmt::Display, path::PathBuf, sync::Arc, time::Duration};

use clickhouse::{Client, error::Error as ClientError};
use embedded::mqtt::HandOver;
use eventlog::{Log, LogConfig, LogError};
use geocache::CellCache;
use ingest::{IngestSettings, Ledger, Services};
use platform::{health::Need, shutdown::Shutdown};
use processors::{
    checkpoint::CheckpointStore,
    migrate::{self, Fault, Inspection, MigrateError},
    pipeline as processing,
    sink::{CellSink, ClickHouseSink},
};

use tokio::time::timeout;

use crate::{
    config::{ClickHouseSettings, LogSettings, ValidConfig},
    failure::Failure,
    limits,
    process::Process,
    stages::Stages,
    startup::{Attempt, wait_for},
};

/// Opens the log: Kafka if one is configured, else one of our own in `folder`.
///
/// # Errors
/// When its configuration is refused, or the folder cannot be used.
pub(crate) async fn open_log(config: &ValidConfig, folder: PathBuf) -> Result<Log, Failure> {
    let log_config = match &config.log.kafka {
        Some(kafka) => LogConfig::Kafka(kafka.client.clone()),
        None => LogConfig::Embedded(config.embedded.log(folder)),
    };
    // An embedded log recovers on this thread.
    let opened = tokio::task::spawn_blocking(move || Log::open(log_config)).await;
    opened.map_err(Failure::runtime)?.map_err(|error| match error {
        LogError::Config { .. } => Failure::usage(error),
        LogError::Unavailable { .. }
        | LogError::Fenced { .. }
        | LogError::OutOfRange { .. }
        | LogError::Fatal { .. } => Failure::runtime(error),
    })
}

/// Creates the topics that do not exist; waits for brokers that are not there yet.
///
/// # Errors
/// When the brokers stay away, or refuse.
pub(crate) async fn prepare_log(log: &Log, settings: &LogSettings, process: &Process) -> Result<(), Failure> {
    let topics = settings.topics();
    wait_for("event log", &process.shutdown, async || {
        match log.ensure_topics(&topics).await {
            Ok(()) => Attempt::Done(()),
            Err(error @ LogError::Unavailable { .. }) => {
                Attempt::NotYet(format!("{error}; check `[kafka] brokers` and that they run"))
            }
            Err(error @ LogError::Config { .. }) => Attempt::Failed(Failure::usage(error)),
            Err(error) => Attempt::Failed(Failure::runtime(error)),
        }
    })
    .await
}

/// Brings the schema up to date if the configuration says so, and refuses a server on which results would be wrong;
/// waits for one that is not there yet.
///
/// # Errors
/// When the server stays away, or is not fit.
pub(crate) async fn prepare_clickhouse(
    settings: &ClickHouseSettings,
    url: &str,
    process: &Process,
) -> Result<(), Failure> {
    let client = settings.client(url);
    let prepared = wait_for("ClickHouse", &process.shutdown, async || {
        match prepare_once(settings, &client).await {
            Ok(inspection) => Attempt::Done(inspection),
            Err(error) if is_absence(&error) => Attempt::NotYet(format!("ClickHouse at `{url}`: {error}")),
            Err(error) => Attempt::Failed(Failure::runtime(format!("ClickHouse at `{url}`: {error}"))),
        }
    })
    .await?;
    // Our own engine is as it is, and nobody has tables of their own in it.
    for warning in prepared.warnings.iter().filter(|_| settings.url.is_some()) {
        tracing::warn!(url, "{warning}");
    }
    if prepared.faults.is_empty() {
        let id = migrate::tables_id(&client, &settings.migrate.database).await;
        if let Some(id) = id.map_err(Failure::runtime)? {
            processors::metrics::tell_tables(&id);
        }
        return Ok(());
    }
    let faults: Vec<String> = prepared.faults.iter().map(ToString::to_string).collect();
    Err(Failure::runtime(format!(
        "ClickHouse at `{url}` cannot be used: {}",
        faults.join("; ")
    )))
}

async fn prepare_once(settings: &ClickHouseSettings, client: &Client) -> Result<Inspection, MigrateError> {
    let database = &settings.migrate.database;
    let before = migrate::inspect(client, database).await?;
    let is_too_old = before
        .faults
        .iter()
        .any(|fault| matches!(fault, Fault::VersionTooOld { .. }));
    // On such a server the statements themselves may fail, with words that explain nothing.
    if is_too_old || !settings.auto_migrate {
        return Ok(before);
    }
    let applied = migrate::migrate(client, &settings.migrate).await?;
    if !applied.is_empty() {
        tracing::info!(database, migrations = ?applied.migrations, retention = ?applied.retention, "schema brought up to date");
    }
    migrate::inspect(client, database).await
}

/// Whether a server did not answer at all: then it may still come up.
fn is_absence(error: &MigrateError) -> bool {
    match error {
        MigrateError::Query { source, .. } | MigrateError::Statement { source, .. } => {
            matches!(source, ClientError::Network(_) | ClientError::TimedOut)
        }
        MigrateError::Name(_) | MigrateError::ChecksumChanged { .. } | MigrateError::TooNew { .. } => false,
    }
}

/// Starts the role that reads the brokers into the log. A broker of our own ends with this process, so stopping first
/// takes over all that it has acknowledged.
pub(crate) fn start_ingest(
    stages: &mut Stages,
    settings: IngestSettings,
    log: Log,
    own_broker: Option<HandOver>,
    process: &Process,
) {
    let hand_over_max = match own_broker {
        Some(_) => limits::HAND_OVER_MAX,
        None => Duration::ZERO,
    };
    let deadline = hand_over_max + settings.drain_max + ingest::limits::DISCONNECT_MAX + limits::DRAIN_MARGIN;
    let (clock, health) = (process.clock.clone(), process.health.clone());
    let started = health.component("ingest", Need::Required);
    stages.add("ingest", deadline, |shutdown| async move {
        let (trigger, intake_shutdown) = Shutdown::new();
        let services = Services {
            clock,
            shutdown: intake_shutdown,
            health,
            ledger: Ledger::default(),
        };
        let stop = async {
            // The role has run up to its first wait: its own components, one for each connection, are in place.
            started.ready();
            shutdown.requested().await;
            if let Some(broker) = own_broker
                && timeout(hand_over_max, broker.complete()).await.is_err()
            {
                tracing::warn!("stopping before the broker was emptied: the rest is in its store, for the next start");
            }
            trigger.request();
            std::future::pending::<()>().await;
        };
        let outcome = tokio::select! {
            biased;
            outcome = ingest::run(settings, &log, services) => outcome,
            () = stop => unreachable!("it only ever asks the role to end"),
        };
        outcome.map_err(|error| role_failure("ingest", &error))
    });
}

/// Starts the role that makes rows of the log, and tells the cache of them.
///
/// # Errors
/// When the log or the checkpoint store refuses its configuration.
pub(crate) fn start_process(
    stages: &mut Stages,
    config: &ValidConfig,
    log: &Log,
    clickhouse_url: &str,
    checkpoints_url: &str,
    cache: Option<Arc<dyn CellCache>>,
    process: &Process,
) -> Result<(), Failure> {
    let checkpoints = CheckpointStore::open(checkpoints_url).map_err(Failure::runtime)?;
    let consumer = log
        .consumer(processing::subscription(config.log.group()))
        .map_err(Failure::usage)?;
    let sink = ClickHouseSink::new(config.clickhouse.sink(clickhouse_url));
    let sink = CellSink::new(sink, cache.clone(), process.clock.clone());
    let (mut settings, health) = (config.process.clone(), process.health.clone());
    // Nobody else reads a log of our own.
    settings.reads_to_end = config.log.kafka.is_none();
    // The role takes this component over; it is there from now on so that nobody counts as ready without it.
    let _starting = health.component(processing::HEALTH_COMPONENT, Need::Required);
    let read_to_end_max = match settings.reads_to_end {
        true => processors::limits::READ_TO_END_MAX,
        false => Duration::ZERO,
    };
    let deadline = processors::limits::STEP_AT_SHUTDOWN_MAX
        + read_to_end_max
        + processors::limits::SHUTDOWN_DRAIN_MAX
        + processors::limits::CLOSE_MAX
        + geocache::limits::LEAVE_MAX
        + limits::DRAIN_MARGIN;
    stages.add("process", deadline, |shutdown| async move {
        processing::run(settings, consumer, sink, checkpoints, shutdown, &health)
            .await
            .map_err(|error| role_failure("process", &error))?;
        // Servers need not wait for who will not come back. After a failure they do: others tell what it could not.
        if let Some(cache) = cache {
            cache.leave().await;
        }
        Ok(())
    });
    Ok(())
}

fn role_failure(role: &str, error: &impl Display) -> Failure {
    Failure::runtime(format!("role `{role}` failed: {error}"))
}
