//! Cargo tools that only `cargo xtask ci` needs. They cost minutes of compiling, so nothing else asks for them.

use crate::{cargo, shell};
use anyhow::Result;

/// A tool that cargo installs.
pub(crate) struct DevTool {
    pub(crate) package: &'static str,
    pub(crate) purpose: &'static str,
    version: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

/// Fixed versions: a new lint must not fail an old commit.
pub(crate) const DEV_TOOLS: &[DevTool] = &[
    DevTool {
        package: "cargo-deny",
        purpose: "licences, advisories and sources of dependencies",
        version: "0.20.2",
        program: "cargo-deny",
        arguments: &["--workspace", "check"],
    },
    DevTool {
        package: "cargo-machete",
        purpose: "dependencies that nothing uses",
        version: "0.9.2",
        program: "cargo-machete",
        arguments: &[],
    },
    DevTool {
        package: "typos-cli",
        purpose: "spelling",
        version: "1.52.0",
        program: "typos",
        arguments: &[],
    },
];

impl DevTool {
    pub(crate) fn is_installed(&self) -> bool {
        rig::cache::program(self.program).is_ok()
    }

    pub(crate) fn install(&self) -> Result<()> {
        if self.is_installed() {
            return Ok(());
        }
        let package = format!("{}@{}", self.package, self.version);
        shell::run(&mut cargo::command(&["install", "--locked", &package]))
    }

    pub(crate) fn check(&self) -> Result<()> {
        shell::run(shell::command(self.program).args(self.arguments))
    }
}
