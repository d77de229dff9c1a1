//! The broker without sockets, files and clocks: packets, safe batches and times go in; packets, records and rings come
//! out.
//!
//! ```text
//! connection ── receive ──▶ ┌────────┐ ── take_batch ──▶ writer
//!            ◀─── fill ──── │ Broker │ ◀── committed ───
//!            ─── closed ──▶ └────────┘ ◀──── tick ─────
//! ```
//!
//! - `incoming` and `subscribing`: what clients say; `outgoing`: what they are told and given; `connecting`: how sessions begin and end; `standing`: those that exist before their clients;
//!   `draining`: how everything is handed over before the broker stops; `commit`: what becomes safe, and what may be forgotten.
//! - A message is delivered, and acknowledged to its publisher, only after its record is safe. Answers of one
//!   connection leave in the order of what they answer.
//!
//! Must never answer before what it says is true after a crash, and never drop a message of QoS 1 or 2 that a lasting
//! session has not acknowledged.

mod commit;
mod connecting;
mod deliveries;
mod draining;
mod incoming;
mod outbox;
mod outgoing;
mod retained;
mod session;
mod standing;
mod subscribing;
mod topics;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

pub(super) use self::{
    commit::Fullness, connecting::Hello, incoming::Flow, outbox::Batch, outgoing::Filled, topics::is_filter,
};
use self::{
    outbox::Outbox,
    retained::Retained,
    session::{Reply, Session},
    topics::Subscriptions,
};
use super::{
    codec::{Qos, SubscriptionOptions},
    journal::{
        Recovery,
        record::{Record, Target},
    },
    message::Message,
};

/// The time, from the outside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Now {
    /// Runs evenly; for what lasts a while.
    pub(super) monotonic_ms: u64,
    /// For what was written before this process.
    pub(super) unix_ms: u64,
}

/// Names a connection of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    session: u64,
    link: u64,
}

/// Why the broker ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(super) struct Ended {
    /// As MQTT 5 names it.
    pub(super) reason: u8,
    pub(super) detail: &'static str,
}

/// Bounds of what is taken and stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreLimits {
    pub(super) stored_bytes_max: u64,
    pub(super) segment_bytes: u64,
    pub(super) packet_bytes_max: usize,
}

/// Records of the state of all sessions.
type Snapshot<'a> = Box<dyn Iterator<Item = Record<'a>> + 'a>;

/// See the module.
#[derive(Debug)]
pub(super) struct Broker {
    sessions: BTreeMap<u64, Session>,
    client_ids: HashMap<String, u64>,
    subscriptions: Subscriptions,
    retained: Retained,
    outbox: Outbox,
    /// Messages whose records are not safe yet.
    unseen: VecDeque<(Arc<Message>, Box<[Target]>)>,
    next_offset: u64,
    /// Messages below are safe and can be delivered.
    visible_end: u64,
    /// Records up to this number are safe.
    safe_number: u64,
    next_session: u64,
    next_link: u64,
    /// Sessions whose connections wait for records to be safe.
    listed: Vec<u64>,
    /// Sessions whose connections wait for room.
    stalled: Vec<u64>,
    /// Sessions whose positions may have moved.
    moved: BTreeSet<u64>,
    /// When to look at which session that is away.
    alarms: BTreeSet<(u64, u64)>,
    limits: StoreLimits,
    stored_bytes: u64,
    disk_is_low: bool,
    qos0_bytes: usize,
    qos0_dropped_count: u64,
    too_large_count: u64,
    /// Nobody but the clients of standing sessions is served any more.
    is_draining: bool,
    /// Used again for each message.
    found: Vec<(u64, SubscriptionOptions)>,
}

impl Broker {
    /// Goes on where the last process ended.
    pub(super) fn new(recovery: Recovery, retained: &[u8], limits: StoreLimits, now: Now) -> Self {
        let mut broker = Self {
            sessions: BTreeMap::new(),
            client_ids: HashMap::new(),
            subscriptions: Subscriptions::default(),
            retained: Retained::default(),
            outbox: Outbox::default(),
            unseen: VecDeque::new(),
            next_offset: recovery.next_offset,
            visible_end: recovery.next_offset,
            safe_number: 0,
            next_session: recovery.next_session.max(1),
            next_link: 1,
            listed: Vec::new(),
            stalled: Vec::new(),
            moved: BTreeSet::new(),
            alarms: BTreeSet::new(),
            limits,
            stored_bytes: 0,
            disk_is_low: false,
            qos0_bytes: 0,
            qos0_dropped_count: 0,
            too_large_count: 0,
            is_draining: false,
            found: Vec::new(),
        };
        broker.recover_retained(retained);
        broker.recover_sessions(recovery, now);
        broker.begin_segment();
        broker
    }

    /// Largest packet that clients may send.
    pub(super) fn packet_bytes_max(&self) -> usize {
        self.limits.packet_bytes_max
    }

    fn recover_retained(&mut self, mut bytes: &[u8]) {
        self.retained.written(bytes.len());
        while let Ok(Some((record, length))) = Record::read(bytes) {
            bytes = &bytes[length..];
            let Record::Retained {
                qos,
                expires_unix_ms,
                topic,
                properties,
                payload,
            } = record
            else {
                continue;
            };
            if let (Ok(name), Some(qos)) = (std::str::from_utf8(topic), Qos::from_bits(qos)) {
                let message = Message::new(0, expires_unix_ms, topic, properties, payload);
                self.retained.put(name, qos, Arc::new(message));
            }
        }
    }

    fn recover_sessions(&mut self, recovery: Recovery, now: Now) {
        for (id, found) in recovery.into_sessions() {
            let mut session = Session::new(found.client_id, found.expiry_s);
            session.is_written = true;
            session.receiving = found.receiving;
            let confirmed: Vec<u64> = found.confirmed.into_iter().collect();
            session.deliveries =
                deliveries::Deliveries::recovered(found.position, found.pending, found.sent_below, &confirmed);
            for (filter, bits) in found.filters {
                if let Some(options) = SubscriptionOptions::from_bits(bits) {
                    self.subscriptions.insert(&filter, id, options);
                    session.filters.insert(filter, options);
                }
            }
            self.client_ids.insert(session.client_id.clone(), id);
            self.sessions.insert(id, session);
            // How long the client had been away is not known; its time begins anew.
            self.set_alarm(id, now);
        }
    }

    fn session(&mut self, handle: Handle) -> Result<&mut Session, Ended> {
        let session = self.sessions.get_mut(&handle.session);
        let session = session.filter(|session| session.link.as_ref().is_some_and(|link| link.number == handle.link));
        session.ok_or(Ended {
            reason: super::codec::reason::TAKEN_OVER,
            detail: "another connection of the same client took over, or its session was ended",
        })
    }

    /// Queues an answer behind those before it.
    fn reply(&mut self, id: u64, after: u64, reply: Reply) {
        let Some(link) = self.sessions.get_mut(&id).and_then(|session| session.link.as_mut()) else {
            return;
        };
        // Answers leave in order, so each waits for all before it.
        let after = link.replies.back().map_or(after, |(before, _)| after.max(*before));
        if after > self.safe_number && !link.is_listed {
            link.is_listed = true;
            self.listed.push(id);
        }
        link.replies.push_back((after, reply));
    }
}
