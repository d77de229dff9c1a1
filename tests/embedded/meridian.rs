//! The binary under test: commands that end by themselves, and a running `meridian up`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use rig::{Daemon, DaemonCommand};
use serde_json::Value;
use tempfile::TempDir;

use crate::store::Store;

/// The program that cargo built for this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_meridian");

/// An unoptimised build on a machine that runs other tests too: the start itself takes a second or two.
pub(crate) const READY_MAX: Duration = Duration::from_secs(90);

/// Runs a command that ends by itself, in an empty folder.
pub(crate) fn meridian(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(arguments, folder.path()).output().unwrap()
}

/// A command in a folder, without whatever configuration the environment of the tests has.
pub(crate) fn command(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(folder).env_remove("MERIDIAN_LOG");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MERIDIAN__") {
            command.env_remove(name);
        }
    }
    command
}

/// What a command wrote to standard output.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command wrote to standard error.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A process of the binary.
pub(crate) fn daemon(arguments: &[&str]) -> DaemonCommand {
    Daemon::command(PROGRAM).args(arguments)
}

/// An embedded backing service alone, on its data in `folder`, and its address.
pub(crate) fn embedded_service(name: &str, data_dir: &str, folder: &Path) -> (Daemon, String) {
    let service = daemon(&["embedded", name, "--port", "0", "--data-dir", data_dir]);
    let service = service.current_dir(folder).start().unwrap();
    let line = service.wait_for_line("ready at ", READY_MAX).unwrap();
    let url = line.strip_prefix("ready at ").unwrap().to_owned();
    (service, url)
}

/// A running `meridian up` in a folder of its own.
pub(crate) struct Up {
    pub(crate) daemon: Daemon,
    folder: TempDir,
}

impl Up {
    /// Starts it on free ports and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let up = Self {
            daemon: Self::command(folder.path(), arguments).start().unwrap(),
            folder,
        };
        up.wait_until_ready();
        up
    }

    /// The command line of an `up` on free ports.
    pub(crate) fn command(folder: &Path, arguments: &[&str]) -> DaemonCommand {
        let data_dir = folder.join("data");
        let ports = [
            "--mqtt-port",
            "0",
            "--clickhouse-port",
            "0",
            "--http-port",
            "0",
            "--metrics-port",
            "0",
        ];
        daemon(&["up", "--data-dir", data_dir.to_str().unwrap()])
            .args(ports)
            .args(arguments)
            .current_dir(folder)
    }

    pub(crate) fn wait_until_ready(&self) {
        self.daemon.wait_for_file(&self.endpoints_file(), READY_MAX).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn endpoints_file(&self) -> PathBuf {
        self.data_dir().join("endpoints.json")
    }

    /// What the file says.
    pub(crate) fn endpoints(&self) -> Value {
        serde_json::from_slice(&fs::read(self.endpoints_file()).unwrap()).unwrap()
    }

    pub(crate) fn mqtt(&self) -> String {
        self.endpoint("mqtt")
    }

    pub(crate) fn endpoint(&self, name: &str) -> String {
        self.endpoints()[name].as_str().unwrap().to_owned()
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(&self.endpoint("clickhouse"))
    }

    /// Ctrl-C, as a person would; it must drain and exit 0.
    pub(crate) fn stop(&mut self) {
        let status = self.daemon.interrupt().unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.daemon.log());
        assert!(!self.endpoints_file().exists(), "the promise of readiness is gone");
    }

    /// The same again, after it was stopped or killed.
    pub(crate) fn restart(&mut self) {
        let ready_before = self.ready_count();
        self.daemon.restart().unwrap();
        // A killed process leaves the file of its former life: ready is who says so himself.
        self.daemon
            .wait_until("its own endpoints file", READY_MAX, || {
                self.ready_count() > ready_before && self.endpoints_file().exists()
            })
            .unwrap();
    }

    /// How often it has said so, over all its lives.
    fn ready_count(&self) -> usize {
        self.daemon.log().matches("Meridian is ready").count()
    }
}
