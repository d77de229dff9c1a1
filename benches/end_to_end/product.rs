//! The subject: `meridian up` as a person starts it, on free ports and in a folder of its own.

use std::{fs, path::Path, time::Duration};

use rig::{Daemon, DaemonCommand};
use serde_json::Value;
use tempfile::TempDir;

use crate::{load::Load, observe::Observer, report::Outcome, store::Store};

/// The program that cargo built for this benchmark.
const PROGRAM: &str = env!("CARGO_BIN_EXE_meridian");
pub(crate) const READY_MAX: Duration = Duration::from_secs(60);

/// On the disk of the build: a folder in memory would make durability free.
pub(crate) fn scratch_folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A command of the binary without whatever configuration the environment has.
pub(crate) fn meridian(arguments: &[&str], folder: &Path) -> DaemonCommand {
    Daemon::command("/usr/bin/env")
        .args(
            std::env::vars().filter_map(|(name, _)| name.starts_with("MERIDIAN__").then(|| format!("--unset={name}"))),
        )
        .arg(PROGRAM)
        .args(arguments)
        .current_dir(folder)
}

pub(crate) async fn run(load: &Load) -> Outcome {
    let folder = scratch_folder();
    let ports = ["--mqtt-port", "--clickhouse-port", "--http-port", "--metrics-port"];
    let ports: Vec<&str> = ports.into_iter().flat_map(|port| [port, "0"]).collect();
    let mut up = meridian(&[&["up", "--data-dir", "data"], &ports[..]].concat(), folder.path())
        .start()
        .unwrap();
    let endpoints = folder.path().join("data/endpoints.json");
    up.wait_for_file(&endpoints, READY_MAX).unwrap();
    let endpoints: Value = serde_json::from_slice(&fs::read(endpoints).unwrap()).unwrap();
    let address = |name: &str| endpoints[name].as_str().unwrap().to_owned();
    let store = Store::new(&address("clickhouse"), "meridian");

    let observer = Observer::start(&[("meridian up", up.pid()), ("load", std::process::id())]);
    let published = load.publish(&address("mqtt")).await;
    let visible = store
        .wait_for_rows("measurement_log", "measurements", load.rows())
        .await;
    let rolled_up = store.wait_for_rollups(load.rows()).await;
    let (costs, idle_cpu_seconds) = observer.finish();
    let outcome = Outcome {
        events: load.events,
        messages: load.messages.len(),
        visible_after: visible - published.first,
        rolled_up_after: Some(rolled_up - published.first),
        published,
        costs,
        idle_cpu_seconds,
    };
    up.interrupt().unwrap();
    outcome
}
