//! The whole path from MQTT to rows, simulated: the real pipelines of ingest and process over models of the broker, the
//! log and ClickHouse, in one thread, in paused time. One seed is one schedule of faults; the same seed is the same run.
//!
//! Must never judge by anything that the product computed: the verdict compares with what devices published.

mod broker;
mod checkpoints;
mod clock;
mod fleet;
mod instances;
mod many;
mod schedule;
mod tables;
mod trace;
mod verdict;
mod world;

use std::{collections::BTreeMap, fmt};

use rand::{Rng, RngExt};

pub use crate::many::{Summary, many};
#[cfg(feature = "sabotage")]
pub use platform::sabotage::Rule;

use crate::{
    schedule::Schedule,
    trace::Trace,
    world::{Plan, World},
};

/// What shapes a run beside its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Steps of the phase with faults.
    pub steps: u32,
    /// Whether there are faults at all.
    pub faults: bool,
    /// Print what happens.
    pub print: bool,
    /// The rule that this build breaks.
    #[cfg(feature = "sabotage")]
    pub broken: Option<Rule>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            steps: 14,
            faults: true,
            print: false,
            #[cfg(feature = "sabotage")]
            broken: None,
        }
    }
}

impl fmt::Display for Options {
    /// As arguments of `cargo xtask simulate`, each with a space before it; nothing for what is as by default.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps != Self::default().steps {
            write!(formatter, " --steps {}", self.steps)?;
        }
        if !self.faults {
            formatter.write_str(" --no-faults")?;
        }
        Ok(())
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed it was.
    pub seed: u64,
    /// The options it ran with.
    pub options: Options,
    /// Promises that were broken; empty when all is well.
    pub violations: Vec<String>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Events that devices published.
    pub event_count: u64,
    /// Messages that brokers sent again.
    pub redelivered_count: u64,
    /// Equal for two runs of one seed.
    pub digest: u64,
}

impl Outcome {
    /// No promise was broken.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            digest,
            event_count,
            ..
        } = self;
        writeln!(formatter, "seed {seed}: {event_count} events, digest {digest:016x}")?;
        for violation in &self.violations {
            writeln!(formatter, "  broken: {violation}")?;
        }
        if !self.is_clean() {
            writeln!(
                formatter,
                "  again with: cargo xtask simulate --seed {seed}{}",
                self.options
            )?;
        }
        Ok(())
    }
}

/// Runs one seed to its end.
///
/// # Panics
/// When no runtime can be made.
#[must_use]
pub fn run(seed: u64, options: Options) -> Outcome {
    #[cfg(feature = "sabotage")]
    platform::sabotage::break_rule(options.broken);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs nothing");
    runtime.block_on(run_paused(seed, options))
}

async fn run_paused(seed: u64, options: Options) -> Outcome {
    let mut random = world::seeded(seed);
    let trace = Trace::new(options.print);
    let plan = Plan {
        broker_count: random.random_range(1..=2),
        loses_records: random.random_bool(0.5),
        changes_configuration: random.random_bool(0.5),
    };
    let mut world = World::new(&mut random, plan, trace.clone());
    let random = world::seeded(random.next_u64());
    Schedule::new(&mut world, random, options).run().await;
    verdict::judge(&world);
    record_end(&world);
    let event_count = world.fleet().events.len() as u64;
    Outcome {
        seed,
        options,
        violations: trace.violations(),
        faults: trace.faults(),
        event_count,
        redelivered_count: world.brokers.iter().map(broker::Broker::redelivered_count).sum(),
        digest: trace.digest(),
    }
}

/// What is there in the end is part of the trace, so that runs of one seed must agree on it.
fn record_end(world: &World) {
    let trace = &world.trace;
    for (number, message) in world.fleet().messages.iter().enumerate() {
        let (device, payload) = (message.device, &message.payload);
        trace.note(format_args!("message {number} of device {device}: {payload}"));
    }
    for place in World::places() {
        let records = world.log.records(&place).expect("all places exist");
        for record in records.iter() {
            let value = String::from_utf8_lossy(record.value);
            trace.note(format_args!("{place} {}: {value}", record.offset));
        }
    }
    for broker in &world.brokers {
        trace.note(format_args!("acknowledged {:?}", broker.acknowledged()));
    }
    world.tables.with(|contents| {
        trace.note(format_args!("{:?}", contents.measurements));
        trace.note(format_args!("{:?}", contents.rollups));
    });
}
