//! What a connection means for our MQTT session: its number, whether to subscribe, and whether messages may be lost.
//!
//! Only the broker's greeting starts a new epoch. A failed connection does not: what it delivered is still its own.

use crate::message::Epoch;

/// The session over all connections of one subscriber.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    epoch: Epoch,
    subscribed: bool,
}

/// What follows from a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The number of the new connection.
    pub epoch: Epoch,
    /// Subscriptions have to be sent: the broker does not have them, or it is not sure that it has these.
    pub subscribe: bool,
    /// The broker had our session and lost it: what was published since is gone.
    pub gap: bool,
}

impl Session {
    /// The broker greeted us.
    ///
    /// The first connection of a process always subscribes, since the filters may have changed since the session was
    /// made. It is no gap without a session: there may never have been one.
    pub fn connected(&mut self, session_present: bool) -> Welcome {
        self.epoch = Epoch(self.epoch.0 + 1);
        let gap = self.subscribed && !session_present;
        let subscribe = !self.subscribed || !session_present;
        if !session_present {
            self.subscribed = false;
        }
        Welcome {
            epoch: self.epoch,
            subscribe,
            gap,
        }
    }

    /// The number of the current connection.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The broker confirmed our subscriptions.
    pub fn subscribed(&mut self) {
        self.subscribed = true;
    }
}
