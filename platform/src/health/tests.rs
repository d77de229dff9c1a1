//! What health promises.

use std::{sync::Arc, time::Duration};

use super::{Health, Hearing, Need, State};
use crate::{clock::ManualClock, limits::HEALTH_REASON_BYTES_MAX};

fn health() -> (Arc<ManualClock>, Health) {
    let clock = Arc::new(ManualClock::at(1_000));
    (clock.clone(), Health::new(clock))
}

#[test]
fn ready_means_that_all_required_components_work() {
    let (_clock, health) = health();
    assert!(health.report().is_ready(), "nothing is required");

    let log = health.component("log", Need::Required);
    let store = health.component("store", Need::Required);
    let cache = health.component("cache", Need::Optional);
    assert!(!health.report().is_ready(), "still starting");

    log.ready();
    store.ready();
    assert!(
        health.report().is_ready(),
        "a starting optional component does not count"
    );
    cache.failed("connection refused");
    assert!(health.report().is_ready());
    store.degraded("slow");
    assert!(health.report().is_ready(), "degraded still works");
    store.failed("gone");
    assert!(!health.report().is_ready());
    store.ready();
    assert!(health.report().is_ready());
}

#[test]
fn since_tells_when_the_state_changed_not_when_it_was_last_said() {
    let (clock, health) = health();
    let store = health.component("store", Need::Required);
    clock.advance(Duration::from_secs(1));
    store.failed("refused");
    clock.advance(Duration::from_secs(1));
    store.failed("timed out");

    let report = health.report();
    let component = &report.components["store"];
    assert_eq!(component.state, State::Failed("timed out".to_owned()));
    assert_eq!(component.since_ms, 2_000);
}

#[test]
fn the_answer_of_probes_names_components_and_reasons() {
    let (_clock, health) = health();
    health.component("log", Need::Required).ready();
    health.component("store", Need::Optional).failed("refused");
    let answer: serde_json::Value = serde_json::from_str(&health.report().to_json()).unwrap();
    assert_eq!(
        answer,
        serde_json::json!({
            "ready": true,
            "components": {
                "log": {"state": "ready", "required": true, "since_ms": 1_000},
                "store": {"state": "failed", "required": false, "since_ms": 1_000, "reason": "refused"},
            }
        })
    );
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let (_clock, health) = health();
    let store = health.component("store", Need::Required);
    store.failed("é".repeat(HEALTH_REASON_BYTES_MAX));
    let report = health.report();
    let reason = report.components["store"].state.reason().unwrap();
    assert_eq!(reason.len(), HEALTH_REASON_BYTES_MAX);
}

#[test]
fn a_service_is_deaf_after_silence_and_heals_when_heard() {
    let seconds = Duration::from_secs;
    let mut hearing = Hearing::new(seconds(100), seconds(10));
    assert_eq!(hearing.state("kafka", seconds(110)), State::Ready);
    assert_eq!(
        hearing.state("kafka", seconds(112)),
        State::Failed("`kafka` has not answered for 12s".to_owned())
    );
    hearing.heard(seconds(115));
    assert_eq!(hearing.state("kafka", seconds(120)), State::Ready);

    hearing.heard(seconds(90));
    assert_eq!(
        hearing.state("kafka", seconds(125)),
        State::Ready,
        "news from the past does not age us"
    );
}
