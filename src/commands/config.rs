//! `meridian config`: what can be configured, and what is in force.

use clap::Args;

use crate::{
    cli::CommonOptions,
    config::{default_text, read},
    failure::Failure,
    output::print,
};

const EXAMPLES: &str = "\
Examples:
  meridian config --defaults > meridian.toml
  meridian config --effective --config meridian.toml";

/// Print the configuration: all keys with their defaults, or what is in force
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[group(required = true, multiple = false)]
pub(crate) struct ConfigOptions {
    /// The whole default configuration, with a comment for each key
    #[arg(long)]
    defaults: bool,
    /// What is in force, and where each value comes from; secrets are masked
    #[arg(long)]
    effective: bool,
}

/// Prints it.
///
/// # Errors
/// When the configuration in force has faults: it is printed all the same, since that is when one wants to see it.
pub(crate) fn run(options: &ConfigOptions, common: &CommonOptions) -> Result<(), Failure> {
    if options.defaults {
        return print(default_text());
    }
    let merged = common.merged()?;
    print(&merged.effective())?;
    read(&merged)?;
    Ok(())
}
