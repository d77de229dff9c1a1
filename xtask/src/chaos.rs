//! `cargo xtask chaos`: builds the program and the suite that hurts it, and runs them. What it does is told by its own
//! `--help`; `--debug` runs unoptimised builds of both.

use std::process::Command;

use anyhow::Result;

use crate::{cargo, shell};

/// What the suite says of itself: here, too, so that nothing is built for it.
const HELP: &str = include_str!("../../tests/chaos/src/help.txt");

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--help") || has("-h") {
        print!("{HELP}");
        return Ok(());
    }
    if has("--list") {
        return shell::run(&mut list(arguments));
    }
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

/// The schedule follows from the seed alone: it needs no program, and nothing optimised.
fn list(arguments: &[String]) -> Command {
    let mut command = cargo::command(&["run", "--quiet", "--package", "chaos", "--bin", "chaos", "--"]);
    command.args(arguments.iter().filter(|argument| *argument != "--debug"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_needs_the_suite_alone() {
        let command = list(&["--seed", "7", "--debug", "--list"].map(str::to_owned));
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        assert_eq!(
            words.join(" "),
            "run --quiet --package chaos --bin chaos -- --seed 7 --list"
        );
    }

    #[test]
    fn help_is_there_without_a_build() {
        assert!(HELP.contains("--minutes M") && HELP.contains("--debug"));
        run(&["--help".to_owned()]).unwrap();
    }
}
