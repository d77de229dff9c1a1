//! The `meridian` binary: wiring only. Everything that knows events is in the crates beside this one.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test, a panic is the report"))]

mod cli;
mod commands;
mod config;
mod data_dir;
mod endpoints;
mod failure;
mod limits;
mod output;
mod pipeline;
mod probe;
mod process;
#[cfg(test)]
mod reference;
mod scrape;
mod services;
mod stages;
mod startup;
mod store;
mod when;

use std::process::ExitCode;

use clap::Parser;

/// The pipeline allocates a little for every event on many threads, which this allocator was made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Help, and faults of usage, end the process here: with 0 and 2.
    let command_line = cli::CommandLine::parse();
    let log_format = command_line.log_format();
    match command_line.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(log_format),
    }
}
