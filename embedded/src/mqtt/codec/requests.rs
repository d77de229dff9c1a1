//! SUBSCRIBE, UNSUBSCRIBE and DISCONNECT.

use super::{
    Packet, PacketError, Qos, Version,
    reader::{Reader, Value},
    reason,
};

/// When a new subscription is answered with retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RetainHandling {
    #[default]
    Always,
    OnlyIfNew,
    Never,
}

/// How a subscriber wants its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SubscriptionOptions {
    pub(crate) qos: Qos,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
}

impl SubscriptionOptions {
    /// As on the wire of MQTT 5.
    pub(crate) fn bits(self) -> u8 {
        self.qos as u8 | u8::from(self.no_local) << 2 | u8::from(self.retain_as_published) << 3
    }

    /// The other way round; `None` for bits that mean nothing.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        Some(Self {
            qos: Qos::from_bits(bits & 3)?,
            no_local: bits & 4 != 0,
            retain_as_published: bits & 8 != 0,
        })
    }
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) path: String,
    pub(crate) options: SubscriptionOptions,
    pub(crate) retain_handling: RetainHandling,
}

/// SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscribe {
    pub(crate) packet_id: u16,
    pub(crate) filters: Vec<Filter>,
}

/// UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unsubscribe {
    pub(crate) packet_id: u16,
    pub(crate) filters: Vec<String>,
}

/// DISCONNECT of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disconnect {
    pub(crate) reason: u8,
    pub(crate) session_expiry_s: Option<u32>,
}

pub(super) fn read_subscribe(version: Version, reader: &mut Reader) -> Result<Packet, PacketError> {
    let packet_id = reader.packet_id()?;
    if version == Version::V5 {
        reader.properties(|id, _| match id {
            0x26 => Ok(()),
            0x0b => Err(PacketError::SubscriptionId),
            _ => Err(PacketError::Protocol("a property that does not belong to SUBSCRIBE")),
        })?;
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let path = reader.string()?;
        let bits = reader.u8()?;
        let retain_handling = match bits >> 4 & 3 {
            0 => RetainHandling::Always,
            1 => RetainHandling::OnlyIfNew,
            2 => RetainHandling::Never,
            _ => return Err(PacketError::Protocol("retain handling of 3")),
        };
        let reserved = if version == Version::V4 { 0xfc } else { 0xc0 };
        let options = SubscriptionOptions::from_bits(bits).filter(|_| bits & reserved == 0);
        filters.push(Filter {
            path,
            options: options.ok_or(PacketError::Malformed("options of a subscription"))?,
            retain_handling,
        });
    }
    match filters.is_empty() {
        false => Ok(Packet::Subscribe(Subscribe { packet_id, filters })),
        true => Err(PacketError::Protocol("SUBSCRIBE without a filter")),
    }
}

pub(super) fn read_unsubscribe(version: Version, reader: &mut Reader) -> Result<Packet, PacketError> {
    let packet_id = reader.packet_id()?;
    if version == Version::V5 {
        reader.skip_properties(&[0x26])?;
    }
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.string()?);
    }
    match filters.is_empty() {
        false => Ok(Packet::Unsubscribe(Unsubscribe { packet_id, filters })),
        true => Err(PacketError::Protocol("UNSUBSCRIBE without a filter")),
    }
}

pub(super) fn read_disconnect(version: Version, reader: &mut Reader) -> Result<Packet, PacketError> {
    let mut disconnect = Disconnect {
        reason: reason::SUCCESS,
        session_expiry_s: None,
    };
    if version == Version::V5 && !reader.is_empty() {
        disconnect.reason = reader.u8()?;
        if !reader.is_empty() {
            reader.properties(|id, value| {
                match (id, value) {
                    (0x11, Value::Number(seconds)) => disconnect.session_expiry_s = Some(seconds),
                    (0x1f | 0x26, _) => {}
                    (_, Value::Number(_) | Value::Bytes) => {
                        return Err(PacketError::Protocol("a property that does not belong to DISCONNECT"));
                    }
                }
                Ok(())
            })?;
        }
    }
    Ok(Packet::Disconnect(disconnect))
}
