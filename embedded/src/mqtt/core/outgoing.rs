//! What clients are told and given.

use bytes::BytesMut;

use super::{
    Broker, Ended, Handle, Now,
    deliveries::Next,
    draining::SHUTTING_DOWN,
    session::{Link, Reply},
};
use crate::{
    limits,
    mqtt::{
        codec::{
            OutgoingPublish, Qos, Step, reason, write_acknowledgement, write_connack, write_pingresp, write_publish,
            write_reasons,
        },
        journal::{Page, PageRequest},
        message::{Delivery, Message},
    },
};

/// What [`Broker::fill`] leaves to the connection.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// A page of the log to be read, and brought with [`Broker::page_arrived`].
    pub(crate) page: Option<PageRequest>,
    /// There is more than went in.
    pub(crate) has_more: bool,
}

impl Broker {
    /// Writes what is due to the client, up to a bound.
    pub(crate) fn fill(&mut self, handle: Handle, output: &mut BytesMut, now: Now) -> Result<Filled, Ended> {
        let (safe_number, visible_end) = (self.safe_number, self.visible_end);
        let is_sent_away = self.is_sent_away(handle);
        let session = self.session(handle)?;
        let link = session.link.as_mut().expect("a handle names a connection");
        link.looked();
        write_replies(link, safe_number, output);
        if is_sent_away && link.replies.is_empty() {
            return Err(SHUTTING_DOWN);
        }
        if !link.is_greeted {
            return Ok(Filled::default());
        }
        for _ in 0..std::mem::take(&mut link.pings_owed) {
            write_pingresp(output);
        }
        let spent_bytes = write_qos0(link, output, now);
        let mut too_large_count = 0;
        while output.len() < limits::MQTT_OUTPUT_FILL_BYTES {
            let is_over = |delivery: &Delivery| delivery.message.expiry_s(now.unix_ms) == Some(0);
            match session.deliveries.next(link.window, is_over) {
                None => break,
                Some(Next::Release { packet_id }) => {
                    write_acknowledgement(link.version, Step::PubRel, packet_id, reason::SUCCESS, output);
                }
                Some(Next::Send {
                    delivery,
                    packet_id,
                    dup,
                }) => {
                    let publish = outgoing(&delivery, packet_id, dup, now);
                    if publish.packet_bytes(link.version) <= link.packet_bytes_max {
                        write_publish(link.version, &publish, output);
                    } else {
                        // The client must not be sent it, and would be cut off by it for ever.
                        too_large_count += 1;
                        session.deliveries.give_up(packet_id);
                    }
                }
            }
        }
        let mut filled = Filled {
            page: None,
            has_more: output.len() >= limits::MQTT_OUTPUT_FILL_BYTES,
        };
        if !link.is_paging
            && let Some(cursor) = session.deliveries.wanted_page()
        {
            link.is_paging = true;
            filled.page = Some(PageRequest {
                session: handle.session,
                from_offset: cursor.offset,
                place: cursor.place,
                end_offset: visible_end,
            });
        }
        if session.is_written && session.deliveries.is_dirty {
            self.moved.insert(handle.session);
        }
        self.qos0_bytes -= spent_bytes;
        self.too_large_count += too_large_count;
        Ok(filled)
    }

    /// Takes over a page that was read for the client.
    pub(crate) fn page_arrived(&mut self, handle: Handle, page: Page) -> Result<(), Ended> {
        let visible_end = self.visible_end;
        let session = self.session(handle)?;
        session.deliveries.page_arrived(page, visible_end);
        let link = session.link.as_mut().expect("a handle names a connection");
        link.is_paging = false;
        Ok(())
    }

    /// Sends a message of QoS 0, if the client is there and keeps up.
    pub(super) fn send_at_once(&mut self, id: u64, delivery: Delivery) {
        let Some(link) = self.sessions.get_mut(&id).and_then(|session| session.link.as_mut()) else {
            return;
        };
        let bytes = delivery.message.bytes();
        let has_room = link.qos0_bytes + bytes <= limits::MQTT_QOS0_BYTES_MAX
            && self.qos0_bytes + bytes <= limits::MQTT_QOS0_TOTAL_BYTES_MAX;
        if !has_room {
            self.qos0_dropped_count += 1;
            return;
        }
        link.qos0_bytes += bytes;
        self.qos0_bytes += bytes;
        link.qos0.push_back(delivery);
        link.ring();
    }
}

fn write_replies(link: &mut Link, safe_number: u64, output: &mut BytesMut) {
    while let Some((after, _)) = link.replies.front()
        && *after <= safe_number
    {
        let Some((_, reply)) = link.replies.pop_front() else {
            return;
        };
        match reply {
            Reply::ConnAck(connack) => {
                link.is_greeted = true;
                write_connack(link.version, &connack, output);
            }
            Reply::Step {
                step,
                packet_id,
                reason,
            } => {
                if matches!(step, Step::PubAck | Step::PubComp) {
                    link.receiving_count = link.receiving_count.saturating_sub(1);
                }
                write_acknowledgement(link.version, step, packet_id, reason, output);
            }
            Reply::SubAck { packet_id, reasons } => write_reasons(link.version, true, packet_id, &reasons, output),
            Reply::UnsubAck { packet_id, reasons } => write_reasons(link.version, false, packet_id, &reasons, output),
        }
    }
}

/// Returns how many bytes of the queue went out.
fn write_qos0(link: &mut Link, output: &mut BytesMut, now: Now) -> usize {
    let before = link.qos0_bytes;
    while output.len() < limits::MQTT_OUTPUT_FILL_BYTES
        && let Some(delivery) = link.qos0.pop_front()
    {
        link.qos0_bytes -= delivery.message.bytes();
        let publish = outgoing(&delivery, 0, false, now);
        let is_over = delivery.message.expiry_s(now.unix_ms) == Some(0);
        if !is_over && publish.packet_bytes(link.version) <= link.packet_bytes_max {
            write_publish(link.version, &publish, output);
        }
    }
    if link.qos0.is_empty() {
        // The burst is over; ten thousand quiet connections must not keep their largest one.
        link.qos0.shrink_to(0);
    }
    before - link.qos0_bytes
}

fn outgoing(delivery: &Delivery, packet_id: u16, dup: bool, now: Now) -> OutgoingPublish<'_> {
    let message: &Message = &delivery.message;
    OutgoingPublish {
        dup: dup && delivery.qos != Qos::AtMostOnce,
        qos: delivery.qos,
        retain: delivery.retain,
        packet_id,
        topic: message.topic(),
        expiry_s: message.expiry_s(now.unix_ms),
        properties: message.properties(),
        payload: message.payload(),
    }
}
