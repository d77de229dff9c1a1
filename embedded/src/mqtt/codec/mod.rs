//! Packets of MQTT 3.1.1 and 5 as a broker meets them: what clients send is read, what the broker says is written.
//!
//! Properties of a message that only its readers understand travel as the bytes they came as. Must never panic on
//! what a client sends, and never take more memory than the packet itself.

mod connect;
mod reader;
mod requests;
mod writer;

#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes, BytesMut};

use self::reader::Reader;
pub(super) use self::{
    connect::{Connect, Will},
    requests::{Disconnect, Filter, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe},
    writer::{
        ConnAck, OutgoingPublish, write_acknowledgement, write_connack, write_disconnect, write_pingresp,
        write_publish, write_reasons,
    },
};

/// Version of MQTT that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V5,
}

/// How often a message may arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::enum_variant_names, reason = "the names of the specification")]
pub(super) enum Qos {
    #[default]
    AtMostOnce,
    AtLeastOnce,
    ExactlyOnce,
}

impl Qos {
    /// From its two bits on the wire.
    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// Reason codes of MQTT 5 that this broker uses. MQTT 3.1.1 sees the few that it has a number for.
pub(super) mod reason {
    pub(crate) const SUCCESS: u8 = 0x00;
    pub(crate) const DISCONNECT_WITH_WILL: u8 = 0x04;
    pub(crate) const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;
    pub(crate) const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
    pub(crate) const UNSPECIFIED: u8 = 0x80;
    pub(crate) const MALFORMED: u8 = 0x81;
    pub(crate) const PROTOCOL_ERROR: u8 = 0x82;
    pub(crate) const UNSUPPORTED_VERSION: u8 = 0x84;
    pub(crate) const CLIENT_ID_INVALID: u8 = 0x85;
    pub(crate) const SERVER_SHUTTING_DOWN: u8 = 0x8B;
    pub(crate) const BAD_AUTHENTICATION_METHOD: u8 = 0x8C;
    pub(crate) const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
    pub(crate) const TAKEN_OVER: u8 = 0x8E;
    pub(crate) const FILTER_INVALID: u8 = 0x8F;
    pub(crate) const TOPIC_INVALID: u8 = 0x90;
    pub(crate) const PACKET_ID_NOT_FOUND: u8 = 0x92;
    pub(crate) const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
    pub(crate) const TOPIC_ALIAS_INVALID: u8 = 0x94;
    pub(crate) const PACKET_TOO_LARGE: u8 = 0x95;
    pub(crate) const QUOTA_EXCEEDED: u8 = 0x97;
    pub(crate) const SHARED_NOT_SUPPORTED: u8 = 0x9E;
    pub(crate) const SUBSCRIPTION_ID_NOT_SUPPORTED: u8 = 0xA1;
}

/// What is wrong with the bytes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PacketError {
    #[error("a packet that is not MQTT: {0}")]
    Malformed(&'static str),
    #[error("a packet that is not allowed here: {0}")]
    Protocol(&'static str),
    #[error("a packet larger than this broker takes")]
    TooLarge,
    #[error("a subscription identifier, which this broker said it does not keep")]
    SubscriptionId,
    #[error("an authentication method, of which this broker has none")]
    Authentication,
}

impl PacketError {
    /// How MQTT 5 names it.
    pub(super) fn reason(self) -> u8 {
        match self {
            Self::Malformed(_) => reason::MALFORMED,
            Self::Protocol(_) => reason::PROTOCOL_ERROR,
            Self::TooLarge => reason::PACKET_TOO_LARGE,
            Self::SubscriptionId => reason::SUBSCRIPTION_ID_NOT_SUPPORTED,
            Self::Authentication => reason::BAD_AUTHENTICATION_METHOD,
        }
    }
}

/// The four packets that say how far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names, reason = "the names of the specification")]
pub(super) enum Step {
    /// QoS 1: taken over.
    PubAck,
    /// QoS 2: received.
    PubRec,
    /// QoS 2: may be passed on and forgotten.
    PubRel,
    /// QoS 2: forgotten.
    PubComp,
}

/// A message from a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) dup: bool,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// 0 for QoS 0.
    pub(super) packet_id: u16,
    /// Empty where an alias stands for it.
    pub(super) topic: Bytes,
    pub(super) alias: Option<u16>,
    pub(super) expiry_s: Option<u32>,
    /// Encoded properties that are passed on as they are.
    pub(super) properties: Bytes,
    pub(super) payload: Bytes,
}

/// A packet from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Connect(Box<Connect>),
    Publish(Publish),
    Acknowledgement { step: Step, packet_id: u16, reason: u8 },
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
    PingReq,
    Disconnect(Disconnect),
}

/// Takes one packet off the buffer; `None`: it is not complete yet.
pub(super) fn read(
    version: Version,
    buffer: &mut BytesMut,
    packet_bytes_max: usize,
) -> Result<Option<Packet>, PacketError> {
    let Some((first, body)) = frame(buffer, packet_bytes_max)? else {
        return Ok(None);
    };
    let mut reader = Reader::new(body);
    let flags = first & 0x0f;
    let expected = |wanted: u8| match flags == wanted {
        true => Ok(()),
        false => Err(PacketError::Malformed("flags of the fixed header")),
    };
    let packet = match first >> 4 {
        1 => expected(0).and_then(|()| connect::read(version, &mut reader))?,
        3 => Packet::Publish(read_publish(version, flags, &mut reader)?),
        4 => expected(0).and_then(|()| read_acknowledgement(version, Step::PubAck, &mut reader))?,
        5 => expected(0).and_then(|()| read_acknowledgement(version, Step::PubRec, &mut reader))?,
        6 => expected(2).and_then(|()| read_acknowledgement(version, Step::PubRel, &mut reader))?,
        7 => expected(0).and_then(|()| read_acknowledgement(version, Step::PubComp, &mut reader))?,
        8 => expected(2).and_then(|()| requests::read_subscribe(version, &mut reader))?,
        10 => expected(2).and_then(|()| requests::read_unsubscribe(version, &mut reader))?,
        12 => expected(0).map(|()| Packet::PingReq)?,
        14 => expected(0).and_then(|()| requests::read_disconnect(version, &mut reader))?,
        15 => return Err(PacketError::Authentication),
        _ => return Err(PacketError::Protocol("a kind that only brokers send")),
    };
    match reader.is_empty() {
        true => Ok(Some(packet)),
        false => Err(PacketError::Malformed("bytes after the end of the packet")),
    }
}

/// Cuts the bytes of one packet off the buffer: its first byte, and what follows the length.
fn frame(buffer: &mut BytesMut, packet_bytes_max: usize) -> Result<Option<(u8, Bytes)>, PacketError> {
    let Some((&first, rest)) = buffer.split_first() else {
        return Ok(None);
    };
    let mut length = 0_usize;
    let mut header_bytes = 1;
    loop {
        let Some(&byte) = rest.get(header_bytes - 1) else {
            return match header_bytes > 4 {
                true => Err(PacketError::Malformed("a length of more than four bytes")),
                false => Ok(None),
            };
        };
        if header_bytes > 4 {
            return Err(PacketError::Malformed("a length of more than four bytes"));
        }
        length |= usize::from(byte & 0x7f) << (7 * (header_bytes - 1));
        header_bytes += 1;
        if byte < 0x80 {
            break;
        }
    }
    if header_bytes + length > packet_bytes_max {
        return Err(PacketError::TooLarge);
    }
    if buffer.len() < header_bytes + length {
        return Ok(None);
    }
    let mut packet = buffer.split_to(header_bytes + length).freeze();
    packet.advance(header_bytes);
    Ok(Some((first, packet)))
}

fn read_publish(version: Version, flags: u8, reader: &mut Reader) -> Result<Publish, PacketError> {
    let qos = Qos::from_bits(flags >> 1 & 3).ok_or(PacketError::Malformed("a QoS of 3"))?;
    let dup = flags & 8 != 0;
    if dup && qos == Qos::AtMostOnce {
        return Err(PacketError::Malformed("DUP on QoS 0"));
    }
    let mut publish = Publish {
        dup,
        qos,
        retain: flags & 1 != 0,
        topic: reader.text()?,
        ..Publish::default()
    };
    if qos != Qos::AtMostOnce {
        publish.packet_id = reader.packet_id()?;
    }
    if version == Version::V5 {
        let properties = reader.message_properties()?;
        publish.alias = properties.alias;
        publish.expiry_s = properties.expiry_s;
        publish.properties = properties.passed_on;
    }
    publish.payload = reader.rest();
    Ok(publish)
}

fn read_acknowledgement(version: Version, step: Step, reader: &mut Reader) -> Result<Packet, PacketError> {
    let packet_id = reader.packet_id()?;
    let mut reason = reason::SUCCESS;
    if version == Version::V5 && !reader.is_empty() {
        reason = reader.u8()?;
        if !reader.is_empty() {
            reader.skip_properties(&[0x1f, 0x26])?;
        }
    }
    Ok(Packet::Acknowledgement {
        step,
        packet_id,
        reason,
    })
}
