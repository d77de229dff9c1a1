//! `cargo xtask setup`: installs or fetches what a task needs and what is missing. Never installs twice, never touches a
//! running service.

use crate::parts::{self, Part};
use crate::progress::Progress;
use anyhow::{Result, bail};

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut wanted = Part::ALL.to_vec();
    let mut dev_tools = false;
    for argument in arguments {
        match argument.as_str() {
            "demo" => wanted = Part::DEMO.to_vec(),
            "test" => wanted = Part::ALL.to_vec(),
            "bench" => wanted = Part::BENCH.to_vec(),
            "--dev-tools" => dev_tools = true,
            other => bail!("unknown argument `{other}`: use demo, test, bench or --dev-tools"),
        }
    }
    let mut progress = Progress::new();
    parts::ensure(&wanted, &mut progress)?;
    if dev_tools {
        for tool in parts::DEV_TOOLS {
            progress.step(&format!("install {}", tool.package), || tool.install())?;
        }
    }
    progress.finish("everything is there; next: `cargo xtask demo` or `cargo xtask test`");
    Ok(())
}
