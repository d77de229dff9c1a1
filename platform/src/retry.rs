//! The one retry loop, and how errors say whether to enter it.
//!
//! Must never give up on an error that may pass, never repeat one that cannot, and never outlast a shutdown.

use std::{fmt::Display, time::Duration};

use rand::{Rng, RngExt};

use crate::shutdown::Shutdown;

/// Whose fault an error is: decides who is told, and in which words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// The input is at fault: it becomes a dead letter or a refusal, and nothing else stops.
    Data,
    /// A backing service or the network is at fault: it is expected to come back.
    External,
    /// We are at fault: a broken invariant, a person is needed.
    Internal,
}

impl Domain {
    /// The word used in logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::External => "external",
            Self::Internal => "internal",
        }
    }
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Send exactly the same again: it may succeed, and doing it twice does no harm.
    Same,
    /// It will fail again, or doing it twice would do harm.
    Never,
}

/// What every error of a library crate knows about itself.
pub trait Classify: Display {
    /// Whose fault it is.
    fn domain(&self) -> Domain;

    /// Whether to send the same again.
    fn retry(&self) -> Retry;
}

/// How pauses between tries grow. Values only: time and randomness come as arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first pause.
    pub initial: Duration,
    /// No pause is longer.
    pub max: Duration,
    /// Each pause is this many times the one before; 1 or more.
    pub multiplier: f64,
    /// The share of each pause that is random, 0 to 1: instances that failed together must not return together.
    pub jitter: f64,
}

impl Backoff {
    /// Pauses for a backing service on the network: back within a second of a hiccup, and no flood after an outage.
    #[must_use]
    pub const fn for_services() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(10),
            multiplier: 2.0,
            jitter: 0.5,
        }
    }

    /// The pauses, without end. The same random source gives the same pauses.
    pub fn delays<R: Rng>(self, random: R) -> Delays<R> {
        Delays {
            backoff: self,
            next_seconds: self.initial.min(self.max).as_secs_f64(),
            random,
        }
    }
}

/// Pauses between tries, without end; made by [`Backoff::delays`].
#[derive(Debug)]
pub struct Delays<R> {
    backoff: Backoff,
    next_seconds: f64,
    random: R,
}

impl<R> Delays<R> {
    /// Starts again with the first pause: call it after a success.
    pub fn reset(&mut self) {
        self.next_seconds = self.backoff.initial.min(self.backoff.max).as_secs_f64();
    }
}

impl<R: Rng> Iterator for Delays<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let full_seconds = self.next_seconds;
        let max_seconds = self.backoff.max.as_secs_f64();
        self.next_seconds = (full_seconds * self.backoff.multiplier.max(1.0)).min(max_seconds);
        let random_share = self.backoff.jitter.clamp(0.0, 1.0) * self.random.random::<f64>();
        Some(Duration::from_secs_f64(full_seconds * (1.0 - random_share)).min(self.backoff.max))
    }
}

/// How a retry loop ends without success.
#[derive(Debug, thiserror::Error)]
pub enum RetryEnd<E> {
    /// The error is of the kind that repeating does not cure.
    #[error("{0}")]
    Refused(E),
    /// Shutdown was requested before it succeeded; the last error, if there was one.
    #[error("stopped by shutdown before it succeeded")]
    Shutdown(Option<E>),
}

/// Calls `operation` until it succeeds, until its error says [`Retry::Never`], or until shutdown.
///
/// `what` names the operation in the log, as in "insert into `measurement_log`". A running operation is dropped at shutdown, so it must be
/// safe to abandon.
///
/// # Errors
/// [`RetryEnd`], with the last error.
pub async fn retry_forever<T, E, R, F>(
    what: &str,
    shutdown: &Shutdown,
    delays: &mut Delays<R>,
    mut operation: F,
) -> Result<T, RetryEnd<E>>
where
    E: Classify,
    R: Rng,
    F: AsyncFnMut() -> Result<T, E>,
{
    let mut last = None;
    let mut failed_count: u64 = 0;
    loop {
        let result = tokio::select! {
            // Shutdown first: a loop that fails at once must not starve it.
            biased;
            () = shutdown.requested() => return Err(RetryEnd::Shutdown(last)),
            result = operation() => result,
        };
        let error = match result {
            Ok(value) => {
                if failed_count > 0 {
                    tracing::info!(what, failed_count, "succeeded after retries");
                }
                delays.reset();
                return Ok(value);
            }
            Err(error) => error,
        };
        match error.retry() {
            Retry::Never => return Err(RetryEnd::Refused(error)),
            Retry::Same => {}
        }
        failed_count += 1;
        let pause = delays.next().expect("delays have no end");
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(
            what,
            %error,
            domain = error.domain().as_str(),
            failed_count,
            pause_ms,
            "failed, will try again"
        );
        last = Some(error);
        tokio::select! {
            biased;
            () = shutdown.requested() => return Err(RetryEnd::Shutdown(last)),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests;
