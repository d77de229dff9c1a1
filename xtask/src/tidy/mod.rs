//! `cargo xtask tidy`: the house rules that no other tool checks. Pure functions over the text of all files; every fault is
//! reported at once.

mod configuration;
mod files;
mod packages;
mod sources;
#[cfg(test)]
mod tests;

use crate::parts::{self, Part};
use crate::progress::Progress;
use crate::web;
use anyhow::{Result, bail};
use files::Files;
use std::fmt;

/// A place that breaks a rule, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    path: String,
    line: usize,
    what: String,
}

impl Fault {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

pub(crate) fn run() -> Result<()> {
    let mut progress = Progress::new();
    parts::ensure(&[Part::WebPackages], &mut progress)?;
    progress.check("house rules", check);
    web::style_checks(&mut progress)?;
    progress.finish_checked("tidy; next: `cargo xtask test`")
}

/// Checks the files of this repository.
pub(crate) fn check() -> Result<()> {
    let faults = faults(&Files::of_the_repository()?);
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{} places break a house rule", faults.len());
}

fn faults(files: &Files) -> Vec<Fault> {
    let mut faults = sources::faults(files);
    faults.extend(packages::faults(files));
    faults.extend(configuration::faults(files));
    faults.sort();
    faults
}
