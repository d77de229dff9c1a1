//! Watches the processes meanwhile: how much memory each holds at most, and whether one ends without being asked. Such
//! a one is started again, as whoever runs it would; it must never be hidden.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use crate::{fault::Part, limits, nemesis::start_again, stack::Stack};

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The most memory that each process held.
    pub peak_rss_bytes: BTreeMap<Part, u64>,
    /// Ends that nobody asked for: when, who, and its last words.
    pub unasked_ends: Vec<String>,
}

/// A thread that looks at the processes.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

impl Watch {
    /// Begins to watch.
    #[must_use]
    pub fn start(stack: Arc<Stack>, started: Instant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            while !stopped.load(Ordering::Relaxed) {
                for part in Part::ALL {
                    look(&stack, part, started, &mut seen);
                }
                thread::sleep(limits::WATCH_INTERVAL);
            }
            seen
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it.
    ///
    /// # Panics
    /// When the thread panicked.
    #[must_use]
    pub fn finish(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken here only, and when dropped");
        thread.join().expect("watching does not panic")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A run that breaks off must let go of the processes and disks.
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(stack: &Stack, part: Part, started: Instant, seen: &mut Seen) {
    // Whoever holds it is about to do something with it.
    let Some(mut process) = stack.idle_process(part) else {
        return;
    };
    let daemon = process.daemon();
    if !daemon.is_running() {
        let log = daemon.log();
        let lines: Vec<&str> = log.lines().collect();
        let last_words = lines[lines.len().saturating_sub(3)..].join(" | ");
        let seconds = started.elapsed().as_secs();
        let mut end = format!("{} ended by itself at {seconds} s: {last_words}", part.name());
        if let Err(error) = start_again(&mut process) {
            end.push_str(&format!("; and cannot be started again: {error}"));
        }
        seen.unasked_ends.push(end);
        return;
    }
    let peak = seen.peak_rss_bytes.entry(part).or_default();
    *peak = (*peak).max(daemon.rss_bytes().unwrap_or(0));
}

/// What a process may hold.
#[must_use]
pub fn rss_bytes_max(part: Part) -> u64 {
    match part {
        Part::Mosquitto => limits::MOSQUITTO_RSS_MAX,
        Part::Ingest => limits::INGEST_RSS_MAX,
        Part::Kafka => limits::KAFKA_RSS_MAX,
        Part::ProcessOne | Part::ProcessTwo => limits::PROCESS_RSS_MAX,
        Part::ClickHouse => limits::ENGINE_RSS_MAX,
    }
}
