//! Why a command did not succeed, and the exit code that goes with it. Said once, as the last line on standard error.

use std::{fmt::Display, io::Write, process::ExitCode};

use platform::{config::ConfigFaults, telemetry::LogFormat};

/// Something failed while running: the next try may succeed.
const EXIT_RUNTIME: u8 = 1;

/// The command line or the configuration must be changed first.
const EXIT_USAGE: u8 = 2;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration has faults; each is a line.
    #[error("{}", several(.0))]
    Configuration(#[from] ConfigFaults),
    /// The command makes no sense with these options or this configuration.
    #[error("{0}")]
    Usage(String),
    /// Something failed while running.
    #[error("{0}")]
    Runtime(String),
    /// A signal came while starting. Asked for, so no failure of the command.
    #[error("stopped by a signal while starting")]
    Interrupted,
}

impl Failure {
    /// Something failed while running.
    pub(crate) fn runtime(error: impl Display) -> Self {
        Self::Runtime(error.to_string())
    }

    /// The command makes no sense as it was given.
    pub(crate) fn usage(error: impl Display) -> Self {
        Self::Usage(error.to_string())
    }

    /// Says it on standard error, and gives the exit code.
    pub(crate) fn report(&self, format: LogFormat) -> ExitCode {
        let text = match format {
            LogFormat::Text => format!("error: {self}\n"),
            LogFormat::Json => {
                let line = serde_json::json!({"level": "ERROR", "target": "meridian", "message": self.to_string()});
                format!("{line}\n")
            }
        };
        // Nobody is left to be told when this fails.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        let code = match self {
            Self::Configuration(_) | Self::Usage(_) => EXIT_USAGE,
            Self::Runtime(_) | Self::Interrupted => EXIT_RUNTIME,
        };
        ExitCode::from(code)
    }
}

fn several(faults: &ConfigFaults) -> String {
    match faults.faults() {
        [fault] => fault.to_string(),
        faults => format!("the configuration has {} faults:\n{}", faults.len(), list(faults)),
    }
}

fn list(faults: &[impl Display]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
    lines.join("\n")
}
