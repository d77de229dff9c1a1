//! Apache Kafka from its published jars, by Maven and the small project file in `docker/kafka/`. The folder appears only
//! when it is complete.

use crate::{limits, shell};
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

/// The oldest Java that Kafka 4 runs on.
const JAVA_VERSION_MIN: u32 = 17;

pub(super) fn missing() -> Option<String> {
    if let Err(error) = java() {
        return Some(format!("{error:#}"));
    }
    let folder = rig::cache::kafka_folder();
    (!folder.join("libs").is_dir() || !rig::kafka::shared_classes_file().is_file())
        .then(|| folder.display().to_string())
}

pub(super) fn fetch() -> Result<()> {
    java()?;
    let libs = rig::cache::kafka_folder().join("libs");
    if !libs.is_dir() {
        fetch_jars(&libs)?;
    }
    println!("    recording what Java loads, so that every later start is faster");
    rig::kafka::record_shared_classes().context("kafka does not start")
}

fn fetch_jars(libs: &std::path::Path) -> Result<()> {
    if rig::cache::program("mvn").is_err() {
        bail!("`mvn` is missing, and Kafka's jars come by it: install Maven (Debian: `sudo apt-get install maven`)");
    }
    println!("    version {} ({})", rig::cache::kafka_version(), limits::QUIET_HINT);
    let partial = libs.with_extension("partial");
    // What an interrupted run left behind is worth nothing.
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).with_context(|| format!("cannot create `{}`", partial.display()))?;
    let mut maven = shell::command("mvn");
    maven
        .args(["--batch-mode", "--quiet", "-Dstyle.color=never"])
        .args(["--file", "docker/kafka/pom.xml"])
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", partial.display()));
    shell::run(&mut maven)?;
    fs::rename(&partial, libs).with_context(|| format!("cannot create `{}`", libs.display()))
}

/// Checks that a Java which can run Kafka is there.
fn java() -> Result<()> {
    let advice = "install a JDK 17 or newer (Debian: `sudo apt-get install openjdk-17-jdk-headless`)";
    let output = Command::new("java")
        .arg("-version")
        .output()
        .with_context(|| format!("`java` is missing: {advice}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    match major_version(&text) {
        Some(version) if version >= JAVA_VERSION_MIN => Ok(()),
        _ => bail!(
            "`java -version` says {}: {advice}",
            text.lines().next().unwrap_or("nothing")
        ),
    }
}

/// 17 from `openjdk version "17.0.15" 2025-04-15`.
pub(super) fn major_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once('"')?;
    rest.split(['.', '"', '-', '+']).next()?.parse().ok()
}
