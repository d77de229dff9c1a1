//! The command line: what can be asked, and who answers.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use platform::{
    config::{Config, Loader},
    telemetry::{self, LogFormat},
};

use crate::{
    commands::{
        audit, config, dlq, embedded, ingest, keys, loadtest, migrate, process, rollups, serve, tap, trace, up,
        validate,
    },
    config::{ValidConfig, loader, read},
    failure::Failure,
};

const EXAMPLES: &str = "\
Examples:
  meridian up --demo                          everything on this machine, with a simulated fleet
  meridian validate --config meridian.toml    all faults of a configuration at once
  meridian ingest --config meridian.toml      one role, for a deployment over several machines

Every key of the configuration can be set by the environment: \
MERIDIAN__KAFKA__BROKERS is `[kafka] brokers`. MERIDIAN_LOG sets what is logged, as in `info,ingest=debug`.";

/// Telemetry from MQTT fleets to exact, live geospatial rollups.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, after_help = EXAMPLES)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    common: CommonOptions,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct CommonOptions {
    /// Configuration file; may be given several times, later ones win
    #[arg(long = "config", value_name = "FILE", global = true)]
    config_files: Vec<PathBuf>,
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text", global = true)]
    log_format: LogFormatChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormatChoice {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::UpOptions),
    Ingest(ingest::IngestOptions),
    Process(process::ProcessOptions),
    Serve(serve::ServeOptions),
    Embedded(embedded::EmbeddedOptions),
    Migrate(migrate::MigrateOptions),
    Validate(validate::ValidateOptions),
    Config(config::ConfigOptions),
    Dlq(dlq::DlqOptions),
    Audit(audit::AuditOptions),
    Keys(keys::KeysOptions),
    Rollups(rollups::RollupsOptions),
    Tap(tap::TapOptions),
    Trace(trace::TraceOptions),
    Loadtest(loadtest::LoadtestOptions),
}

impl CommandLine {
    /// How log lines look.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.common.log_format()
    }

    /// Does what the command line says.
    ///
    /// # Errors
    /// Why it did not succeed.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let variable = std::env::var(telemetry::LOG_FILTER_VARIABLE).ok();
        let filter = telemetry::log_filter(variable.as_deref());
        telemetry::init_logging(self.log_format(), filter).map_err(Failure::usage)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::runtime(format!("cannot start threads: {error}")))?;
        let outcome = runtime.block_on(self.command.run(&self.common));
        // Whatever still blocks a thread was given its time.
        runtime.shutdown_background();
        match outcome {
            Err(Failure::Interrupted) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Command {
    async fn run(self, common: &CommonOptions) -> Result<(), Failure> {
        match self {
            Self::Up(options) => up::run(&options, common).await,
            Self::Ingest(options) => ingest::run(&options, common).await,
            Self::Process(options) => process::run(&options, common).await,
            Self::Serve(options) => serve::run(&options, common).await,
            Self::Embedded(options) => embedded::run(&options, common).await,
            Self::Migrate(options) => migrate::run(&options, common).await,
            Self::Validate(options) => validate::run(&options, common).await,
            Self::Config(options) => config::run(&options, common),
            Self::Dlq(options) => dlq::run(&options, common).await,
            Self::Keys(options) => keys::run(&options, common).await,
            Self::Audit(options) => audit::run(&options, common).await,
            Self::Rollups(options) => rollups::run(&options, common).await,
            Self::Tap(options) => tap::run(&options, common).await,
            Self::Trace(options) => trace::run(&options, common).await,
            Self::Loadtest(options) => loadtest::run(options, common).await,
        }
    }
}

impl CommonOptions {
    /// How log lines look.
    pub(crate) fn log_format(&self) -> LogFormat {
        match self.log_format {
            LogFormatChoice::Text => LogFormat::Text,
            LogFormatChoice::Json => LogFormat::Json,
        }
    }

    /// The configuration from defaults, files and environment, merged and not yet checked.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn merged(&self) -> Result<Config, Failure> {
        let loader = loader().map_err(Failure::runtime)?;
        let loader = self.config_files.iter().fold(loader, Loader::file);
        Ok(loader.environment(std::env::vars_os()).load()?)
    }

    /// The configuration, checked.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn load(&self) -> Result<ValidConfig, Failure> {
        Ok(read(&self.merged()?)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains("Example") && help.contains("meridian "),
                "`{path}` has no example"
            );
            assert!(command.get_about().is_some(), "`{path}` does not say what it does");
            let mut before = "";
            for line in help.lines() {
                let is_example = line.starts_with("  ");
                assert!(
                    !is_example || line.len() <= 100,
                    "`{path}` has an example that is cut in two: {line}"
                );
                let goes_on = !is_example && !line.is_empty() && !before.is_empty() && !before.starts_with("  ");
                assert!(
                    !goes_on || before.starts_with("Example"),
                    "`{path}` breaks lines by itself: {line}"
                );
                before = line;
            }
            for inner in command.get_subcommands() {
                check(inner, &path);
            }
        }
        check(&CommandLine::command(), "");
    }

    #[test]
    fn configuration_files_may_stand_before_and_after_the_command() {
        let files = |arguments: &[&str]| CommandLine::try_parse_from(arguments).unwrap().common.config_files;
        assert_eq!(files(&["meridian", "up", "--config", "a", "--config", "b"]).len(), 2);
        assert_eq!(files(&["meridian", "--config", "a", "validate"]).len(), 1);
    }
}
