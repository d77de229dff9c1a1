//! What one session is still to be given, and what it was given and has not acknowledged.
//!
//! ```text
//! log ─▶ queue (bounded, in memory, only while the client is there and keeps up) ─▶ in flight ─▶ acknowledged
//!  └───── pages, while the session is behind ──────────▶┘
//! ```
//!
//! Messages of a session are counted; the packet identifier of a message follows from its count, so that it is the
//! same after a reconnect and after a crash. The position is the lowest message that is not acknowledged: what lies
//! below may be deleted. Must never pass over a message that was not acknowledged.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    limits,
    mqtt::{
        codec::{Qos, Step},
        journal::{Page, Place, record::Position},
        message::Delivery,
    },
};

/// Packet identifiers go round from 1 to 65,535.
const PACKET_IDS: u64 = 65_535;

/// How far a message has come that was given to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Sent(Qos),
    /// The client has it (PUBREC), and is to forget its identifier.
    Confirmed,
    Done,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    offset: u64,
    progress: Progress,
}

/// Where reading of the log goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) offset: u64,
    pub(super) place: Option<Place>,
}

/// What a packet of the client meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It ends the message.
    Done,
    /// The message with this count has arrived; now its identifier is to be released.
    Confirmed { ordinal: u64 },
    /// Said before.
    Again,
    /// No message in flight has the identifier, or it has not come so far.
    Unknown,
}

/// What to do next for the client.
#[derive(Debug)]
pub(super) enum Next {
    Send {
        delivery: Delivery,
        packet_id: u16,
        dup: bool,
    },
    Release {
        packet_id: u16,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Without gaps in their counts; the first one is never done.
    in_flight: VecDeque<InFlight>,
    first_ordinal: u64,
    open_count: usize,
    queue: VecDeque<Delivery>,
    queue_bytes: usize,
    behind: Option<Cursor>,
    /// The newest message in the log that is for this session.
    newest: Option<u64>,
    /// What earlier connections got done beyond the position, by count.
    settled: BTreeMap<u64, Progress>,
    sent_below: u64,
    /// The position moved since it was written to the log.
    pub(super) is_dirty: bool,
}

impl Deliveries {
    /// Goes on where a session was when the process ended.
    pub(super) fn recovered(position: Position, pending: bool, sent_below: u64, confirmed: &[u64]) -> Self {
        Self {
            first_ordinal: position.ordinal,
            behind: pending.then_some(Cursor {
                offset: position.offset,
                place: None,
            }),
            newest: pending.then_some(position.offset),
            settled: confirmed
                .iter()
                .map(|ordinal| (*ordinal, Progress::Confirmed))
                .collect(),
            sent_below,
            ..Self::default()
        }
    }

    /// The log got a message for this session.
    pub(super) fn expect(&mut self, offset: u64) {
        self.newest = Some(offset);
    }

    /// A message for this session became safe.
    pub(super) fn arrive(&mut self, delivery: Delivery, is_connected: bool) {
        if self.behind.is_some() {
            return;
        }
        let bytes = delivery.message.bytes();
        if is_connected && self.queue_bytes + bytes <= limits::MQTT_QUEUE_BYTES_MAX || self.takes_anything(is_connected)
        {
            self.queue_bytes += bytes;
            self.queue.push_back(delivery);
        } else {
            self.behind = Some(Cursor {
                offset: delivery.message.offset,
                place: None,
            });
        }
    }

    /// A single message may be larger than the whole queue.
    fn takes_anything(&self, is_connected: bool) -> bool {
        is_connected && self.queue.is_empty()
    }

    /// Where to read on, when the queue has run dry and the log has more.
    pub(super) fn wanted_page(&self) -> Option<Cursor> {
        self.behind.filter(|_| self.queue.is_empty())
    }

    /// Takes over what was read; `visible_end` is where the safe part of the log ends now.
    pub(super) fn page_arrived(&mut self, page: Page, visible_end: u64) {
        for delivery in page.deliveries {
            self.queue_bytes += delivery.message.bytes();
            self.queue.push_back(delivery);
        }
        self.behind = (page.next_offset < visible_end).then_some(Cursor {
            offset: page.next_offset,
            place: page.place,
        });
        if self.queue.is_empty() && self.behind.is_none() {
            self.is_dirty = true;
        }
    }

    /// The next step, within the client's window. `discard` tells of messages that are not to be sent any more.
    pub(super) fn next(&mut self, window: usize, discard: impl Fn(&Delivery) -> bool) -> Option<Next> {
        while self.open_count < window && (self.in_flight.len() as u64) < PACKET_IDS {
            let delivery = self.queue.pop_front()?;
            let offset = delivery.message.offset;
            self.queue_bytes -= delivery.message.bytes();
            let ordinal = self.first_ordinal + self.in_flight.len() as u64;
            let packet_id = packet_id(ordinal);
            let progress = match self.settled.remove(&ordinal) {
                Some(progress) => progress,
                None if discard(&delivery) => Progress::Done,
                None => Progress::Sent(delivery.qos),
            };
            self.in_flight.push_back(InFlight { offset, progress });
            match progress {
                Progress::Done => self.pass_done(),
                Progress::Confirmed => {
                    self.open_count += 1;
                    return Some(Next::Release { packet_id });
                }
                Progress::Sent(_) => {
                    self.open_count += 1;
                    let dup = offset < self.sent_below;
                    return Some(Next::Send {
                        delivery,
                        packet_id,
                        dup,
                    });
                }
            }
        }
        None
    }

    /// A PUBACK, PUBREC or PUBCOMP came.
    pub(super) fn answered(&mut self, step: Step, packet_id: u16, failed: bool) -> Answered {
        let Some(index) = self.index(packet_id) else {
            return Answered::Unknown;
        };
        let entry = &mut self.in_flight[index];
        match (step, entry.progress) {
            (Step::PubAck, Progress::Sent(_)) | (Step::PubComp, Progress::Confirmed) => {}
            (Step::PubRec, Progress::Sent(Qos::ExactlyOnce)) if failed => {}
            (Step::PubRec, Progress::Sent(Qos::ExactlyOnce)) => {
                entry.progress = Progress::Confirmed;
                let ordinal = self.first_ordinal + index as u64;
                return Answered::Confirmed { ordinal };
            }
            (Step::PubRec, Progress::Confirmed) => return Answered::Again,
            (Step::PubAck | Step::PubRec | Step::PubRel | Step::PubComp, _) => return Answered::Unknown,
        }
        entry.progress = Progress::Done;
        self.open_count -= 1;
        self.pass_done();
        Answered::Done
    }

    /// A message in flight that cannot be sent.
    pub(super) fn give_up(&mut self, packet_id: u16) {
        self.answered(Step::PubAck, packet_id, false);
    }

    fn pass_done(&mut self) {
        while self
            .in_flight
            .front()
            .is_some_and(|first| first.progress == Progress::Done)
        {
            self.in_flight.pop_front();
            self.first_ordinal += 1;
            self.is_dirty = true;
        }
    }

    fn index(&self, packet_id: u16) -> Option<usize> {
        let first = u64::from(self::packet_id(self.first_ordinal));
        let index = (u64::from(packet_id) + PACKET_IDS - first) % PACKET_IDS;
        let index = usize::try_from(index).expect("below 65,535");
        (index < self.in_flight.len()).then_some(index)
    }

    /// The connection is gone: what was not acknowledged is read from the log again.
    pub(super) fn detach(&mut self) {
        if let Some(last) = self.in_flight.back() {
            self.sent_below = self.sent_below.max(last.offset + 1);
        }
        let first_in_flight = self.in_flight.front().map(|first| first.offset);
        let first_queued = self.queue.front().map(|first| first.message.offset);
        if let Some(offset) = first_in_flight.or(first_queued) {
            self.behind = Some(Cursor { offset, place: None });
        }
        for (ordinal, entry) in (self.first_ordinal..).zip(&self.in_flight) {
            if !matches!(entry.progress, Progress::Sent(_)) {
                self.settled.insert(ordinal, entry.progress);
            }
        }
        self.in_flight.clear();
        self.open_count = 0;
        self.queue.clear();
        self.queue_bytes = 0;
        self.is_dirty = true;
    }

    /// The lowest message that is not acknowledged; the end of the log where there is none.
    pub(super) fn position(&self, visible_end: u64, next_offset: u64) -> Position {
        let first_in_flight = self.in_flight.front().map(|first| first.offset);
        let first_queued = || self.queue.front().map(|first| first.message.offset);
        let behind = || self.behind.map(|cursor| cursor.offset);
        let unseen = || self.newest.filter(|newest| *newest >= visible_end).map(|_| visible_end);
        let offset = first_in_flight.or_else(first_queued).or_else(behind).or_else(unseen);
        Position {
            offset: offset.unwrap_or(next_offset),
            ordinal: self.first_ordinal,
        }
    }

    /// Messages below this offset may have been sent before.
    pub(super) fn sent_below(&self) -> u64 {
        self.sent_below
    }

    /// Counts of the messages of QoS 2 that the client has and whose identifiers it holds.
    pub(super) fn confirmed(&self) -> impl Iterator<Item = u64> {
        let confirmed = |progress: Progress| progress == Progress::Confirmed;
        let in_flight = (self.first_ordinal..).zip(&self.in_flight);
        let in_flight = in_flight
            .filter(move |(_, entry)| confirmed(entry.progress))
            .map(|(ordinal, _)| ordinal);
        let settled = self
            .settled
            .iter()
            .filter(move |(_, progress)| confirmed(**progress))
            .map(|(ordinal, _)| *ordinal);
        in_flight.chain(settled)
    }
}

fn packet_id(ordinal: u64) -> u16 {
    u16::try_from(ordinal % PACKET_IDS + 1).expect("at most 65,535")
}
