//! `cargo xtask test` and `cargo xtask ci`: the fast checks first, then every test. A check that cannot run is an error, never
//! a silent pass, and one failed check does not hide what the others would have told.

use crate::parts::{self, DEV_TOOLS, Part};
use crate::progress::Progress;
use crate::{cargo, shell, tidy, web};
use anyhow::{Result, bail};

pub(crate) fn test() -> Result<()> {
    let mut progress = Progress::new();
    parts::ensure(Part::ALL, &mut progress)?;
    web::ensure(&mut progress)?;
    fast_checks(&mut progress)?;
    tests(&mut progress);
    progress.finish_checked("all checks and tests passed; next: `cargo xtask demo`")
}

pub(crate) fn ci() -> Result<()> {
    let absent: Vec<_> = DEV_TOOLS.iter().filter(|tool| !tool.is_installed()).collect();
    if !absent.is_empty() {
        let names: Vec<_> = absent.iter().map(|tool| tool.package).collect();
        bail!(
            "not installed: {}: run `cargo xtask setup --dev-tools` (some minutes of compiling)",
            names.join(", ")
        );
    }
    let mut progress = Progress::new();
    parts::ensure(Part::ALL, &mut progress)?;
    web::ensure(&mut progress)?;
    fast_checks(&mut progress)?;
    progress.check("rustdoc", || {
        let mut command = cargo::command(&["doc", "--workspace", "--no-deps", "--locked"]);
        shell::run(command.env("RUSTDOCFLAGS", "-D warnings"))
    });
    for tool in DEV_TOOLS {
        progress.check(tool.purpose, || tool.check());
    }
    tests(&mut progress);
    progress.finish_checked("everything that can be checked was checked and passed")
}

/// What takes seconds once things are compiled, so that a slip is told before the long part.
fn fast_checks(progress: &mut Progress) -> Result<()> {
    progress.check("formatting", || {
        shell::run(&mut cargo::command(&["fmt", "--all", "--check"]))
    });
    progress.check("house rules", tidy::check);
    web::style_checks(progress)?;
    progress.check("unit tests of the page", web::unit_tests);
    progress.check("clippy", || {
        let mut clippy = cargo::command(&["clippy", "--workspace", "--all-targets", "--locked"]);
        shell::run(clippy.args(["--", "-D", "warnings"]))
    });
    Ok(())
}

fn tests(progress: &mut Progress) {
    // Built first, so that the two times can be told apart.
    progress.check("compile tests", || {
        shell::run(&mut cargo::command(&["test", "--workspace", "--locked", "--no-run"]))
    });
    progress.check("tests", || {
        shell::run(&mut cargo::command(&[
            "test",
            "--workspace",
            "--locked",
            "--no-fail-fast",
        ]))
    });
    // Compiled for the tests of the program just now.
    progress.check("the page in a browser", || {
        web::browser_tests(&cargo::target_folder().join("debug/meridian"))
    });
    // Apart from the rest, so that what the other tests run is the product and nothing else.
    progress.check("broken builds are caught", || {
        let mut command = cargo::command(&["test", "--package", "simulated", "--features", "sabotage", "--locked"]);
        shell::run(command.args(["--test", "broken_builds"]))
    });
}
