//! What the retry loop promises. Time is tokio's paused clock: minutes of backoff take no time.

use std::{cell::Cell, fmt, time::Duration};

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use super::{Backoff, Classify, Domain, Retry, RetryEnd, retry_forever};
use crate::shutdown::Shutdown;

#[derive(Debug, PartialEq)]
struct Failure(Retry);

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the service said no")
    }
}

impl Classify for Failure {
    fn domain(&self) -> Domain {
        Domain::External
    }

    fn retry(&self) -> Retry {
        self.0
    }
}

fn plain() -> Backoff {
    Backoff {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(10),
        multiplier: 2.0,
        jitter: 0.0,
    }
}

fn random() -> StdRng {
    StdRng::seed_from_u64(1)
}

#[test]
fn pauses_double_up_to_the_largest() {
    let seconds: Vec<u64> = plain().delays(random()).take(6).map(|pause| pause.as_secs()).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
}

#[test]
fn the_same_random_source_gives_the_same_pauses() {
    let backoff = Backoff::for_services();
    let first: Vec<Duration> = backoff.delays(random()).take(20).collect();
    let second: Vec<Duration> = backoff.delays(random()).take(20).collect();
    let other: Vec<Duration> = backoff.delays(StdRng::seed_from_u64(2)).take(20).collect();
    assert_eq!(first, second);
    assert_ne!(first, other, "instances do not return together");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_may_pass_is_retried_until_it_does() {
    let (_trigger, shutdown) = Shutdown::new();
    let mut delays = plain().delays(random());
    let try_count = Cell::new(0);
    let started = Instant::now();

    let result = retry_forever("test", &shutdown, &mut delays, async || {
        try_count.set(try_count.get() + 1);
        if try_count.get() < 4 {
            Err(Failure(Retry::Same))
        } else {
            Ok(try_count.get())
        }
    })
    .await;

    assert_eq!(result.unwrap(), 4);
    assert_eq!(started.elapsed().as_secs(), 1 + 2 + 4);
    assert_eq!(
        delays.next(),
        Some(Duration::from_secs(1)),
        "success starts the pauses anew"
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_that_cannot_pass_is_not_repeated() {
    let (_trigger, shutdown) = Shutdown::new();
    let try_count = Cell::new(0);
    let result: Result<(), _> = retry_forever("test", &shutdown, &mut plain().delays(random()), async || {
        try_count.set(try_count.get() + 1);
        Err(Failure(Retry::Never))
    })
    .await;
    assert!(matches!(result, Err(RetryEnd::Refused(Failure(Retry::Never)))));
    assert_eq!(try_count.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_pause_and_keeps_the_last_error() {
    let (trigger, shutdown) = Shutdown::new();
    let started = Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        trigger.request();
    });
    let result: Result<(), _> = retry_forever("test", &shutdown, &mut plain().delays(random()), async || {
        Err(Failure(Retry::Same))
    })
    .await;
    assert!(matches!(result, Err(RetryEnd::Shutdown(Some(Failure(_))))));
    assert_eq!(started.elapsed(), Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_an_operation_that_hangs() {
    let (trigger, shutdown) = Shutdown::new();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        trigger.request();
    });
    let result: Result<(), RetryEnd<Failure>> =
        retry_forever("test", &shutdown, &mut plain().delays(random()), async || {
            std::future::pending().await
        })
        .await;
    assert!(matches!(result, Err(RetryEnd::Shutdown(None))));
}

proptest! {
    #[test]
    fn no_pause_leaves_its_bounds(
        initial_ms in 0_u64..100_000,
        max_ms in 0_u64..100_000,
        multiplier in 0.0_f64..100.0,
        jitter in 0.0_f64..=1.0,
        seed: u64,
    ) {
        let backoff = Backoff {
            initial: Duration::from_millis(initial_ms),
            max: Duration::from_millis(max_ms),
            multiplier,
            jitter,
        };
        let lowest = backoff.initial.min(backoff.max).mul_f64(1.0 - jitter);
        for pause in backoff.delays(StdRng::seed_from_u64(seed)).take(50) {
            prop_assert!(pause <= backoff.max);
            prop_assert!(pause + Duration::from_micros(1) >= lowest);
        }
    }
}
