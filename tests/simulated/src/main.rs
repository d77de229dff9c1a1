//! Runs seeds over all cores and says what was found: behind `cargo xtask simulate`.

#![expect(clippy::print_stdout, reason = "this command talks to the person who started it")]

use std::process::ExitCode;

use simulated::{Options, many, run};

const HELP: &str = "\
runs the whole path from MQTT to rows in simulation, with faults that follow from a seed

  --seed N      one seed, with all that happens in it
  --seeds N     this many seeds, over all cores (default 1000)
  --from N      beginning with this one (default 0)
  --steps N     length of the phase with faults (default 14)
  --no-faults   without any fault
";

enum Task {
    Help,
    One(u64),
    Many { from: u64, count: u64 },
}

fn main() -> ExitCode {
    let (task, options) = match read(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(fault) => {
            println!("error: {fault}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let is_clean = match task {
        Task::Help => {
            print!("{HELP}");
            true
        }
        Task::One(seed) => {
            let outcome = run(seed, Options { print: true, ..options });
            println!("{outcome}");
            outcome.is_clean()
        }
        Task::Many { from, count } => {
            let summary = many(from..from.saturating_add(count), options);
            println!("{summary}");
            summary.failed.is_empty()
        }
    };
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<(Task, Options), String> {
    let mut options = Options::default();
    let (mut one, mut from, mut count) = (None, 0, 1_000);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            let value = words.next().ok_or_else(|| format!("`{word}` needs a number"))?;
            value
                .parse()
                .map_err(|_| format!("`{value}` is no number, and `{word}` needs one"))
        };
        match word.as_str() {
            "--seed" => one = Some(number()?),
            "--seeds" => count = number()?,
            "--from" => from = number()?,
            "--steps" => {
                let steps = number()?;
                options.steps = u32::try_from(steps).map_err(|_| format!("{steps} steps are too many"))?;
            }
            "--no-faults" => options.faults = false,
            "--help" | "-h" => return Ok((Task::Help, options)),
            _ => return Err(format!("`{word}` is not known")),
        }
    }
    let task = one.map_or(Task::Many { from, count }, Task::One);
    Ok((task, options))
}
