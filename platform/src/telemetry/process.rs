//! Memory, processor time and open files of this process, read from `/proc` when a scraper asks.
//!
//! Under the names that every Prometheus client uses. Where `/proc` is missing, the metrics are too: no number is made
//! up.

use std::{fmt::Write, fs};

/// Clock ticks a second in `/proc/self/stat`. Linux fixes this for user space on every architecture we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// One reading of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Usage {
    resident_bytes: Option<u64>,
    cpu_seconds: Option<f64>,
    open_files: Option<u64>,
    threads: Option<u64>,
}

/// Appends the metrics of this process in the Prometheus text format.
pub(super) fn render_into(text: &mut String) {
    write_usage(text, &read_usage());
}

fn read_usage() -> Usage {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Usage {
        resident_bytes: resident_bytes(&status),
        cpu_seconds: cpu_seconds(&stat),
        open_files: fs::read_dir("/proc/self/fd")
            .ok()
            .and_then(|entries| u64::try_from(entries.count()).ok())
            // The folder itself was open while it was counted.
            .map(|count| count.saturating_sub(1)),
        threads: status_field(&status, "Threads:").and_then(|value| value.parse().ok()),
    }
}

fn write_usage(text: &mut String, usage: &Usage) {
    let as_text = |value: Option<u64>| value.map(|value| value.to_string());
    let lines = [
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes.",
            as_text(usage.resident_bytes),
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            usage.cpu_seconds.map(|value| value.to_string()),
        ),
        (
            "process_open_fds",
            "gauge",
            "Number of open file descriptors.",
            as_text(usage.open_files),
        ),
        (
            "process_threads",
            "gauge",
            "Number of operating system threads.",
            as_text(usage.threads),
        ),
    ];
    for (name, kind, help, value) in lines {
        if let Some(value) = value {
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
                .expect("writing to a string cannot fail");
        }
    }
}

/// User and system time are fields 14 and 15. Field 2, the command in parentheses, may hold anything, so counting
/// starts after the last parenthesis, with field 3.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_command) = stat.rsplit_once(')')?;
    let mut fields = after_command.split_ascii_whitespace().skip(11);
    let user_ticks: f64 = fields.next()?.parse().ok()?;
    let system_ticks: f64 = fields.next()?.parse().ok()?;
    Some((user_ticks + system_ticks) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let kibibytes: u64 = status_field(status, "VmRSS:")?.strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn status_field<'status>(status: &'status str, name: &str) -> Option<&'status str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests;
