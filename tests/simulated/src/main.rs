//! Runs seeds over all cores and says what was found: behind `cargo xtask simulate`.

#![expect(clippy::print_stdout, reason = "this command talks to the person who started it")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    if let [from, to] = words[..] {
        let mut bad = 0;
        for seed in from..to {
            let outcome = simulated::run(seed, simulated::Options::default());
            if !outcome.is_clean() { bad += 1; println!("{outcome}"); }
        }
        println!("{bad} bad");
        return ExitCode::SUCCESS;
    }
    let outcome = simulated::run(words[0], simulated::Options { print: true, ..Default::default() });
    println!("{outcome}");
    if outcome.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
