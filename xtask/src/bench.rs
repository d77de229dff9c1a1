//! `cargo xtask bench`: runs the benchmarks of the root package, all or one. Judges nothing: a benchmark that has a bound
//! fails by itself.

use crate::parts::{self, Part};
use crate::progress::Progress;
use crate::{cargo, shell};
use anyhow::{Result, bail};
use serde_json::Value;

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let names = benchmarks(&cargo::metadata()?);
    let chosen: Vec<_> = match arguments.first() {
        None => names,
        Some(name) if names.contains(name) => vec![name.clone()],
        Some(name) => bail!("no benchmark `{name}`: there are {}", names.join(", ")),
    };
    if chosen.is_empty() {
        bail!("the root package has no benchmark: add one under `benches/`");
    }
    let mut progress = Progress::new();
    parts::ensure(Part::BENCH, &mut progress)?;
    for name in &chosen {
        progress.step(&format!("bench {name}"), || {
            let mut command = cargo::command(&["bench", "--package", "meridian", "--bench", name]);
            shell::run(command.args(arguments.iter().skip(1)))
        })?;
    }
    progress.finish("compare with the numbers in `docs/`; another run on an idle machine tells the spread");
    Ok(())
}

fn benchmarks(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter(|package| package["name"] == "meridian")
        .flat_map(|package| package["targets"].as_array().into_iter().flatten())
        .filter(|target| target["kind"][0] == "bench")
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}
