//! Sessions that outlive a request, by the `session_id` a client chose.
//!
//! A request without one gets a session of the engine for itself. With one it finds settings, current database and
//! temporary tables as the last request left them. One request at a time per session; idle ones end.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    engine::Engine,
    fault::{Code, Fault},
    library::Connection,
    request::SessionAsk,
};
use crate::limits;

/// The sessions of a server.
#[derive(Default)]
pub(super) struct Sessions {
    by_id: Mutex<HashMap<String, Slot>>,
}

enum Slot {
    Busy,
    Idle { connection: Connection, until: Instant },
}

/// A session in use by one request. Dropped without [`Lease::give_back`] (a panic), the session is gone.
pub(super) struct Lease<'a> {
    sessions: &'a Sessions,
    id: String,
    connection: Option<Connection>,
    timeout: Duration,
    close: bool,
}

impl Sessions {
    /// Takes the session for one request, opening it if need be.
    pub(super) fn take(&self, engine: &Engine, ask: &SessionAsk) -> Result<Lease<'_>, Fault> {
        self.end_idle();
        let existing = {
            let mut by_id = self.lock();
            match by_id.get(&ask.id) {
                Some(Slot::Busy) => {
                    let text = format!("session `{}` is locked by a concurrent client", ask.id);
                    return Err(Fault::new(Code::SESSION_IS_LOCKED, text));
                }
                None if ask.check => {
                    return Err(Fault::new(
                        Code::SESSION_NOT_FOUND,
                        format!("session `{}` not found", ask.id),
                    ));
                }
                None if by_id.len() >= limits::SESSIONS_MAX => {
                    let text = format!("{} sessions are open already", limits::SESSIONS_MAX);
                    return Err(Fault::new(Code::TOO_MANY_SIMULTANEOUS_QUERIES, text));
                }
                _ => {}
            }
            by_id.insert(ask.id.clone(), Slot::Busy)
        };
        let mut lease = Lease {
            sessions: self,
            id: ask.id.clone(),
            connection: None,
            timeout: ask.timeout,
            close: ask.close,
        };
        lease.connection = Some(match existing {
            Some(Slot::Idle { connection, .. }) => connection,
            Some(Slot::Busy) | None => engine.connect().map_err(Fault::from_engine)?,
        });
        Ok(lease)
    }

    /// Ends the sessions nobody used for their time.
    pub(super) fn end_idle(&self) {
        let now = Instant::now();
        let ended: Vec<Slot> = {
            let is_over = |_: &String, slot: &mut Slot| matches!(slot, Slot::Idle { until, .. } if *until <= now);
            self.lock().extract_if(is_over).map(|(_, slot)| slot).collect()
        };
        // Closing a session may take a moment: not under the lock.
        drop(ended);
    }

    /// Ends them all.
    pub(super) fn end_all(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.connection
            .as_mut()
            .expect("a lease has its connection until it is given back")
    }

    /// Leaves the session to the next request.
    pub(super) fn give_back(mut self) {
        if self.close {
            return;
        }
        if let Some(connection) = self.connection.take() {
            let until = Instant::now() + self.timeout;
            self.sessions
                .lock()
                .insert(self.id.clone(), Slot::Idle { connection, until });
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // Still here: not given back.
        if self.connection.is_some() || matches!(self.sessions.lock().get(&self.id), Some(Slot::Busy)) {
            self.sessions.lock().remove(&self.id);
        }
    }
}
