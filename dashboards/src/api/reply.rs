//! What a client gets when all went well, and what caches may do with it.
//!
//! The entity tag is a fingerprint of what was read. Floating-point sums differ in their last digits from one reading to
//! the next, so values count with twelve digits; counts, which change with every event, count in full. How fresh the
//! data is does not count: it is in the body and, always up to date, in a header. A body is made only when it is sent.

use std::fmt::Write;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::Xxh3;

use super::problem::Problem;
use crate::limits;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    Json,
    GeoJson,
    Csv,
    Arrow,
}

impl Format {
    /// How it is asked for.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::GeoJson => "geojson",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::GeoJson => "application/geo+json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// Collects what an answer says, for its tag.
#[derive(Default)]
pub(crate) struct Fingerprint {
    hash: Xxh3,
}

impl Fingerprint {
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.hash.update(&(bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
        self
    }

    pub(crate) fn numbers(mut self, numbers: &[u64]) -> Self {
        self.hash.update(&(numbers.len() as u64).to_le_bytes());
        for number in numbers {
            self.hash.update(&number.to_le_bytes());
        }
        self
    }

    pub(crate) fn values(mut self, values: &[f64]) -> Self {
        let mut text = String::new();
        for value in values {
            text.clear();
            write!(text, "{value:.11e};").expect("writing to a string cannot fail");
            self.hash.update(text.as_bytes());
        }
        self
    }

    pub(crate) fn number(self) -> u64 {
        self.hash.digest()
    }

    pub(crate) fn finish(self) -> String {
        format!("W/\"{:016x}\"", self.number())
    }
}

/// What an answer is about, in the head of every format: tables have no other place for it. What makes no sense for an
/// answer is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// Newest event time that is in.
    pub(crate) freshness: Option<String>,
    /// The range used.
    pub(crate) range: Option<(String, String)>,
    pub(crate) period_seconds: Option<u32>,
    pub(crate) resolution: Option<u8>,
    /// Only late events change it.
    pub(crate) is_complete: Option<bool>,
    /// The resolution is lower than asked for, since there were too many cells.
    pub(crate) is_coarsened: Option<bool>,
    /// It is coarser or older than it could be, to spare the store.
    pub(crate) is_lite: Option<bool>,
}

impl About {
    /// What is known, by the names of headers.
    pub(crate) fn entries(&self) -> Vec<(&'static str, String)> {
        let flag = |is_so: Option<bool>| is_so.map(|is_so| u8::from(is_so).to_string());
        let (from, to) = self.range.clone().unzip();
        let all = [
            ("meridian-freshness", self.freshness.clone()),
            ("meridian-from", from),
            ("meridian-to", to),
            ("meridian-period", self.period_seconds.map(|period| period.to_string())),
            ("meridian-res", self.resolution.map(|resolution| resolution.to_string())),
            ("meridian-complete", flag(self.is_complete)),
            ("meridian-coarsened", flag(self.is_coarsened)),
            ("meridian-lite", flag(self.is_lite)),
        ];
        let known = all.into_iter().filter_map(|(name, text)| Some((name, text?)));
        known.collect()
    }
}

/// What is sent, which may not be made yet: for who has it already, it never is.
pub(crate) struct Body {
    row_count: usize,
    write: Box<dyn FnOnce() -> Bytes + Send>,
}

impl Body {
    /// One that had to be made to know what is in it.
    pub(crate) fn made(bytes: Bytes) -> Self {
        Self::later(0, || bytes)
    }

    /// One of so many rows that have to be written one by one.
    pub(crate) fn later(row_count: usize, write: impl FnOnce() -> Bytes + Send + 'static) -> Self {
        Self {
            row_count,
            write: Box::new(write),
        }
    }

    async fn bytes(self, writers: &Writers) -> Bytes {
        if self.row_count <= limits::ROWS_WRITTEN_IN_PLACE_MAX {
            return (self.write)();
        }
        let _turn = writers.turns.acquire().await.expect("it is never closed");
        let written = tokio::task::spawn_blocking(self.write).await;
        written.expect("writing does not panic, and the runtime outlives its requests")
    }
}

/// Turns for writing large answers: so many at once, and not as many as there are threads.
#[derive(Debug)]
pub(crate) struct Writers {
    turns: Semaphore,
}

impl Writers {
    pub(crate) fn new() -> Self {
        Self {
            turns: Semaphore::new(limits::WRITERS_MAX),
        }
    }
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) body: Body,
    pub(crate) format: Format,
    pub(crate) tag: String,
    pub(crate) about: About,
    /// Time has passed over it and everything is in: only late events change it.
    pub(crate) is_settled: bool,
    /// Seconds since it was read, where it was kept in memory.
    pub(crate) age_seconds: Option<u64>,
    /// The query string that asks for the page after this one.
    pub(crate) next: Option<String>,
}

/// Makes the response, or says that nothing changed since the client asked last.
pub(crate) async fn respond(writers: &Writers, request: &HeaderMap, answer: Result<Reply, Problem>) -> Response {
    let reply = match answer {
        Ok(reply) => reply,
        Err(problem) => return problem.into_response(),
    };
    let headers = reply.headers();
    let mut response = match is_known(request, &reply.tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let content_type = HeaderValue::from_static(reply.format.content_type());
            let body = reply.body.bytes(writers).await;
            ([(header::CONTENT_TYPE, content_type)], body).into_response()
        }
    };
    response.headers_mut().extend(headers);
    response
}

/// Weak comparison, as RFC 9110 wants it for reads.
fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let mut given = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    given.any(|list| {
        list.split(',')
            .any(|known| known.trim() == "*" || strong(known) == strong(tag))
    })
}

impl Reply {
    /// An answer about how things are now.
    pub(crate) fn changing(body: Bytes, format: Format) -> Self {
        Self {
            tag: Fingerprint::default().bytes(&body).finish(),
            body: Body::made(body),
            format,
            about: About::default(),
            is_settled: false,
            age_seconds: None,
            next: None,
        }
    }

    /// The same, where another page comes after it.
    pub(crate) fn before(self, next: Option<String>) -> Self {
        Self { next, ..self }
    }

    /// What is said of it whether it is sent or not.
    fn headers(&self) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("digits and words are legal in headers");
        let (age_seconds, stale_seconds) = match self.is_settled {
            true => (limits::SETTLED_AGE_SECONDS, limits::SETTLED_STALE_SECONDS),
            false => (limits::OPEN_AGE_SECONDS, limits::OPEN_STALE_SECONDS),
        };
        let cache_control = format!("max-age={age_seconds}, stale-while-revalidate={stale_seconds}");
        let mut headers = HeaderMap::new();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::ETAG, value(&self.tag));
        headers.insert(header::CACHE_CONTROL, value(&cache_control));
        if let Some(age_seconds) = self.age_seconds {
            headers.insert(header::AGE, HeaderValue::from(age_seconds));
        }
        if let Some(next) = &self.next {
            headers.insert(header::LINK, value(&format!("<?{next}>; rel=\"next\"")));
        }
        for (name, text) in self.about.entries() {
            headers.insert(name, value(&text));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        thread::{self, ThreadId},
        time::Duration,
    };

    use super::*;

    /// An answer of so many rows, and the thread that it is written on.
    fn reply(row_count: usize) -> (Reply, Arc<Mutex<Option<ThreadId>>>) {
        let writer = Arc::new(Mutex::new(None));
        let note = writer.clone();
        let write = move || {
            *note.lock().unwrap() = Some(thread::current().id());
            Bytes::from_static(b"{}")
        };
        let reply = Reply {
            body: Body::later(row_count, write),
            tag: "W/\"1\"".to_owned(),
            ..Reply::changing(Bytes::new(), Format::Json)
        };
        (reply, writer)
    }

    #[tokio::test]
    async fn what_is_known_is_not_written() {
        let (known, writer) = reply(1);
        let request = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static("W/\"1\""))]);
        let response = respond(&Writers::new(), &request, Ok(known)).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(*writer.lock().unwrap(), None);
    }

    #[tokio::test]
    async fn what_takes_long_to_write_is_written_where_nobody_waits() {
        for (row_count, is_here) in [
            (limits::ROWS_WRITTEN_IN_PLACE_MAX, true),
            (limits::ROWS_WRITTEN_IN_PLACE_MAX + 1, false),
        ] {
            let (new, writer) = reply(row_count);
            let response = respond(&Writers::new(), &HeaderMap::new(), Ok(new)).await;
            assert_eq!(response.status(), StatusCode::OK);
            let writer = writer.lock().unwrap().expect("it is written");
            assert_eq!(writer == thread::current().id(), is_here, "{row_count} rows");
        }
    }

    #[tokio::test]
    async fn not_more_large_answers_are_written_at_once_than_there_are_turns() {
        let (writers, at_once, most) = (Writers::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        let counts = Arc::new((at_once, most));
        let answers = (0..3 * limits::WRITERS_MAX).map(|_| {
            let counts = counts.clone();
            let body = Body::later(limits::ROWS_WRITTEN_IN_PLACE_MAX + 1, move || {
                counts
                    .1
                    .fetch_max(1 + counts.0.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
                counts.0.fetch_sub(1, Ordering::SeqCst);
                Bytes::new()
            });
            body.bytes(&writers)
        });
        futures::future::join_all(answers).await;
        let most = counts.1.load(Ordering::SeqCst);
        assert!((2..=limits::WRITERS_MAX).contains(&most), "{most} at once");
    }
}
