//! A broker and a log as values, around the real session and window. It plays any schedule, and checks every promise
//! after each step.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use eventlog::{DeliveryFailure, PartitionId, Position, Token};
use proptest::prelude::*;
use schemas::{Reason, Rejection};

use crate::{
    bridge::{
        Session, Stamp, Window,
        pressure::{Pressure, messages_hard_max, pressure},
    },
    config::WindowSettings,
    message::{DecodedBatch, DecodedMessage, Epoch, Publish, Qos, Received, Record, RecordKind},
};

const WINDOW: WindowSettings = WindowSettings {
    messages_max: 6,
    bytes_max: 1 << 20,
};

/// What can happen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A device publishes: how, and how many events the message holds (0: it is poison).
    Publish { qos: Qos, events: usize },
    /// The broker sends a message to the subscriber.
    Read,
    /// The next thing read reaches the window.
    Arrive,
    /// The window sends a record to the log.
    Send,
    /// The log reports on a record that it was sent, in any order.
    Report { choice: usize, outcome: Outcome },
    /// The pause before sending again is over.
    Resend,
    /// An acknowledgement is handed over.
    Acknowledge,
    /// The connection breaks.
    Break,
    /// A new connection comes up; the broker may have lost our session, with all it held.
    Connect { session_kept: bool },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Stored,
    StoredButUnconfirmed,
    LostAndUnconfirmed,
    Refused,
    /// The log finds its time too far ahead.
    Misdated,
}

impl Step {
    pub(super) fn any() -> impl Strategy<Value = Self> {
        let qos = prop_oneof![1 => Just(Qos::AtMostOnce), 6 => Just(Qos::AtLeastOnce), 1 => Just(Qos::ExactlyOnce)];
        let outcome = prop_oneof![
            10 => Just(Outcome::Stored),
            1 => Just(Outcome::StoredButUnconfirmed),
            1 => Just(Outcome::LostAndUnconfirmed),
            1 => Just(Outcome::Refused),
            1 => Just(Outcome::Misdated),
        ];
        prop_oneof![
            6 => (qos, 0..4_usize).prop_map(|(qos, events)| Self::Publish { qos, events }),
            6 => Just(Self::Read),
            6 => Just(Self::Arrive),
            10 => Just(Self::Send),
            10 => (any::<usize>(), outcome).prop_map(|(choice, outcome)| Self::Report { choice, outcome }),
            2 => Just(Self::Resend),
            6 => Just(Self::Acknowledge),
            1 => Just(Self::Break),
            2 => proptest::bool::weighted(0.8).prop_map(|session_kept| Self::Connect { session_kept }),
        ]
    }
}

#[derive(Clone, Debug)]
struct Held {
    message: usize,
    qos: Qos,
    events: usize,
    sent_before: bool,
}

enum Item {
    Connected(Epoch),
    Received(Received, usize),
}

/// What the log knows of one received message.
#[derive(Default)]
struct Stored {
    events: usize,
    events_wanted: usize,
    dead_letters: usize,
}

pub(super) struct Model {
    session: Session,
    window: Window,
    stamp: Stamp,
    /// At the broker, not sent yet.
    queued: VecDeque<Held>,
    /// Sent on the living connection and not acknowledged: packet id and message, in order.
    outstanding: VecDeque<(u16, Held)>,
    connected: bool,
    next_packet_id: u16,
    pipe: VecDeque<Item>,
    at_log: Vec<(Token, u64, bool)>,
    now_ms: i64,
    /// The time with which a record was last refused.
    refused_at_ms: BTreeMap<Token, i64>,
    stored: BTreeMap<u64, Stored>,
    /// The number of the received message behind each packet id of the living connection.
    received_as: BTreeMap<u16, u64>,
    received_count: u64,
    published_count: usize,
    lost_by_broker: usize,
    settled_messages: std::collections::BTreeSet<usize>,
}

impl Model {
    pub(super) fn new() -> Self {
        let stamp = Stamp::new("edge", "client", "run", 1 << 20);
        let mut model = Self {
            session: Session::default(),
            window: Window::new(stamp.clone()),
            stamp,
            queued: VecDeque::new(),
            outstanding: VecDeque::new(),
            connected: false,
            next_packet_id: 1,
            pipe: VecDeque::new(),
            at_log: Vec::new(),
            now_ms: 0,
            refused_at_ms: BTreeMap::new(),
            stored: BTreeMap::new(),
            received_as: BTreeMap::new(),
            received_count: 0,
            published_count: 0,
            lost_by_broker: 0,
            settled_messages: std::collections::BTreeSet::new(),
        };
        model.connect(true);
        model
    }

    pub(super) fn apply(&mut self, step: Step) {
        match step {
            Step::Publish { qos, events } => self.publish(qos, events),
            Step::Read => self.read(),
            Step::Arrive => self.arrive(),
            Step::Send => self.send(),
            Step::Report { choice, outcome } => self.report(choice, outcome),
            Step::Resend => {
                self.window.resend_unconfirmed();
                self.now_ms += 1;
                self.window.redate(self.now_ms);
            }
            Step::Acknowledge => self.acknowledge(),
            Step::Break => self.disconnect(),
            Step::Connect { session_kept } => self.connect(session_kept),
        }
        self.check_ledger();
    }

    /// From now on all goes well.
    pub(super) fn heal(&mut self) {
        if !self.connected {
            self.connect(true);
        }
        for _ in 0..10_000 {
            if self.queued.is_empty() && self.pipe.is_empty() && self.at_log.is_empty() && self.window.is_empty() {
                return;
            }
            self.apply(Step::Read);
            self.apply(Step::Arrive);
            self.apply(Step::Resend);
            self.apply(Step::Send);
            let outcome = Outcome::Stored;
            self.apply(Step::Report { choice: 0, outcome });
            self.apply(Step::Acknowledge);
            if !self.connected {
                self.connect(true);
            }
        }
    }

    pub(super) fn check_settled(&self) {
        assert_eq!(self.outstanding.len(), 0, "all that was sent is acknowledged");
        assert!(self.window.is_empty(), "nothing is left on the way");
        let settled = self.settled_messages.len() + self.lost_by_broker;
        assert_eq!(
            settled, self.published_count,
            "every message was acknowledged, or lost by the broker"
        );
    }

    fn publish(&mut self, qos: Qos, events: usize) {
        let held = Held {
            message: self.published_count,
            qos,
            events,
            sent_before: false,
        };
        self.published_count += 1;
        self.queued.push_back(held);
    }

    fn read(&mut self) {
        let on_the_way = self.received_count - self.window.durable_count();
        assert!(on_the_way <= messages_hard_max(WINDOW) as u64, "the window is bounded");
        match pressure(WINDOW, on_the_way, 0) {
            _ if !self.connected => return,
            Pressure::Open => {}
            // The model has no time: a full window reads nothing until something leaves it.
            Pressure::Slow => return,
            Pressure::HangUp => return self.disconnect(),
        }
        let Some(held) = self.queued.pop_front() else { return };
        self.received_count += 1;
        let packet_id = if held.qos == Qos::AtMostOnce {
            0
        } else {
            self.next_packet_id
        };
        let received = Received {
            publish: Publish {
                topic: Bytes::from_static(b"telemetry/a/b"),
                payload: Bytes::from_static(b"{}"),
                packet_id,
                qos: held.qos,
                redelivered: held.sent_before,
                replay: None,
            },
            payload_bytes: 2,
            epoch: self.session.epoch(),
            number: self.received_count,
            number_on_connection: self.received_count,
            received_at_ms: 0,
            received_at: Duration::ZERO,
        };
        self.stored.entry(self.received_count).or_default().events_wanted = held.events;
        self.pipe.push_back(Item::Received(received, held.events));
        if packet_id == 0 {
            self.settled_messages.insert(held.message);
        } else {
            self.received_as.insert(packet_id, self.received_count);
            self.next_packet_id += 1;
            self.outstanding.push_back((packet_id, held));
        }
    }

    fn arrive(&mut self) {
        match self.pipe.pop_front() {
            None => {}
            Some(Item::Connected(epoch)) => self.window.connected(epoch),
            Some(Item::Received(received, events)) => self.window.receive(self.decode(received, events)),
        }
    }

    fn decode(&self, received: Received, events: usize) -> DecodedBatch {
        let id = |index: usize| Bytes::from(format!("{}/{index}", received.number));
        let record = |index| Record {
            key: Bytes::from_static(b"a/b"),
            value: id(index),
            id: id(index),
            timestamp_ms: 0,
            kind: RecordKind::Event,
        };
        let mut records: Vec<Record> = (0..events).map(record).collect();
        let rejected = (events == 0).then_some(Reason::NoData);
        if let Some(reason) = rejected {
            records.push(self.stamp.dead_letter(&received, &Rejection::new(reason, "")));
        }
        DecodedBatch {
            messages: vec![DecodedMessage {
                received,
                record_count: records.len(),
                rejected,
            }],
            records,
        }
    }

    fn send(&mut self) {
        let Some((token, record)) = self.window.next_send() else {
            return;
        };
        if let Some(refused_at_ms) = self.refused_at_ms.get(&token) {
            assert!(
                record.timestamp_ms > *refused_at_ms,
                "a time that was refused is not sent again"
            );
        }
        let id = std::str::from_utf8(&record.id).unwrap();
        let number = id
            .rsplit_once('-')
            .map_or_else(|| id.split_once('/').unwrap().0, |(_, number)| number);
        self.at_log
            .push((token, number.parse().unwrap(), record.is_dead_letter()));
        self.window.sent();
    }

    fn report(&mut self, choice: usize, outcome: Outcome) {
        if self.at_log.is_empty() {
            return;
        }
        let (token, number, dead) = self.at_log.remove(choice % self.at_log.len());
        let stored = self.stored.get_mut(&number).unwrap();
        let position = Position {
            partition: PartitionId(0),
            offset: 0,
        };
        let unconfirmed = || Err(DeliveryFailure::Ambiguous("no answer".into()));
        let result = match outcome {
            Outcome::Stored => Ok(position),
            Outcome::StoredButUnconfirmed | Outcome::LostAndUnconfirmed => unconfirmed(),
            // A log that refuses even empty dead letters ends the role: another test.
            Outcome::Refused if dead => unconfirmed(),
            Outcome::Refused => {
                // The dead letter in its place has the time of receipt again.
                self.refused_at_ms.remove(&token);
                Err(DeliveryFailure::Refused("no".into()))
            }
            Outcome::Misdated => {
                self.refused_at_ms.insert(token, self.now_ms);
                Err(DeliveryFailure::Misdated("too far ahead".into()))
            }
        };
        if result.is_ok() {
            if dead {
                stored.dead_letters += 1;
            } else {
                stored.events += 1;
            }
        }
        self.window.delivered(token, result);
    }

    fn acknowledge(&mut self) {
        let Some(due) = self.window.next_ack().copied() else {
            return;
        };
        if !self.connected || due.ack.epoch != self.session.epoch() {
            // What the connection's own handle answers.
            self.window.disconnected();
            return;
        }
        let (packet_id, held) = self
            .outstanding
            .pop_front()
            .expect("only what was sent is acknowledged");
        assert_eq!(
            due.ack.packet_id, packet_id,
            "acknowledgements leave in the order of receipt"
        );
        assert_eq!(due.ack.qos, held.qos);
        let stored = &self.stored[&self.received_as[&packet_id]];
        assert!(
            stored.dead_letters == 1 || (stored.events == stored.events_wanted && stored.events > 0),
            "acknowledged before everything of it was durable"
        );
        self.settled_messages.insert(held.message);
        self.window.ack_handed_over();
    }

    fn disconnect(&mut self) {
        if !self.connected {
            return;
        }
        self.connected = false;
        for (_, mut held) in self.outstanding.drain(..).rev() {
            held.sent_before = true;
            self.queued.push_front(held);
        }
        self.received_as.clear();
    }

    fn connect(&mut self, session_kept: bool) {
        self.disconnect();
        if !session_kept {
            let settled = &self.settled_messages;
            self.lost_by_broker += self
                .queued
                .iter()
                .filter(|held| !settled.contains(&held.message))
                .count();
            self.queued.clear();
        }
        self.connected = true;
        // Packet ids start again: an acknowledgement of an earlier connection would hit another message.
        self.next_packet_id = 1;
        let welcome = self.session.connected(session_kept);
        if welcome.subscribe {
            self.session.subscribed();
        }
        self.pipe.push_back(Item::Connected(welcome.epoch));
    }

    fn check_ledger(&self) {
        let waiting = self
            .pipe
            .iter()
            .filter(|item| matches!(item, Item::Received(..)))
            .count();
        let in_flight = (self.window.len() + waiting) as u64;
        assert_eq!(
            self.received_count,
            self.window.counts().released() + in_flight,
            "received = acknowledged + dead-lettered + returned + in flight"
        );
    }
}
