//! `cargo xtask bench`: runs the benchmarks of all packages, or one. Judges nothing: a benchmark that has a bound fails by
//! itself.

use crate::parts::{self, Part};
use crate::progress::Progress;
use crate::{cargo, shell};
use anyhow::{Result, bail};
use serde_json::Value;

struct Benchmark {
    package: String,
    name: String,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let all = benchmarks(&cargo::metadata()?);
    let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
    let wanted = arguments.first();
    if let Some(name) = wanted.filter(|name| !names.contains(&name.as_str())) {
        bail!("no benchmark `{name}`: there are {}", names.join(", "));
    }
    if all.is_empty() {
        bail!("no package has a benchmark: add one under `benches/`");
    }
    let mut progress = Progress::new();
    parts::ensure(Part::BENCH, &mut progress)?;
    let chosen = all.iter().filter(|one| wanted.is_none_or(|name| *name == one.name));
    for Benchmark { package, name } in chosen {
        progress.step(&format!("bench {name}"), || {
            let mut command = cargo::command(&["bench", "--package", package, "--bench", name]);
            shell::run(command.args(arguments.iter().skip(1)))
        })?;
    }
    progress.finish("run again on an idle machine to learn the spread before you compare");
    Ok(())
}

fn benchmarks(metadata: &Value) -> Vec<Benchmark> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .flat_map(|package| {
            let targets = package["targets"].as_array().into_iter().flatten();
            targets
                .filter(|target| target["kind"][0] == "bench")
                .map(|target| Benchmark {
                    package: text(&package["name"]),
                    name: text(&target["name"]),
                })
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
