//! Any child process.

use crate::exists;
use rig::{Daemon, ports};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Daemon {
    let command = Daemon::command("/bin/sh").args(["-c", script]);
    command.start().expect("a shell starts")
}

#[test]
fn output_can_be_waited_for() {
    let daemon = shell("echo first; echo second one >&2; sleep 60");
    let line = daemon.wait_for_line("second", SOON).expect("it is written");
    assert_eq!(line, "second one");
}

#[test]
fn the_end_of_a_waited_for_process_is_an_error_with_its_output() {
    let daemon = shell("echo broken pipe of the day; exit 3");
    let error = daemon
        .wait_for_line("never written", Duration::from_secs(60))
        .expect_err("the line is never written");
    assert!(error.to_string().contains("broken pipe of the day"), "{error}");
}

#[test]
fn a_whole_process_group_is_gone_after_drop() {
    let daemon = shell("sleep 61 & echo child $!; wait");
    let line = daemon.wait_for_line("child", SOON).expect("it is written");
    let grandchild: u32 = line["child ".len()..].parse().expect("a process id");
    let pid = daemon.pid();
    assert!(exists(pid) && exists(grandchild));
    drop(daemon);
    assert!(!exists(pid));
    wait_until_gone(grandchild);
}

#[test]
fn a_child_outlives_the_thread_that_asked_for_it() {
    let daemon = thread::spawn(|| shell("sleep 60")).join().expect("no panic");
    thread::sleep(Duration::from_millis(100));
    assert!(daemon.is_running());
}

#[test]
fn a_child_dies_with_a_killed_parent() {
    const PARENT: &str = "RIG_TEST_IS_THE_PARENT";
    if let Some(file) = std::env::var_os(PARENT) {
        // This run is the parent: it never gets to drop anything.
        let daemon = shell("sleep 60");
        std::fs::write(file, daemon.pid().to_string()).expect("the file is written");
        thread::sleep(Duration::from_secs(60));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("child");
    let own = std::env::current_exe().expect("a test knows its binary");
    let mut parent = Daemon::command(own)
        .args(["--exact", "child::a_child_dies_with_a_killed_parent"])
        .env(PARENT, &file)
        .start()
        .expect("the test binary starts");
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    parent
        .wait_until("a child", SOON, || !read().is_empty())
        .expect("the parent tells its child");
    let child: u32 = read().parse().expect("a process id");
    assert!(exists(child));
    parent.kill9();
    wait_until_gone(child);
}

#[test]
fn a_frozen_process_does_nothing_until_it_is_resumed() {
    let daemon = shell("while true; do echo tick; sleep 0.02; done");
    daemon.wait_for_line("tick", SOON).expect("it ticks");
    daemon.pause();
    thread::sleep(Duration::from_millis(100));
    let frozen = daemon.log().len();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(daemon.log().len(), frozen);
    daemon.resume();
    daemon
        .wait_until("more ticks", SOON, || daemon.log().len() > frozen)
        .expect("it goes on");
}

#[test]
fn a_terminated_process_may_clean_up() {
    let mut daemon = shell("trap 'echo bye; exit 7' TERM; echo up; while true; do sleep 0.05; done");
    daemon.wait_for_line("up", SOON).expect("it starts");
    let status = daemon.terminate().expect("it stops");
    assert_eq!(status.code(), Some(7));
    assert!(daemon.log().contains("bye"));
}

#[test]
fn memory_is_known_while_it_runs() {
    let mut daemon = shell("echo up; sleep 60");
    daemon.wait_for_line("up", SOON).expect("it starts");
    assert!(daemon.rss_bytes().expect("it runs") > 100_000);
    daemon.kill9();
    assert_eq!(daemon.rss_bytes(), None);
}

#[test]
fn a_missing_program_is_an_error_that_says_what_to_do() {
    let error = rig::cache::program("no-such-daemon").expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "`no-such-daemon` is missing: run `cargo xtask setup`"
    );
}

#[test]
fn ports_are_free_and_given_out_once() {
    let mut given: Vec<_> = (0..50).map(|_| ports::free()).collect();
    for port in &given {
        TcpListener::bind(("127.0.0.1", *port)).expect("the port is free");
    }
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 50);
}

fn wait_until_gone(pid: u32) {
    let started = Instant::now();
    // A killed orphan stays visible until init reaps it, as a zombie.
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z")) {
        assert!(started.elapsed() < SOON, "process {pid} still runs");
        thread::sleep(Duration::from_millis(10));
    }
}
