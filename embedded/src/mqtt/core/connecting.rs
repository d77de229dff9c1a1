//! How sessions and connections begin and end.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{
    Broker, Ended, Handle, Now,
    draining::SHUTTING_DOWN,
    session::{FOREVER_S, Link, Reply, Session},
};
use crate::{
    limits,
    mqtt::{
        codec::{ConnAck, Connect, Version, Will, reason},
        journal::record::{Record, SessionRecord},
    },
};

/// A client that wants in.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) version: Version,
    pub(crate) connect: Connect,
    /// For a client that leaves the choice to the broker.
    pub(crate) fresh_client_id: String,
    /// Rung when there is something for the client.
    pub(crate) bell: Arc<Notify>,
}

impl Broker {
    /// Opens a connection; CONNACK is the first thing that [`Broker::fill`] writes.
    pub(crate) fn connect(&mut self, hello: Hello, now: Now) -> Result<Handle, Ended> {
        let Hello {
            version,
            mut connect,
            fresh_client_id,
            bell,
        } = hello;
        let is_assigned = connect.client_id.is_empty();
        if is_assigned {
            if version == Version::V4 && !connect.clean_start {
                return Err(refusal(
                    reason::CLIENT_ID_INVALID,
                    "a client without an id wants a lasting session",
                ));
            }
            connect.client_id.clone_from(&fresh_client_id);
        }
        if let Some(will) = &connect.will
            && !super::topics::is_topic(&will.publish.topic)
        {
            return Err(refusal(reason::TOPIC_INVALID, "a will for what is no topic"));
        }
        if !self.is_welcome(&connect.client_id) {
            return Err(SHUTTING_DOWN);
        }
        let (id, is_present) = self.open_session(&connect, now)?;
        self.next_link += 1;
        let mut link = Link::new(self.next_link, version, bell);
        link.will = connect.will;
        let window = connect
            .receive_maximum
            .map_or(limits::MQTT_IN_FLIGHT_DEFAULT, usize::from);
        link.window = window.min(limits::MQTT_IN_FLIGHT_MAX);
        link.packet_bytes_max = connect.packet_bytes_max.map_or(usize::MAX, |bytes| bytes as usize);
        let handle = Handle {
            session: id,
            link: link.number,
        };
        let session = self.sessions.get_mut(&id).expect("it was opened above");
        session.link = Some(link);
        session.expiry_s = connect.session_expiry_s;
        let after = self.write_session(id, !is_present);
        let connack = ConnAck {
            session_present: is_present,
            reason: reason::SUCCESS,
            assigned_client_id: is_assigned.then_some(fresh_client_id),
            receive_maximum: limits::MQTT_RECEIVE_MAX,
            packet_bytes_max: u32::try_from(self.limits.packet_bytes_max).unwrap_or(u32::MAX),
            topic_aliases_max: limits::MQTT_TOPIC_ALIASES_MAX,
        };
        self.reply(id, after, Reply::ConnAck(Box::new(connack)));
        Ok(handle)
    }

    fn open_session(&mut self, connect: &Connect, now: Now) -> Result<(u64, bool), Ended> {
        if let Some(id) = self.client_ids.get(&connect.client_id).copied() {
            self.disconnect(id, true, now);
            // A session that was to end with its connection is gone by now.
            if let Some(session) = self.sessions.get_mut(&id) {
                if !connect.clean_start {
                    if let Some(alarm_ms) = session.alarm_ms.take() {
                        self.alarms.remove(&(alarm_ms, id));
                    }
                    session.ends_at_ms = None;
                    session.will_at = None;
                    return Ok((id, true));
                }
                self.end_session(id, now);
            }
        }
        if self.sessions.len() >= limits::MQTT_SESSIONS_MAX {
            return Err(refusal(
                reason::QUOTA_EXCEEDED,
                "there are as many sessions as this broker keeps",
            ));
        }
        let id = self.next_session;
        self.next_session += 1;
        let session = Session::new(connect.client_id.clone(), connect.session_expiry_s);
        self.client_ids.insert(connect.client_id.clone(), id);
        self.sessions.insert(id, session);
        Ok((id, false))
    }

    /// The connection is gone.
    pub(crate) fn closed(&mut self, handle: Handle, publish_will: bool, now: Now) {
        if self.session(handle).is_ok() {
            // A client that is sent away has not failed.
            let publish_will = publish_will && !self.is_sent_away(handle);
            self.disconnect(handle.session, publish_will, now);
        }
    }

    /// Cuts a session off its connection, which notices when it looks.
    pub(super) fn disconnect(&mut self, id: u64, publish_will: bool, now: Now) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(mut link) = session.link.take() else { return };
        session.deliveries.detach();
        self.qos0_bytes -= link.qos0_bytes;
        link.ring();
        let will = link.will.take().filter(|_| publish_will);
        match will {
            Some(will) if will.delay_s > 0 && session.expiry_s > 0 => {
                let delay_s = will.delay_s.min(session.expiry_s);
                session.will_at = Some((now.monotonic_ms + u64::from(delay_s) * 1000, will));
            }
            Some(will) => self.publish_will(&will, now),
            None => {}
        }
        let Some(session) = self.sessions.get(&id) else { return };
        if session.is_lasting() {
            self.set_alarm(id, now);
            self.write_session(id, false);
        } else {
            self.end_session(id, now);
        }
    }

    pub(super) fn end_session(&mut self, id: u64, now: Now) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.client_ids.remove(&session.client_id);
        self.moved.remove(&id);
        for filter in session.filters.keys() {
            self.subscriptions.remove(filter, id);
        }
        if let Some(alarm_ms) = session.alarm_ms {
            self.alarms.remove(&(alarm_ms, id));
        }
        if session.is_written {
            self.outbox.append(&Record::Ended { session: id }, false);
        }
        // A session that ends takes its will with it into the open, however long it was to wait.
        if let Some((_, will)) = session.will_at {
            self.publish_will(&will, now);
        }
    }

    fn publish_will(&mut self, will: &Will, now: Now) {
        self.route(0, (0, 0), &will.publish, now);
    }

    /// Writes what a session is now, if the log is to know; returns the record to wait for.
    pub(super) fn write_session(&mut self, id: u64, must_sync: bool) -> u64 {
        let Some(session) = self.sessions.get_mut(&id) else {
            return 0;
        };
        if !session.is_lasting() && !session.is_written {
            return 0;
        }
        session.is_written = true;
        session.deliveries.is_dirty = false;
        let record = session_record(id, session, self.visible_end, self.next_offset);
        self.outbox.append(&Record::Session(record), must_sync)
    }

    /// Sets when a session of an absent client is looked at.
    pub(super) fn set_alarm(&mut self, id: u64, now: Now) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.ends_at_ms.is_none() && session.expiry_s != FOREVER_S {
            session.ends_at_ms = Some(now.monotonic_ms + u64::from(session.expiry_s) * 1000);
        }
        let will_at_ms = session.will_at.as_ref().map(|(at_ms, _)| *at_ms);
        let alarm_ms = [session.ends_at_ms, will_at_ms].into_iter().flatten().min();
        session.alarm_ms = alarm_ms;
        if let Some(alarm_ms) = alarm_ms {
            self.alarms.insert((alarm_ms, id));
        }
    }

    /// Ends what is over, and lets go on what waited for room.
    pub(crate) fn tick(&mut self, now: Now) {
        while let Some((alarm_ms, id)) = self
            .alarms
            .first()
            .copied()
            .filter(|(at_ms, _)| *at_ms <= now.monotonic_ms)
        {
            self.alarms.remove(&(alarm_ms, id));
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            session.alarm_ms = None;
            if session.ends_at_ms.is_some_and(|at_ms| at_ms <= now.monotonic_ms) {
                self.end_session(id, now);
                continue;
            }
            if let Some((_, will)) = session.will_at.take_if(|(at_ms, _)| *at_ms <= now.monotonic_ms) {
                self.publish_will(&will, now);
            }
            self.set_alarm(id, now);
        }
        self.make_room(now);
        self.ring_stalled();
    }
}

fn refusal(reason: u8, detail: &'static str) -> Ended {
    Ended { reason, detail }
}

pub(super) fn session_record(id: u64, session: &Session, visible_end: u64, next_offset: u64) -> SessionRecord<'_> {
    SessionRecord {
        id,
        client_id: &session.client_id,
        expiry_s: session.expiry_s,
        attached: session.link.is_some(),
        position: session.deliveries.position(visible_end, next_offset),
        sent_below: session.deliveries.sent_below(),
    }
}
