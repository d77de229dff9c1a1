//! One entry of the log, as bytes.
//!
//! Layout: length of the body (4 bytes), checksum of the body (4 bytes, the low half of its xxh3), body. Numbers are
//! little-endian. The first byte of a body says what it is; its values must never change their meaning.

use xxhash_rust::xxh3::xxh3_64;

/// Length and checksum before each body.
pub(crate) const HEADER_BYTES: usize = 8;

/// A message, with whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageRecord<'a> {
    pub(crate) offset: u64,
    /// Time after which it is not delivered any more; 0: never.
    pub(crate) expires_unix_ms: u64,
    /// Session and packet identifier of a publisher with QoS 2 whose session lasts; the session is 0 for others.
    pub(crate) publisher: (u64, u16),
    pub(crate) targets: Targets<'a>,
    pub(crate) topic: &'a [u8],
    pub(crate) properties: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// A session that a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) session: u64,
    /// Two bits of QoS, one of the retain flag.
    pub(crate) flags: u8,
}

/// The sessions that a message is for: still as bytes in what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Targets<'a> {
    List(&'a [Target]),
    Encoded(&'a [u8]),
}

const TARGET_BYTES: usize = 9;

impl Targets<'_> {
    /// One after the other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Target> {
        let (list, encoded) = match self {
            Self::List(list) => (*list, &[][..]),
            Self::Encoded(bytes) => (&[][..], *bytes),
        };
        let decoded = encoded.chunks_exact(TARGET_BYTES).map(|chunk| Target {
            session: u64::from_le_bytes(chunk[..8].try_into().expect("eight of nine bytes")),
            flags: chunk[8],
        });
        list.iter().copied().chain(decoded)
    }

    fn count(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Encoded(bytes) => bytes.len() / TARGET_BYTES,
        }
    }
}

/// What a session is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionRecord<'a> {
    pub(crate) id: u64,
    pub(crate) client_id: &'a str,
    pub(crate) expiry_s: u32,
    /// Its client is connected, and may be sent more than this log knows of.
    pub(crate) attached: bool,
    pub(crate) position: Position,
    /// Messages below this offset may have been sent before.
    pub(crate) sent_below: u64,
}

/// How far a session has come: everything below the offset is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: u64,
    /// Messages that the session was given before; its packet identifiers follow from it.
    pub(crate) ordinal: u64,
}

/// Everything that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// Begins a segment; the state of all sessions follows, up to [`Record::HeadEnd`].
    Head {
        next_offset: u64,
        next_session: u64,
    },
    HeadEnd,
    Message(MessageRecord<'a>),
    Session(SessionRecord<'a>),
    Ended {
        session: u64,
    },
    Subscribed {
        session: u64,
        filter: &'a str,
        options: u8,
    },
    Unsubscribed {
        session: u64,
        filter: &'a str,
    },
    Position {
        session: u64,
        position: Position,
    },
    /// A publisher's message of QoS 2 that it has not released yet.
    Receiving {
        session: u64,
        packet_id: u16,
    },
    Released {
        session: u64,
        packet_id: u16,
    },
    /// A subscriber has this message of QoS 2.
    Confirmed {
        session: u64,
        ordinal: u64,
    },
    /// The retained message of a topic; an empty payload removes it.
    Retained {
        qos: u8,
        expires_unix_ms: u64,
        topic: &'a [u8],
        properties: &'a [u8],
        payload: &'a [u8],
    },
    /// The broker stopped in peace: positions are exact.
    Closed,
}

/// The bytes are no record: the end of what was written, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Torn;

impl<'a> Record<'a> {
    /// Appends the record to the buffer.
    pub(crate) fn write(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.extend_from_slice(&[0; HEADER_BYTES]);
        self.write_body(buffer);
        let body = &buffer[start + HEADER_BYTES..];
        let length = u32::try_from(body.len()).expect("packets are bounded far below");
        let check = checksum(body);
        buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
        buffer[start + 4..start + HEADER_BYTES].copy_from_slice(&check.to_le_bytes());
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Head {
                next_offset,
                next_session,
            } => put(out, 1, &[*next_offset, *next_session]),
            Self::HeadEnd => out.push(2),
            Self::Message(message) => write_message(message, out),
            Self::Session(session) => {
                let SessionRecord { id, position, .. } = *session;
                put(out, 4, &[id, position.offset, position.ordinal, session.sent_below]);
                out.extend_from_slice(&session.expiry_s.to_le_bytes());
                out.push(session.attached.into());
                out.extend_from_slice(session.client_id.as_bytes());
            }
            Self::Ended { session } => put(out, 5, &[*session]),
            Self::Subscribed {
                session,
                filter,
                options,
            } => {
                put(out, 6, &[*session]);
                out.push(*options);
                out.extend_from_slice(filter.as_bytes());
            }
            Self::Unsubscribed { session, filter } => {
                put(out, 7, &[*session]);
                out.extend_from_slice(filter.as_bytes());
            }
            Self::Position { session, position } => put(out, 8, &[*session, position.offset, position.ordinal]),
            Self::Receiving { session, packet_id } => put_with_id(out, 9, *session, *packet_id),
            Self::Released { session, packet_id } => put_with_id(out, 10, *session, *packet_id),
            Self::Confirmed { session, ordinal } => put(out, 11, &[*session, *ordinal]),
            Self::Retained {
                qos,
                expires_unix_ms,
                topic,
                properties,
                payload,
            } => {
                put(out, 12, &[*expires_unix_ms]);
                out.push(*qos);
                put_bytes(out, topic);
                put_bytes(out, properties);
                out.extend_from_slice(payload);
            }
            Self::Closed => out.push(13),
        }
    }

    /// The record at the start of the bytes, and how many of them it takes. `Ok(None)` where there are no more bytes.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, Torn> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(Torn)?;
        let mut header = Input(header);
        let length = header.u32()? as usize;
        let check = header.u32()?;
        let body = rest.get(..length).ok_or(Torn)?;
        if body.is_empty() || checksum(body) != check {
            return Err(Torn);
        }
        Ok(Some((Self::read_body(body)?, HEADER_BYTES + length)))
    }

    fn read_body(body: &'a [u8]) -> Result<Self, Torn> {
        let mut input = Input(body);
        Ok(match input.u8()? {
            1 => Self::Head {
                next_offset: input.u64()?,
                next_session: input.u64()?,
            },
            2 => Self::HeadEnd,
            3 => Self::Message(read_message(&mut input)?),
            4 => {
                let (id, position) = (input.u64()?, input.position()?);
                Self::Session(SessionRecord {
                    id,
                    position,
                    sent_below: input.u64()?,
                    expiry_s: input.u32()?,
                    attached: input.u8()? != 0,
                    client_id: input.text()?,
                })
            }
            5 => Self::Ended { session: input.u64()? },
            6 => Self::Subscribed {
                session: input.u64()?,
                options: input.u8()?,
                filter: input.text()?,
            },
            7 => Self::Unsubscribed {
                session: input.u64()?,
                filter: input.text()?,
            },
            8 => Self::Position {
                session: input.u64()?,
                position: input.position()?,
            },
            9 => Self::Receiving {
                session: input.u64()?,
                packet_id: input.u16()?,
            },
            10 => Self::Released {
                session: input.u64()?,
                packet_id: input.u16()?,
            },
            11 => Self::Confirmed {
                session: input.u64()?,
                ordinal: input.u64()?,
            },
            12 => {
                let (expires_unix_ms, qos) = (input.u64()?, input.u8()?);
                Self::Retained {
                    qos,
                    expires_unix_ms,
                    topic: input.bytes()?,
                    properties: input.bytes()?,
                    payload: input.rest(),
                }
            }
            13 => Self::Closed,
            _ => return Err(Torn),
        })
    }
}

fn write_message(message: &MessageRecord<'_>, out: &mut Vec<u8>) {
    put(out, 3, &[message.offset, message.expires_unix_ms, message.publisher.0]);
    out.extend_from_slice(&message.publisher.1.to_le_bytes());
    put_length(out, message.targets.count() * TARGET_BYTES);
    for target in message.targets.iter() {
        out.extend_from_slice(&target.session.to_le_bytes());
        out.push(target.flags);
    }
    put_bytes(out, message.topic);
    put_bytes(out, message.properties);
    out.extend_from_slice(message.payload);
}

fn read_message<'a>(input: &mut Input<'a>) -> Result<MessageRecord<'a>, Torn> {
    let (offset, expires_unix_ms) = (input.u64()?, input.u64()?);
    Ok(MessageRecord {
        offset,
        expires_unix_ms,
        publisher: (input.u64()?, input.u16()?),
        targets: Targets::Encoded(input.bytes()?),
        topic: input.bytes()?,
        properties: input.bytes()?,
        payload: input.rest(),
    })
}

fn checksum(body: &[u8]) -> u32 {
    // Half of it tells a record from garbage in four billion cases but one.
    xxh3_64(body) as u32
}

fn put(out: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    out.push(kind);
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn put_with_id(out: &mut Vec<u8>, kind: u8, session: u64, packet_id: u16) {
    put(out, kind, &[session]);
    out.extend_from_slice(&packet_id.to_le_bytes());
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("packets are bounded far below");
    out.extend_from_slice(&length.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// What is left of a body.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Torn> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Torn)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Torn> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many as taken"))
    }

    fn u8(&mut self) -> Result<u8, Torn> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Torn> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Torn> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Torn> {
        self.array().map(u64::from_le_bytes)
    }

    fn position(&mut self) -> Result<Position, Torn> {
        Ok(Position {
            offset: self.u64()?,
            ordinal: self.u64()?,
        })
    }

    fn bytes(&mut self) -> Result<&'a [u8], Torn> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn text(&mut self) -> Result<&'a str, Torn> {
        std::str::from_utf8(self.rest()).map_err(|_| Torn)
    }
}
