//! Sessions that exist before their clients come: without one, a message that arrives first is acknowledged and gone.
//!
//! Must never take a message from a session that is there already.

use super::{
    Broker, Now,
    session::{FOREVER_S, Session},
};
use crate::mqtt::{
    StandingSession,
    codec::{Qos, SubscriptionOptions},
    journal::record::Record,
};

impl Broker {
    /// Makes the session exist, without end, with these filters and no others. Called before anybody is connected, and
    /// for filters that a client could subscribe to.
    pub(crate) fn stand_up(&mut self, standing: &StandingSession, now: Now) {
        let id = self.standing_id(&standing.client_id);
        self.write_session(id, true);
        let options = SubscriptionOptions {
            qos: Qos::AtLeastOnce,
            ..SubscriptionOptions::default()
        };
        let session = self.sessions.get_mut(&id).expect("it was made above");
        let is_wanted = |filter: &String| standing.filters.contains(filter);
        let former: Vec<String> = session
            .filters
            .keys()
            .filter(|path| !is_wanted(path))
            .cloned()
            .collect();
        for filter in former {
            session.filters.remove(&filter);
            self.subscriptions.remove(&filter, id);
            let record = Record::Unsubscribed {
                session: id,
                filter: &filter,
            };
            self.outbox.append(&record, true);
        }
        for filter in &standing.filters {
            let session = self.sessions.get_mut(&id).expect("it was made above");
            if session.filters.insert(filter.clone(), options) == Some(options) {
                continue;
            }
            self.subscriptions.insert(filter, id, options);
            let record = Record::Subscribed {
                session: id,
                filter,
                options: options.bits(),
            };
            self.outbox.append(&record, true);
            // The client will find its filters in place, and then asks for no retained messages.
            self.send_retained(id, filter, options, now);
        }
    }

    fn standing_id(&mut self, client_id: &str) -> u64 {
        if let Some(id) = self.client_ids.get(client_id).copied() {
            let session = self.sessions.get_mut(&id).expect("client ids are those of sessions");
            session.is_standing = true;
            session.expiry_s = FOREVER_S;
            session.ends_at_ms = None;
            if let Some(alarm_ms) = session.alarm_ms.take() {
                self.alarms.remove(&(alarm_ms, id));
            }
            return id;
        }
        let id = self.next_session;
        self.next_session += 1;
        self.client_ids.insert(client_id.to_owned(), id);
        let mut session = Session::new(client_id.to_owned(), FOREVER_S);
        session.is_standing = true;
        self.sessions.insert(id, session);
        id
    }
}
