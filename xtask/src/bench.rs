//! `cargo xtask bench`: runs the benchmarks of all packages, or one. Judges nothing: a benchmark that has a bound fails by
//! itself.

use crate::parts::{self, Part};
use crate::progress::Progress;
use crate::{cargo, shell, web};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;

/// From the parts of the path to the whole of it. What stands here no longer, or not yet, comes last.
const ORDER: &[&str] = &[
    "ingest",
    "processing",
    "runner",
    "insert_format",
    "write_amplification",
    "end_to_end",
    "live",
    "api",
];

#[derive(Debug, PartialEq, Eq)]
struct Benchmark {
    package: String,
    name: String,
    /// The file that begins with what it is for.
    source: String,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let all = benchmarks(&cargo::metadata()?);
    if all.is_empty() {
        bail!("no package has a benchmark: add one under `benches/`");
    }
    let wanted = arguments.first().map(String::as_str);
    if matches!(wanted, Some("--help" | "-h" | "help")) {
        return help(&all);
    }
    if let Some(name) = wanted.filter(|name| all.iter().all(|one| one.name != *name)) {
        let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
        bail!("no benchmark `{name}`: there are {}", names.join(", "));
    }
    let mut progress = Progress::new();
    parts::ensure(Part::BENCH, &mut progress)?;
    web::ensure(&mut progress)?;
    let chosen = all.iter().filter(|one| wanted.is_none_or(|name| name == one.name));
    for Benchmark { package, name, .. } in chosen {
        progress.step(&format!("bench {name}"), || {
            let mut command = cargo::command(&["bench", "--package", package, "--bench", name]);
            if arguments.len() > 1 {
                command.arg("--").args(&arguments[1..]);
            }
            shell::run(&mut command)
        })?;
    }
    println!("\nmeasured on {}", machine());
    progress.finish("run again on an idle machine to learn the spread before you compare");
    Ok(())
}

fn help(all: &[Benchmark]) -> Result<()> {
    println!("cargo xtask bench [NAME [ARGUMENTS]]\n\nWithout a name, all of them in this order:\n");
    for one in all {
        let text = fs::read_to_string(&one.source).with_context(|| format!("cannot read `{}`", one.source))?;
        println!("  {:<20} {}", one.name, purpose(&text));
    }
    Ok(())
}

/// The first sentence of a file's own description.
fn purpose(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text: Vec<&str> = lines.take_while(|line| !line.is_empty()).map(str::trim).collect();
    let text = text.join(" ");
    text.split_once(". ")
        .map_or(text.as_str(), |(first, _)| first)
        .trim_end_matches('.')
        .to_owned()
}

/// What a number needs to have beside it when it is quoted.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory = value(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kibibytes = memory
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<u64>().ok());
    let gibibytes = kibibytes.map_or_else(|| "?".to_owned(), |kibibytes| (kibibytes >> 20).to_string());
    let system = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    format!(
        "{cores} cores of {cpu}, {gibibytes} GiB, Linux {}, load averages now {}",
        system.trim(),
        load.join(", ")
    )
}

fn benchmarks(metadata: &Value) -> Vec<Benchmark> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut all: Vec<Benchmark> = packages
        .flat_map(|package| {
            let targets = package["targets"].as_array().into_iter().flatten();
            targets
                .filter(|target| target["kind"][0] == "bench")
                .map(|target| Benchmark {
                    package: text(&package["name"]),
                    name: text(&target["name"]),
                    source: text(&target["src_path"]),
                })
        })
        .collect();
    all.sort_by_key(|one| ORDER.iter().position(|name| *name == one.name).unwrap_or(ORDER.len()));
    all
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{benchmarks, purpose};
    use serde_json::json;

    #[test]
    fn benchmarks_come_in_the_order_of_the_path_and_unknown_ones_last() {
        let target = |name: &str, kind: &str| json!({"name": name, "kind": [kind], "src_path": ""});
        let metadata = json!({"packages": [
            {"name": "a", "targets": [target("new", "bench"), target("end_to_end", "bench"), target("a", "lib")]},
            {"name": "b", "targets": [target("ingest", "bench")]},
        ]});
        let names: Vec<_> = benchmarks(&metadata).into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["ingest", "end_to_end", "new"]);
    }

    #[test]
    fn the_purpose_is_the_first_sentence_of_the_description() {
        assert_eq!(
            purpose("//! How fast\n//! it is. And more.\n//!\n//! Else.\n"),
            "How fast it is"
        );
        assert_eq!(purpose("//! How fast.\n//!\n//! Else.\n"), "How fast");
        assert_eq!(purpose("fn main() {}\n"), "");
    }
}
