//! `meridian dlq`: dead letters as work. Look at them, and publish them again once their cause is gone.

mod filter;
mod letter;
mod list;
mod replay;
mod replayed;
mod show;

use clap::{Args, Subcommand};

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
