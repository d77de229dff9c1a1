//! Waiting for what a start depends on: backing services that come up at the same time as we do.

use std::fmt::Display;

use platform::{health::Health, retry::Backoff, shutdown::Shutdown};
use tokio::time::{Instant, sleep};

use crate::{failure::Failure, limits};

/// What came of one try.
pub(crate) enum Attempt<T> {
    /// It succeeded.
    Done(T),
    /// The service is not there yet.
    NotYet(String),
    /// Trying again will not help.
    Failed(Failure),
}

/// Tries until it succeeds, within a bounded time.
///
/// # Errors
/// What the last try said; [`Failure::Interrupted`] when shutdown was requested meanwhile.
pub(crate) async fn wait_for<T>(
    what: &str,
    shutdown: &Shutdown,
    mut attempt: impl AsyncFnMut() -> Attempt<T>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + limits::STARTUP_WAIT;
    let mut delays = Backoff::for_services().delays(rand::rng());
    loop {
        let tried = tokio::select! {
            biased;
            () = shutdown.requested() => return Err(Failure::Interrupted),
            tried = attempt() => tried,
        };
        let reason = match tried {
            Attempt::Done(value) => return Ok(value),
            Attempt::Failed(failure) => return Err(failure),
            Attempt::NotYet(reason) => reason,
        };
        let pause = delays.next().expect("delays have no end");
        if Instant::now() + pause > deadline {
            return Err(Failure::Runtime(reason));
        }
        tracing::warn!(what, error = reason, "not there yet, will try again");
        tokio::select! {
            biased;
            () = shutdown.requested() => return Err(Failure::Interrupted),
            () = sleep(pause) => {}
        }
    }
}

/// Waits until every required component works; says from time to time which ones do not.
pub(crate) async fn until_ready(health: &Health) {
    let mut next_report = Instant::now() + limits::READY_REPORT_INTERVAL;
    loop {
        let report = health.report();
        if report.is_ready() {
            return;
        }
        if Instant::now() >= next_report {
            next_report += limits::READY_REPORT_INTERVAL;
            tracing::warn!(components = report.to_json(), "still starting");
        }
        sleep(limits::READY_POLL_INTERVAL).await;
    }
}

/// An error about a port, with the option that changes it.
pub(crate) fn port_failure(error: impl Display, option: &str) -> Failure {
    Failure::runtime(format!(
        "{error}; `{option}` chooses another port, 0 takes any free one"
    ))
}
