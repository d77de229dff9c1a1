//! What clients say: messages and acknowledgements. What they subscribe to is in `subscribing`.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Broker, Ended, Handle, Now,
    deliveries::Answered,
    retained::{self, Kept},
    session::Reply,
    topics::is_topic,
};
use crate::{
    limits,
    mqtt::{
        codec::{Disconnect, Packet, Publish, Qos, Step, SubscriptionOptions, Version, reason},
        journal::record::{MessageRecord, Record, Target, Targets},
        message::{Delivery, Message},
    },
};

/// How a connection goes on after what its client said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Open,
    /// There is no room for the next message: it stays with the connection, which is rung when there is.
    Stalled,
    /// The client leaves.
    Goodbye {
        publish_will: bool,
    },
}

/// Where a message went.
struct Routed {
    /// The record that its acknowledgement waits for.
    after: u64,
    has_matched: bool,
}

impl Broker {
    /// Takes packets of a client, in order.
    pub(crate) fn receive(&mut self, handle: Handle, packets: &mut VecDeque<Packet>, now: Now) -> Result<Flow, Ended> {
        let id = handle.session;
        self.session(handle)?;
        let is_sent_away = self.is_sent_away(handle);
        while let Some(packet) = packets.front() {
            if is_sent_away && matches!(packet, Packet::Publish(_)) {
                // Never acknowledged, so the client keeps it. It goes when the answers to what it sent before are out.
                return Ok(Flow::Stalled);
            }
            if matches!(packet, Packet::Publish(publish) if publish.qos != Qos::AtMostOnce) && !self.has_room() {
                let link = self
                    .session(handle)?
                    .link
                    .as_mut()
                    .expect("a handle names a connection");
                if !link.is_stalled {
                    link.is_stalled = true;
                    self.stalled.push(id);
                }
                return Ok(Flow::Stalled);
            }
            match packets.pop_front().expect("there was one") {
                Packet::Publish(publish) => self.take_publish(handle, publish, now)?,
                Packet::Acknowledgement {
                    step: Step::PubRel,
                    packet_id,
                    ..
                } => self.take_release(handle, packet_id)?,
                Packet::Acknowledgement {
                    step,
                    packet_id,
                    reason,
                } => self.take_answer(handle, step, packet_id, reason)?,
                Packet::Subscribe(subscribe) => self.take_subscribe(handle, subscribe, now)?,
                Packet::Unsubscribe(unsubscribe) => self.take_unsubscribe(handle, unsubscribe)?,
                Packet::PingReq => {
                    let link = self
                        .session(handle)?
                        .link
                        .as_mut()
                        .expect("a handle names a connection");
                    link.pings_owed = link.pings_owed.saturating_add(1);
                }
                Packet::Disconnect(disconnect) => return self.take_disconnect(handle, disconnect),
                Packet::Connect(_) => return Err(fault(reason::PROTOCOL_ERROR, "a second CONNECT")),
            }
        }
        Ok(Flow::Open)
    }

    fn take_publish(&mut self, handle: Handle, mut publish: Publish, now: Now) -> Result<(), Ended> {
        let session = self.session(handle)?;
        let (is_written, qos, packet_id) = (session.is_written, publish.qos, publish.packet_id);
        let is_known = qos == Qos::ExactlyOnce && session.receiving.contains(&packet_id);
        let link = session.link.as_mut().expect("a handle names a connection");
        let is_v5 = link.version == Version::V5;
        if let Some(alias) = publish.alias {
            if alias == 0 || alias > limits::MQTT_TOPIC_ALIASES_MAX {
                return Err(fault(reason::TOPIC_ALIAS_INVALID, "a topic alias beyond the maximum"));
            }
            if publish.topic.is_empty() {
                let unknown = || fault(reason::PROTOCOL_ERROR, "a topic alias that was not set");
                publish.topic = link.aliases.get(&alias).cloned().ok_or_else(unknown)?;
            } else {
                link.aliases
                    .insert(alias, bytes::Bytes::copy_from_slice(&publish.topic));
            }
        }
        if !is_topic(&publish.topic) {
            return Err(fault(reason::TOPIC_INVALID, "a message to what is no topic"));
        }
        if qos != Qos::AtMostOnce && !is_known {
            link.receiving_count += 1;
            if is_v5 && link.receiving_count > usize::from(limits::MQTT_RECEIVE_MAX) {
                return Err(fault(
                    reason::RECEIVE_MAXIMUM_EXCEEDED,
                    "more messages at once than Receive Maximum",
                ));
            }
        }
        let id = handle.session;
        if is_known {
            // Sent again: it is in the log, or about to be.
            let after = self.outbox.last_number();
            self.reply_step(id, after, Step::PubRec, packet_id, reason::SUCCESS);
            return Ok(());
        }
        let publisher = if qos == Qos::ExactlyOnce && is_written {
            (id, packet_id)
        } else {
            (0, 0)
        };
        let routed = self.route_from(id, publisher, &publish, now);
        let said = match is_v5 && !routed.has_matched {
            true => reason::NO_MATCHING_SUBSCRIBERS,
            false => reason::SUCCESS,
        };
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.reply_step(id, routed.after, Step::PubAck, packet_id, said),
            Qos::ExactlyOnce => {
                self.session(handle)?.receiving.insert(packet_id);
                self.reply_step(id, routed.after, Step::PubRec, packet_id, said);
            }
        }
        Ok(())
    }

    fn reply_step(&mut self, id: u64, after: u64, step: Step, packet_id: u16, reason: u8) {
        let reply = Reply::Step {
            step,
            packet_id,
            reason,
        };
        self.reply(id, after, reply);
    }

    /// Publishes without a client.
    pub(super) fn route(&mut self, from: u64, publisher: (u64, u16), publish: &Publish, now: Now) {
        self.route_from(from, publisher, publish, now);
    }

    fn route_from(&mut self, from: u64, publisher: (u64, u16), publish: &Publish, now: Now) -> Routed {
        let topic = std::str::from_utf8(&publish.topic).expect("topics are read as text");
        let life_ms = |seconds: u32| now.unix_ms + u64::from(seconds) * 1000;
        let expires_unix_ms = publish.expiry_s.map_or(0, life_ms);
        let mut after = 0;
        if publish.retain {
            after = self.keep(topic, publish, expires_unix_ms);
        }
        let mut found = std::mem::take(&mut self.found);
        self.subscriptions.find(topic, &mut found);
        merge(&mut found);
        found.retain(|(session, options)| !(options.no_local && *session == from));
        let has_matched = !found.is_empty();
        if has_matched {
            let message = Message::new(
                self.next_offset,
                expires_unix_ms,
                &publish.topic,
                &publish.properties,
                &publish.payload,
            );
            after = self.post(Arc::new(message), publisher, publish, &found).max(after);
        }
        found.clear();
        self.found = found;
        Routed { after, has_matched }
    }

    /// Hands a message to those who get it; returns the record to wait for.
    fn post(
        &mut self,
        message: Arc<Message>,
        publisher: (u64, u16),
        publish: &Publish,
        found: &[(u64, SubscriptionOptions)],
    ) -> u64 {
        let mut targets = Vec::with_capacity(found.len());
        for (session, options) in found {
            let qos = options.qos.min(publish.qos);
            let retain = publish.retain && options.retain_as_published;
            if qos == Qos::AtMostOnce {
                let message = Arc::clone(&message);
                self.send_at_once(*session, Delivery { message, qos, retain });
            } else {
                let flags = Delivery::flags(qos, retain);
                targets.push(Target {
                    session: *session,
                    flags,
                });
            }
        }
        if targets.is_empty() {
            return 0;
        }
        self.store(message, publisher, targets.into())
    }

    /// Writes a message to the log. It is delivered once it is safe.
    pub(super) fn store(&mut self, message: Arc<Message>, publisher: (u64, u16), targets: Box<[Target]>) -> u64 {
        debug_assert_eq!(message.offset, self.next_offset, "offsets have no gaps");
        let mut must_sync = publisher.0 != 0;
        for target in &targets {
            if let Some(session) = self.sessions.get_mut(&target.session) {
                session.deliveries.expect(message.offset);
                must_sync |= session.is_lasting();
            }
        }
        let record = MessageRecord {
            offset: message.offset,
            expires_unix_ms: message.expires_unix_ms,
            publisher,
            targets: Targets::List(&targets),
            topic: message.topic(),
            properties: message.properties(),
            payload: message.payload(),
        };
        let number = self.outbox.append(&Record::Message(record), must_sync);
        self.next_offset += 1;
        self.unseen.push_back((message, targets));
        number
    }

    fn keep(&mut self, topic: &str, publish: &Publish, expires_unix_ms: u64) -> u64 {
        let Publish {
            properties, payload, ..
        } = publish;
        let message = Message::new(0, expires_unix_ms, topic.as_bytes(), properties, payload);
        let kept = Kept {
            message: Arc::new(message),
            qos: publish.qos,
        };
        let bytes = kept.message.bytes();
        if !self.retained.put(topic, kept.qos, Arc::clone(&kept.message)) {
            let limit = limits::MQTT_RETAINED_BYTES_MAX;
            tracing::warn!(%topic, limit, "a retained message was passed on and not kept: clear some that nobody needs");
            return 0;
        }
        self.retained.written(bytes);
        self.outbox.append_retained(&retained::record(&kept))
    }

    fn take_release(&mut self, handle: Handle, packet_id: u16) -> Result<(), Ended> {
        let id = handle.session;
        let session = self.session(handle)?;
        let is_written = session.is_written;
        let is_known = session.receiving.remove(&packet_id);
        if !is_known {
            self.reply_step(id, 0, Step::PubComp, packet_id, reason::PACKET_ID_NOT_FOUND);
            return Ok(());
        }
        // The identifier may be used again once PUBCOMP is out: from then on it must not count as known.
        let after = match is_written {
            true => self.outbox.append(&Record::Released { session: id, packet_id }, true),
            false => 0,
        };
        self.reply_step(id, after, Step::PubComp, packet_id, reason::SUCCESS);
        Ok(())
    }

    fn take_answer(&mut self, handle: Handle, step: Step, packet_id: u16, said: u8) -> Result<(), Ended> {
        let id = handle.session;
        let session = self.session(handle)?;
        let is_written = session.is_written;
        match session
            .deliveries
            .answered(step, packet_id, said >= reason::UNSPECIFIED)
        {
            Answered::Done => {
                if is_written {
                    self.moved.insert(id);
                }
            }
            Answered::Confirmed { ordinal } => {
                // Only then may the client forget the identifier: from there on the message is never sent again.
                let after = match is_written {
                    true => self.outbox.append(&Record::Confirmed { session: id, ordinal }, true),
                    false => 0,
                };
                self.reply_step(id, after, Step::PubRel, packet_id, reason::SUCCESS);
            }
            Answered::Again => {
                let after = self.outbox.last_number();
                self.reply_step(id, after, Step::PubRel, packet_id, reason::SUCCESS);
            }
            Answered::Unknown if step == Step::PubRec => {
                self.reply_step(id, 0, Step::PubRel, packet_id, reason::PACKET_ID_NOT_FOUND);
            }
            // An acknowledgement of something that is over already.
            Answered::Unknown => {}
        }
        Ok(())
    }

    fn take_disconnect(&mut self, handle: Handle, disconnect: Disconnect) -> Result<Flow, Ended> {
        let session = self.session(handle)?;
        if let Some(expiry_s) = disconnect.session_expiry_s {
            if session.expiry_s == 0 && expiry_s > 0 {
                return Err(fault(
                    reason::PROTOCOL_ERROR,
                    "a session that was to end cannot be made to last",
                ));
            }
            session.expiry_s = expiry_s;
        }
        Ok(Flow::Goodbye {
            publish_will: disconnect.reason == reason::DISCONNECT_WITH_WILL,
        })
    }
}

/// A session gets a message once, at the best that its filters allow.
fn merge(found: &mut Vec<(u64, SubscriptionOptions)>) {
    if found.len() < 2 {
        return;
    }
    found.sort_unstable_by_key(|(session, _)| *session);
    found.dedup_by(|(session, options), (kept_session, kept)| {
        if session != kept_session {
            return false;
        }
        kept.qos = kept.qos.max(options.qos);
        kept.no_local &= options.no_local;
        kept.retain_as_published |= options.retain_as_published;
        true
    });
}

fn fault(reason: u8, detail: &'static str) -> Ended {
    Ended { reason, detail }
}
