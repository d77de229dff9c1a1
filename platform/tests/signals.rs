//! Signals end a real process the way people expect.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// A process that drains for some seconds once signalled; killed if the test ends early.
struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(drain_seconds: &str) -> Self {
        // Examples are built with the tests, into the folder beside theirs.
        let mut program: PathBuf = std::env::current_exe().unwrap();
        program.pop();
        program.pop();
        program.push("examples");
        program.push("until_signalled");
        let mut child = Command::new(&program)
            .arg(drain_seconds)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start `{}`: {error}", program.display()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut process = Self { child, lines };
        assert_eq!(process.line().as_deref(), Some("ready"));
        process
    }

    fn line(&mut self) -> Option<String> {
        self.lines.next().map(Result::unwrap)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has exited already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_signal_alone_drains_and_exits_0() {
    for signal in ["-INT", "-TERM"] {
        let mut process = Process::start("1");
        process.signal(signal);
        assert_eq!(process.line().as_deref(), Some("draining"));
        assert_eq!(process.line().as_deref(), Some("drained"));
        assert_eq!(process.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_second_signal_ends_a_long_drain_at_once() {
    let mut process = Process::start("25");
    let started = Instant::now();
    process.signal("-TERM");
    assert_eq!(process.line().as_deref(), Some("draining"));
    // Sooner it would be the same wish told twice.
    std::thread::sleep(Duration::from_millis(500));
    process.signal("-INT");
    assert_eq!(process.line(), None, "it never drained");
    assert_eq!(process.child.wait().unwrap().code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(20));
}
