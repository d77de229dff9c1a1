//! `cargo xtask doctor`: what is there, what is missing, what to do. Changes nothing.

use crate::parts::{DEV_TOOLS, Part};
use crate::{cargo, parts};
use anyhow::{Result, bail};

pub(crate) fn run() -> Result<()> {
    println!("cache folder   {}", rig::cache::folder().display());
    println!("target folder  {}\n", cargo::target_folder().display());
    let mut missing = 0;
    for part in Part::ALL {
        match part.missing() {
            None => println!("  ok       {part}"),
            Some(what) => {
                missing += 1;
                println!("  MISSING  {part}: {what}");
            }
        }
    }
    for tool in DEV_TOOLS {
        let state = if tool.is_installed() { "ok       " } else { "optional " };
        println!("  {state}{} (only for `cargo xtask ci`)", tool.package);
    }
    if Part::Libchdb.missing().is_none() {
        parts::verify_libchdb()?;
        println!("\n  the engine library has the expected checksum");
    }
    if missing > 0 {
        bail!("{missing} missing: run `cargo xtask setup`");
    }
    println!("\nall there; next: `cargo xtask demo` or `cargo xtask test`");
    Ok(())
}
