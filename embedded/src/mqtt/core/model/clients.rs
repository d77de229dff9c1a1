//! Clients that do what the specification says, and note what they see.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::mqtt::{
    codec::{Connect, Packet, Publish, Qos, Step, Version},
    core::{Handle, Hello},
};

/// Some of these overflow the queue in memory, and the subscriber has to read from the log.
const LARGE_BYTES: usize = 60 << 10;

/// A publisher's message that is not acknowledged to the end.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) packet_id: u16,
    pub(super) number: u64,
    pub(super) qos: Qos,
    pub(super) is_large: bool,
    /// The broker has it; its identifier is being released.
    pub(super) is_received: bool,
}

#[derive(Default)]
pub(super) struct Publisher {
    pub(super) handle: Option<Handle>,
    pub(super) next_number: u64,
    pub(super) next_packet_id: u16,
    pub(super) open: VecDeque<Open>,
    pub(super) acknowledged: BTreeMap<u64, Qos>,
}

#[derive(Default)]
pub(super) struct Subscriber {
    pub(super) handle: Option<Handle>,
    pub(super) has_session: bool,
    /// Acknowledgements it has not sent yet.
    pub(super) owed: VecDeque<(Step, u16)>,
    /// Messages it has not acknowledged: what came under which identifier.
    pub(super) unacknowledged: BTreeMap<u16, (usize, u64)>,
    /// Identifiers of QoS 2 that it holds.
    pub(super) held: BTreeSet<u16>,
    /// What arrived, by publisher, in order.
    pub(super) arrived: [Vec<(u64, Qos)>; 2],
}

pub(super) fn hello(client_id: &str, receive_maximum: Option<u16>) -> Hello {
    Hello {
        version: Version::V5,
        connect: Connect {
            client_id: client_id.to_owned(),
            clean_start: false,
            keep_alive_s: 0,
            session_expiry_s: u32::MAX,
            receive_maximum,
            packet_bytes_max: None,
            will: None,
        },
        fresh_client_id: String::new(),
        bell: Arc::new(Notify::new()),
    }
}

pub(super) fn answer(step: Step, packet_id: u16) -> Packet {
    Packet::Acknowledgement {
        step,
        packet_id,
        reason: 0,
    }
}

impl Publisher {
    pub(super) fn end(&mut self, packet_id: u16, qos: Qos) {
        let position = self
            .open
            .iter()
            .position(|open| open.packet_id == packet_id && open.qos == qos);
        if let Some(open) = position.and_then(|position| self.open.remove(position)) {
            self.acknowledged.insert(open.number, qos);
        }
    }
}

impl Subscriber {
    pub(super) fn disconnected(&mut self) {
        self.handle = None;
        // Acknowledgements that were not sent are owed anew when the message comes again.
        self.owed.clear();
    }

    pub(super) fn take(&mut self, publish: &rumqttc::v5::mqttbytes::v5::Publish) {
        let publisher = usize::from(publish.topic[2] - b'0');
        let number: u64 = std::str::from_utf8(&publish.payload).unwrap().trim().parse().unwrap();
        let qos = Qos::from_bits(publish.qos as u8).unwrap();
        let before = self.unacknowledged.insert(publish.pkid, (publisher, number));
        if let Some(before) = before {
            assert_eq!(
                before,
                (publisher, number),
                "an identifier in use is not given to another message"
            );
            assert!(publish.dup, "what is sent again says so");
        }
        if qos == Qos::AtLeastOnce {
            self.arrived[publisher].push((number, qos));
            self.owed.push_back((Step::PubAck, publish.pkid));
            return;
        }
        if self.held.insert(publish.pkid) {
            self.arrived[publisher].push((number, qos));
        }
        self.owed.push_back((Step::PubRec, publish.pkid));
    }
}

pub(super) fn publish_packet(index: usize, open: &Open, dup: bool) -> Packet {
    let width = if open.is_large { LARGE_BYTES } else { 0 };
    Packet::Publish(Publish {
        dup,
        qos: open.qos,
        packet_id: open.packet_id,
        topic: Bytes::from(format!("t/{index}")),
        payload: Bytes::from(format!("{:width$}", open.number)),
        ..Publish::default()
    })
}
