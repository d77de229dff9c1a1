//! The parts that packets are made of, read with every length checked.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::PacketError;

const SHORT: PacketError = PacketError::Malformed("it ends too early");

/// What is left of a packet.
pub(super) struct Reader {
    bytes: Bytes,
}

/// Value of a property, as far as a broker looks at it.
pub(super) enum Value {
    Number(u32),
    Bytes,
}

/// Properties of a message.
pub(super) struct MessageProperties {
    pub(super) alias: Option<u16>,
    pub(super) expiry_s: Option<u32>,
    pub(super) delay_s: Option<u32>,
    pub(super) passed_on: Bytes,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PacketError> {
        self.bytes.try_get_u8().map_err(|_| SHORT)
    }

    pub(super) fn u16(&mut self) -> Result<u16, PacketError> {
        self.bytes.try_get_u16().map_err(|_| SHORT)
    }

    fn u32(&mut self) -> Result<u32, PacketError> {
        self.bytes.try_get_u32().map_err(|_| SHORT)
    }

    pub(super) fn packet_id(&mut self) -> Result<u16, PacketError> {
        match self.u16()? {
            0 => Err(PacketError::Malformed("a packet identifier of 0")),
            packet_id => Ok(packet_id),
        }
    }

    fn variable(&mut self) -> Result<u32, PacketError> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(PacketError::Malformed("a number of more than four bytes"))
    }

    fn take(&mut self, length: usize) -> Result<Bytes, PacketError> {
        match length <= self.bytes.len() {
            true => Ok(self.bytes.split_to(length)),
            false => Err(SHORT),
        }
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, PacketError> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// UTF-8 without the NUL character.
    pub(super) fn text(&mut self) -> Result<Bytes, PacketError> {
        let bytes = self.binary()?;
        match std::str::from_utf8(&bytes) {
            Ok(text) if !text.contains('\0') => Ok(bytes),
            Ok(_) | Err(_) => Err(PacketError::Malformed("a text that is not UTF-8")),
        }
    }

    /// As [`Self::text`], in a string of its own.
    pub(super) fn string(&mut self) -> Result<String, PacketError> {
        let bytes = self.text()?;
        Ok(std::str::from_utf8(&bytes).expect("a text is UTF-8").to_owned())
    }

    fn section(&mut self) -> Result<Self, PacketError> {
        let length = self.variable()?;
        let length = usize::try_from(length).expect("at most 28 bits");
        self.take(length).map(Self::new)
    }

    /// Hands each property to `each`, which says whether it belongs here.
    pub(super) fn properties(
        &mut self,
        mut each: impl FnMut(u8, Value) -> Result<(), PacketError>,
    ) -> Result<(), PacketError> {
        let mut section = self.section()?;
        while !section.is_empty() {
            let id = section.u8()?;
            let value = section.property(id)?;
            each(id, value)?;
        }
        Ok(())
    }

    /// Passes over properties, of which only these may be there.
    pub(super) fn skip_properties(&mut self, allowed: &[u8]) -> Result<(), PacketError> {
        self.properties(|id, _| match allowed.contains(&id) {
            true => Ok(()),
            false => Err(PacketError::Protocol("a property that does not belong to the packet")),
        })
    }

    fn property(&mut self, id: u8) -> Result<Value, PacketError> {
        Ok(match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => Value::Number(self.u8()?.into()),
            0x13 | 0x21..=0x23 => Value::Number(self.u16()?.into()),
            0x02 | 0x11 | 0x18 | 0x27 => Value::Number(self.u32()?),
            0x0b => Value::Number(self.variable()?),
            0x09 | 0x16 => self.binary().map(|_| Value::Bytes)?,
            0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => self.text().map(|_| Value::Bytes)?,
            0x26 => {
                self.text()?;
                self.text()?;
                Value::Bytes
            }
            _ => return Err(PacketError::Malformed("an unknown property")),
        })
    }

    /// Properties of a message or of a will: those for the broker are taken out, the others stay as they are.
    pub(super) fn message_properties(&mut self) -> Result<MessageProperties, PacketError> {
        let mut section = self.section()?;
        let all = section.bytes.clone();
        let mut found = MessageProperties {
            alias: None,
            expiry_s: None,
            delay_s: None,
            passed_on: Bytes::new(),
        };
        let mut kept = BytesMut::new();
        while !section.is_empty() {
            let start = all.len() - section.bytes.len();
            let id = section.u8()?;
            let value = section.property(id)?;
            match (id, value) {
                (0x23, Value::Number(alias)) => found.alias = u16::try_from(alias).ok(),
                (0x02, Value::Number(seconds)) => found.expiry_s = Some(seconds),
                (0x18, Value::Number(seconds)) => found.delay_s = Some(seconds),
                (0x01 | 0x03 | 0x08 | 0x09 | 0x26, _) => {
                    kept.put_slice(&all[start..all.len() - section.bytes.len()]);
                }
                (0x0b, _) => return Err(PacketError::Protocol("a subscription identifier in a message")),
                (_, Value::Number(_) | Value::Bytes) => {
                    return Err(PacketError::Protocol("a property that does not belong to a message"));
                }
            }
        }
        found.passed_on = kept.freeze();
        Ok(found)
    }
}
