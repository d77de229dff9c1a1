//! A client's session, and its connection while it has one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::deliveries::Deliveries;
use crate::mqtt::{
    codec::{ConnAck, Step, SubscriptionOptions, Version, Will},
    message::Delivery,
};

/// A session without end.
pub(super) const FOREVER_S: u32 = u32::MAX;

/// What is kept for a client.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: String,
    /// Life after the connection; 0: it ends with it.
    pub(super) expiry_s: u32,
    /// It exists before its client comes, and is emptied before the broker stops.
    pub(super) is_standing: bool,
    /// The log knows of it. Sessions that end with their first connection never get there.
    pub(super) is_written: bool,
    pub(super) filters: BTreeMap<String, SubscriptionOptions>,
    /// Identifiers of messages of QoS 2 that the client has sent and not released.
    pub(super) receiving: BTreeSet<u16>,
    pub(super) deliveries: Deliveries,
    pub(super) link: Option<Link>,
    /// When it ends, while the client is away.
    pub(super) ends_at_ms: Option<u64>,
    /// A will that waits for the client to stay away.
    pub(super) will_at: Option<(u64, Will)>,
    /// When the broker looks at it, while the client is away.
    pub(super) alarm_ms: Option<u64>,
}

impl Session {
    pub(super) fn new(client_id: String, expiry_s: u32) -> Self {
        Self {
            client_id,
            expiry_s,
            is_standing: false,
            is_written: false,
            filters: BTreeMap::new(),
            receiving: BTreeSet::new(),
            deliveries: Deliveries::default(),
            link: None,
            ends_at_ms: None,
            will_at: None,
            alarm_ms: None,
        }
    }

    /// Whether what it is given must survive a crash.
    pub(super) fn is_lasting(&self) -> bool {
        self.expiry_s > 0
    }
}

/// The connection of a session.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) version: Version,
    pub(super) will: Option<Will>,
    /// Messages that the client takes before it acknowledges one.
    pub(super) window: usize,
    pub(super) packet_bytes_max: usize,
    /// Answers in the order of what they answer, each with the record that it waits for.
    pub(super) replies: VecDeque<(u64, Reply)>,
    /// PINGREQs to answer; they wait for nothing.
    pub(super) pings_owed: u32,
    /// CONNACK has been written; nothing may go out before it.
    pub(super) is_greeted: bool,
    pub(super) qos0: VecDeque<Delivery>,
    pub(super) qos0_bytes: usize,
    pub(super) aliases: HashMap<u16, Bytes>,
    /// Messages of the client that are not acknowledged to the end.
    pub(super) receiving_count: usize,
    /// A page of the log is being read for it.
    pub(super) is_paging: bool,
    /// It waits for answers, and is on the broker's list of those.
    pub(super) is_listed: bool,
    /// It holds a message for which there was no room.
    pub(super) is_stalled: bool,
    bell: Arc<Notify>,
    has_rung: bool,
}

impl Link {
    pub(super) fn new(number: u64, version: Version, bell: Arc<Notify>) -> Self {
        Self {
            number,
            version,
            will: None,
            window: 0,
            packet_bytes_max: usize::MAX,
            replies: VecDeque::new(),
            pings_owed: 0,
            is_greeted: false,
            qos0: VecDeque::new(),
            qos0_bytes: 0,
            aliases: HashMap::new(),
            receiving_count: 0,
            is_paging: false,
            is_listed: false,
            is_stalled: false,
            bell,
            has_rung: false,
        }
    }

    /// Tells the connection to look.
    pub(super) fn ring(&mut self) {
        if !self.has_rung {
            self.has_rung = true;
            self.bell.notify_one();
        }
    }

    /// The connection is looking.
    pub(super) fn looked(&mut self) {
        self.has_rung = false;
    }
}

/// An answer to a client.
#[derive(Debug)]
pub(super) enum Reply {
    ConnAck(Box<ConnAck>),
    Step { step: Step, packet_id: u16, reason: u8 },
    SubAck { packet_id: u16, reasons: Vec<u8> },
    UnsubAck { packet_id: u16, reasons: Vec<u8> },
}
