//! What the tasks need besides cargo: which part is missing, and how it comes here. A part is looked for first and is
//! never installed when it is found.

mod debian;
mod dev_tools;
mod kafka;
mod libchdb;
mod node;
#[cfg(test)]
mod tests;

use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs::{self, File};

pub(crate) use dev_tools::DEV_TOOLS;
pub(crate) use libchdb::verify as verify_libchdb;

/// Something that a task needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    BuildTools,
    WebPackages,
    Libchdb,
    Mosquitto,
    Redis,
    Browser,
    ShiftedClock,
    Kafka,
}

impl Part {
    /// In the order of their cost, so that what is missing is told early.
    pub(crate) const ALL: &[Self] = &[
        Self::BuildTools,
        Self::WebPackages,
        Self::Mosquitto,
        Self::Redis,
        Self::Browser,
        Self::ShiftedClock,
        Self::Kafka,
        Self::Libchdb,
    ];

    pub(crate) const DEMO: &[Self] = &[Self::BuildTools, Self::WebPackages, Self::Libchdb];

    pub(crate) const LOOK: &[Self] = &[Self::BuildTools, Self::WebPackages, Self::Browser, Self::Libchdb];

    pub(crate) const BENCH: &[Self] = &[
        Self::BuildTools,
        Self::WebPackages,
        Self::Mosquitto,
        Self::Redis,
        Self::Kafka,
        Self::Libchdb,
    ];

    /// What of this part is not there, or `None`.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::BuildTools | Self::Mosquitto | Self::Redis | Self::Browser | Self::ShiftedClock => {
                let names: Vec<_> = debian::missing_programs(self).collect();
                (!names.is_empty()).then(|| names.join(", "))
            }
            Self::WebPackages => node::missing(),
            Self::Kafka => kafka::missing(),
            Self::Libchdb => libchdb::missing(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BuildTools => "C and C++ build tools",
            Self::WebPackages => "packages of the web dashboard",
            Self::Libchdb => "ClickHouse engine library",
            Self::Mosquitto => "Mosquitto",
            Self::Redis => "Redis",
            Self::Browser => "Chromium",
            Self::ShiftedClock => "libfaketime",
            Self::Kafka => "Apache Kafka",
        })
    }
}

/// Brings every missing part here.
pub(crate) fn ensure(wanted: &[Part], progress: &mut Progress) -> Result<()> {
    if wanted.iter().all(|part| part.missing().is_none()) {
        return Ok(());
    }
    // Two tasks at the same time must not fetch into the same folder.
    let _alone = lock()?;
    let missing = |part: &&Part| part.missing().is_some();
    let from_debian: Vec<_> = wanted
        .iter()
        .filter(missing)
        .copied()
        .filter(|part| !matches!(part, Part::WebPackages | Part::Kafka | Part::Libchdb))
        .collect();
    if !from_debian.is_empty() {
        progress.step("install system packages", || debian::install(&from_debian))?;
    }
    if wanted.contains(&Part::WebPackages) && node::missing().is_some() {
        progress.step("fetch the packages of the web dashboard", node::fetch)?;
    }
    if wanted.contains(&Part::Kafka) && kafka::missing().is_some() {
        progress.step("fetch Apache Kafka", kafka::fetch)?;
    }
    if wanted.contains(&Part::Libchdb) && libchdb::missing().is_some() {
        progress.step("fetch the ClickHouse engine library", libchdb::fetch)?;
    }
    for part in wanted {
        if let Some(what) = part.missing() {
            bail!("{part} is still missing after its installation: {what}");
        }
    }
    Ok(())
}

/// Held while parts are fetched; released by the kernel when this process ends, however it ends.
fn lock() -> Result<File> {
    let folder = rig::cache::folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let path = folder.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("cannot create `{}`", path.display()))?;
    if file.try_lock().is_err() {
        println!("    waiting for another setup to finish");
        file.lock()
            .with_context(|| format!("cannot lock `{}`", path.display()))?;
    }
    Ok(file)
}
