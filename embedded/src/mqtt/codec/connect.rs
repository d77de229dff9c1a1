//! CONNECT: who a client is, and what it wants kept.

use bytes::Bytes;

use super::{
    Packet, PacketError, Publish, Qos, Version,
    reader::{Reader, Value},
};

/// What a client asks for at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) client_id: String,
    pub(crate) clean_start: bool,
    pub(crate) keep_alive_s: u16,
    /// Life of the session after the connection; `u32::MAX` is without end.
    pub(crate) session_expiry_s: u32,
    /// Messages it takes before it acknowledges one; `None` where it does not say.
    pub(crate) receive_maximum: Option<u16>,
    pub(crate) packet_bytes_max: Option<u32>,
    pub(crate) will: Option<Will>,
}

/// What is published for a client that leaves without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) publish: Publish,
    pub(crate) delay_s: u32,
}

/// Name and password are read over: whoever reaches the port may in.
pub(super) fn read(version: Version, reader: &mut Reader) -> Result<Packet, PacketError> {
    if &reader.binary()?[..] != b"MQTT" {
        return Err(PacketError::Malformed("the name of the protocol"));
    }
    let level = reader.u8()?;
    if level != if version == Version::V4 { 4 } else { 5 } {
        return Err(PacketError::Malformed("the level of the protocol"));
    }
    let flags = reader.u8()?;
    if flags & 1 != 0 {
        return Err(PacketError::Malformed("a reserved flag of CONNECT"));
    }
    let mut connect = Connect {
        client_id: String::new(),
        clean_start: flags & 2 != 0,
        keep_alive_s: reader.u16()?,
        session_expiry_s: 0,
        receive_maximum: None,
        packet_bytes_max: None,
        will: None,
    };
    match version {
        // In the older version one flag says both: where to begin, and whether anything stays.
        Version::V4 if !connect.clean_start => connect.session_expiry_s = u32::MAX,
        Version::V4 => {}
        Version::V5 => read_properties(&mut connect, reader)?,
    }
    connect.client_id = reader.string()?;
    connect.will = read_will(version, flags, reader)?;
    if flags & 0x80 != 0 {
        reader.text()?;
    }
    if flags & 0x40 != 0 {
        reader.binary()?;
    }
    Ok(Packet::Connect(Box::new(connect)))
}

fn read_properties(connect: &mut Connect, reader: &mut Reader) -> Result<(), PacketError> {
    reader.properties(|id, value| {
        match (id, value) {
            (0x11, Value::Number(seconds)) => connect.session_expiry_s = seconds,
            (0x21, Value::Number(0)) => return Err(PacketError::Protocol("a Receive Maximum of 0")),
            (0x21, Value::Number(count)) => connect.receive_maximum = u16::try_from(count).ok(),
            (0x27, Value::Number(0)) => return Err(PacketError::Protocol("a Maximum Packet Size of 0")),
            (0x27, Value::Number(bytes)) => connect.packet_bytes_max = Some(bytes),
            // Aliases towards clients and problem texts are never used, whatever the client allows.
            (0x17 | 0x19 | 0x22 | 0x26, _) => {}
            (0x15 | 0x16, _) => return Err(PacketError::Authentication),
            (_, Value::Number(_) | Value::Bytes) => {
                return Err(PacketError::Protocol("a property that does not belong to CONNECT"));
            }
        }
        Ok(())
    })
}

fn read_will(version: Version, flags: u8, reader: &mut Reader) -> Result<Option<Will>, PacketError> {
    if flags & 4 == 0 {
        return match flags & 0x38 {
            0 => Ok(None),
            _ => Err(PacketError::Malformed("flags of a will without a will")),
        };
    }
    let mut will = Will {
        publish: Publish {
            qos: Qos::from_bits(flags >> 3 & 3).ok_or(PacketError::Malformed("a QoS of 3"))?,
            retain: flags & 0x20 != 0,
            ..Publish::default()
        },
        delay_s: 0,
    };
    if version == Version::V5 {
        let properties = reader.message_properties()?;
        if properties.alias.is_some() {
            return Err(PacketError::Protocol("a topic alias in a will"));
        }
        will.publish.expiry_s = properties.expiry_s;
        will.publish.properties = own(&properties.passed_on);
        will.delay_s = properties.delay_s.unwrap_or(0);
    }
    will.publish.topic = own(&reader.text()?);
    will.publish.payload = own(&reader.binary()?);
    Ok(Some(will))
}

/// A will is kept for as long as the connection: without the rest of the packet.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
