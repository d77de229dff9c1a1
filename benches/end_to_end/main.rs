//! How many events a second go all the way: from the first publish until every one of them is visible in `measurements`,
//! and until all nine rollup levels count them.
//!
//! The subject is the real `meridian up` with everything embedded, loaded by eight connections that publish with QoS 1 as
//! fast as they are acknowledged, once with one event in a message and once with fifty. The reference in the same run is
//! the simplest thing a person would write, on the same embedded broker and engine: a subscriber that decodes with serde
//! and inserts rows of the same shape, 100,000 at a time, without durability, duplicates, rollups or dead letters.
//! Run: `cargo xtask bench end_to_end [events]`.
//!
//! Must never report a rate of a run in which an event was lost or counted twice: it fails instead.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark reports by printing, and may fail loudly"
)]

mod load;
mod observe;
mod product;
mod reference;
mod report;
mod store;
mod subscriber;

use std::env;

/// Events in a message, and how many events make a run of some seconds.
const RUNS: [(usize, usize); 2] = [(1, 300_000), (50, 500_000)];

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let [name, mqtt, clickhouse] = arguments.as_slice() {
        assert_eq!(name, subscriber::NAME);
        runtime.block_on(subscriber::run(mqtt, clickhouse));
        return;
    }
    let given: Option<usize> = arguments.first().map(|text| text.parse().expect("a number of events"));
    for (batch, events) in RUNS {
        let load = load::Load::new(given.unwrap_or(events), batch);
        report::heading(&load);
        let subject = runtime.block_on(product::run(&load));
        subject.print("meridian up");
        let reference = runtime.block_on(reference::run(&load));
        reference.print("reference");
        report::compare(&subject, &reference);
    }
}
