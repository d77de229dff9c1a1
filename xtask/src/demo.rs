//! `cargo xtask demo`: from a fresh clone to a live dashboard. Ends only when the pipeline ends.

use crate::parts::{self, Part};
use crate::progress::Progress;
use crate::{cargo, shell, web};
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut progress = Progress::new();
    parts::ensure(Part::DEMO, &mut progress)?;
    web::ensure(&mut progress)?;
    let binary = cargo::build_release(&mut progress)?;
    progress.finish("starting the pipeline with a simulated fleet; Ctrl-C stops it");
    // Replaces this process, so that Ctrl-C and its exit code are the pipeline's own.
    let error = shell::command(&binary).args(["up", "--demo"]).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start `{}`", binary.display()))
}
