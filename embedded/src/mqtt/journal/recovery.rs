//! The state of all sessions, from the records of the last segment.
//!
//! A segment begins with that state, so nothing older has to be read, however much of it there is.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{MessageRecord, Position, Record, SessionRecord};

/// What is known of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecoveredSession {
    pub(crate) client_id: String,
    pub(crate) expiry_s: u32,
    pub(crate) position: Position,
    /// A message waits at the position, or may.
    pub(crate) pending: bool,
    /// Messages below this offset may have been sent before.
    pub(crate) sent_below: u64,
    pub(crate) filters: BTreeMap<String, u8>,
    pub(crate) receiving: BTreeSet<u16>,
    pub(crate) confirmed: BTreeSet<u64>,
    attached: bool,
}

/// The state as of the records applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovery {
    sessions: BTreeMap<u64, RecoveredSession>,
    pub(crate) next_offset: u64,
    pub(crate) next_session: u64,
    has_head: bool,
    is_closed: bool,
}

impl Recovery {
    /// The state as of the last complete record of a segment, and where that record ends.
    pub(crate) fn read(bytes: &[u8]) -> (Self, usize) {
        let mut recovery = Self::default();
        let end = for_each_record(bytes, |record| recovery.apply(record));
        (recovery, end)
    }

    /// Takes the next record into account.
    fn apply(&mut self, record: &Record<'_>) {
        self.is_closed = *record == Record::Closed;
        match *record {
            Record::Head {
                next_offset,
                next_session,
            } => {
                *self = Self {
                    next_offset,
                    next_session,
                    ..Self::default()
                };
            }
            Record::HeadEnd => self.has_head = true,
            Record::Message(message) => self.apply_message(&message),
            Record::Session(session) => self.apply_session(&session),
            Record::Ended { session } => {
                self.sessions.remove(&session);
            }
            Record::Subscribed {
                session,
                filter,
                options,
            } => self.with(session, |found| {
                found.filters.insert(filter.to_owned(), options);
            }),
            Record::Unsubscribed { session, filter } => self.with(session, |found| {
                found.filters.remove(filter);
            }),
            Record::Position { session, position } => {
                let next_offset = self.next_offset;
                self.with(session, |found| found.set_position(position, next_offset));
            }
            Record::Receiving { session, packet_id } => self.with(session, |found| {
                found.receiving.insert(packet_id);
            }),
            Record::Released { session, packet_id } => self.with(session, |found| {
                found.receiving.remove(&packet_id);
            }),
            Record::Confirmed { session, ordinal } => self.with(session, |found| {
                found.confirmed.insert(ordinal);
            }),
            // Kept in a file of their own; and peace is noted above.
            Record::Retained { .. } | Record::Closed => {}
        }
    }

    /// Whether the state at the start of the segment is complete.
    pub(crate) fn has_head(&self) -> bool {
        self.has_head
    }

    /// The sessions that go on.
    pub(crate) fn into_sessions(self) -> impl Iterator<Item = (u64, RecoveredSession)> {
        let (next_offset, is_closed) = (self.next_offset, self.is_closed);
        // A session that was to end with its connection has ended: there are no connections.
        let lasting = self.sessions.into_iter().filter(|(_, found)| found.expiry_s > 0);
        lasting.map(move |(id, mut found)| {
            if found.attached && !is_closed {
                // Whatever was safe may have been sent just before the end.
                found.sent_below = next_offset;
            }
            (id, found)
        })
    }

    fn with(&mut self, session: u64, change: impl FnOnce(&mut RecoveredSession)) {
        // Records of a session that has ended can follow its end, and mean nothing.
        if let Some(found) = self.sessions.get_mut(&session) {
            change(found);
        }
    }

    fn apply_message(&mut self, message: &MessageRecord<'_>) {
        self.next_offset = message.offset + 1;
        for target in message.targets.iter() {
            self.with(target.session, |found| {
                if !found.pending {
                    found.pending = true;
                    found.position.offset = message.offset;
                }
            });
        }
        let (publisher, packet_id) = message.publisher;
        self.with(publisher, |found| {
            found.receiving.insert(packet_id);
        });
    }

    fn apply_session(&mut self, record: &SessionRecord<'_>) {
        self.next_session = self.next_session.max(record.id + 1);
        let next_offset = self.next_offset;
        let found = self.sessions.entry(record.id).or_default();
        record.client_id.clone_into(&mut found.client_id);
        found.expiry_s = record.expiry_s;
        found.attached = record.attached;
        found.sent_below = record.sent_below;
        found.set_position(record.position, next_offset);
    }
}

impl RecoveredSession {
    fn set_position(&mut self, position: Position, next_offset: u64) {
        self.position = position;
        self.pending = position.offset < next_offset;
        self.confirmed = self.confirmed.split_off(&position.ordinal);
    }
}

/// Hands over all complete records from the start; returns where they end.
pub(super) fn for_each_record(bytes: &[u8], mut each: impl FnMut(&Record<'_>)) -> usize {
    let mut end = 0;
    while let Ok(Some((record, length))) = Record::read(&bytes[end..]) {
        each(&record);
        end += length;
    }
    end
}
