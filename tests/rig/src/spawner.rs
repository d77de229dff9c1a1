//! Starts children from one thread that lives as long as the process.
//!
//! The kernel's promise to kill a child with its parent (`PR_SET_PDEATHSIG`) is about the parent *thread*. Test threads
//! end with their test, while a daemon may be shared by several, so no child is ever started on a test's own thread.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

struct Request {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

/// The way to the starting thread. A global, because it must outlive every test of the process.
static STARTER: OnceLock<Sender<Request>> = OnceLock::new();

/// Starts `command` in a process group of its own, to be killed with this process.
pub(crate) fn spawn(mut command: Command) -> io::Result<Child> {
    command.process_group(0);
    die_with_parent(&mut command);
    let (answer, answered) = channel();
    STARTER
        .get_or_init(start_thread)
        .send(Request { command, answer })
        .expect("the starting thread lives as long as the process");
    answered.recv().expect("the starting thread answers every request")
}

fn start_thread() -> Sender<Request> {
    let (requests, received) = channel::<Request>();
    thread::Builder::new()
        .name("rig-spawner".into())
        .spawn(move || {
            for mut request in received {
                let started = request.command.spawn();
                // The asking test may have given up; its child then has no owner and is ended at once.
                if let Err(lost) = request.answer.send(started)
                    && let Ok(mut child) = lost.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        })
        .expect("the operating system gives a thread");
    requests
}

fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let set = move || {
        // SAFETY: `prctl` and `getppid` are async-signal-safe and touch no memory of this process.
        let orphaned = unsafe {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            u32::try_from(libc::getppid()) != Ok(parent)
        };
        // The parent may have died before the line above: then no signal will ever come.
        if orphaned {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the closure makes two system calls and allocates nothing, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(set);
    }
}
