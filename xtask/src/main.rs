//! Project tasks: demo, test, ci, tidy, simulate, chaos, web, look, bench, setup, doctor. Nothing of the product may depend on this crate.

#![expect(clippy::print_stdout, reason = "a task talks to the person who started it")]

mod bench;
mod cargo;
mod chaos;
mod demo;
mod doctor;
mod gates;
mod limits;
mod parts;
mod progress;
mod setup;
mod shell;
mod simulate;
mod tidy;
mod web;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
tasks of this repository

  cargo xtask setup [demo|test|bench] [--dev-tools]   install or fetch what is missing (default: everything)
  cargo xtask demo [ARGUMENTS OF `meridian up`]       build and run the whole pipeline with a simulated fleet
  cargo xtask test                                    all checks and all tests, against real daemons
  cargo xtask ci                                      the same, and the checks that need extra tools
  cargo xtask tidy                                    the house rules that no other tool checks
  cargo xtask simulate [--seeds N | --seed N | --help]  the whole path in simulation, with faults that follow from a seed
  cargo xtask chaos [--minutes M | --seed S | --help]  the whole path over real daemons, with faults at every hop
  cargo xtask web                                     build the page of the dashboard, to be part of the next build
  cargo xtask look [pictures | first-paint]           the page in a browser: pictures for docs/images, how long it takes to come
  cargo xtask bench [NAME [ARGUMENTS] | --help]       all benchmarks, or one
  cargo xtask doctor                                  what is installed, what is missing, what to do
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let (task, rest) = arguments
        .split_first()
        .map_or(("help", arguments), |(task, rest)| (task.as_str(), rest));
    match (task, rest) {
        ("setup", _) => setup::run(rest),
        ("demo", _) => demo::run(rest),
        ("test", []) => gates::test(),
        ("ci", []) => gates::ci(),
        ("tidy", []) => tidy::run(),
        ("simulate", _) => simulate::run(rest),
        ("chaos", _) => chaos::run(rest),
        ("web", []) => web::run(),
        ("look", _) => web::look(rest),
        ("bench", _) => bench::run(rest),
        ("doctor", []) => doctor::run(),
        ("help" | "--help" | "-h", _) => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("unknown task `{}`\n\n{HELP}", arguments.join(" ")),
    }
}
