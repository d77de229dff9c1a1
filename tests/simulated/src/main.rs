//! Runs seeds over all cores and says what was found: behind `cargo xtask simulate`.

#![expect(clippy::print_stdout, reason = "this command talks to the person who started it")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let seed: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let outcome = simulated::run(seed, simulated::Options { print: true, ..Default::default() });
    println!("{outcome}");
    if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
