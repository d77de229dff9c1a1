//! A request body, received whole before anything is done with it.
//!
//! An INSERT must not start before its last byte is here: a connection cut in the middle then changes nothing. The first
//! part stays in memory, the rest goes to a file without a name, which disappears with its handle whatever happens.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, Write},
    path::{Path, PathBuf},
};

use http_body_util::BodyExt;
use hyper::body::Body;

use super::fault::{Code, Fault};
use crate::limits;

/// The bytes of a body as they came over the wire.
pub(super) struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    folder: PathBuf,
    bytes: u64,
}

impl Spool {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            memory: Vec::new(),
            file: None,
            folder: folder.to_owned(),
            bytes: 0,
        }
    }

    /// Receives a body to its end. Any fault on the way means that the request never happened.
    pub(super) async fn receive<B>(mut self, mut body: B) -> Result<Self, Fault>
    where
        B: Body<Data = bytes::Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        loop {
            let frame = match tokio::time::timeout(limits::REQUEST_SILENCE_MAX, body.frame()).await {
                Err(_) => {
                    return Err(Fault::new(
                        Code::SOCKET_TIMEOUT,
                        "nothing was received for too long in a request body",
                    ));
                }
                Ok(None) => return Ok(self),
                Ok(Some(Err(error))) => {
                    return Err(Fault::new(
                        Code::INCORRECT_DATA,
                        format!("the request body was cut off: {error}"),
                    ));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(data) = frame.into_data() {
                self = self.push(data).await?;
            }
        }
    }

    async fn push(mut self, data: bytes::Bytes) -> Result<Self, Fault> {
        self.bytes += data.len() as u64;
        if self.bytes > limits::BODY_BYTES_MAX {
            let text = format!("request body over {} bytes: send it in parts", limits::BODY_BYTES_MAX);
            return Err(Fault::new(Code::QUERY_IS_TOO_LARGE, text));
        }
        if self.file.is_none() && self.memory.len() + data.len() <= limits::BODY_MEMORY_BYTES_MAX {
            self.memory.extend_from_slice(&data);
            return Ok(self);
        }
        // Writing to a file blocks, even if mostly in the page cache.
        let written = tokio::task::spawn_blocking(move || self.write(&data).map(|()| self)).await;
        match written {
            Ok(Ok(spool)) => Ok(spool),
            Ok(Err(error)) => Err(Fault::new(
                Code::CANNOT_WRITE_TO_FILE,
                format!("cannot keep the request body on disk: {error}"),
            )),
            Err(_) => Err(Fault::new(
                Code::STD_EXCEPTION,
                "the request body could not be kept on disk",
            )),
        }
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(nameless_file(&self.folder)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(data))
    }

    /// The body from its start.
    pub(super) fn into_reader(self) -> io::Result<Box<dyn Read + Send>> {
        let memory = Cursor::new(self.memory);
        match self.file {
            None => Ok(Box::new(memory)),
            Some(mut file) => {
                file.rewind()?;
                Ok(Box::new(memory.chain(file)))
            }
        }
    }
}

/// A file that is removed from its folder as soon as it is open.
fn nameless_file(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!("meridian-body-{:032x}.tmp", rand::random::<u128>()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
