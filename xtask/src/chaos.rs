//! `cargo xtask chaos`: builds the program and the suite that hurts it, and runs them. What it does is told by its own
//! `--help`; `--debug` runs unoptimised builds of both.

use anyhow::Result;

use crate::{cargo, shell};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (debug, rest): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|argument| *argument == "--debug");
    let mut build = cargo::command(&[
        "build",
        "--quiet",
        "--package",
        "meridian",
        "--package",
        "chaos",
        "--bins",
    ]);
    let profile = if debug.is_empty() {
        build.arg("--release");
        "release"
    } else {
        "debug"
    };
    shell::run(&mut build)?;
    let folder = cargo::target_folder().join(profile);
    let mut command = shell::command(folder.join("chaos"));
    shell::run(command.arg("--program").arg(folder.join("meridian")).args(rest))
}
