//! The packages that the web dashboard is built and tested with, by npm, exactly as its lock file says.

use crate::{limits, shell, web};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// The oldest Node.js that the bundler runs on.
const NODE_VERSION_MIN: u32 = 20;

pub(super) fn missing() -> Option<String> {
    let folder = web::packages_folder();
    (!folder.join("node_modules").is_dir()).then(|| folder.display().to_string())
}

pub(super) fn fetch() -> Result<()> {
    let advice = "install Node.js 20.19 or newer with npm";
    let version =
        shell::read(Command::new("node").arg("--version")).with_context(|| format!("`node` is missing: {advice}"))?;
    if major_version(&version).is_none_or(|major| major < NODE_VERSION_MIN) {
        bail!("`node --version` says {}: {advice}", version.trim());
    }
    println!("    by npm ({})", limits::QUIET_HINT);
    web::fetch_packages()
}

/// 20 from `v20.19.1`.
pub(super) fn major_version(text: &str) -> Option<u32> {
    text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}
