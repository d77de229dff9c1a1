//! What shutdown promises.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Drain, Shutdown};

#[tokio::test(start_paused = true)]
async fn every_clone_is_told() {
    let (trigger, shutdown) = Shutdown::new();
    let clones: Vec<_> = (0..3)
        .map(|_| {
            let clone = shutdown.clone();
            tokio::spawn(async move { clone.requested().await })
        })
        .collect();
    sleep(Duration::from_secs(1)).await;
    assert!(clones.iter().all(|clone| !clone.is_finished()));
    assert!(!shutdown.is_requested());

    trigger.request();
    for clone in clones {
        clone.await.unwrap();
    }
    assert!(shutdown.is_requested());
}

#[tokio::test(start_paused = true)]
async fn a_request_in_the_past_still_counts() {
    let (trigger, shutdown) = Shutdown::new();
    trigger.request();
    trigger.request();
    shutdown.requested().await;
    shutdown.clone().requested().await;
}

#[tokio::test(start_paused = true)]
async fn losing_the_trigger_is_a_request() {
    let (trigger, shutdown) = Shutdown::new();
    drop(trigger);
    shutdown.requested().await;
    assert!(shutdown.is_requested());
}

#[tokio::test(start_paused = true)]
async fn stages_that_stop_in_time_leave_no_complaint() {
    let mut drain = Drain::new();
    let outcome = drain
        .stage("intake", Duration::from_secs(5), async {
            sleep(Duration::from_secs(4)).await;
            42
        })
        .await;
    assert_eq!(outcome, Some(42));
    drain.finish().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_late_stage_is_named_and_does_not_hold_up_the_next() {
    let mut drain = Drain::new();
    let started = Instant::now();
    let late = drain
        .stage("insert", Duration::from_millis(1_500), std::future::pending::<()>())
        .await;
    assert_eq!(late, None);
    assert_eq!(started.elapsed(), Duration::from_millis(1_500));
    assert_eq!(
        drain.stage("commit", Duration::from_secs(1), async { "done" }).await,
        Some("done")
    );

    let error = drain.finish().unwrap_err();
    assert_eq!(error.0.len(), 1);
    assert!(
        error.to_string().contains("`insert` did not stop within 1s500ms"),
        "{error}"
    );
}
