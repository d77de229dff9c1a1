//! Single cases, each one promise.

use std::time::Duration;

use bytes::Bytes;
use eventlog::{DeliveryFailure, PartitionId, Position, Token};
use schemas::{DeadLetter, Reason, Rejection};

use crate::{
    bridge::{
        Fault, Session, Stamp, Window,
        pressure::{Pressure, may_return, pressure},
    },
    config::WindowSettings,
    limits::{CUT_PAYLOAD_BYTES, OVERFLOW_BYTES, OVERFLOW_MESSAGES},
    message::{DecodedBatch, DecodedMessage, Epoch, Publish, Qos, Received, Record, RecordKind},
};

fn received(number: u64, payload: &[u8]) -> Received {
    Received {
        publish: Publish {
            topic: Bytes::from_static(b"telemetry/acme/bus"),
            payload: Bytes::copy_from_slice(payload),
            packet_id: u16::try_from(number).unwrap(),
            qos: Qos::AtLeastOnce,
            redelivered: false,
            replay: None,
        },
        payload_bytes: payload.len(),
        epoch: Epoch(1),
        number,
        number_on_connection: number,
        received_at_ms: 7,
        received_at: Duration::ZERO,
    }
}

fn stamp() -> Stamp {
    Stamp::new("edge", "client", "run", 1 << 20)
}

/// A window with messages 1.. that hold so many events each.
fn window(events: &[usize]) -> Window {
    let mut window = Window::new(stamp());
    window.connected(Epoch(1));
    for (number, count) in (1..).zip(events) {
        let record = Record {
            key: Bytes::from_static(b"acme/bus"),
            value: Bytes::from_static(b"{}"),
            id: Bytes::new(),
            timestamp_ms: 7,
            kind: RecordKind::Event,
        };
        window.receive(DecodedBatch {
            messages: vec![DecodedMessage {
                received: received(number, b"original"),
                record_count: *count,
                rejected: None,
            }],
            records: vec![record; *count],
        });
    }
    window
}

fn send_all(window: &mut Window) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some((token, _)) = window.next_send() {
        tokens.push(token);
        window.sent();
    }
    tokens
}

fn store(window: &mut Window, token: Token) {
    let (partition, offset) = (PartitionId(0), 0);
    window.delivered(token, Ok(Position { partition, offset }));
}

fn acked(window: &mut Window) -> Vec<u16> {
    let mut ids = Vec::new();
    while let Some(due) = window.next_ack() {
        ids.push(due.ack.packet_id);
        window.ack_handed_over();
    }
    ids
}

#[test]
fn acknowledgements_wait_for_the_oldest_message() {
    let mut window = window(&[1, 1, 1]);
    let tokens = send_all(&mut window);
    store(&mut window, tokens[2]);
    store(&mut window, tokens[1]);
    assert!(acked(&mut window).is_empty());
    store(&mut window, tokens[0]);
    assert_eq!(acked(&mut window), [1, 2, 3]);
}

#[test]
fn a_batch_is_acknowledged_when_all_its_events_are_durable() {
    let mut window = window(&[3]);
    let tokens = send_all(&mut window);
    store(&mut window, tokens[2]);
    store(&mut window, tokens[0]);
    assert!(acked(&mut window).is_empty());
    store(&mut window, tokens[1]);
    assert_eq!(acked(&mut window), [1]);
    assert_eq!(window.counts().events, 3);
}

#[test]
fn an_unconfirmed_record_is_sent_again_before_new_ones_and_in_order() {
    let mut window = window(&[1, 1, 1]);
    let tokens = send_all(&mut window);
    for token in &tokens[..2] {
        window.delivered(*token, Err(DeliveryFailure::Ambiguous("no answer".into())));
    }
    assert!(window.next_send().is_none(), "not before the pause is over");
    assert!(window.resend_unconfirmed());
    assert_eq!(send_all(&mut window), tokens[..2]);
    assert_eq!(window.counts().resent, 2);
}

#[test]
fn a_record_whose_time_is_refused_gets_another_one_and_nothing_overtakes_it() {
    let mut window = window(&[1, 1]);
    let (token, record) = window.next_send().unwrap();
    let said = record.clone();
    window.sent();
    window.delivered(token, Err(DeliveryFailure::Misdated("an hour ahead".into())));
    assert_eq!(window.next_send(), None, "the next one would be refused as well");
    assert_eq!(window.misdated_count(), 1);
    window.redate(77);
    let timestamp_ms = 77;
    assert_eq!(
        window.next_send(),
        Some((
            token,
            &Record {
                timestamp_ms,
                ..said.clone()
            }
        ))
    );
    window.sent();
    assert_eq!(window.next_send().unwrap().1, &said, "the second message");
}

#[test]
fn a_refused_message_becomes_one_dead_letter_with_the_original_bytes() {
    let mut window = window(&[2]);
    let tokens = send_all(&mut window);
    for token in &tokens {
        window.delivered(*token, Err(DeliveryFailure::Refused("too large".into())));
    }
    let (token, record) = window.next_send().unwrap();
    let message = stamp().message(token, record);
    let find = |name: &str| {
        message
            .headers
            .iter()
            .find(|header| header.name == name)
            .map(|header| &header.value[..])
    };
    let letter = DeadLetter::from_record(find, &message.value).unwrap();
    assert_eq!(
        (letter.reason, &*letter.payload),
        (Reason::RecordRefused, &b"original"[..])
    );
    assert_eq!(&message.key[..], b"telemetry/acme/bus");
    assert_eq!(send_all(&mut window).len(), 1, "one dead letter, not one per record");
    store(&mut window, token);
    assert_eq!(acked(&mut window), [1]);
    assert_eq!(window.counts().dead_lettered, 1);
}

#[test]
fn a_log_that_refuses_even_an_empty_dead_letter_ends_acknowledging() {
    let mut window = window(&[1]);
    let refused = || Err(DeliveryFailure::Refused("no rights".into()));
    for _ in 0..10 {
        for token in send_all(&mut window) {
            window.delivered(token, refused());
        }
    }
    assert_eq!(window.fault(), Some(&Fault::DeadLetterRefused("no rights".into())));
}

#[test]
fn after_a_fatal_report_nothing_is_sent_or_acknowledged() {
    let mut window = window(&[1, 1, 1]);
    let tokens = send_all(&mut window);
    store(&mut window, tokens[0]);
    window.delivered(tokens[1], Err(DeliveryFailure::Fatal("broken".into())));
    store(&mut window, tokens[2]);
    assert_eq!((window.next_ack(), window.next_send()), (None, None));
}

#[test]
fn a_message_of_an_earlier_connection_is_stored_and_not_acknowledged() {
    let mut window = window(&[1]);
    let tokens = send_all(&mut window);
    window.connected(Epoch(2));
    store(&mut window, tokens[0]);
    assert!(acked(&mut window).is_empty());
    assert_eq!((window.counts().events, window.counts().returned), (1, 1));
}

#[test]
fn a_lost_session_is_subscribed_again_and_counted_as_a_gap() {
    let mut session = Session::default();
    let first = session.connected(false);
    assert_eq!((first.subscribe, first.gap), (true, false), "there never was a session");
    session.subscribed();
    let kept = session.connected(true);
    assert_eq!((kept.subscribe, kept.gap), (false, false));
    let lost = session.connected(false);
    assert_eq!((lost.subscribe, lost.gap), (true, true));
    assert!(first.epoch < kept.epoch && kept.epoch < lost.epoch);
}

#[test]
fn a_subscription_that_was_never_confirmed_is_sent_again() {
    let mut session = Session::default();
    session.connected(false);
    assert!(session.connected(true).subscribe);
}

#[test]
fn a_filling_window_first_slows_the_reading_then_hangs_up() {
    let window = WindowSettings {
        messages_max: 10,
        bytes_max: 1000,
    };
    let hard_bytes = 1000 + OVERFLOW_BYTES as u64;
    assert_eq!(pressure(window, 9, 999), Pressure::Open);
    assert_eq!(pressure(window, 10, 0), Pressure::Slow);
    assert_eq!(pressure(window, 0, 1000), Pressure::Slow);
    assert_eq!(pressure(window, 10 + OVERFLOW_MESSAGES as u64, 0), Pressure::HangUp);
    assert_eq!(pressure(window, 0, hard_bytes), Pressure::HangUp);
    assert!(!may_return(window, 6, 0) && !may_return(window, 0, 501) && may_return(window, 5, 500));
}

#[test]
fn a_payload_that_no_record_can_hold_is_cut_and_the_detail_says_so() {
    let mut large = received(1, &vec![b'x'; 2 << 20]);
    large.payload_bytes = 3 << 20;
    let letter = stamp().dead_letter(&large, &Rejection::new(Reason::PayloadTooLarge, "too much"));
    assert_eq!(letter.value.len(), CUT_PAYLOAD_BYTES);
    let RecordKind::DeadLetter(headers) = &letter.kind else {
        panic!("not a dead letter")
    };
    let (_, detail) = headers.iter().find(|(name, _)| *name == "detail").unwrap();
    assert_eq!(
        detail,
        "too much (payload cut: the first 262144 of 3145728 bytes are kept)"
    );
}

#[test]
fn a_record_sent_again_carries_the_same_id_and_headers() {
    let letter = || stamp().dead_letter(&received(5, b"x"), &Rejection::new(Reason::NoData, ""));
    let (first, second) = (
        stamp().message(Token(1), &letter()),
        stamp().message(Token(9), &letter()),
    );
    assert_eq!(first.headers, second.headers);
    assert!(
        first
            .headers
            .iter()
            .any(|header| header.name == "ce_id" && header.value == "run-5")
    );
}
