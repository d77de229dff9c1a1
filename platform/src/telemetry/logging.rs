//! Log lines: text for people, JSON for machines, always on standard error.
//!
//! Standard output belongs to what a command prints as its answer; no log line may appear there.

use std::{io::IsTerminal, str::FromStr};

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The environment variable that sets the log filter.
pub const LOG_FILTER_VARIABLE: &str = "MERIDIAN_LOG";

/// What is logged when nobody says otherwise.
const LOG_FILTER_DEFAULT: &str = "info";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = LoggingError;

    fn from_str(text: &str) -> Result<Self, LoggingError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(LoggingError::UnknownFormat(other.to_owned())),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The format is neither text nor JSON.
    #[error("log format `{0}` is unknown; write `text` or `json`")]
    UnknownFormat(String),
    /// The filter cannot be read.
    #[error("log filter `{filter}` is not valid: {detail}; write a level like `info`, or `info,ingest=debug`")]
    InvalidFilter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Logging is set up once per process.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// The filter in force: what the environment variable says, else `info`. Empty counts as not given.
#[must_use]
pub fn log_filter(environment: Option<&str>) -> &str {
    let given = environment.map(str::trim).filter(|text| !text.is_empty());
    given.unwrap_or(LOG_FILTER_DEFAULT)
}

/// Sends log lines of the whole process to standard error. Once per process, from `main`.
///
/// # Errors
/// When the filter cannot be read, or logging is set up already.
pub fn init_logging(format: LogFormat, filter: &str) -> Result<(), LoggingError> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = subscriber(format, filter, colour, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_already| LoggingError::AlreadySet)
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    colour: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LoggingError>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let parsed = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| LoggingError::InvalidFilter {
            filter: filter.to_owned(),
            detail: error.to_string(),
        })?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(writer);
    Ok(match format {
        LogFormat::Text => Box::new(builder.with_ansi(colour).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests;
