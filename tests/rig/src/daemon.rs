//! Any child process that lives longer than one call: started with a log file, waited for, signalled, always stopped.

use crate::spawner;
use crate::{RigError, limits};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What to start, and how.
#[derive(Clone, Debug)]
pub struct DaemonCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
}

impl DaemonCommand {
    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|one| one.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the folder it runs in.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Starts the process. It is running, not necessarily ready: use one of the `wait_` methods.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(self) -> Result<Daemon, RigError> {
        let folder = tempfile::Builder::new()
            .prefix("meridian-log-")
            .tempdir()
            .map_err(RigError::io("create a temporary folder"))?;
        let child = self.spawn(&folder.path().join("output.log"))?;
        Ok(Daemon {
            command: self,
            child,
            ended: None,
            log_bytes_before: 0,
            log_folder: folder,
        })
    }

    fn spawn(&self, log: &Path) -> Result<Child, RigError> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(RigError::io("open a log file"))?;
        let errors: File = output.try_clone().map_err(RigError::io("open a log file"))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        spawner::spawn(command).map_err(RigError::io(format!("start `{}`", self.program.display())))
    }
}

/// A running child process with its output in a file. Killed, with its whole process group, when dropped.
pub struct Daemon {
    command: DaemonCommand,
    child: Child,
    ended: Option<ExitStatus>,
    /// Output of the processes before this one.
    log_bytes_before: u64,
    log_folder: TempDir,
}

impl Daemon {
    /// Begins the description of a process to start.
    #[must_use]
    pub fn command(program: impl Into<PathBuf>) -> DaemonCommand {
        DaemonCommand {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: None,
        }
    }

    /// The process id; also the id of its process group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to its standard output and error so far, over all restarts.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it has written anything since it was started last. Until then it may not know its signals yet.
    #[must_use]
    pub fn has_spoken(&self) -> bool {
        self.log_bytes() > self.log_bytes_before
    }

    fn log_bytes(&self) -> u64 {
        fs::metadata(self.log_path()).map_or(0, |metadata| metadata.len())
    }

    /// The file its output goes to.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.log_folder.path().join("output.log")
    }

    /// Whether the process has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ended.is_none() && !has_ended(self.pid())
    }

    /// Waits for a line of output that contains `text` and returns that line.
    ///
    /// # Errors
    /// When the process ends first, or the time is over.
    pub fn wait_for_line(&self, text: &str, timeout: Duration) -> Result<String, RigError> {
        let mut found = None;
        self.wait_until(&format!("a line with `{text}`"), timeout, || {
            found = self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
            found.is_some()
        })?;
        Ok(found.expect("the wait ended because a line was found"))
    }

    /// Waits until a file exists.
    ///
    /// # Errors
    /// When the process ends first, or the time is over.
    pub fn wait_for_file(&self, path: &Path, timeout: Duration) -> Result<(), RigError> {
        self.wait_until(&format!("the file `{}`", path.display()), timeout, || path.exists())
    }

    /// Waits until somebody listens on the port. Prefer [`Daemon::wait_until`] with an exchange in the protocol.
    ///
    /// # Errors
    /// When the process ends first, or the time is over.
    pub fn wait_for_port(&self, port: u16, timeout: Duration) -> Result<(), RigError> {
        self.wait_until(&format!("port {port}"), timeout, || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
    }

    /// Waits until `condition` holds; `waiting_for` names it in the error.
    ///
    /// # Errors
    /// When the process ends first, or the time is over.
    pub fn wait_until(
        &self,
        waiting_for: &str,
        timeout: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Result<(), RigError> {
        let started = Instant::now();
        loop {
            // Looked at first, so that what the process did in its last moment still counts.
            let running = self.is_running();
            if condition() {
                return Ok(());
            }
            if !running {
                return Err(RigError::Ended {
                    name: self.name(),
                    status: self.ended.map_or("just now".into(), |s| s.to_string()),
                    log_tail: self.log_tail(),
                });
            }
            if started.elapsed() >= timeout {
                return Err(self.timed_out(waiting_for, timeout));
            }
            thread::sleep(limits::POLL_INTERVAL);
        }
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// When the time is over.
    pub fn wait_for_exit(&mut self, timeout: Duration) -> Result<ExitStatus, RigError> {
        let started = Instant::now();
        while self.ended.is_none() {
            match self.child.try_wait().map_err(RigError::io("wait"))? {
                Some(status) => self.ended = Some(status),
                None if started.elapsed() >= timeout => {
                    return Err(self.timed_out("its end", timeout));
                }
                None => thread::sleep(limits::POLL_INTERVAL),
            }
        }
        Ok(self.ended.expect("the loop ends with a status"))
    }

    /// Kills the process group as a power cut would (`SIGKILL`), and waits until the process is gone.
    pub fn kill9(&mut self) {
        if self.ended.is_none() {
            self.signal(libc::SIGKILL);
            self.ended = self.child.wait().ok();
        }
    }

    /// Asks the process to stop (`SIGTERM`) and waits for its end.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn terminate(&mut self) -> Result<ExitStatus, RigError> {
        self.stop_with(libc::SIGTERM)
    }

    /// Presses Ctrl-C (`SIGINT`) and waits for the end.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn interrupt(&mut self) -> Result<ExitStatus, RigError> {
        self.stop_with(libc::SIGINT)
    }

    fn stop_with(&mut self, signal: libc::c_int) -> Result<ExitStatus, RigError> {
        if self.ended.is_none() {
            self.signal(signal);
        }
        self.wait_for_exit(limits::STOP_TIMEOUT)
    }

    /// Freezes the process (`SIGSTOP`): connections stay open and nobody answers. When this returns, every thread has
    /// stopped.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
        let started = Instant::now();
        while !all_threads_stopped(self.pid()) && started.elapsed() < limits::STOP_TIMEOUT {
            thread::sleep(limits::POLL_INTERVAL);
        }
    }

    /// Lets a frozen process go on (`SIGCONT`).
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Starts the same command again, stopping it politely first if it runs. The log goes on in the same file.
    ///
    /// # Errors
    /// When it does not stop or cannot be started.
    pub fn restart(&mut self) -> Result<(), RigError> {
        if self.is_running() {
            // A frozen process sees no signal but this one and SIGKILL.
            self.resume();
            self.terminate()?;
        } else {
            self.wait_for_exit(limits::STOP_TIMEOUT)?;
        }
        self.log_bytes_before = self.log_bytes();
        self.child = self.command.spawn(&self.log_path())?;
        self.ended = None;
        Ok(())
    }

    /// Memory held by the process now, or `None` when it has ended.
    #[must_use]
    pub fn rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    fn signal(&self, signal: libc::c_int) {
        if self.ended.is_some() {
            return;
        }
        let group = libc::pid_t::try_from(self.pid()).expect("a process id fits");
        // SAFETY: `kill` touches no memory. The group is the child's own, and its leader has not been reaped yet
        // (`ended` is empty), so the id cannot belong to anybody else.
        unsafe {
            libc::kill(-group, signal);
        }
    }

    fn name(&self) -> String {
        self.command
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    fn timed_out(&self, waiting_for: &str, after: Duration) -> RigError {
        RigError::TimedOut {
            name: self.name(),
            waiting_for: waiting_for.into(),
            after,
            log_tail: self.log_tail(),
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(limits::LOG_TAIL_LINES)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill9();
        if thread::panicking() {
            show(&format!(
                "---- the end of the output of `{}` (pid {}):\n{}\n----",
                self.name(),
                self.pid(),
                self.log_tail()
            ));
        }
    }
}

#[expect(clippy::print_stderr, reason = "the test harness shows it with the failure")]
fn show(text: &str) {
    eprintln!("{text}");
}

/// Whether the process is gone or waits to be reaped; asked without reaping, so that `&self` suffices.
fn has_ended(pid: u32) -> bool {
    matches!(state(Path::new(&format!("/proc/{pid}"))), None | Some('Z' | 'X'))
}

/// Whether no thread of the process runs any more: a signal to stop reaches busy threads one after the other.
fn all_threads_stopped(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    threads
        .filter_map(Result::ok)
        .all(|thread| matches!(state(&thread.path()), None | Some('T' | 't' | 'Z' | 'X')))
}

/// The state letter of a process or thread, from its folder in `/proc`.
fn state(folder: &Path) -> Option<char> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The state follows the name, which stands in parentheses and may itself contain some.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}
