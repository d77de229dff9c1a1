//! The configuration of the whole program: which keys there are, and what they become.
//!
//! Pure: sources come as arguments, and only a [`ValidConfig`] leaves. Nothing here may start, open or look up anything;
//! the one thing read from outside are secrets in files of their own.

mod clickhouse;
mod embedded;
mod ingest;
mod limits;
mod log;
mod mqtt;
mod process;
mod serve;

#[cfg(test)]
mod tests;

use ::ingest::IngestSettings;
use platform::config::{Config, ConfigFaults, DefinitionError, Field, HostPort, Loader, Section, Url};
use processors::config::ProcessSettings;

pub(crate) use self::{clickhouse::ClickHouseSettings, embedded::EmbeddedSettings, log::LogSettings};

/// The default file: every key, with a comment.
const DEFAULT_TEXT: &str = include_str!("default.toml");

/// A configuration without fault. The only form in which settings reach the rest of the program.
#[derive(Clone, Debug)]
pub(crate) struct ValidConfig {
    /// Brokers (none: start an embedded one), routes and bounds.
    pub(crate) ingest: IngestSettings,
    /// Which log, and its topics.
    pub(crate) log: LogSettings,
    /// How partitions are processed.
    pub(crate) process: ProcessSettings,
    /// Where processors keep their state; none: in the data folder.
    pub(crate) checkpoints_url: Option<String>,
    /// Where rows go.
    pub(crate) clickhouse: ClickHouseSettings,
    /// The cache shared by several servers; none: in process.
    pub(crate) redis_url: Option<Url>,
    /// Where the web side listens.
    pub(crate) serve_listen: HostPort,
    /// Who is let in there, and how often.
    pub(crate) access: dashboards::Access,
    /// Where metrics are served.
    pub(crate) metrics_listen: HostPort,
    /// What `up` starts where nothing is named.
    pub(crate) embedded: EmbeddedSettings,
}

/// A loader that knows all keys and nothing else yet.
pub(crate) fn loader() -> Result<Loader, DefinitionError> {
    Loader::new(DEFAULT_TEXT)
}

/// The default file, word for word.
pub(crate) fn default_text() -> &'static str {
    DEFAULT_TEXT
}

/// Builds the settings.
///
/// # Errors
/// Everything that is wrong, at once.
pub(crate) fn read(config: &Config) -> Result<ValidConfig, ConfigFaults> {
    config.read(read_root)
}

fn read_root(root: &Section<'_>) -> ValidConfig {
    let mqtt = root.section("mqtt");
    let ingest = ingest::read(&root.section("ingest"), mqtt::read(&mqtt));
    mqtt::check_client_ids(&mqtt, &ingest);
    let checkpoints = root.section("checkpoints");
    let cache = root.section("cache");
    let redis_url = cache.optional("redis_url").and_then(Field::non_empty);
    ValidConfig {
        ingest,
        log: log::read(root),
        process: process::read(root),
        checkpoints_url: checkpoints.optional("url").and_then(|field| {
            let url = field.url(&["file", "s3", "s3a", "gs", "az", "abfs", "abfss"])?;
            Some(url.expose().to_owned())
        }),
        clickhouse: clickhouse::read(root),
        redis_url: redis_url.and_then(|field| field.url(&["redis"])),
        serve_listen: root.section("serve").required("listen").host_port(),
        access: serve::read(&root.section("serve")),
        metrics_listen: root.section("telemetry").required("metrics_listen").host_port(),
        embedded: embedded::read(&root.section("embedded")),
    }
}
