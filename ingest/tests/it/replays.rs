//! Dead letters published again, through real Mosquitto: what arrives is named by its letter, where MQTT can say it.

use std::time::Duration;

use ingest::{
    BrokerSettings, Protocol,
    replayer::{self, Letter, Outcome},
};
use rig::Mosquitto;
use schemas::Replay;

use crate::running::{Running, memory_log, settings, stored_dead_letters_with, stored_events_with};

/// More than may be unacknowledged at once.
const LETTERS: usize = 300;
const FIRST_RECEIPT_MS: i64 = 1_700_000_000_000;

fn broker(mosquitto: &Mosquitto, protocol: Protocol) -> BrokerSettings {
    let mut broker = BrokerSettings::new("edge", &mosquitto.url());
    broker.protocol = protocol;
    broker.keep_alive = Duration::from_secs(5);
    broker
}

/// The last one is refused again.
fn letters() -> Vec<Letter> {
    (0..LETTERS)
        .map(|number| Letter {
            topic: format!("telemetry/acme/bus-{}", number % 7),
            payload: if number + 1 == LETTERS { "{" } else { r#"{"v":1}"# }.into(),
            replay: Replay::new(&format!("run-{number}"), 1, FIRST_RECEIPT_MS)
                .unwrap()
                .into_owned(),
        })
        .collect()
}

async fn replayed_over(protocol: Protocol) -> (Vec<(Option<String>, i64)>, Vec<Option<Replay<'static>>>) {
    let (mosquitto, log) = (Mosquitto::start(), memory_log());
    let broker = broker(&mosquitto, protocol);
    let running = Running::start(settings(broker.clone()), &log);
    running.until_ready().await;
    let outcomes = replayer::publish(&broker, "replay", letters()).await.unwrap();
    assert_eq!(outcomes, vec![Outcome::Acknowledged; LETTERS]);
    running
        .until("all released", |totals| {
            totals.acknowledged + totals.dead_lettered == LETTERS as u64
        })
        .await;
    let events = stored_events_with(&log, |event| {
        (event.replay_of.as_deref().map(str::to_owned), event.ts_ms)
    });
    let letters = stored_dead_letters_with(&log, |letter| letter.replay.clone().map(Replay::into_owned));
    (events, letters)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_mqtt_5_events_and_letters_name_the_letter_and_its_receipt() {
    let (mut events, letters) = replayed_over(Protocol::V5).await;
    events.sort();
    let mut expected: Vec<_> = (0..LETTERS - 1)
        .map(|number| (Some(format!("run-{number}")), FIRST_RECEIPT_MS))
        .collect();
    expected.sort();
    assert_eq!(events, expected);
    let again = Replay {
        of: format!("run-{}", LETTERS - 1).into(),
        count: 1,
        received_at_ms: FIRST_RECEIPT_MS,
    };
    assert_eq!(letters, [Some(again)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_mqtt_3_1_1_they_are_messages_like_any_other() {
    let (events, letters) = replayed_over(Protocol::V311).await;
    assert_eq!(events.len(), LETTERS - 1);
    assert!(
        events
            .iter()
            .all(|(replay_of, ts_ms)| replay_of.is_none() && *ts_ms > FIRST_RECEIPT_MS)
    );
    assert_eq!(letters, [None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_not_acknowledged() {
    let mosquitto = Mosquitto::start();
    let nobody = replayer::publish(&broker(&mosquitto, Protocol::V5), "replay", letters())
        .await
        .unwrap();
    assert_eq!(nobody.len(), LETTERS);
    for outcome in nobody {
        assert!(
            matches!(&outcome, Outcome::Refused(reason) if reason.contains("nobody is subscribed")),
            "{outcome:?}"
        );
    }
    let mut gone = broker(&mosquitto, Protocol::V5);
    gone.url = "mqtt://127.0.0.1:9".to_owned();
    let unheard = replayer::publish(&gone, "replay", letters()).await.unwrap();
    assert!(unheard.iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))) && unheard.len() == LETTERS);
}
