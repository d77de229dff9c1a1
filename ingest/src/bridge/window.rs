//! The window of messages on their way: acknowledgements leave it in the order of receipt, each only when all records
//! of its message are durable.
//!
//! Never acknowledges for another connection than the one a message came on, and nothing at all after a fault.

use std::{collections::VecDeque, time::Duration};

use eventlog::{DeliveryFailure, Position, Token};
#[cfg(feature = "sabotage")]
use platform::sabotage::Rule;
use schemas::Reason;

use super::record::{Stamp, cut_further, refusal};
use crate::{
    ledger::ReleaseCounts,
    message::{Ack, DecodedBatch, Epoch, Qos, Received, Record},
};

/// Messages on their way, in the order of receipt.
#[derive(Debug)]
pub struct Window {
    stamp: Stamp,
    epoch: Epoch,
    entries: VecDeque<Entry>,
    /// Place of the first entry, counted from the start.
    first_entry: u64,
    /// The records of all entries, in the order of the entries. A token is a place in here.
    slots: VecDeque<Slot>,
    first_slot: u64,
    next_unsent: u64,
    /// Sent before and to be sent again, oldest first.
    resend: VecDeque<u64>,
    /// To be sent again after a pause.
    unconfirmed: VecDeque<u64>,
    /// To be sent again with another time: the log refuses theirs. Until then nothing new is sent, since either our clock or
    /// that of the log is wrong.
    misdated: VecDeque<u64>,
    acks: VecDeque<AckDue>,
    counts: ReleaseCounts,
    released_bytes: u64,
    released_record_bytes: u64,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Entry {
    received: Received,
    slot_count: usize,
    open_count: usize,
    record_bytes: usize,
    rejected: Option<Reason>,
}

#[derive(Debug)]
struct Slot {
    entry: u64,
    /// None once durable.
    record: Option<Record>,
}

/// An acknowledgement whose turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckDue {
    /// The acknowledgement.
    pub ack: Ack,
    /// Count of the message.
    pub number: u64,
    /// When the message was received, monotonic.
    pub received_at: Duration,
    rejected: Option<Reason>,
}

/// Why no more can be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The producer failed for good.
    Producer(String),
    /// Not even an empty dead letter is taken.
    DeadLetterRefused(String),
}

impl Window {
    /// An empty window.
    #[must_use]
    pub fn new(stamp: Stamp) -> Self {
        Self {
            stamp,
            epoch: Epoch::default(),
            entries: VecDeque::new(),
            first_entry: 0,
            slots: VecDeque::new(),
            first_slot: 0,
            next_unsent: 0,
            resend: VecDeque::new(),
            unconfirmed: VecDeque::new(),
            misdated: VecDeque::new(),
            acks: VecDeque::new(),
            counts: ReleaseCounts::default(),
            released_bytes: 0,
            released_record_bytes: 0,
            fault: None,
        }
    }

    /// A new connection: acknowledgements of earlier ones have lost their meaning.
    pub fn connected(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.disconnected();
    }

    /// The connection is gone, and with it the acknowledgements that were not handed over.
    pub fn disconnected(&mut self) {
        self.counts.returned += self.acks.len() as u64;
        self.acks.clear();
    }

    /// Takes messages in, in the order of receipt.
    pub fn receive(&mut self, batch: DecodedBatch) {
        let mut records = batch.records.into_iter();
        for message in batch.messages {
            let entry = self.first_entry + self.entries.len() as u64;
            let mut record_bytes = 0;
            for record in records.by_ref().take(message.record_count) {
                record_bytes += record.byte_count();
                self.slots.push_back(Slot {
                    entry,
                    record: Some(record),
                });
            }
            self.entries.push_back(Entry {
                received: message.received,
                slot_count: message.record_count,
                open_count: message.record_count,
                record_bytes,
                rejected: message.rejected,
            });
        }
    }

    /// The next record to send: the same one until [`Window::sent`] is called.
    #[must_use]
    pub fn next_send(&self) -> Option<(Token, &Record)> {
        if self.fault.is_some() {
            return None;
        }
        let token = self.next_token()?;
        let slot = &self.slots[self.slot_index(token)?];
        let record = slot.record.as_ref().expect("a durable record is never sent again");
        Some((Token(token), record))
    }

    /// The record of [`Window::next_send`] was taken by the log.
    pub fn sent(&mut self) {
        if self.resend.pop_front().is_some() {
            self.counts.resent += 1;
        } else {
            self.next_unsent += 1;
        }
    }

    /// The report of the log about one record.
    pub fn delivered(&mut self, token: Token, result: Result<Position, DeliveryFailure>) {
        if self.fault.is_some() {
            return;
        }
        let Some(index) = self.slot_index(token.0) else {
            return;
        };
        if self.slots[index].record.is_none() {
            return;
        }
        match result {
            Ok(_) => self.durable(index),
            Err(DeliveryFailure::Ambiguous(_)) => self.unconfirmed.push_back(token.0),
            Err(DeliveryFailure::Misdated(_)) => self.misdated.push_back(token.0),
            Err(DeliveryFailure::Refused(said)) => self.refused(token.0, index, &said),
            Err(DeliveryFailure::Fatal(said)) => self.fault = Some(Fault::Producer(said)),
        }
    }

    /// The pause is over: unconfirmed records may be sent again. Returns whether there are any.
    pub fn resend_unconfirmed(&mut self) -> bool {
        let any = !self.unconfirmed.is_empty();
        self.resend.append(&mut self.unconfirmed);
        any
    }

    /// True when records wait for [`Window::resend_unconfirmed`].
    #[must_use]
    pub fn has_unconfirmed(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Gives records whose time the log refused the present one, to be sent again. What they say stays the same, and with it
    /// what they are recognised by.
    pub fn redate(&mut self, now_ms: i64) {
        while let Some(token) = self.misdated.pop_front() {
            let index = self.slot_index(token).expect("what is not durable is in the window");
            let record = self.slots[index].record.as_mut();
            record.expect("what is refused is not durable").timestamp_ms = now_ms;
            self.resend.push_back(token);
        }
    }

    /// How many records wait for [`Window::redate`].
    #[must_use]
    pub fn misdated_count(&self) -> usize {
        self.misdated.len()
    }

    /// The next acknowledgement: the same one until [`Window::ack_handed_over`] or [`Window::disconnected`] is called.
    #[must_use]
    pub fn next_ack(&self) -> Option<&AckDue> {
        if self.fault.is_some() {
            return None;
        }
        self.acks.front()
    }

    /// The acknowledgement of [`Window::next_ack`] is on its way to the broker.
    pub fn ack_handed_over(&mut self) {
        if let Some(due) = self.acks.pop_front() {
            self.count_released(due.rejected);
        }
    }

    /// Why no more can be acknowledged.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// What became of the messages.
    #[must_use]
    pub fn counts(&self) -> &ReleaseCounts {
        &self.counts
    }

    /// Messages that the log has as a whole. Those that wait for their acknowledgement to be handed over are among
    /// them: they cost next to nothing, and packet identifiers bound them to 65,535.
    #[must_use]
    pub fn durable_count(&self) -> u64 {
        self.first_entry
    }

    /// Bytes of messages that left the window, as counted by [`Received::cost_bytes`].
    #[must_use]
    pub fn released_bytes(&self) -> u64 {
        self.released_bytes
    }

    /// Bytes of records that left the window.
    #[must_use]
    pub fn released_record_bytes(&self) -> u64 {
        self.released_record_bytes
    }

    /// Messages that wait for the log or for their acknowledgement to be handed over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() + self.acks.len()
    }

    /// True when nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When the oldest message that waits for the log was received.
    #[must_use]
    pub fn oldest_received_at(&self) -> Option<Duration> {
        self.entries.front().map(|entry| entry.received.received_at)
    }

    fn next_token(&self) -> Option<u64> {
        let end = self.first_slot + self.slots.len() as u64;
        let fresh = (self.next_unsent < end && self.misdated.is_empty()).then_some(self.next_unsent);
        self.resend.front().copied().or(fresh)
    }

    fn slot_index(&self, token: u64) -> Option<usize> {
        let index = usize::try_from(token.checked_sub(self.first_slot)?).ok()?;
        (index < self.slots.len()).then_some(index)
    }

    fn durable(&mut self, index: usize) {
        let record = self.slots[index].record.take();
        if record.is_some_and(|record| !record.is_dead_letter()) {
            self.counts.events += 1;
        }
        self.close(index);
    }

    /// The log will never take this record: the message gets one dead letter in its place.
    fn refused(&mut self, token: u64, index: usize, said: &str) {
        let place = self.slots[index].entry;
        let at = usize::try_from(place - self.first_entry).expect("entries in memory");
        let entry = &mut self.entries[at];
        let slot = &mut self.slots[index];
        let Some(record) = &mut slot.record else { return };
        if record.is_dead_letter() {
            if !cut_further(record, &entry.received) {
                self.fault = Some(Fault::DeadLetterRefused(said.to_owned()));
                return;
            }
        } else if entry.rejected.is_none() {
            entry.rejected = Some(Reason::RecordRefused);
            *record = self.stamp.dead_letter(&entry.received, &refusal(said));
        } else {
            slot.record = None;
            self.close(index);
            return;
        }
        self.resend.push_back(token);
    }

    fn close(&mut self, index: usize) {
        let place = self.slots[index].entry;
        let at = usize::try_from(place - self.first_entry).expect("entries in memory");
        self.entries[at].open_count -= 1;
        if at == 0 {
            self.release();
        }
    }

    /// Lets the messages go that are done, from the oldest on, and stops at the first that is not.
    fn release(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.open_count == 0) {
            let entry = self.entries.pop_front().expect("looked at just now");
            self.first_entry += 1;
            self.slots.drain(..entry.slot_count);
            self.first_slot += entry.slot_count as u64;
            self.released_bytes += entry.received.cost_bytes() as u64;
            self.released_record_bytes += entry.record_bytes as u64;
            let publish = &entry.received.publish;
            let is_present = entry.received.epoch == self.epoch;
            #[cfg(feature = "sabotage")]
            let is_present = is_present || Rule::AcknowledgeOnOwnConnection.is_broken();
            if publish.qos == Qos::AtMostOnce {
                self.count_released(entry.rejected);
            } else if is_present {
                self.acks.push_back(AckDue {
                    ack: Ack {
                        epoch: entry.received.epoch,
                        packet_id: publish.packet_id,
                        qos: publish.qos,
                    },
                    number: entry.received.number,
                    received_at: entry.received.received_at,
                    rejected: entry.rejected,
                });
            } else {
                self.counts.returned += 1;
            }
        }
    }

    fn count_released(&mut self, rejected: Option<Reason>) {
        match rejected {
            None => self.counts.acknowledged += 1,
            Some(reason) => {
                self.counts.dead_lettered += 1;
                self.counts.count_reason(reason);
            }
        }
    }
}
