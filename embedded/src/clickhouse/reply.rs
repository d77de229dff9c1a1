//! The answer to one request on its way from the engine's thread to the socket.
//!
//! The head is held back until a megabyte is ready or the result is complete: until then a fault still gets its proper
//! status. After that a fault is told in the body, in the form newer servers use, and the connection is cut, so that no
//! client takes half a result for a whole one. A slow reader stops the engine; one that left ends the query.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{self, HeaderValue},
};
use tokio::sync::mpsc;

use super::{
    codec::{Compress, Encoder},
    fault::{Code, Fault},
    flush::Flushed,
    formats,
    library::Counters,
};
use crate::limits;

/// One step of an answer.
pub(super) enum Piece {
    Head(Box<Head>),
    Data(Bytes),
    /// The result broke off: the connection must not end properly.
    Cut,
}

/// What the response's head says.
#[derive(Debug)]
pub(super) struct Head {
    status: StatusCode,
    media_type: &'static str,
    format: Option<String>,
    encoding: Option<&'static str>,
    exception_code: Option<u32>,
    exception_tag: Option<String>,
    summary: String,
    query_id: String,
}

/// The reader left: no use in going on.
#[derive(Debug)]
pub(super) struct Gone;

/// Where a statement writes its result.
pub(super) struct Reply {
    sender: mpsc::Sender<Piece>,
    query_id: String,
    version: String,
    compress: Compress,
    format: String,
    encoder: Option<Encoder>,
    ready: Vec<u8>,
    tag: Option<String>,
    counters: Counters,
    started: std::time::Instant,
}

impl Reply {
    pub(super) fn new(sender: mpsc::Sender<Piece>, query_id: String, version: String, compress: Compress) -> Self {
        Self {
            sender,
            query_id,
            version,
            compress,
            format: String::new(),
            encoder: None,
            ready: Vec::new(),
            tag: None,
            counters: Counters::default(),
            started: std::time::Instant::now(),
        }
    }

    pub(super) fn set_format(&mut self, format: &str) {
        format.clone_into(&mut self.format);
    }

    pub(super) fn count(&mut self, counters: Counters) {
        self.counters.result_rows += counters.result_rows;
        self.counters.read_rows += counters.read_rows;
        self.counters.read_bytes += counters.read_bytes;
        self.counters.written_rows += counters.written_rows;
        self.counters.written_bytes += counters.written_bytes;
    }

    /// Adds a part of the result.
    pub(super) fn write(&mut self, data: &[u8]) -> Result<(), Gone> {
        for part in data.chunks(limits::RESULT_PIECE_BYTES) {
            if self.encode(part).is_err() {
                return Err(Gone);
            }
            if self.ready.len() >= limits::RESULT_PIECE_BYTES {
                self.send_ready(false)?;
            }
        }
        Ok(())
    }

    fn encode(&mut self, data: &[u8]) -> std::io::Result<()> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            None => self.encoder.insert(Encoder::new(self.compress)?),
        };
        encoder.write(data)?;
        self.ready.append(&mut encoder.take());
        Ok(())
    }

    /// Ends a complete result.
    pub(super) fn finish(mut self) -> Result<(), Gone> {
        if self.encode(&[]).is_err() {
            return Err(Gone);
        }
        self.end_encoding()?;
        self.send_ready(true)
    }

    fn end_encoding(&mut self) -> Result<(), Gone> {
        if let Some(encoder) = self.encoder.take() {
            self.ready.append(&mut encoder.finish().map_err(|_| Gone)?);
        }
        Ok(())
    }

    /// Answers with a fault.
    pub(super) fn fail(mut self, fault: &Fault) -> Result<(), Gone> {
        let text = fault.text(&self.version);
        let Some(tag) = self.tag.clone() else {
            let head = Head {
                status: fault.status(),
                media_type: "text/plain; charset=UTF-8",
                format: None,
                encoding: None,
                exception_code: Some(fault.code()),
                exception_tag: None,
                summary: self.summary(),
                query_id: self.query_id.clone(),
            };
            self.send(Piece::Head(Box::new(head)))?;
            return self.send(Piece::Data(text.into()));
        };
        let block = format!(
            "\r\n__exception__\r\n{tag}\r\n{text}{} {tag}\r\n__exception__\r\n",
            text.len()
        );
        // What is ready goes first, so that the block is a piece of its own: clients look for it at the end of one.
        self.send_ready(false)?;
        if self.encode(block.as_bytes()).is_err() {
            return Err(Gone);
        }
        self.end_encoding()?;
        self.send_ready(false)?;
        self.send(Piece::Cut)
    }

    fn send_ready(&mut self, complete: bool) -> Result<(), Gone> {
        if self.tag.is_none() {
            let tag: String = format!("{:016x}", rand::random::<u64>());
            let head = Head {
                status: StatusCode::OK,
                media_type: formats::media_type(&self.format),
                format: Some(self.format.clone()),
                encoding: match self.compress {
                    Compress::Http(coding) => Some(coding.name()),
                    Compress::No | Compress::NativeBlocks => None,
                },
                exception_code: None,
                exception_tag: (!complete).then(|| tag.clone()),
                summary: self.summary(),
                query_id: self.query_id.clone(),
            };
            self.tag = Some(tag);
            self.send(Piece::Head(Box::new(head)))?;
        }
        if self.ready.is_empty() {
            Ok(())
        } else {
            self.send_data()
        }
    }

    fn send_data(&mut self) -> Result<(), Gone> {
        let data = Bytes::from(std::mem::take(&mut self.ready));
        self.send(Piece::Data(data))
    }

    fn send(&self, piece: Piece) -> Result<(), Gone> {
        self.sender.blocking_send(piece).map_err(|_| Gone)
    }

    fn summary(&self) -> String {
        let counters = self.counters;
        format!(
            "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\"written_bytes\":\"{}\",\
             \"total_rows_to_read\":\"0\",\"result_rows\":\"{}\",\"result_bytes\":\"0\",\"elapsed_ns\":\"{}\"}}",
            counters.read_rows,
            counters.read_bytes,
            counters.written_rows,
            counters.written_bytes,
            counters.result_rows,
            self.started.elapsed().as_nanos()
        )
    }
}

/// The body of a response: bytes that are there, then what the engine still gives.
pub(super) struct ReplyBody {
    first: Option<Bytes>,
    rest: Option<mpsc::Receiver<Piece>>,
    cut: bool,
    flushed: Flushed,
}

/// The body broke off.
#[derive(Debug, thiserror::Error)]
#[error("the result broke off")]
pub(super) struct BrokenOff;

impl ReplyBody {
    pub(super) fn whole(data: impl Into<Bytes>) -> Self {
        Self {
            first: Some(data.into()),
            rest: None,
            cut: false,
            flushed: Flushed::default(),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(data) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if self.cut {
            return self.flushed.poll(context).map(|()| Some(Err(BrokenOff)));
        }
        let Some(rest) = self.rest.as_mut() else {
            return Poll::Ready(None);
        };
        match rest.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Piece::Data(data))) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Poll::Ready(Some(Piece::Cut | Piece::Head(_))) => {
                self.cut = true;
                self.flushed.ask();
                self.flushed.poll(context).map(|()| Some(Err(BrokenOff)))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.first, &self.rest) {
            (Some(data), None) => SizeHint::with_exact(data.len() as u64),
            (None, None) => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }
}

/// Waits for the head and makes the response of it.
pub(super) async fn respond(
    mut pieces: mpsc::Receiver<Piece>,
    flushed: Flushed,
    server_name: &str,
    version: &str,
) -> Response<ReplyBody> {
    let head = match pieces.recv().await {
        Some(Piece::Head(head)) => head,
        Some(Piece::Data(_) | Piece::Cut) | None => {
            // The engine's thread died without a word.
            let fault = Fault::new(Code::STD_EXCEPTION, "the statement ended without an answer");
            return fault_response(&fault, server_name, version);
        }
    };
    let mut response = Response::new(ReplyBody {
        first: None,
        rest: Some(pieces),
        cut: false,
        flushed,
    });
    *response.status_mut() = head.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(head.media_type));
    if let Some(encoding) = head.encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    let texts = [
        ("x-clickhouse-query-id", Some(head.query_id)),
        ("x-clickhouse-format", head.format),
        ("x-clickhouse-summary", Some(head.summary)),
        (
            "x-clickhouse-exception-code",
            head.exception_code.map(|code| code.to_string()),
        ),
        ("x-clickhouse-exception-tag", head.exception_tag),
    ];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    }
    add_server_headers(&mut response, server_name);
    response
}

/// A fault found before the engine was asked.
pub(super) fn fault_response(fault: &Fault, server_name: &str, version: &str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(fault.text(version)));
    *response.status_mut() = fault.status();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    headers.insert("x-clickhouse-exception-code", HeaderValue::from(fault.code()));
    add_server_headers(&mut response, server_name);
    response
}

pub(super) fn add_server_headers(response: &mut Response<ReplyBody>, server_name: &str) {
    let headers = response.headers_mut();
    headers.insert("x-clickhouse-timezone", HeaderValue::from_static("UTC"));
    if let Ok(name) = HeaderValue::from_str(server_name) {
        headers.insert("x-clickhouse-server-display-name", name);
    }
}
