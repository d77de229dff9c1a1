//! Compression in both directions: HTTP content codings, and ClickHouse's own compressed blocks.
//!
//! A native block is a 16-byte CityHash128 (version 1.0.2) of what follows, a method byte, the compressed size including
//! these 9 bytes, the uncompressed size, and the data. `decompress=1` asks us to read them, `compress=1` to write them.

use std::io::{self, Read, Write};

use flate2::{
    Compression,
    read::{MultiGzDecoder, ZlibDecoder},
    write::{GzEncoder, ZlibEncoder},
};

use crate::limits;

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;

/// A content coding of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Lz4,
    Zstd,
    Gzip,
    Deflate,
}

/// In the order in which we offer them: cheapest first, since both ends are usually one machine.
const CODINGS: [(Coding, &str); 4] = [
    (Coding::Lz4, "lz4"),
    (Coding::Zstd, "zstd"),
    (Coding::Gzip, "gzip"),
    (Coding::Deflate, "deflate"),
];

impl Coding {
    /// The coding named in `Content-Encoding`; `Err` for one that is not known here.
    pub(super) fn named(name: &str) -> Result<Option<Self>, String> {
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || name == "identity" {
            return Ok(None);
        }
        let known = CODINGS
            .iter()
            .find(|(_, known)| *known == name || (name == "x-gzip" && *known == "gzip"));
        known
            .map(|(coding, _)| Some(*coding))
            .ok_or_else(|| format!("unknown content encoding `{name}`"))
    }

    /// The first of ours that `Accept-Encoding` takes.
    pub(super) fn accepted(header: &str) -> Option<Self> {
        let refused = |parameters: &str| {
            let quality = parameters.split(';').find_map(|part| part.trim().strip_prefix("q="));
            quality.is_some_and(|quality| quality.trim().parse() == Ok(0.0))
        };
        let accepts = |name: &str| {
            header.split(',').any(|item| {
                let (item, parameters) = item.split_once(';').unwrap_or((item, ""));
                item.trim().eq_ignore_ascii_case(name) && !refused(parameters)
            })
        };
        CODINGS
            .iter()
            .find(|(_, name)| accepts(name))
            .map(|(coding, _)| *coding)
    }

    pub(super) fn name(self) -> &'static str {
        CODINGS
            .iter()
            .find(|(coding, _)| *coding == self)
            .map_or("identity", |(_, name)| name)
    }

    /// Undoes the coding.
    pub(super) fn decode(self, reader: Box<dyn Read + Send>) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Lz4 => Box::new(Lz4Frames {
                inner: lz4_flex::frame::FrameDecoder::new(reader),
            }),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(reader)?),
            Self::Gzip => Box::new(MultiGzDecoder::new(reader)),
            Self::Deflate => Box::new(ZlibDecoder::new(reader)),
        })
    }
}

/// LZ4 frames one after another: the decoder ends each with a read of nothing, which is not the end of the data.
struct Lz4Frames {
    inner: lz4_flex::frame::FrameDecoder<Box<dyn Read + Send>>,
}

impl Read for Lz4Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Two empty reads in a row: no further frame has begun.
        match self.inner.read(buffer)? {
            0 => self.inner.read(buffer),
            count => Ok(count),
        }
    }
}

/// Reads native compressed blocks. A wrong checksum, size or method is an error, never data.
pub(super) struct NativeBlocks<R> {
    inner: R,
    block: Vec<u8>,
    position: usize,
}

impl<R: Read> NativeBlocks<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            block: Vec::new(),
            position: 0,
        }
    }

    /// `false` at the end of the data.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut checksum = [0; CHECKSUM_BYTES];
        if !read_all_or_nothing(&mut self.inner, &mut checksum)? {
            return Ok(false);
        }
        let mut block = vec![0; HEADER_BYTES];
        self.inner.read_exact(&mut block)?;
        let size = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]) as usize;
        let (method, compressed, plain) = (block[0], size(1), size(5));
        if compressed < HEADER_BYTES || compressed.max(plain) > limits::NATIVE_BLOCK_BYTES_MAX {
            return Err(invalid("a compressed block has an impossible size"));
        }
        block.resize(compressed, 0);
        self.inner.read_exact(&mut block[HEADER_BYTES..])?;
        if native_checksum(&block) != checksum {
            return Err(invalid("a compressed block does not match its checksum"));
        }
        let data = &block[HEADER_BYTES..];
        self.block = match method {
            METHOD_NONE => data.to_vec(),
            METHOD_LZ4 => lz4_flex::block::decompress(data, plain).map_err(|error| invalid(&error.to_string()))?,
            METHOD_ZSTD => zstd::bulk::decompress(data, plain)?,
            _ => return Err(invalid("a compressed block uses a method that is not known here")),
        };
        if self.block.len() != plain {
            return Err(invalid("a compressed block has not the size it claims"));
        }
        self.position = 0;
        Ok(true)
    }
}

impl<R: Read> Read for NativeBlocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.block.len() - self.position);
        buffer[..count].copy_from_slice(&self.block[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

fn read_all_or_nothing(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn native_checksum(block: &[u8]) -> [u8; CHECKSUM_BYTES] {
    // ClickHouse writes the two halves of the hash the other way round.
    cityhash_rs::cityhash_102_128(block).rotate_right(64).to_le_bytes()
}

fn native_block(plain: &[u8], output: &mut Vec<u8>) {
    let data = lz4_flex::block::compress(plain);
    let mut block = Vec::with_capacity(HEADER_BYTES + data.len());
    block.push(METHOD_LZ4);
    // Both sizes are near `NATIVE_BLOCK_BYTES`, far below 4 GiB.
    block.extend_from_slice(
        &u32::try_from(HEADER_BYTES + data.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    block.extend_from_slice(&u32::try_from(plain.len()).unwrap_or(u32::MAX).to_le_bytes());
    block.extend_from_slice(&data);
    output.extend_from_slice(&native_checksum(&block));
    output.append(&mut block);
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_owned())
}

/// Compresses a result on its way out, piece by piece.
pub(super) enum Encoder {
    Plain(Vec<u8>),
    Native { plain: Vec<u8>, output: Vec<u8> },
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
}

/// How a result is to be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compress {
    No,
    NativeBlocks,
    Http(Coding),
}

impl Encoder {
    pub(super) fn new(compress: Compress) -> io::Result<Self> {
        Ok(match compress {
            Compress::No => Self::Plain(Vec::new()),
            Compress::NativeBlocks => Self::Native {
                plain: Vec::new(),
                output: Vec::new(),
            },
            Compress::Http(Coding::Lz4) => Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Compress::Http(Coding::Zstd) => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
            Compress::Http(Coding::Gzip) => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Compress::Http(Coding::Deflate) => Self::Deflate(ZlibEncoder::new(Vec::new(), Compression::fast())),
        })
    }

    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.extend_from_slice(data),
            Self::Native { plain, output } => {
                plain.extend_from_slice(data);
                while plain.len() >= limits::NATIVE_BLOCK_BYTES {
                    let rest = plain.split_off(limits::NATIVE_BLOCK_BYTES);
                    native_block(plain, output);
                    *plain = rest;
                }
            }
            Self::Lz4(encoder) => encoder.write_all(data)?,
            Self::Zstd(encoder) => encoder.write_all(data)?,
            Self::Gzip(encoder) => encoder.write_all(data)?,
            Self::Deflate(encoder) => encoder.write_all(data)?,
        }
        Ok(())
    }

    /// What is ready to be sent.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Plain(output) | Self::Native { output, .. } => output,
            Self::Lz4(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Deflate(encoder) => encoder.get_mut(),
        })
    }

    /// The rest, with the end mark of the coding.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(output) => Ok(output),
            Self::Native { plain, mut output } => {
                if !plain.is_empty() {
                    native_block(&plain, &mut output);
                }
                Ok(output)
            }
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::from),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Deflate(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
