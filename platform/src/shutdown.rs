//! Stopping as an argument: whoever runs is handed a [`Shutdown`] and leaves when it is requested.
//!
//! Stages stop in the order of an event's path, each with a named deadline, so that what was taken in is still passed
//! on. Nothing here may end the process except a second signal, which is a person saying "now".

use std::{future::Future, io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::Instant,
};

/// Exit code after a second signal: the convention for "interrupted".
const EXIT_CODE_INTERRUPTED: i32 = 130;

/// Signals this soon after the first are the same one sent twice; a person needs longer to press Ctrl-C again.
const SIGNAL_ECHO_MAX: Duration = Duration::from_millis(300);

/// Tells its holder to stop. Cheap to clone; every clone is told.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

/// Requests the shutdown that its [`Shutdown`] handles wait for. Dropping it requests too: whoever could stop us is gone.
#[derive(Debug)]
pub struct ShutdownTrigger {
    requested: watch::Sender<bool>,
}

impl Shutdown {
    /// A handle, and the trigger for it.
    #[must_use]
    pub fn new() -> (ShutdownTrigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownTrigger { requested: sender }, Self { requested: receiver })
    }

    /// Waits until shutdown is requested; returns at once if it was before.
    pub async fn requested(&self) {
        let mut receiver = self.requested.clone();
        // An error means that the trigger is gone, which counts as a request.
        let _ = receiver.wait_for(|requested| *requested).await;
    }

    /// True once shutdown was requested: for loops that do not wait.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow() || self.requested.has_changed().is_err()
    }
}

impl ShutdownTrigger {
    /// Requests shutdown; doing it again changes nothing.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }
}

/// The signals that end the process, listened to from the moment this value exists.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes over SIGINT and SIGTERM. Needs a running tokio runtime.
    ///
    /// # Errors
    /// When the operating system refuses the handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// The first signal requests shutdown, a later one ends the process at once. One that follows at once is the same
    /// wish told twice: `timeout` and shells signal a process and then its whole group. Runs until then: spawn it.
    pub async fn drive(mut self, trigger: ShutdownTrigger) {
        let name = self.next().await;
        tracing::info!(signal = name, "shutting down; send the signal again to stop at once");
        trigger.request();
        let echoes = async {
            loop {
                self.next().await;
            }
        };
        let _ = tokio::time::timeout(SIGNAL_ECHO_MAX, echoes).await;
        let name = self.next().await;
        tracing::error!(
            signal = name,
            "stopped at once by a second signal; unfinished work is done again at the next start"
        );
        std::process::exit(EXIT_CODE_INTERRUPTED);
    }
}

/// Stops stages one after the other, each within its own deadline, and remembers which ones were late.
#[derive(Debug, Default)]
pub struct Drain {
    overdue: Vec<OverdueStage>,
}

/// A stage that did not stop in time and was abandoned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverdueStage {
    /// Its name.
    pub stage: String,
    /// The time it was given.
    pub deadline: Duration,
}

/// Some stages did not stop in time.
#[derive(Debug, thiserror::Error)]
#[error("shutdown left work unfinished: {}; nothing acknowledged is lost, it is done again at the next start", list(.0))]
pub struct DrainError(pub Vec<OverdueStage>);

impl Drain {
    /// Nothing stopped yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for a stage to stop, but not longer than `deadline`. `None` when it was late: it is dropped then, and the
    /// next stage gets its turn all the same.
    pub async fn stage<F: Future>(&mut self, stage: &str, deadline: Duration, stop: F) -> Option<F::Output> {
        let started = Instant::now();
        let outcome = tokio::time::timeout(deadline, stop).await.ok();
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if outcome.is_some() {
            tracing::info!(stage, elapsed_ms, "stopped");
        } else {
            tracing::warn!(stage, elapsed_ms, "did not stop in time, abandoned");
            self.overdue.push(OverdueStage {
                stage: stage.to_owned(),
                deadline,
            });
        }
        outcome
    }

    /// The verdict over all stages.
    ///
    /// # Errors
    /// Names every stage that was late.
    pub fn finish(self) -> Result<(), DrainError> {
        if self.overdue.is_empty() {
            Ok(())
        } else {
            Err(DrainError(self.overdue))
        }
    }
}

fn list(overdue: &[OverdueStage]) -> String {
    let names: Vec<String> = overdue
        .iter()
        .map(|late| {
            let deadline = crate::units::format_duration(late.deadline);
            format!("`{}` did not stop within {deadline}", late.stage)
        })
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
