//! The window of messages in flight, step by step.

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::message::{Kind, Message};

fn outgoing(number: u64) -> Outgoing {
    let message = Message {
        topic: Bytes::from_static(b"telemetry/a/b"),
        payload: Bytes::new(),
        kind: Kind::Valid,
    };
    Outgoing {
        number,
        message,
        intended: Instant::now(),
    }
}

fn filled(inflight_max: u16, receive_maximum: u16, count: u64) -> Window {
    let mut window = Window::new(inflight_max);
    window.connected(receive_maximum);
    (0..count).for_each(|number| window.admit(outgoing(number)));
    window
}

fn send_all(window: &mut Window) -> Vec<(u64, u16, bool)> {
    std::iter::from_fn(|| {
        let slot = window.next_to_send()?;
        Some((slot.outgoing.number, slot.packet_id, slot.sent_count > 1))
    })
    .collect()
}

#[test]
fn acknowledgements_may_come_in_any_order() {
    let mut window = filled(10, u16::MAX, 3);
    assert_eq!(send_all(&mut window), [(0, 1, false), (1, 2, false), (2, 3, false)]);
    let numbers = [3, 1, 2].map(|packet_id| window.acknowledge(packet_id).unwrap().0.number);
    assert_eq!(numbers, [2, 0, 1]);
    assert!(window.is_empty());
}

#[test]
fn what_is_not_acknowledged_is_sent_again_in_order_as_duplicates() {
    let mut window = filled(10, u16::MAX, 4);
    send_all(&mut window);
    window.acknowledge(2).unwrap();
    window.connected(u16::MAX);
    assert_eq!(send_all(&mut window), [(0, 1, true), (2, 3, true), (3, 4, true)]);
}

#[test]
fn a_smaller_grant_after_a_reconnect_is_kept_while_old_messages_are_open() {
    let mut window = filled(10, u16::MAX, 5);
    send_all(&mut window);
    window.connected(2);
    assert_eq!(window.room(), 0);
    assert_eq!(send_all(&mut window).len(), 2);
    window.acknowledge(1).unwrap();
    assert_eq!(send_all(&mut window), [(2, 3, true)]);
}

#[test]
fn an_acknowledgement_for_nothing_on_the_wire_is_told() {
    let mut window = filled(10, u16::MAX, 1);
    assert!(window.acknowledge(1).is_none(), "admitted, not sent");
    send_all(&mut window);
    assert!(window.acknowledge(9).is_none());
    window.acknowledge(1).unwrap();
    assert!(window.acknowledge(1).is_none(), "acknowledged before");
}

proptest! {
    #[test]
    fn nothing_is_lost_and_no_limit_is_passed(
        inflight_max in 1u16..20, steps in proptest::collection::vec((0u8..10, any::<u16>()), 1..300),
    ) {
        let mut window = Window::new(inflight_max);
        window.connected(u16::MAX);
        let (mut admitted, mut granted) = (0, inflight_max);
        let mut on_wire: Vec<u16> = Vec::new();
        let mut done = Vec::new();
        for (step, random) in steps {
            match step {
                0..4 => if window.room() > 0 { window.admit(outgoing(admitted)); admitted += 1; },
                4..7 => if let Some(slot) = window.next_to_send() {
                    prop_assert!(!on_wire.contains(&slot.packet_id) && slot.packet_id != 0);
                    on_wire.push(slot.packet_id);
                },
                7..9 => if !on_wire.is_empty() {
                    let packet_id = on_wire.remove(usize::from(random) % on_wire.len());
                    done.push(window.acknowledge(packet_id).unwrap().0.number);
                },
                _ => {
                    granted = random % 30 + 1;
                    window.connected(granted);
                    on_wire.clear();
                }
            }
            prop_assert!(on_wire.len() <= usize::from(inflight_max.min(granted)));
        }
        let open: Vec<u64> = window.into_open().map(|(outgoing, _)| outgoing.number).collect();
        prop_assert!(open.is_sorted());
        done.extend(open);
        done.sort_unstable();
        prop_assert_eq!(done, (0..admitted).collect::<Vec<_>>());
    }
}
