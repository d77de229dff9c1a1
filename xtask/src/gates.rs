//! `cargo xtask test` and `cargo xtask ci`: the fast checks first, then every test. A check that cannot run is an error,
//! never a silent pass.

use crate::parts::{self, DEV_TOOLS, Part};
use crate::progress::Progress;
use crate::{cargo, shell, tidy};
use anyhow::{Result, bail};

pub(crate) fn test() -> Result<()> {
    let mut progress = Progress::new();
    parts::ensure(Part::ALL, &mut progress)?;
    fast_gates(&mut progress)?;
    tests(&mut progress)?;
    progress.finish("all checks and tests passed; next: `cargo xtask demo`");
    Ok(())
}

pub(crate) fn ci() -> Result<()> {
    let mut progress = Progress::new();
    let absent: Vec<_> = DEV_TOOLS.iter().filter(|tool| !tool.is_installed()).collect();
    if !absent.is_empty() {
        let names: Vec<_> = absent.iter().map(|tool| tool.package).collect();
        bail!(
            "not installed: {}: run `cargo xtask setup --dev-tools` (some minutes of compiling)",
            names.join(", ")
        );
    }
    parts::ensure(Part::ALL, &mut progress)?;
    fast_gates(&mut progress)?;
    progress.step("rustdoc", || {
        let mut command = cargo::command(&["doc", "--workspace", "--no-deps", "--locked"]);
        shell::run(command.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    for tool in DEV_TOOLS {
        progress.step(tool.purpose, || tool.check())?;
    }
    tests(&mut progress)?;
    progress.finish("everything that can be checked was checked and passed");
    Ok(())
}

/// What takes seconds once things are compiled, so that a slip is told before the long part.
fn fast_gates(progress: &mut Progress) -> Result<()> {
    progress.step("formatting", || {
        shell::run(&mut cargo::command(&["fmt", "--all", "--check"]))
    })?;
    progress.step("house rules", tidy::check)?;
    progress.step("clippy", || {
        shell::run(&mut cargo::command(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    })
}

fn tests(progress: &mut Progress) -> Result<()> {
    // Built first, so that the two times can be told apart.
    progress.step("compile tests", || {
        shell::run(&mut cargo::command(&["test", "--workspace", "--locked", "--no-run"]))
    })?;
    progress.step("tests", || {
        shell::run(&mut cargo::command(&["test", "--workspace", "--locked"]))
    })
}
