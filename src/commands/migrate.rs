//! `meridian migrate`: creates or upgrades the ClickHouse schema.

use clap::Args;
use processors::migrate;

use crate::{cli::CommonOptions, config::ValidConfig, failure::Failure, output::print};

const EXAMPLES: &str = "\
Examples:
  meridian migrate --config meridian.toml
  meridian migrate --dry-run | less";

/// Create or upgrade the ClickHouse schema; safe to run again
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MigrateOptions {
    /// Print the SQL of all steps and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Prints the steps, or takes those that are missing.
///
/// # Errors
/// When the server cannot be reached, or has another history than ours.
pub(crate) async fn run(options: &MigrateOptions, common: &CommonOptions) -> Result<(), Failure> {
    let config = common.load()?;
    let settings = &config.clickhouse;
    if options.dry_run {
        let steps = migrate::plan(&settings.migrate).map_err(Failure::usage)?;
        let text: Vec<String> = steps.iter().map(|(name, sql)| format!("-- {name}\n{sql}")).collect();
        return print(&text.join("\n"));
    }
    let url = clickhouse_url(&config)?;
    let applied = migrate::migrate(&settings.client(url), &settings.migrate)
        .await
        .map_err(|error| Failure::runtime(format!("ClickHouse at `{url}`: {error}")))?;
    let database = &settings.migrate.database;
    if applied.is_empty() {
        return print(&format!("database `{database}` at {url} is up to date\n"));
    }
    let changes = applied
        .migrations
        .iter()
        .map(|name| format!("  applied {name}\n"))
        .chain(
            applied
                .retention
                .iter()
                .map(|table| format!("  retention of {table}\n")),
        );
    let changes: String = changes.collect();
    print(&format!(
        "database `{database}` at {url} was brought up to date:\n{changes}"
    ))
}

/// The server that the configuration names.
///
/// # Errors
/// When it names none.
pub(super) fn clickhouse_url(config: &ValidConfig) -> Result<&str, Failure> {
    config.clickhouse.url.as_ref().map(platform::config::Url::expose).ok_or_else(|| {
        Failure::usage(
            "`clickhouse.url` is missing; write `[clickhouse] url = \"http://127.0.0.1:8123\"` in a file given with \
             `--config`, or set MERIDIAN__CLICKHOUSE__URL",
        )
    })
}
