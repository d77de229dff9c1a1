//! What becomes safe, and what may be forgotten.

use std::collections::BTreeMap;

use super::{Batch, Broker, Now, Snapshot, connecting::session_record, session::Session};
use crate::{
    limits,
    mqtt::{codec::reason, journal::record::Record, message::Delivery},
};

/// What the store looks like from outside, for a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fullness {
    /// The client whose session holds the oldest message.
    pub(crate) client_id: String,
    pub(crate) stored_bytes: u64,
    pub(crate) disk_is_low: bool,
}

impl Broker {
    /// Whether somebody waits for a batch.
    pub(crate) fn has_news(&self) -> bool {
        self.outbox.has_news()
    }

    /// Whether positions moved, which can wait a little.
    pub(crate) fn has_moves(&self) -> bool {
        !self.moved.is_empty()
    }

    /// Takes everything that is to be made safe. One batch at a time: it is reported before the next one is taken.
    pub(crate) fn take_batch(&mut self) -> Batch {
        for id in std::mem::take(&mut self.moved) {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.deliveries.is_dirty = false;
                let position = session.deliveries.position(self.visible_end, self.next_offset);
                self.outbox.append(&Record::Position { session: id, position }, false);
            }
        }
        let (mut batch, is_full) = self.outbox.take(self.next_offset, self.limits.segment_bytes);
        if let Some(rewritten) = self.retained.rewritten() {
            batch.retained = rewritten;
            batch.replaces_retained = true;
        }
        if is_full {
            self.begin_segment();
        }
        batch
    }

    /// The last batch before the end: positions are exact from here on.
    pub(crate) fn take_last_batch(&mut self, now: Now) -> Batch {
        let connected = self.sessions.iter().filter(|(_, session)| session.link.is_some());
        let connected: Vec<u64> = connected.map(|(id, _)| *id).collect();
        for id in connected {
            // Nobody has died: wills stay where they are.
            self.disconnect(id, false, now);
        }
        self.outbox.append(&Record::Closed, true);
        self.take_batch()
    }

    pub(super) fn begin_segment(&mut self) {
        let snapshot = snapshot(&self.sessions, (self.visible_end, self.next_offset, self.next_session));
        self.outbox.begin_segment(self.next_offset, snapshot);
    }

    /// The batch is safe: messages go out, answers leave.
    pub(crate) fn committed(&mut self, batch: Batch, stored_bytes: u64) {
        self.stored_bytes = stored_bytes;
        self.safe_number = batch.last_number;
        self.visible_end = batch.end_offset;
        while let Some((message, _)) = self.unseen.front()
            && message.offset < self.visible_end
        {
            let Some((message, targets)) = self.unseen.pop_front() else {
                break;
            };
            for target in &targets {
                let Some(session) = self.sessions.get_mut(&target.session) else {
                    continue;
                };
                let delivery = Delivery::from_flags(message.clone(), target.flags);
                session.deliveries.arrive(delivery, session.link.is_some());
                if let Some(link) = &mut session.link {
                    link.ring();
                }
            }
        }
        self.outbox.reported(batch.bytes);
        self.ring_listed();
        if self.has_room() {
            self.ring_stalled();
        }
    }

    fn ring_listed(&mut self) {
        let mut listed = std::mem::take(&mut self.listed);
        listed.retain(|id| {
            let Some(link) = self.sessions.get_mut(id).and_then(|session| session.link.as_mut()) else {
                return false;
            };
            if link
                .replies
                .front()
                .is_some_and(|(after, _)| *after <= self.safe_number)
            {
                link.ring();
            }
            link.is_listed = link.replies.back().is_some_and(|(after, _)| *after > self.safe_number);
            link.is_listed
        });
        self.listed = listed;
    }

    /// Whether publishers with QoS 1 and 2 may go on.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.pending_bytes() < limits::MQTT_PENDING_BYTES_MAX && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.disk_is_low || self.stored_bytes + self.outbox.pending_bytes() as u64 >= self.limits.stored_bytes_max
    }

    /// Says that others have filled the disk, or that it has room again.
    pub(crate) fn set_disk(&mut self, stored_bytes: u64, disk_is_low: bool) {
        self.stored_bytes = stored_bytes;
        self.disk_is_low = disk_is_low;
    }

    /// Why publishers have to wait for the disk, if they do.
    pub(crate) fn fullness(&self) -> Option<Fullness> {
        if !self.is_full() {
            return None;
        }
        let oldest = self.oldest_session().and_then(|id| self.sessions.get(&id));
        Some(Fullness {
            client_id: oldest.map_or_else(String::new, |session| session.client_id.clone()),
            stored_bytes: self.stored_bytes,
            disk_is_low: self.disk_is_low,
        })
    }

    /// Messages dropped since the last question: of QoS 0 for slow clients, and those larger than their clients take.
    pub(crate) fn take_dropped_counts(&mut self) -> (u64, u64) {
        (
            std::mem::take(&mut self.qos0_dropped_count),
            std::mem::take(&mut self.too_large_count),
        )
    }

    pub(super) fn ring_stalled(&mut self) {
        if !self.has_room() {
            return;
        }
        for id in std::mem::take(&mut self.stalled) {
            if let Some(link) = self.sessions.get_mut(&id).and_then(|session| session.link.as_mut()) {
                link.is_stalled = false;
                link.ring();
            }
        }
    }

    fn oldest_session(&self) -> Option<u64> {
        let position = |session: &Session| session.deliveries.position(self.visible_end, self.next_offset).offset;
        let oldest = self.sessions.iter().min_by_key(|(_, session)| position(session));
        oldest.map(|(id, _)| *id)
    }

    /// The lowest message that somebody still needs.
    pub(crate) fn needed_from(&self) -> u64 {
        let positions = self.sessions.values();
        let positions = positions.map(|session| session.deliveries.position(self.visible_end, self.next_offset).offset);
        // What is not safe yet is in nobody's hands.
        positions.min().unwrap_or(self.next_offset).min(self.visible_end)
    }

    /// Ends the connection of a client whose session does not last, when the store is full of what it does not read.
    pub(super) fn make_room(&mut self, now: Now) {
        if !self.is_full() {
            return;
        }
        let Some(id) = self.oldest_session() else { return };
        let Some(session) = self.sessions.get(&id) else { return };
        let holds = session.deliveries.position(self.visible_end, self.next_offset).offset < self.visible_end;
        if holds && !session.is_lasting() {
            tracing::warn!(client_id = %session.client_id, reason = reason::QUOTA_EXCEEDED, "ended the connection of a client that does not read: the store is full");
            self.disconnect(id, true, now);
        }
    }
}

/// Everything about sessions that a new segment has to know, so that those before it need not be read.
fn snapshot(sessions: &BTreeMap<u64, Session>, ends: (u64, u64, u64)) -> Snapshot<'_> {
    let (visible_end, next_offset, next_session) = ends;
    let head = Record::Head {
        next_offset,
        next_session,
    };
    let written = sessions.iter().filter(|(_, session)| session.is_written);
    let records = written.flat_map(move |(id, session)| {
        let id = *id;
        let state = Record::Session(session_record(id, session, visible_end, next_offset));
        let filters = session.filters.iter().map(move |(filter, options)| Record::Subscribed {
            session: id,
            filter,
            options: options.bits(),
        });
        let receiving = session.receiving.iter();
        let receiving = receiving.map(move |packet_id| Record::Receiving {
            session: id,
            packet_id: *packet_id,
        });
        let confirmed = session.deliveries.confirmed();
        let confirmed = confirmed.map(move |ordinal| Record::Confirmed { session: id, ordinal });
        std::iter::once(state).chain(filters).chain(receiving).chain(confirmed)
    });
    let tail = std::iter::once(Record::HeadEnd);
    Box::new(std::iter::once(head).chain(records).chain(tail))
}
