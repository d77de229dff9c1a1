//! `meridian dlq`: dead letters as work. Look at them, and publish them again once their cause is gone.

mod filter;
mod letter;
mod list;
mod replay;
mod replayed;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use platform::telemetry::LogFormat;

use crate::{cli::CommonOptions, failure::Failure};

const EXAMPLES: &str = "\
Examples:
  meridian dlq ls --since 1h --count
  meridian dlq show 5f1c9a2e-17
  meridian dlq replay --reason invalid_topic --dry-run";

/// Work with dead letters: messages that became no event
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DlqOptions {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    Ls(list::ListOptions),
    Show(show::ShowOptions),
    Replay(Box<replay::ReplayOptions>),
}

/// Where the letters are, and how to tell of them.
#[derive(Debug, Args)]
struct Access {
    /// Data folder of the `meridian up` to look into, where the configuration names no ClickHouse [default: ./meridian-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// For people or for programs; also with `--log-format json`
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Access {
    fn is_json(&self, common: &CommonOptions) -> bool {
        let format = self.format.unwrap_or(match common.log_format() {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        });
        format == Format::Json
    }
}

/// Does what the subcommand says.
///
/// # Errors
/// When ClickHouse or a broker cannot be used, or a letter is not there.
pub(crate) async fn run(options: &DlqOptions, common: &CommonOptions) -> Result<(), Failure> {
    match &options.command {
        DlqCommand::Ls(options) => list::run(options, common).await,
        DlqCommand::Show(options) => show::run(options, common).await,
        DlqCommand::Replay(options) => replay::run(options, common).await,
    }
}
