//! Sessions of the router: opening, ending, and forgetting them when their time is over.
//!
//! The router knows one flag, `clean`, for both ends of a connection. MQTT 5 has two: whether to begin anew, and how
//! long the session lives after the connection. This module makes the second out of the first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rumqttd::{
    Notification,
    local::{LinkError, LinkRx, LinkTx},
    protocol::{Disconnect, DisconnectReasonCode, Packet},
};

/// Both ends of a session at the router, and the router's answer to the connection.
pub(super) type Link = (LinkTx, LinkRx, Notification);
type Opening = dyn Fn(&str, bool) -> Result<Link, RouterGone> + Send + Sync;

/// The router ended a connection or refused it.
#[derive(Debug, thiserror::Error)]
#[error("the router ended the connection (another one of the same client, or a wrong acknowledgement): {0}")]
pub(super) struct RouterGone(String);

impl From<LinkError> for RouterGone {
    fn from(error: LinkError) -> Self {
        Self(error.to_string())
    }
}

/// What becomes of a session after its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// It ends with the connection.
    Connection,
    /// It waits so long for the client to come back.
    After(Duration),
    /// It waits until the process ends.
    Forever,
}

/// Opens and ends sessions.
pub(super) struct Sessions {
    open: Box<Opening>,
    /// Counts the connections of a client, so that a timer knows whether the client has been back. Clients with
    /// sessions that end with their connection are not in here.
    generations: Mutex<HashMap<String, u64>>,
}

impl Sessions {
    pub(super) fn new(open: impl Fn(&str, bool) -> Result<Link, RouterGone> + Send + Sync + 'static) -> Self {
        Self {
            open: Box::new(open),
            generations: Mutex::default(),
        }
    }

    /// Opens a session for a connection. A connection of the same client that is still there is ended by the router.
    pub(super) fn open(&self, client_id: &str, clean_start: bool, lifetime: Lifetime) -> Result<Link, RouterGone> {
        if lifetime == Lifetime::Connection {
            self.generations().remove(client_id);
            return if clean_start {
                (self.open)(client_id, true)
            } else {
                (self.open)(client_id, false)
            };
        }
        *self.generations().entry(client_id.to_owned()).or_default() += 1;
        if clean_start {
            self.discard(client_id);
        }
        (self.open)(client_id, false)
    }

    /// After the end of a connection: what is left of the session, and for how long.
    pub(super) fn closed(self: &Arc<Self>, client_id: &str, clean_start: bool, lifetime: Lifetime) {
        match lifetime {
            Lifetime::Connection if clean_start => {}
            Lifetime::Connection => {
                // Begun with what an earlier connection left, to end with this one, unless another has taken over.
                if !self.generations().contains_key(client_id) {
                    self.discard(client_id);
                }
            }
            Lifetime::Forever => {}
            Lifetime::After(time) => {
                let (sessions, client_id) = (Arc::clone(self), client_id.to_owned());
                let generation = sessions.generations().get(&client_id).copied();
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    let expired = {
                        let mut generations = sessions.generations();
                        let expired = generation.is_some() && generations.get(&client_id).copied() == generation;
                        if expired {
                            generations.remove(&client_id);
                        }
                        expired
                    };
                    if expired {
                        sessions.discard(&client_id);
                    }
                });
            }
        }
    }

    /// The router forgets a session when its client connects and asks for a clean one.
    fn discard(&self, client_id: &str) {
        if let Ok((mut sender, _receiver, _)) = (self.open)(client_id, true) {
            send_disconnect(&mut sender);
        }
    }

    fn generations(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the router that a connection is over. It takes no notice when the connection is gone already.
pub(super) fn send_disconnect(sender: &mut LinkTx) {
    let disconnect = Disconnect {
        reason_code: DisconnectReasonCode::NormalDisconnection,
    };
    push(sender, Packet::Disconnect(disconnect, None));
}

/// Hands one packet to the router. A router that is gone is noticed at the receiving end.
pub(super) fn push(sender: &mut LinkTx, packet: Packet) {
    let mut future = std::pin::pin!(sender.send(packet));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    // The function is async in name only: it sends at once, waiting on its thread when the router is busy.
    let _ = future.as_mut().poll(&mut context);
}
