//! What a run is told as, and what bounded it.

use std::{thread, time::Duration};

use crate::{
    load::{CONNECTIONS, Load, METRICS, Published},
    observe::Cost,
};

/// Of one core, or of all of them: above this it counts as full.
const FULL: f64 = 0.85;
/// Thread names that are shown for each process.
const NAMES_SHOWN: usize = 8;

pub(crate) struct Outcome {
    pub(crate) events: usize,
    pub(crate) messages: usize,
    pub(crate) published: Published,
    /// From the first publish.
    pub(crate) visible_after: Duration,
    /// From the first publish.
    pub(crate) rolled_up_after: Option<Duration>,
    pub(crate) costs: Vec<Cost>,
    /// Nobody on the machine used them.
    pub(crate) idle_cpu_seconds: f64,
}

pub(crate) fn heading(load: &Load) {
    println!(
        "\n{} events of {} bytes with {METRICS} metrics, {} in a message, from {} devices over {CONNECTIONS} connections, QoS 1",
        load.events,
        load.bytes_per_event(),
        load.batch,
        load.devices
    );
}

impl Outcome {
    pub(crate) fn print(&self, name: &str) {
        println!(
            "  {name}: {:.0} events/s until visible ({:.1} s){}",
            self.per_second(),
            self.visible_after.as_secs_f64(),
            self.rolled_up_after.map_or_else(String::new, |after| format!(
                ", {:.0} until all rollups count them ({:.1} s)",
                self.events as f64 / after.as_secs_f64(),
                after.as_secs_f64()
            ))
        );
        let Published {
            took, p50_ms, p99_ms, ..
        } = self.published;
        println!(
            "    {:.0} PUBACKs/s; publish to PUBACK, waiting for the window included: p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms",
            self.messages as f64 / took.as_secs_f64()
        );
        for cost in &self.costs {
            let shares = cost
                .by_thread_name
                .iter()
                .take(NAMES_SHOWN)
                .filter(|(_, seconds)| *seconds >= 0.1);
            let shares: Vec<String> = shares.map(|(name, seconds)| format!("{name} {seconds:.1}")).collect();
            println!(
                "    {}: {:.1} CPU s ({:.1} us an event), {} MiB at most; by thread name: {}",
                cost.name,
                cost.cpu_seconds,
                cost.cpu_seconds * 1e6 / self.events as f64,
                cost.memory_peak_bytes >> 20,
                shares.join(", ")
            );
        }
        println!("    {}", self.bound());
    }

    fn per_second(&self) -> f64 {
        self.events as f64 / self.visible_after.as_secs_f64()
    }

    /// What was full, if anything was.
    fn bound(&self) -> String {
        let took = self.rolled_up_after.unwrap_or(self.visible_after).as_secs_f64();
        let cores = thread::available_parallelism().map_or(1, usize::from) as f64;
        let busy = self.costs.iter().map(|cost| cost.cpu_seconds).sum::<f64>() / took;
        let busiest = self
            .costs
            .iter()
            .max_by(|left, right| left.busiest.1.total_cmp(&right.busiest.1));
        let (thread, seconds) = busiest.map_or(("", 0.0), |cost| (cost.busiest.0.as_str(), cost.busiest.1));
        let idle = self.idle_cpu_seconds / took;
        let verdict = if busy >= FULL * cores {
            "the machine is full: the rate is that of its cores"
        } else if idle <= (1.0 - FULL) * cores {
            "others use the machine: measure again when it is idle"
        } else if seconds >= FULL * took {
            "one thread is full, and the rest waits for it"
        } else {
            "neither the machine nor a thread is full: the rate is that of a window and the time until it is acknowledged"
        };
        format!(
            "{busy:.1} of {cores:.0} cores busy and {idle:.1} idle, busiest thread `{thread}` {:.0} % of one: {verdict}",
            seconds / took * 100.0
        )
    }
}

pub(crate) fn compare(subject: &Outcome, reference: &Outcome) {
    let cpu = |outcome: &Outcome| {
        let ours = outcome.costs.iter().filter(|cost| cost.name != "load");
        ours.map(|cost| cost.cpu_seconds).sum::<f64>()
    };
    println!(
        "  meridian up against the reference: {:.2} times its rate, {:.2} times its CPU time",
        subject.per_second() / reference.per_second(),
        cpu(subject) / cpu(reference)
    );
}
