//! The broker against clients that follow the specification, over a disk that forgets what was not safe.
//!
//! Publishers and a subscriber with lasting sessions do random things; connections break, and so does the whole broker,
//! with the last batch written in part or not at all. In the end everything that was acknowledged must have arrived:
//! QoS 1 at least once, QoS 2 exactly once, in order.

mod clients;

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use proptest::prelude::*;
use rumqttc::v5::mqttbytes::v5::Packet as ClientPacket;

use self::clients::{Open, Publisher, Subscriber, answer, hello, publish_packet};
use super::{Batch, Broker, Flow, Handle, Now, StoreLimits};
use crate::mqtt::{
    codec::{Filter, Packet, Qos, RetainHandling, Step, Subscribe, SubscriptionOptions},
    journal::{Page, Recovery, scan_page},
};

/// Small, so that a few messages begin a new one.
const LIMITS: StoreLimits = StoreLimits {
    stored_bytes_max: u64::MAX,
    packet_bytes_max: 1 << 20,
    segment_bytes: 3000,
};

/// Segments, oldest first, and which messages they begin with.
#[derive(Default)]
struct Disk {
    segments: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    fn write(&mut self, batch: &Batch, bytes: &[u8]) {
        match batch.begins_segment {
            Some(base_offset) => self.segments.push((base_offset, bytes.to_vec())),
            None => self.segments.last_mut().unwrap().1.extend_from_slice(bytes),
        }
    }

    /// What a start finds, as [`crate::mqtt::journal::Folder::recover`] does.
    fn recover(&mut self) -> Recovery {
        while let Some((_, bytes)) = self.segments.last_mut() {
            let (recovery, end) = Recovery::read(bytes);
            if recovery.has_head() {
                bytes.truncate(end);
                return recovery;
            }
            self.segments.pop();
        }
        Recovery::default()
    }

    fn remove_below(&mut self, offset: u64) {
        while self
            .segments
            .get(1)
            .is_some_and(|(base_offset, _)| *base_offset <= offset)
        {
            self.segments.remove(0);
        }
    }
}

struct World {
    broker: Broker,
    disk: Disk,
    publishers: [Publisher; 2],
    subscriber: Subscriber,
    now: Now,
}

impl World {
    fn new() -> Self {
        let now = Now::default();
        let mut world = Self {
            broker: Broker::new(Recovery::default(), &[], LIMITS, now),
            disk: Disk::default(),
            publishers: Default::default(),
            subscriber: Subscriber::default(),
            now,
        };
        // The session exists before the first message.
        world.connect_subscriber(10);
        world.commit();
        world.read_subscriber();
        world
    }

    fn send(&mut self, handle: Handle, packets: Vec<Packet>) {
        let mut packets: VecDeque<Packet> = packets.into();
        let flow = self.broker.receive(handle, &mut packets, self.now).unwrap();
        assert!(
            flow == Flow::Open && packets.is_empty(),
            "there is always room in this test"
        );
    }

    fn connect_subscriber(&mut self, window: u16) {
        if self.subscriber.handle.is_some() {
            return;
        }
        let handle = self
            .broker
            .connect(hello("subscriber", Some(window)), self.now)
            .unwrap();
        self.subscriber.handle = Some(handle);
        if !self.subscriber.has_session {
            let options = SubscriptionOptions {
                qos: Qos::ExactlyOnce,
                ..SubscriptionOptions::default()
            };
            let filter = Filter {
                path: "t/+".to_owned(),
                options,
                retain_handling: RetainHandling::Always,
            };
            let filters = vec![filter];
            self.send(handle, vec![Packet::Subscribe(Subscribe { packet_id: 1, filters })]);
        }
    }

    fn connect_publisher(&mut self, index: usize) {
        if self.publishers[index].handle.is_some() {
            return;
        }
        let handle = self
            .broker
            .connect(hello(&format!("publisher-{index}"), None), self.now)
            .unwrap();
        let publisher = &mut self.publishers[index];
        publisher.handle = Some(handle);
        // What is open is sent again, in order.
        let again = publisher.open.iter().map(|open| match open.is_received {
            true => answer(Step::PubRel, open.packet_id),
            false => publish_packet(index, open, true),
        });
        let again = again.collect();
        self.send(handle, again);
    }

    fn publish(&mut self, index: usize, qos: Qos, is_large: bool) {
        self.connect_publisher(index);
        let publisher = &mut self.publishers[index];
        publisher.next_packet_id = publisher.next_packet_id % 5 + 1;
        let packet_id = publisher.next_packet_id;
        if publisher.open.iter().any(|open| open.packet_id == packet_id) {
            return;
        }
        let open = Open {
            packet_id,
            number: publisher.next_number,
            qos,
            is_large,
            is_received: false,
        };
        publisher.next_number += 1;
        publisher.open.push_back(open);
        let handle = publisher.handle.unwrap();
        self.send(handle, vec![publish_packet(index, &open, false)]);
    }

    fn commit(&mut self) {
        let batch = self.broker.take_batch();
        self.disk.write(&batch, &batch.bytes);
        self.broker.committed(batch, 0);
    }

    /// The process ends while it writes a batch: a part of it may be on disk.
    fn crash(&mut self, written: prop::sample::Index) {
        if self.broker.has_news() {
            let batch = self.broker.take_batch();
            let part = &batch.bytes[..written.index(batch.bytes.len() + 1)];
            self.disk.write(&batch, part);
        }
        let recovery = self.disk.recover();
        self.broker = Broker::new(recovery, &[], LIMITS, self.now);
        self.subscriber.disconnected();
        self.publishers.iter_mut().for_each(|publisher| publisher.handle = None);
    }

    /// Takes what the broker has for a client.
    fn output(&mut self, handle: Handle) -> Vec<ClientPacket> {
        let mut packets = Vec::new();
        loop {
            let mut output = BytesMut::new();
            let filled = self.broker.fill(handle, &mut output, self.now).unwrap();
            while !output.is_empty() {
                packets.push(ClientPacket::read(&mut output, Some(1 << 20)).unwrap());
            }
            match filled.page {
                Some(request) => {
                    let all: Vec<u8> = self.disk.segments.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
                    let mut page = Page::new(&request);
                    scan_page(&all, &request, &mut page);
                    self.broker.page_arrived(handle, page).unwrap();
                }
                None if filled.has_more => {}
                None => return packets,
            }
        }
    }

    fn read_publisher(&mut self, index: usize) {
        let Some(handle) = self.publishers[index].handle else {
            return;
        };
        for packet in self.output(handle) {
            let publisher = &mut self.publishers[index];
            match packet {
                ClientPacket::PubAck(ack) => publisher.end(ack.pkid, Qos::AtLeastOnce),
                ClientPacket::PubRec(received) => {
                    let open = publisher.open.iter_mut().find(|open| open.packet_id == received.pkid);
                    // Answers to what was sent twice come twice.
                    let Some(open) = open.filter(|open| !open.is_received) else {
                        continue;
                    };
                    open.is_received = true;
                    publisher.acknowledged.insert(open.number, Qos::ExactlyOnce);
                    self.send(handle, vec![answer(Step::PubRel, received.pkid)]);
                }
                ClientPacket::PubComp(complete) => publisher.end(complete.pkid, Qos::ExactlyOnce),
                ClientPacket::ConnAck(_) => {}
                other => panic!("a publisher got {other:?}"),
            }
        }
    }

    fn read_subscriber(&mut self) {
        let Some(handle) = self.subscriber.handle else { return };
        for packet in self.output(handle) {
            match packet {
                ClientPacket::ConnAck(connack) => {
                    assert_eq!(connack.session_present, self.subscriber.has_session, "sessions survive");
                }
                ClientPacket::SubAck(_) => self.subscriber.has_session = true,
                ClientPacket::Publish(publish) => self.subscriber.take(&publish),
                ClientPacket::PubRel(release) => {
                    self.subscriber.held.remove(&release.pkid);
                    self.subscriber.owed.push_back((Step::PubComp, release.pkid));
                }
                other => panic!("the subscriber got {other:?}"),
            }
        }
    }

    fn acknowledge(&mut self, count: usize) {
        let Some(handle) = self.subscriber.handle else { return };
        let count = count.min(self.subscriber.owed.len());
        let owed: Vec<(Step, u16)> = self.subscriber.owed.drain(..count).collect();
        for (_, packet_id) in &owed {
            self.subscriber.unacknowledged.remove(packet_id);
        }
        self.send(handle, owed.into_iter().map(|(step, id)| answer(step, id)).collect());
    }

    /// Everybody comes back, and everything is said to its end.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.connect_subscriber(10);
            for index in 0..2 {
                self.connect_publisher(index);
                self.read_publisher(index);
            }
            self.read_subscriber();
            self.acknowledge(usize::MAX);
            self.commit();
            let is_quiet = self.subscriber.owed.is_empty() && !self.broker.has_news() && !self.broker.has_moves();
            if is_quiet && self.publishers.iter().all(|publisher| publisher.open.is_empty()) {
                self.read_subscriber();
                if self.subscriber.owed.is_empty() {
                    return;
                }
            }
        }
        panic!("it never comes to rest");
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Publish {
        publisher: usize,
        exactly_once: bool,
        is_large: bool,
    },
    Commit,
    ReadPublisher(usize),
    ReadSubscriber,
    Acknowledge(usize),
    BreakPublisher(usize),
    BreakSubscriber,
    ConnectSubscriber(u16),
    RemoveOld,
    Crash(prop::sample::Index),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0_usize..2, any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(publisher, exactly_once, is_large)| {
            Deed::Publish { publisher, exactly_once, is_large }
        }),
        4 => Just(Deed::Commit),
        2 => (0_usize..2).prop_map(Deed::ReadPublisher),
        4 => Just(Deed::ReadSubscriber),
        4 => (0_usize..6).prop_map(Deed::Acknowledge),
        1 => (0_usize..2).prop_map(Deed::BreakPublisher),
        1 => Just(Deed::BreakSubscriber),
        2 => (1_u16..12).prop_map(Deed::ConnectSubscriber),
        1 => Just(Deed::RemoveOld),
        1 => any::<prop::sample::Index>().prop_map(Deed::Crash),
    ]
}

impl World {
    fn apply(&mut self, deed: Deed) {
        match deed {
            Deed::Publish {
                publisher,
                exactly_once,
                is_large,
            } => {
                let qos = if exactly_once {
                    Qos::ExactlyOnce
                } else {
                    Qos::AtLeastOnce
                };
                self.publish(publisher, qos, is_large);
            }
            Deed::Commit => self.commit(),
            Deed::ReadPublisher(index) => self.read_publisher(index),
            Deed::ReadSubscriber => self.read_subscriber(),
            Deed::Acknowledge(count) => self.acknowledge(count),
            Deed::BreakPublisher(index) => {
                if let Some(handle) = self.publishers[index].handle.take() {
                    self.broker.closed(handle, true, self.now);
                }
            }
            Deed::BreakSubscriber => {
                if let Some(handle) = self.subscriber.handle {
                    self.broker.closed(handle, true, self.now);
                    self.subscriber.disconnected();
                }
            }
            Deed::ConnectSubscriber(window) => self.connect_subscriber(window),
            Deed::RemoveOld => {
                // Positions are written before anything is deleted.
                self.commit();
                let needed_from = self.broker.needed_from();
                self.disk.remove_below(needed_from);
            }
            Deed::Crash(written) => self.crash(written),
        }
    }

    fn check(&self) {
        for (publisher, arrived) in self.publishers.iter().zip(&self.subscriber.arrived) {
            let mut next = 0;
            let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
            for (number, _) in arrived {
                assert!(*number <= next, "{number} came before {next}");
                next = next.max(number + 1);
                *counts.entry(*number).or_default() += 1;
            }
            assert_eq!(
                publisher.acknowledged.len() as u64,
                publisher.next_number,
                "all is acknowledged in the end"
            );
            for (number, qos) in &publisher.acknowledged {
                let count = counts.get(number).copied().unwrap_or(0);
                match qos {
                    Qos::ExactlyOnce => assert_eq!(count, 1, "QoS 2: {number}"),
                    Qos::AtMostOnce | Qos::AtLeastOnce => assert!(count >= 1, "QoS 1: {number} is lost"),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_was_acknowledged_arrives_whatever_breaks(deeds in prop::collection::vec(deed(), 1..120)) {
        let mut world = World::new();
        for deed in deeds {
            world.apply(deed);
        }
        world.settle();
        world.check();
        // All is acknowledged, so all but the newest segment can go.
        let needed_from = world.broker.needed_from();
        world.disk.remove_below(needed_from);
        prop_assert!(world.disk.segments.len() <= 1, "{} segments are left", world.disk.segments.len());
    }
}
