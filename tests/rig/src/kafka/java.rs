//! How Kafka's programs are started from its jars. Starting Java is most of Kafka's start-up time, so the classes it
//! loads are recorded once by `cargo xtask setup` and mapped from a file afterwards (2.8 s to 1.1 s measured).

use super::Kafka;
use crate::{Daemon, DaemonCommand, RigError, cache, limits};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the recorded classes are kept, recorded or not.
#[must_use]
pub fn shared_classes_file() -> PathBuf {
    cache::kafka_folder().join("classes.jsa")
}

/// Runs Kafka once and records the classes it loads. Only start-up time depends on it.
///
/// # Errors
/// When Kafka cannot be run.
pub fn record_shared_classes() -> Result<(), RigError> {
    let file = shared_classes_file();
    let partial = file.with_extension("partial");
    let mut kafka = Kafka::try_start(&[], &[], Some(&partial))?;
    kafka.daemon.terminate()?;
    fs::rename(&partial, &file).map_err(RigError::io(format!("create `{}`", file.display())))
}

/// The command that runs Kafka; the properties file is still to be added.
pub(super) fn kafka(record_to: Option<&Path>) -> Result<DaemonCommand, RigError> {
    let command = match record_to {
        Some(file) => {
            // A file that is left over would be used instead of written.
            let _ = fs::remove_file(file);
            java()?.arg(format!("-XX:ArchiveClassesAtExit={}", file.display()))
        }
        None => with_shared_classes(java()?),
    };
    Ok(command.args(class_path()?).arg("kafka.Kafka"))
}

/// Prepares the folder that the properties name.
pub(super) fn format_storage(properties: &Path, cluster_id: &str) -> Result<(), RigError> {
    let mut tool = with_shared_classes(java()?)
        .args(class_path()?)
        .args(["kafka.tools.StorageTool", "format", "--cluster-id"])
        .args([cluster_id, "--config"])
        .arg(properties)
        .start()?;
    let status = tool.wait_for_exit(limits::READY_TIMEOUT)?;
    if status.success() {
        return Ok(());
    }
    Err(RigError::Refused {
        what: format!("kafka cannot format its storage:\n{}", tool.log()),
    })
}

fn java() -> Result<DaemonCommand, RigError> {
    Ok(Daemon::command(cache::program("java")?)
        .arg(limits::KAFKA_HEAP)
        // One small heap: the parallel collectors would start threads per core and gain nothing.
        .arg("-XX:+UseSerialGC")
        // Warnings and worse, so that the end of the log is worth reading.
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-Dorg.slf4j.simpleLogger.showDateTime=true"))
}

fn with_shared_classes(command: DaemonCommand) -> DaemonCommand {
    let file = shared_classes_file();
    if file.is_file() {
        // `auto`: a Java that does not accept the file goes on without it.
        command
            .arg("-Xshare:auto")
            .arg("-Xlog:cds=off")
            .arg("-Xlog:cds+dynamic=off")
            .arg(format!("-XX:SharedArchiveFile={}", file.display()))
    } else {
        command
    }
}

/// Every jar by name and in order: the recorded classes are only accepted for exactly the same class path.
fn class_path() -> Result<[String; 2], RigError> {
    let folder = cache::kafka_folder().join("libs");
    let missing = || RigError::MissingPart {
        part: format!("Apache Kafka in {}", folder.display()),
    };
    let mut jars: Vec<_> = fs::read_dir(&folder)
        .map_err(|_| missing())?
        .filter_map(Result::ok)
        .map(|entry| entry.path().display().to_string())
        .filter(|path| path.ends_with(".jar"))
        .collect();
    if jars.is_empty() {
        return Err(missing());
    }
    jars.sort();
    Ok(["-cp".into(), jars.join(":")])
}
