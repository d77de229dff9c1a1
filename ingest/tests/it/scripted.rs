//! What only a scripted broker can show: which acknowledgement leaves when, and what a broken connection must not do.

use std::time::Duration;

use eventlog::memory::DeliveryFault;
use ingest::{BrokerSettings, IngestError, WindowSettings};
use tokio::io::AsyncWriteExt;

use crate::{
    fake_broker::{DISCONNECT, FakeBroker, publish},
    running::{Running, memory_log, settings, stored_dead_letters, stored_events},
};

const TOPIC: &[u8] = b"telemetry/acme/bus";
/// Long enough for an acknowledgement that is wrongly on its way to arrive.
const A_WHILE: Duration = Duration::from_millis(300);

fn event(seq: u64) -> Vec<u8> {
    format!(r#"{{"seq":{seq},"a":1}}"#).into_bytes()
}

fn broker(fake: &FakeBroker) -> BrokerSettings {
    let mut broker = BrokerSettings::new("fake", &fake.url());
    broker.keep_alive = Duration::from_secs(5);
    broker
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledgement_leaves_before_the_log_has_confirmed() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    log.hold_deliveries();
    let running = Running::start(settings(broker(&fake)), &log);
    let mut connection = fake.accept_subscribed(false).await;
    for id in 1..=5 {
        connection.publish(id, TOPIC, &event(id.into())).await;
    }
    connection.stays_quiet(A_WHILE).await;
    assert_eq!(running.totals().in_flight, 5);
    log.resume_deliveries();
    assert_eq!(connection.acks(5).await, [1, 2, 3, 4, 5]);
    running
        .until("all acknowledged", |totals| totals.acknowledged == 5)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_never_reaches_a_later_connection() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    log.hold_deliveries();
    let running = Running::start(settings(broker(&fake)), &log);
    let mut first = fake.accept_subscribed(false).await;
    running.until_ready().await;
    first.publish(1, TOPIC, &event(1)).await;
    running.until("the first message", |totals| totals.received == 1).await;
    drop(first);
    let mut second = fake.accept(true).await;
    second.publish(1, TOPIC, &event(2)).await;
    running.until("the second message", |totals| totals.received == 2).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(log.release_deliveries(1), 1);
    second.stays_quiet(A_WHILE).await;
    log.resume_deliveries();
    assert_eq!(second.acks(1).await, [1]);
    let totals = running.until("both released", |totals| totals.in_flight == 0).await;
    assert_eq!((totals.acknowledged, totals.returned), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_subscribed_again_and_counted() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    let running = Running::start(settings(broker(&fake)), &log);
    let first = fake.accept_subscribed(false).await;
    running.until_ready().await;
    drop(first);
    let mut kept = fake.accept(true).await;
    kept.stays_quiet(A_WHILE).await;
    drop(kept);
    let mut lost = fake.accept_subscribed(false).await;
    lost.publish(1, TOPIC, &event(1)).await;
    assert_eq!(lost.acks(1).await, [1]);
    let totals = running.totals();
    assert_eq!((totals.connections, totals.session_gaps), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_falls_silent_is_left_for_a_new_connection() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    let running = Running::start(settings(broker(&fake)), &log);
    // Held open, and never read again: not even a ping is answered.
    let silent = fake.accept_subscribed(false).await;
    running.until_ready().await;
    let mut next = fake.accept(true).await;
    next.publish(1, TOPIC, &event(1)).await;
    assert_eq!(next.acks(1).await, [1]);
    assert_eq!(running.totals().connections, 2);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_refused_or_downgraded_is_no_connection() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    let running = Running::start(settings(broker(&fake)), &log);
    for refusal in [0x87, 0] {
        let mut connection = fake.accept(false).await;
        connection.grant(refusal).await;
        assert!(connection.next().await.is_none(), "the connection is given up");
        let report = running.health.report();
        assert!(!report.is_ready());
    }
    fake.accept_subscribed(false).await.stays_quiet(A_WHILE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_that_the_log_cannot_take_is_bounded_and_finds_its_way_later() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    log.hold_deliveries();
    let mut settings = settings(broker(&fake));
    settings.payload_bytes_max = 1000;
    settings.window = WindowSettings {
        messages_max: 50,
        bytes_max: 1 << 20,
    };
    let running = Running::start(settings, &log);
    let connection = fake.accept_subscribed(false).await;
    let (mut reader, mut writer) = connection.stream.into_split();
    // A broker that knows no receive maximum, until it is hung up on.
    let flood = tokio::spawn(async move {
        for number in 0..200_000_u32 {
            let id = u16::try_from(number % 60_000).unwrap() + 1;
            if writer
                .write_all(&publish(id, TOPIC, &event(number.into())))
                .await
                .is_err()
            {
                return number;
            }
        }
        200_000
    });
    tokio::spawn(async move {
        use tokio::io::AsyncReadExt;
        let mut sink = [0; 4096];
        while reader.read(&mut sink).await.is_ok_and(|count| count > 0) {}
    });
    running.until("a full window", |totals| totals.received >= 50).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let held = running.totals();
    assert!(held.in_flight <= 150, "trickles in while the window is full: {held:?}");
    assert_eq!(
        (held.acknowledged, held.connections),
        (0, 1),
        "the connection is kept alive"
    );
    log.resume_deliveries();
    running
        .until("a released window", |totals| totals.acknowledged > 1_000)
        .await;
    flood.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_overflows_is_given_up_until_the_log_has_caught_up() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    log.hold_deliveries();
    let mut settings = settings(broker(&fake));
    settings.window.bytes_max = 1 << 20;
    let running = Running::start(settings, &log);
    let mut connection = fake.accept_subscribed(false).await;
    for id in 1..=30 {
        let large = publish(id, TOPIC, &vec![b'x'; 1_000_000]);
        if connection.stream.write_all(&large).await.is_err() {
            break;
        }
    }
    while connection.next().await.is_some() {}
    assert!(fake.is_left_alone(Duration::from_secs(1)).await);
    let held = running.totals();
    assert!((16..20).contains(&held.in_flight), "{held:?}");
    log.resume_deliveries();
    fake.accept(true).await.stays_quiet(A_WHILE).await;
    let totals = running.totals();
    assert_eq!((totals.returned, totals.in_flight), (held.in_flight, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_again_until_the_log_confirms_it() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    log.fail_next(3, DeliveryFault::AmbiguousLost);
    let running = Running::start(settings(broker(&fake)), &log);
    let mut connection = fake.accept_subscribed(false).await;
    connection.publish(1, TOPIC, &event(1)).await;
    assert_eq!(connection.acks(1).await, [1]);
    assert_eq!(running.totals().resent, 3);
    assert_eq!(stored_events(&log).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_are_not_text_and_packets_of_megabytes_are_dead_letters() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    let running = Running::start(settings(broker(&fake)), &log);
    let mut connection = fake.accept_subscribed(false).await;
    connection.publish(1, b"telemetry/acme/\xff", &event(1)).await;
    connection.publish(2, TOPIC, &vec![b'x'; 5 << 20]).await;
    connection.publish(3, TOPIC, &event(3)).await;
    assert_eq!(connection.acks(3).await, [1, 2, 3]);
    let letters = stored_dead_letters(&log);
    let found: Vec<_> = letters
        .iter()
        .map(|(reason, payload)| (*reason, payload.len()))
        .collect();
    assert_eq!(
        found,
        [("invalid_topic", event(1).len()), ("payload_too_large", 256 << 10)]
    );
    let totals = running.until("all released", |totals| totals.in_flight == 0).await;
    assert_eq!((totals.received, totals.acknowledged, totals.dead_lettered), (3, 1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_acknowledges_what_was_taken_in_and_says_goodbye() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    log.hold_deliveries();
    let running = Running::start(settings(broker(&fake)), &log);
    let mut connection = fake.accept_subscribed(false).await;
    connection.publish(1, TOPIC, &event(1)).await;
    running.until("the message", |totals| totals.received == 1).await;
    let stopping = tokio::spawn(running.stop());
    tokio::time::sleep(A_WHILE).await;
    // Comes too late, so it stays with the broker.
    connection.publish(2, TOPIC, &event(2)).await;
    log.resume_deliveries();
    assert_eq!(connection.acks(1).await, [1]);
    assert_eq!(connection.next().await.unwrap().kind, DISCONNECT);
    drop(connection);
    stopping.await.unwrap().unwrap();
    assert_eq!(stored_events(&log).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_without_a_broker_and_with_a_log_that_is_down() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    let nowhere = Running::start(settings(BrokerSettings::new("gone", "mqtt://127.0.0.1:1")), &log);
    tokio::time::sleep(A_WHILE).await;
    nowhere.stop().await.unwrap();

    log.hold_deliveries();
    let mut settings = settings(broker(&fake));
    settings.drain_max = A_WHILE;
    let running = Running::start(settings, &log);
    let mut connection = fake.accept_subscribed(false).await;
    connection.publish(1, TOPIC, &event(1)).await;
    running.until("the message", |totals| totals.received == 1).await;
    running.stop().await.unwrap();
    assert!(
        connection.next().await.is_none(),
        "no acknowledgement, so the broker keeps the message"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_refuses_dead_letters_ends_ingest_and_nothing_is_acknowledged() {
    let (fake, log) = (FakeBroker::start().await, memory_log());
    log.fail_next(1_000, DeliveryFault::Refused);
    let running = Running::start(settings(broker(&fake)), &log);
    let mut connection = fake.accept_subscribed(false).await;
    connection.publish(1, TOPIC, b"poison").await;
    let ended = running.ended().await;
    assert!(matches!(ended, Err(IngestError::DeadLetterRefused { .. })), "{ended:?}");
    assert!(connection.next().await.is_none());
}
