//! `cargo xtask simulate`: runs the simulation, optimised. What it does is told by its own `--help`.

use anyhow::Result;

use crate::{cargo, shell};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    // Overflows and broken assumptions are found here or nowhere: they stay checked although it is optimised.
    let mut command = cargo::command(&[
        "run",
        "--release",
        "--quiet",
        "--package",
        "simulated",
        "--bin",
        "simulate",
    ]);
    command
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    shell::run(command.arg("--").args(arguments))
}
