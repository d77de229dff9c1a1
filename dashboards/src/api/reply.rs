//! What a client gets when all went well, and what caches may do with it.
//!
//! The entity tag is a fingerprint of what was read. Floating-point sums differ in their last digits from one reading to
//! the next, so values count with twelve digits; counts, which change with every event, count in full. How fresh the
//! data is does not count: it is in the body and, always up to date, in a header.

use std::fmt::Write;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::{problem::Problem, time_text};
use crate::limits;

/// The header that tells how fresh the data is, also when it did not change.
pub(crate) const FRESHNESS_HEADER: &str = "meridian-freshness";

/// The header of answers that are coarser or older than they could be, since the store does not keep up.
pub(crate) const LITE_HEADER: &str = "meridian-lite";

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

/// An answer.
pub(crate) struct Reply {
    pub(crate) body: Bytes,
    pub(crate) format: Format,
    pub(crate) tag: String,
    pub(crate) freshness_ms: Option<i64>,
    /// Time has passed over it: only late events change it.
    pub(crate) is_settled: bool,
    /// Seconds since it was read, where it was kept in memory.
    pub(crate) age_seconds: Option<u64>,
    /// It is coarser or older than it could be, to spare the store.
    pub(crate) is_lite: bool,
}

/// Makes the response, or says that nothing changed since the client asked last.
pub(crate) fn respond(request: &HeaderMap, answer: Result<Reply, Problem>) -> Response {
    let reply = match answer {
        Ok(reply) => reply,
        Err(problem) => return problem.into_response(),
    };
    let mut response = match is_known(request, &reply.tag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let content_type = HeaderValue::from_static(reply.format.content_type());
            ([(header::CONTENT_TYPE, content_type)], reply.body).into_response()
        }
    };
    let headers = response.headers_mut();
    let cache_control = match reply.is_settled {
        true => format!("max-age={}, stale-while-revalidate=86400", limits::SETTLED_AGE_SECONDS),
        false => "max-age=1, stale-while-revalidate=10".to_owned(),
    };
    let value = |text: &str| HeaderValue::from_str(text).expect("digits and words are legal in headers");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::ETAG, value(&reply.tag));
    headers.insert(header::CACHE_CONTROL, value(&cache_control));
    if let Some(age_seconds) = reply.age_seconds {
        headers.insert(header::AGE, HeaderValue::from(age_seconds));
    }
    if reply.is_lite {
        headers.insert(LITE_HEADER, HeaderValue::from_static("1"));
    }
    if let Some(freshness_ms) = reply.freshness_ms {
        headers.insert(FRESHNESS_HEADER, value(&time_text(freshness_ms)));
    }
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
            body,
            format,
            freshness_ms: None,
            is_settled: false,
            age_seconds: None,
            is_lite: false,
        }
    }
}
