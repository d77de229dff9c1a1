//! The servers that a process runs beside its roles: embedded backing services, and pages for people and machines.
//!
//! Each is one function that starts it and leaves its stop to [`Stages`].

use std::{net::SocketAddr, path::Path, sync::Arc};

use dashboards::{Queries, Site, StoredLevel, read_keys};
use embedded::{
    EmbeddedError,
    clickhouse::{ClickHouseConfig, ClickHouseServer},
    mqtt::{HandOver, MqttBroker, MqttConfig, StandingSession},
};
use eventlog::Log;
use geocache::{CellCache, LocalCache, RedisCache};
use ingest::IngestSettings;
use platform::{
    config::HostPort,
    shutdown::{Shutdown, ShutdownTrigger},
};

use tokio::time::timeout;

use crate::{
    config::{ClickHouseSettings, EmbeddedSettings, ValidConfig},
    failure::Failure,
    limits,
    process::Process,
    stages::Stages,
    startup::port_failure,
    when,
};

/// A running MQTT broker.
pub(crate) struct Broker {
    /// Where clients reach it.
    pub(crate) url: String,
    /// Empties it into its standing sessions.
    pub(crate) hand_over: HandOver,
}

/// Starts the MQTT broker on its folder below `data_dir`, with sessions for clients that are still to come.
///
/// # Errors
/// When the port is taken, or the folder cannot be used.
pub(crate) async fn start_mqtt(
    stages: &mut Stages,
    listen: &HostPort,
    data_dir: &Path,
    ingest: &IngestSettings,
    sessions: Vec<StandingSession>,
    option: &str,
) -> Result<Broker, Failure> {
    let mut config = MqttConfig::new(resolve(listen).await?, data_dir);
    config.sessions = sessions;
    // What ingest refuses has to reach it: only then is it a dead letter.
    config.packet_bytes_max = config
        .packet_bytes_max
        .max(limits::PACKETS_PER_PAYLOAD * ingest.payload_bytes_max);
    let broker = MqttBroker::start(config)
        .await
        .map_err(|error| service_failure(error, option))?;
    let started = Broker {
        url: format!("mqtt://{}", crate::endpoints::reachable(broker.address())),
        hand_over: broker.hand_over(),
    };
    stages.add("MQTT broker", limits::BROKER_DRAIN_MAX, |shutdown| async move {
        shutdown.requested().await;
        broker.stop().await;
        Ok(())
    });
    Ok(started)
}

/// A running ClickHouse engine.
pub(crate) struct Engine {
    /// Where clients reach it.
    pub(crate) url: String,
    /// Its release.
    pub(crate) version: String,
}

/// Starts the ClickHouse engine on its folder below `data_dir`.
///
/// # Errors
/// When the port is taken, the library is missing, or the folder cannot be opened.
pub(crate) async fn start_clickhouse(
    stages: &mut Stages,
    listen: &HostPort,
    data_dir: &Path,
    embedded: &EmbeddedSettings,
    settings: &ClickHouseSettings,
    option: &str,
) -> Result<Engine, Failure> {
    let config = ClickHouseConfig {
        listen: resolve(listen).await?,
        data_dir: data_dir.to_owned(),
        library: embedded.clickhouse_library.clone(),
        // Without a password there is nothing to ask for: whoever reaches the loopback port may in.
        user: settings
            .password
            .as_ref()
            .map(|password| (settings.user.clone(), password.expose().to_owned())),
    };
    let server = ClickHouseServer::start(config)
        .await
        .map_err(|error| service_failure(error, option))?;
    let engine = Engine {
        url: format!("http://{}", crate::endpoints::reachable(server.address())),
        version: server.version().to_owned(),
    };
    let deadline = limits::ENGINE_DRAIN_MAX + limits::DRAIN_MARGIN;
    stages.add("ClickHouse engine", deadline, |shutdown| async move {
        shutdown.requested().await;
        server.stop(limits::ENGINE_DRAIN_MAX).await.map_err(Failure::runtime)
    });
    Ok(engine)
}

/// Keeps the embedded log open until everyone who uses it has stopped; then its last writes become durable.
pub(crate) fn keep_log(stages: &mut Stages, log: Log) {
    stages.add("event log", limits::LOG_CLOSE_MAX, |shutdown| async move {
        shutdown.requested().await;
        tokio::task::spawn_blocking(move || drop(log))
            .await
            .map_err(Failure::runtime)
    });
}

/// Serves metrics and probes; returns the URL of the metrics.
///
/// # Errors
/// When the port is taken.
pub(crate) async fn start_metrics(
    stages: &mut Stages,
    listen: &HostPort,
    process: &Process,
) -> Result<String, Failure> {
    let (stop, stopping) = Shutdown::new();
    let server = process.serve_metrics(listen, stopping).await?;
    let url = format!("http://{}/metrics", crate::endpoints::reachable(server.address));
    stages.add("metrics server", limits::SERVER_DRAIN_MAX, |shutdown| async move {
        pass_on(shutdown, stop).await;
        server.stopped().await;
        Ok(())
    });
    Ok(url)
}

/// What the query API reads from the server at `url`.
pub(crate) fn queries(config: &ValidConfig, url: &str) -> Queries {
    let levels = config.process.parameters.rollup.levels.iter();
    let flush_interval_ms = config.process.flush_interval.as_millis() as u64;
    Queries {
        client: config.clickhouse.client(url),
        levels: levels
            .map(|level| StoredLevel {
                period_seconds: level.period_seconds,
                resolution: level.resolution,
                // What is due waits for the next flush.
                flush_interval_ms: level.flush_interval_ms.next_multiple_of(flush_interval_ms),
            })
            .collect(),
    }
}

/// Whether the web side starts only where there is an API key: others can reach it, and no issuer of tokens is believed.
pub(crate) fn needs_key(config: &ValidConfig) -> bool {
    let host = &config.serve_listen.host;
    let is_loopback = |ip: std::net::IpAddr| ip.to_canonical().is_loopback();
    let is_local = host == "localhost" || host.parse().is_ok_and(is_loopback);
    !is_local && config.access.tokens.is_none()
}

/// Whether somebody has a key that opens anything.
///
/// # Errors
/// When the keys cannot be read.
pub(crate) async fn has_good_key(config: &ValidConfig, clickhouse: &str) -> Result<bool, String> {
    let client = config.clickhouse.client(clickhouse);
    match timeout(limits::KEYS_WAIT, read_keys(&client)).await {
        Ok(Ok(keys)) => Ok(keys.iter().any(|key| key.is_good(when::now_ms()))),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err("ClickHouse does not answer".to_owned()),
    }
}

/// Refuses to listen where others could ask as long as nobody has a credential: there would be nobody to answer. Where
/// the keys cannot be read the start goes on, and the door stays closed until they can.
///
/// # Errors
/// When there is no credential.
pub(crate) async fn check_credentials(config: &ValidConfig, clickhouse: &str) -> Result<(), Failure> {
    if !needs_key(config) {
        return Ok(());
    }
    match has_good_key(config, clickhouse).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::usage(no_credential(config))),
        Err(error) => {
            tracing::warn!(
                error,
                "the API keys cannot be read yet; nothing is answered until they can"
            );
            Ok(())
        }
    }
}

/// What to do where others can reach the web side and nobody has a credential.
pub(crate) fn no_credential(config: &ValidConfig) -> String {
    let how = match config.clickhouse.url {
        Some(_) => "run `meridian keys new --tenant TENANT` with this configuration, or give `[serve.jwt]`",
        None => {
            "start once with `[serve] listen = \"127.0.0.1:8080\"`, run `meridian keys new --tenant TENANT` while it runs, \
             and start again"
        }
    };
    format!(
        "`[serve] listen` is `{}`, which other machines can reach, and no API key is good: {how}; or listen on a loopback \
         address",
        config.serve_listen
    )
}

/// The cache between processors and the web side: shared in Redis where one is configured. Redis need not be there yet.
///
/// # Errors
/// When its address cannot be used.
pub(crate) fn shared_cache(config: &ValidConfig, process: &Process) -> Result<Option<Arc<dyn CellCache>>, Failure> {
    let Some(url) = &config.redis_url else {
        return Ok(None);
    };
    let cache = RedisCache::new(url.expose(), process.clock.clone()).map_err(Failure::usage)?;
    Ok(Some(Arc::new(cache)))
}

/// The same where both are in one process: without Redis, the cache is there as well.
///
/// # Errors
/// As [`shared_cache`].
pub(crate) fn cache(config: &ValidConfig, process: &Process) -> Result<Arc<dyn CellCache>, Failure> {
    let shared = shared_cache(config, process)?;
    Ok(shared.unwrap_or_else(|| Arc::new(LocalCache::new(process.clock.clone()))))
}

/// Serves the web side; returns its URL.
///
/// # Errors
/// When the port is taken.
pub(crate) async fn start_web(
    stages: &mut Stages,
    listen: &HostPort,
    queries: Queries,
    site: Site,
    process: &Process,
) -> Result<String, Failure> {
    let (stop, stopping) = Shutdown::new();
    let server = dashboards::serve(&listen.to_string(), queries, site, process.health.clone(), stopping)
        .await
        .map_err(|error| port_failure(error, "--http-port"))?;
    let url = format!("http://{}", crate::endpoints::reachable(server.address));
    stages.add("web server", limits::SERVER_DRAIN_MAX, |shutdown| async move {
        pass_on(shutdown, stop).await;
        server.stopped().await;
        Ok(())
    });
    Ok(url)
}

async fn pass_on(shutdown: Shutdown, stop: ShutdownTrigger) {
    shutdown.requested().await;
    stop.request();
}

/// The socket address that a host and a port stand for.
async fn resolve(listen: &HostPort) -> Result<SocketAddr, Failure> {
    let found = tokio::net::lookup_host((listen.host.as_str(), listen.port)).await;
    let mut addresses =
        found.map_err(|error| Failure::runtime(format!("cannot find the address `{listen}`: {error}")))?;
    addresses
        .next()
        .ok_or_else(|| Failure::runtime(format!("`{listen}` has no address to listen on")))
}

fn service_failure(error: EmbeddedError, option: &str) -> Failure {
    match error {
        EmbeddedError::Listen { .. } => port_failure(error, option),
        other => Failure::runtime(other),
    }
}
