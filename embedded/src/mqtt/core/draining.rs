//! How a broker empties itself before it stops: publishers are answered and sent away, and standing sessions are given
//! all that was acknowledged.
//!
//! Must never acknowledge what is not stored: what was not taken is left to the client, which keeps it.

use super::{Broker, Ended, Handle};
use crate::mqtt::codec::reason;

/// What a client is told that is sent away.
pub(super) const SHUTTING_DOWN: Ended = Ended {
    reason: reason::SERVER_SHUTTING_DOWN,
    detail: "the broker is stopping",
};

impl Broker {
    /// From now on only the clients of standing sessions are served.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
        for link in self.sessions.values_mut().filter_map(|session| session.link.as_mut()) {
            link.ring();
        }
    }

    /// Whether the standing sessions have acknowledged everything that was stored for them.
    pub(crate) fn is_handed_over(&self) -> bool {
        let mut standing = self.sessions.values().filter(|session| session.is_standing);
        standing.all(|session| {
            let position = session.deliveries.position(self.visible_end, self.next_offset);
            position.offset == self.next_offset
        })
    }

    /// Whether nothing more is taken from the connection.
    pub(super) fn is_sent_away(&self, handle: Handle) -> bool {
        self.is_draining && !self.is_standing(handle.session)
    }

    /// Whether a client may connect at this time.
    pub(super) fn is_welcome(&self, client_id: &str) -> bool {
        let known = self.client_ids.get(client_id);
        !self.is_draining || known.is_some_and(|session| self.is_standing(*session))
    }

    fn is_standing(&self, session: u64) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.is_standing)
    }
}
