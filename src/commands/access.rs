//! Options of commands that look at what is stored: where it is, and how to tell of it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use platform::telemetry::LogFormat;

use crate::cli::CommonOptions;

/// Where ClickHouse is, and how the answer looks.
#[derive(Debug, Args)]
pub(super) struct Access {
    /// Data folder of the `meridian up` to look into, where the configuration names no ClickHouse [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// For people or for programs; also with `--log-format json`
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

/// How an answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

impl Access {
    /// Whether the answer is for a program.
    pub(super) fn is_json(&self, common: &CommonOptions) -> bool {
        let format = self.format.unwrap_or(match common.log_format() {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        });
        format == Format::Json
    }
}
