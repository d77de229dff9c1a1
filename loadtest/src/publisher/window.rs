//! What is under way on one connection: packet identifiers, order, and what to send again. Pure: no I/O, no clock.
//!
//! Must never lose a message, never give one identifier to two, and never change the order of messages.

use std::collections::VecDeque;

use super::Outgoing;

/// One message under way.
#[derive(Debug)]
pub(super) struct Slot {
    /// MQTT packet identifier, never 0.
    pub(super) packet_id: u16,
    /// What is sent.
    pub(super) outgoing: Outgoing,
    /// How often it was written to a connection.
    pub(super) sent_count: u32,
    /// Written to the connection of now, and not acknowledged there.
    on_wire: bool,
    acknowledged: bool,
}

/// The messages of one connection that are not acknowledged, in order.
#[derive(Debug)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    identifier_in_use: Vec<bool>,
    last_identifier: u16,
    /// Slots before this index were written to the connection of now, or are acknowledged.
    next_index: usize,
    on_wire_count: usize,
    capacity: usize,
    granted: usize,
}

impl Window {
    pub(super) fn new(inflight_max: u16) -> Self {
        Self {
            slots: VecDeque::new(),
            identifier_in_use: vec![false; 1 << 16],
            last_identifier: 0,
            next_index: 0,
            on_wire_count: 0,
            capacity: usize::from(inflight_max.max(1)),
            granted: 0,
        }
    }

    /// How many more messages may be admitted.
    pub(super) fn room(&self) -> usize {
        // While a smaller grant holds, what is already admitted comes first.
        self.capacity.min(self.granted.max(1)).saturating_sub(self.slots.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes a message in. The caller has looked at [`Window::room`].
    pub(super) fn admit(&mut self, outgoing: Outgoing) {
        let packet_id = self.free_identifier();
        self.identifier_in_use[usize::from(packet_id)] = true;
        self.slots.push_back(Slot {
            packet_id,
            outgoing,
            sent_count: 0,
            on_wire: false,
            acknowledged: false,
        });
    }

    /// The next message that may be written now, marked as written.
    pub(super) fn next_to_send(&mut self) -> Option<&Slot> {
        while self.slots.get(self.next_index)?.acknowledged {
            self.next_index += 1;
        }
        if self.on_wire_count >= self.granted {
            return None;
        }
        self.on_wire_count += 1;
        let slot = &mut self.slots[self.next_index];
        self.next_index += 1;
        slot.on_wire = true;
        slot.sent_count += 1;
        Some(slot)
    }

    /// Takes an acknowledgement, in whatever order they come. None when nothing with that identifier is on the wire.
    pub(super) fn acknowledge(&mut self, packet_id: u16) -> Option<(Outgoing, u32)> {
        let index = self
            .slots
            .iter()
            .position(|slot| slot.packet_id == packet_id && slot.on_wire)?;
        self.on_wire_count -= 1;
        self.identifier_in_use[usize::from(packet_id)] = false;
        let slot = &mut self.slots[index];
        slot.on_wire = false;
        slot.acknowledged = true;
        let done = (slot.outgoing.clone(), slot.sent_count);
        while self.slots.front().is_some_and(|slot| slot.acknowledged) {
            self.slots.pop_front();
            self.next_index -= 1;
        }
        Some(done)
    }

    /// Gives up a message that can never be sent, because the broker refuses its size.
    pub(super) fn abandon_last_sent(&mut self) -> Option<Outgoing> {
        let packet_id = self.slots.get(self.next_index.checked_sub(1)?)?.packet_id;
        self.acknowledge(packet_id).map(|(outgoing, _)| outgoing)
    }

    /// A new connection: everything that is not acknowledged is sent again, in the old order, as far as the broker
    /// grants.
    pub(super) fn connected(&mut self, receive_maximum: u16) {
        self.slots.retain(|slot| !slot.acknowledged);
        for slot in &mut self.slots {
            slot.on_wire = false;
        }
        self.next_index = 0;
        self.on_wire_count = 0;
        self.granted = self.capacity.min(usize::from(receive_maximum.max(1)));
    }

    /// Ends the window: what is left was written at least once (true) or never (false).
    pub(super) fn into_open(self) -> impl Iterator<Item = (Outgoing, u32)> {
        let open = self.slots.into_iter().filter(|slot| !slot.acknowledged);
        open.map(|slot| (slot.outgoing, slot.sent_count))
    }

    fn free_identifier(&mut self) -> u16 {
        // The window is smaller than the identifier space, so one is free.
        loop {
            self.last_identifier = self.last_identifier.checked_add(1).unwrap_or(1);
            if !self.identifier_in_use[usize::from(self.last_identifier)] {
                return self.last_identifier;
            }
        }
    }
}

#[cfg(test)]
mod tests;
