//! `[embedded]`: the services that `up` starts where the configuration names none.

use std::path::PathBuf;

use eventlog::EmbeddedConfig;
use platform::config::{HostPort, Section};

use super::limits;

/// Services of our own.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedSettings {
    /// Where the MQTT broker listens.
    pub(crate) mqtt_listen: HostPort,
    /// Where the ClickHouse engine listens.
    pub(crate) clickhouse_listen: HostPort,
    /// The engine's library; none: where it is usually put.
    pub(crate) clickhouse_library: Option<PathBuf>,
    log_bytes_max: u64,
    log_disk_free_min: u64,
    log_linger_ms: u64,
}

impl EmbeddedSettings {
    /// A log in this folder.
    pub(crate) fn log(&self, folder: PathBuf) -> EmbeddedConfig {
        EmbeddedConfig {
            retention_bytes_max: self.log_bytes_max,
            linger_ms: self.log_linger_ms,
            disk_free_bytes_min: self.log_disk_free_min,
            ..EmbeddedConfig::new(folder)
        }
    }
}

/// Reads what `up` starts.
pub(super) fn read(section: &Section<'_>) -> EmbeddedSettings {
    let linger = section.required("log_linger").duration(limits::LOG_LINGER);
    EmbeddedSettings {
        mqtt_listen: section.required("mqtt_listen").host_port(),
        clickhouse_listen: section.required("clickhouse_listen").host_port(),
        clickhouse_library: section.optional("clickhouse_library").map(|field| field.path()),
        log_bytes_max: section.required("log_bytes_max").byte_size(limits::LOG_BYTES),
        log_disk_free_min: section.required("log_disk_free_min").byte_size(limits::DISK_FREE_BYTES),
        log_linger_ms: u64::try_from(linger.as_millis()).expect("the range was checked"),
    }
}
