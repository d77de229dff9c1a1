//! What processes cost while they run: CPU time by thread name, and the peak of their memory, as the kernel counts them.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Threads that end between two looks are missed in the shares, never in the totals.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The kernel counts in hundredths of a second for everybody.
const TICKS_PER_SECOND: f64 = 100.0;

/// Name of a thread and its ticks.
type Threads = BTreeMap<u32, (String, u64)>;

/// Looks at processes until it is asked what it saw.
pub(crate) struct Observer {
    idle_ticks_before: u64,
    watched: Vec<Watched>,
    stop: Arc<AtomicBool>,
    looking: JoinHandle<Vec<Threads>>,
}

struct Watched {
    name: &'static str,
    pid: u32,
    ticks_before: u64,
    threads_before: Threads,
}

/// What one process has cost.
pub(crate) struct Cost {
    pub(crate) name: &'static str,
    pub(crate) cpu_seconds: f64,
    pub(crate) memory_peak_bytes: u64,
    /// Seconds by thread name without its number, largest first.
    pub(crate) by_thread_name: Vec<(String, f64)>,
    /// The one thread that ran most.
    pub(crate) busiest: (String, f64),
}

impl Observer {
    pub(crate) fn start(processes: &[(&'static str, u32)]) -> Self {
        let watched = processes.iter().map(|(name, pid)| Watched {
            name,
            pid: *pid,
            ticks_before: ticks(&format!("/proc/{pid}/stat")).map_or(0, |(_, ticks)| ticks),
            threads_before: threads(*pid),
        });
        let stop = Arc::new(AtomicBool::new(false));
        let (pids, stopped): (Vec<u32>, _) = (processes.iter().map(|(_, pid)| *pid).collect(), stop.clone());
        let looking = thread::spawn(move || {
            let mut seen = vec![Threads::new(); pids.len()];
            while !stopped.load(Ordering::Relaxed) {
                for (seen, pid) in seen.iter_mut().zip(&pids) {
                    seen.extend(threads(*pid));
                }
                thread::sleep(LOOK_EVERY);
            }
            seen
        });
        Self {
            idle_ticks_before: idle_ticks(),
            watched: watched.collect(),
            stop,
            looking,
        }
    }

    /// The costs since the start, and the CPU seconds that nobody on the machine used.
    pub(crate) fn finish(self) -> (Vec<Cost>, f64) {
        let idle_ticks = idle_ticks().saturating_sub(self.idle_ticks_before);
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.looking.join().unwrap();
        let costs = self.watched.iter().zip(seen).map(|(watched, seen)| watched.cost(seen));
        (costs.collect(), idle_ticks as f64 / TICKS_PER_SECOND)
    }
}

impl Watched {
    fn cost(&self, mut seen: Threads) -> Cost {
        seen.extend(threads(self.pid));
        let total = ticks(&format!("/proc/{}/stat", self.pid)).map_or(0, |(_, ticks)| ticks);
        let mut groups: BTreeMap<String, f64> = BTreeMap::new();
        let mut busiest = (String::new(), 0.0);
        for (id, (name, ticks)) in seen {
            let before = self.threads_before.get(&id).map_or(0, |(_, ticks)| *ticks);
            let seconds = ticks.saturating_sub(before) as f64 / TICKS_PER_SECOND;
            let group = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '-');
            *groups.entry(group.to_owned()).or_default() += seconds;
            if seconds > busiest.1 {
                busiest = (name, seconds);
            }
        }
        let mut by_thread_name: Vec<_> = groups.into_iter().collect();
        by_thread_name.sort_by(|left, right| right.1.total_cmp(&left.1));
        Cost {
            name: self.name,
            cpu_seconds: (total - self.ticks_before) as f64 / TICKS_PER_SECOND,
            memory_peak_bytes: memory_peak_bytes(self.pid),
            by_thread_name,
            busiest,
        }
    }
}

fn threads(pid: u32) -> Threads {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| {
            let id = task.file_name().to_str()?.parse().ok()?;
            Some((id, ticks(task.path().join("stat").to_str()?)?))
        })
        .collect()
}

/// The name and the ticks in a `stat` file.
fn ticks(path: &str) -> Option<(String, u64)> {
    let text = fs::read_to_string(path).ok()?;
    // The name stands in parentheses and may hold anything; user and system time are the 12th and 13th word after it.
    let (before, rest) = text.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let ticks = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<u64>().ok());
    Some((name.to_owned(), ticks.sum()))
}

fn memory_peak_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|word| word.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Of all cores: the fourth and fifth number are those of doing nothing and of waiting for a disk.
fn idle_ticks() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let words = text.lines().next().unwrap_or_default().split_whitespace();
    words.skip(4).take(2).filter_map(|word| word.parse::<u64>().ok()).sum()
}
