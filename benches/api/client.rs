//! A client with one connection, and what it counts.

use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    method: Method,
    path: String,
    body: Bytes,
    tag: Option<String>,
}

impl Question {
    pub(crate) fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            body: Bytes::new(),
            tag: None,
        }
    }

    pub(crate) fn post(path: String, body: String) -> Self {
        Self {
            method: Method::POST,
            path,
            body: body.into(),
            tag: None,
        }
    }

    /// Only what has changed since this was the answer.
    pub(crate) fn unless(mut self, tag: &str) -> Self {
        self.tag = Some(tag.to_owned());
        self
    }
}

/// Answers by status, and how long they took.
#[derive(Default)]
pub(crate) struct Counts {
    by_status: BTreeMap<u16, u64>,
    latencies_us: Vec<u32>,
}

impl fmt::Debug for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.by_status)
    }
}

impl Counts {
    pub(crate) fn add(&mut self, mut other: Self) {
        for (status, count) in other.by_status {
            *self.by_status.entry(status).or_default() += count;
        }
        self.latencies_us.append(&mut other.latencies_us);
    }

    fn count(&self, is_meant: impl Fn(u16) -> bool) -> u64 {
        let meant = self.by_status.iter().filter(|(status, _)| is_meant(**status));
        meant.map(|(_, count)| count).sum()
    }

    pub(crate) fn total(&self) -> u64 {
        self.count(|_| true)
    }

    pub(crate) fn answered(&self) -> u64 {
        self.count(|status| status == 200 || status == 304)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.count(|status| status == 429 || status == 503)
    }

    /// Status 0: the connection broke.
    pub(crate) fn failed(&self) -> u64 {
        self.total() - self.answered() - self.refused()
    }

    pub(crate) fn latencies(&self) -> String {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let quantile = |share: f64| {
            let index = (sorted.len().saturating_sub(1)) as f64 * share;
            sorted.get(index as usize).map_or(0.0, |us| f64::from(*us) / 1e3)
        };
        format!("p50 {:.2} ms, p99 {:.2} ms", quantile(0.5), quantile(0.99))
    }
}

pub(crate) struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(url: &str) -> Self {
        let host = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { host, sender }
    }

    /// Asks, reads the whole answer, and counts it; returns its tag. A connection that broke counts as a failure.
    pub(crate) async fn ask(&mut self, question: &Question, counts: &mut Counts) -> Option<String> {
        let started = Instant::now();
        // Servers close connections over which nothing comes; browsers open another one then.
        if self.sender.ready().await.is_err() {
            *self = Self::open(&format!("http://{}", self.host)).await;
        }
        let answer = self.send(question).await;
        let (status, tag) = answer.unwrap_or_default();
        if status == 0 {
            *self = Self::open(&format!("http://{}", self.host)).await;
        }
        *counts.by_status.entry(status).or_default() += 1;
        if matches!(status, 200 | 304) {
            let us = started.elapsed().min(Duration::from_secs(3_600)).as_micros();
            counts.latencies_us.push(us as u32);
        }
        tag.filter(|_| status == 200)
    }

    async fn send(&mut self, question: &Question) -> hyper::Result<(u16, Option<String>)> {
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(&question.path)
            .header(header::HOST, &self.host);
        if let Some(tag) = &question.tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let request = request.body(Full::new(question.body.clone())).unwrap();
        self.sender.ready().await?;
        let (parts, mut body) = self.sender.send_request(request).await?.into_parts();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        let tag = parts
            .headers
            .get(header::ETAG)
            .map(|tag| tag.to_str().unwrap().to_owned());
        Ok((parts.status.as_u16(), tag))
    }
}

async fn fetch(url: &str) -> (String, String) {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut connection = Connection::open(host).await;
    let request = Request::get(format!("/{path}")).header(header::HOST, host);
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let (parts, body) = connection.sender.send_request(request).await.unwrap().into_parts();
    assert_eq!(parts.status, 200, "{url}");
    let tag = parts
        .headers
        .get(header::ETAG)
        .map_or("", |tag| tag.to_str().unwrap())
        .to_owned();
    let body = body.collect().await.unwrap().to_bytes();
    (tag, String::from_utf8(body.to_vec()).unwrap())
}

/// The text of an answer that has to be a good one.
pub(crate) async fn text(url: &str) -> String {
    fetch(url).await.1
}

/// Its tag.
pub(crate) async fn tag(url: &str) -> String {
    fetch(url).await.0
}
