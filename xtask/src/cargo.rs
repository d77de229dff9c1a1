//! How tasks call cargo: always the toolchain of the repository, always one target folder for all of them.

use crate::progress::Progress;
use crate::shell;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The folder that compiled code goes to: what the environment says, else one in the cache folder, so that a fresh clone
/// does not start from nothing.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .filter(|value| !value.is_empty())
        .map_or_else(|| rig::cache::folder().join("target"), PathBuf::from)
}

/// A cargo command.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = shell::command(cargo);
    command.args(arguments).env("CARGO_TARGET_DIR", target_folder());
    // `cargo run` describes xtask in the environment; build scripts that look there would build again and again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds the program as people run it, and says where it is.
pub(crate) fn build_release(progress: &mut Progress) -> Result<PathBuf> {
    progress.step("build meridian (release)", || {
        shell::run(&mut command(&["build", "--release", "--package", "meridian"]))
    })?;
    Ok(target_folder().join("release/meridian"))
}

/// What cargo knows about the packages of the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let text = shell::read(&mut command(&["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).context("`cargo metadata` wrote something else than JSON")
}
