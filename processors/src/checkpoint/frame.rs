//! The bytes of a checkpoint: a frame that tells a whole one from a torn, damaged or foreign one.
//!
//! Layout, little endian: magic (8 bytes), format (u16), incarnation (u16), offset (u64), reach (u64; not in format 1),
//! length of the state (u64), the state as one zstd frame, checksum of everything before it (XXH3, u64). Must never
//! accept bytes whose checksum does not hold: a wrong state counts events twice or not at all.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::limits::{CHECKPOINT_COMPRESSION_LEVEL, CHECKPOINT_STATE_BYTES_MAX};

const MAGIC: [u8; 8] = *b"MERIDCKP";
const FORMAT: u16 = 2;
/// Without a reach.
const FORMAT_1: u16 = 1;
const HEADER_BYTES: usize = 8 + 2 + 2 + 8 + 8 + 8;
const HEADER_1_BYTES: usize = 8 + 2 + 2 + 8 + 8;
const CHECKSUM_BYTES: usize = 8;

/// The state of one partition at one offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Offset of the next record to apply.
    pub offset: u64,
    /// Until the next checkpoint, its owner writes no row of a record from here on. `None`: a version wrote it that knew
    /// no such bound.
    pub reach: Option<u64>,
    /// Incarnation of the state, as given to `Task::new`: readable without understanding the state.
    pub incarnation: u16,
    /// What `Task::checkpoint` returned.
    pub state: Vec<u8>,
}

/// Why bytes are not a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than any checkpoint, or the checksum does not hold.
    #[error("it is torn or damaged")]
    Damaged,
    /// Whole, but not written by us.
    #[error("it is no checkpoint of meridian")]
    Foreign,
    /// Written by a version with another format.
    #[error("it has format {0}, and this version reads formats up to {FORMAT}")]
    UnknownFormat(u16),
}

impl Checkpoint {
    /// The frame. Compresses: call it where computing is welcome. Without a reach, the checkpoint reaches no further than
    /// its offset.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let body = zstd::bulk::compress(&self.state, CHECKPOINT_COMPRESSION_LEVEL)
            .expect("compressing memory into memory fails only without memory");
        let mut frame = Vec::with_capacity(HEADER_BYTES + body.len() + CHECKSUM_BYTES);
        frame.extend_from_slice(&MAGIC);
        frame.extend_from_slice(&FORMAT.to_le_bytes());
        frame.extend_from_slice(&self.incarnation.to_le_bytes());
        frame.extend_from_slice(&self.offset.to_le_bytes());
        frame.extend_from_slice(&self.reach.unwrap_or(self.offset).to_le_bytes());
        frame.extend_from_slice(&(self.state.len() as u64).to_le_bytes());
        frame.extend_from_slice(&body);
        let checksum = xxh3_64(&frame);
        frame.extend_from_slice(&checksum.to_le_bytes());
        frame.into()
    }

    /// Reads a frame back.
    ///
    /// # Errors
    /// [`FrameError`]; a damaged frame is told apart from a whole one that we cannot read.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let content_bytes = frame.len().checked_sub(CHECKSUM_BYTES);
        let (content, checksum) = frame.split_at(content_bytes.ok_or(FrameError::Damaged)?);
        if content.len() < HEADER_1_BYTES || xxh3_64(content).to_le_bytes() != checksum {
            return Err(FrameError::Damaged);
        }
        if content[..8] != MAGIC {
            return Err(FrameError::Foreign);
        }
        let header_bytes = match u16::from_le_bytes(array(&content[8..10])) {
            FORMAT => HEADER_BYTES,
            FORMAT_1 => HEADER_1_BYTES,
            other => return Err(FrameError::UnknownFormat(other)),
        };
        let (header, body) = content.split_at_checked(header_bytes).ok_or(FrameError::Damaged)?;
        let state_bytes = u64::from_le_bytes(array(&header[header_bytes - 8..]));
        let state_bytes = usize::try_from(state_bytes).map_err(|_| FrameError::Damaged)?;
        if state_bytes > CHECKPOINT_STATE_BYTES_MAX {
            return Err(FrameError::Damaged);
        }
        let state = zstd::bulk::decompress(body, state_bytes).map_err(|_| FrameError::Damaged)?;
        if state.len() != state_bytes {
            return Err(FrameError::Damaged);
        }
        Ok(Self {
            offset: u64::from_le_bytes(array(&header[12..20])),
            reach: (header_bytes == HEADER_BYTES).then(|| u64::from_le_bytes(array(&header[20..28]))),
            incarnation: u16::from_le_bytes(array(&header[10..12])),
            state,
        })
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller slices exactly this many bytes")
}
