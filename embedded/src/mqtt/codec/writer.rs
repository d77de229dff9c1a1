//! What the broker says, in the version of its reader.

use bytes::{BufMut, BytesMut};

use super::{Qos, Step, Version, reason};

/// Answer to CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnAck {
    pub(crate) session_present: bool,
    pub(crate) reason: u8,
    /// Where the client left the choice to the broker.
    pub(crate) assigned_client_id: Option<String>,
    pub(crate) receive_maximum: u16,
    pub(crate) packet_bytes_max: u32,
    pub(crate) topic_aliases_max: u16,
}

/// A message on its way to a subscriber.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutgoingPublish<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    pub(crate) packet_id: u16,
    pub(crate) topic: &'a [u8],
    pub(crate) expiry_s: Option<u32>,
    pub(crate) properties: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl OutgoingPublish<'_> {
    fn properties_bytes(&self) -> usize {
        self.properties.len() + if self.expiry_s.is_some() { 5 } else { 0 }
    }

    fn body_bytes(&self, version: Version) -> usize {
        let packet_id = if self.qos == Qos::AtMostOnce { 0 } else { 2 };
        let properties = match version {
            Version::V4 => 0,
            Version::V5 => variable_bytes(self.properties_bytes()) + self.properties_bytes(),
        };
        2 + self.topic.len() + packet_id + properties + self.payload.len()
    }

    /// Size of the whole packet.
    pub(crate) fn packet_bytes(&self, version: Version) -> usize {
        let body = self.body_bytes(version);
        1 + variable_bytes(body) + body
    }
}

/// PUBLISH.
pub(crate) fn write_publish(version: Version, publish: &OutgoingPublish<'_>, output: &mut BytesMut) {
    output.reserve(publish.packet_bytes(version));
    output.put_u8(0x30 | u8::from(publish.dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain));
    put_variable(output, publish.body_bytes(version));
    put_bytes(output, publish.topic);
    if publish.qos != Qos::AtMostOnce {
        output.put_u16(publish.packet_id);
    }
    if version == Version::V5 {
        put_variable(output, publish.properties_bytes());
        if let Some(seconds) = publish.expiry_s {
            output.put_u8(0x02);
            output.put_u32(seconds);
        }
        output.put_slice(publish.properties);
    }
    output.put_slice(publish.payload);
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
pub(crate) fn write_acknowledgement(version: Version, step: Step, packet_id: u16, reason: u8, output: &mut BytesMut) {
    output.put_u8(match step {
        Step::PubAck => 0x40,
        Step::PubRec => 0x50,
        Step::PubRel => 0x62,
        Step::PubComp => 0x70,
    });
    let says_why = version == Version::V5 && reason != reason::SUCCESS;
    output.put_u8(if says_why { 3 } else { 2 });
    output.put_u16(packet_id);
    if says_why {
        output.put_u8(reason);
    }
}

/// CONNACK.
pub(crate) fn write_connack(version: Version, connack: &ConnAck, output: &mut BytesMut) {
    output.put_u8(0x20);
    if version == Version::V4 {
        output.put_slice(&[2, connack.session_present.into(), connect_return_code(connack.reason)]);
        return;
    }
    let mut properties = BytesMut::new();
    if connack.reason == reason::SUCCESS {
        properties.put_u8(0x21);
        properties.put_u16(connack.receive_maximum);
        properties.put_u8(0x27);
        properties.put_u32(connack.packet_bytes_max);
        properties.put_u8(0x22);
        properties.put_u16(connack.topic_aliases_max);
        if let Some(client_id) = &connack.assigned_client_id {
            properties.put_u8(0x12);
            put_bytes(&mut properties, client_id.as_bytes());
        }
        // Neither subscription identifiers nor shared subscriptions.
        properties.put_slice(&[0x29, 0, 0x2a, 0]);
    }
    put_variable(output, 2 + variable_bytes(properties.len()) + properties.len());
    output.put_slice(&[connack.session_present.into(), connack.reason]);
    put_variable(output, properties.len());
    output.put_slice(&properties);
}

/// MQTT 3.1.1 has six answers to CONNECT.
fn connect_return_code(reason: u8) -> u8 {
    match reason {
        reason::SUCCESS => 0,
        reason::UNSUPPORTED_VERSION => 1,
        reason::CLIENT_ID_INVALID => 2,
        _ => 3,
    }
}

/// SUBACK, or UNSUBACK, which has no reasons in MQTT 3.1.1.
pub(crate) fn write_reasons(version: Version, is_suback: bool, packet_id: u16, reasons: &[u8], output: &mut BytesMut) {
    output.put_u8(if is_suback { 0x90 } else { 0xb0 });
    let reasons_bytes = if version == Version::V4 && !is_suback {
        0
    } else {
        reasons.len()
    };
    let properties_bytes = usize::from(version == Version::V5);
    put_variable(output, 2 + properties_bytes + reasons_bytes);
    output.put_u16(packet_id);
    if version == Version::V5 {
        output.put_u8(0);
    }
    for reason in &reasons[..reasons_bytes] {
        // The older version knows one failure.
        let failed = version == Version::V4 && *reason >= reason::UNSPECIFIED;
        output.put_u8(if failed { reason::UNSPECIFIED } else { *reason });
    }
}

/// PINGRESP.
pub(crate) fn write_pingresp(output: &mut BytesMut) {
    output.put_slice(&[0xd0, 0]);
}

/// DISCONNECT, which brokers say in MQTT 5 only.
pub(crate) fn write_disconnect(version: Version, reason: u8, output: &mut BytesMut) {
    if version == Version::V5 {
        output.put_slice(&[0xe0, 2, reason, 0]);
    }
}

fn put_bytes(output: &mut BytesMut, bytes: &[u8]) {
    output.put_u16(u16::try_from(bytes.len()).expect("texts come from packets, where they are this short"));
    output.put_slice(bytes);
}

fn variable_bytes(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn put_variable(output: &mut BytesMut, mut value: usize) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        output.put_u8(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}
