//! The web dashboard: files that were built before this crate and lie in it, each under its name.
//!
//! Answers from memory only, and tells browsers to take nothing from anywhere else. When the page was not built, there is
//! none: then the start page stands in its place.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::{api, limits};

/// Where files with a fingerprint in their name are served.
pub(crate) const PATH: &str = "/assets/{*name}";

const INDEX: &str = "index.html";

/// Scripts, styles and data come from here and nowhere else. Nothing written into a page is run. `blob:` and `data:` are
/// pictures that the map makes itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; \
    worker-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
struct File {
    name: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

const FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Files by name, with their tags.
static BY_NAME: LazyLock<BTreeMap<&str, (&File, String)>> = LazyLock::new(|| {
    let tagged = |file: &'static File| (file.name, (file, format!("{:016x}", xxh3_64(file.plain))));
    FILES.iter().map(tagged).collect()
});

/// Whether there is a page in this build.
pub(crate) fn are_built() -> bool {
    !FILES.is_empty()
}

/// The page, if it was built.
pub(crate) fn index(request: &HeaderMap) -> Option<Response> {
    // It names the files that belong to it, so it must be the newest always.
    respond(request, INDEX, "no-cache")
}

pub(crate) async fn answer(Path(name): Path<String>, request: HeaderMap) -> Response {
    let immutable = format!("public, max-age={}, immutable", limits::ASSET_AGE_SECONDS);
    match respond(&request, &format!("assets/{name}"), &immutable) {
        Some(response) => response,
        None => api::not_found().await.into_response(),
    }
}

fn respond(request: &HeaderMap, name: &str, cache_control: &str) -> Option<Response> {
    let (file, hash) = BY_NAME.get(name)?;
    let (encoding, bytes) = file.suitable(request);
    // Each encoding is a representation of its own.
    let tag = format!("\"{hash}-{}\"", encoding.unwrap_or("plain"));
    let is_known = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Bytes::from_static(bytes).into_response(),
    };
    let headers = response.headers_mut();
    let text = |text: &str| HeaderValue::from_str(text).expect("names and digits are legal in headers");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(header::CACHE_CONTROL, text(cache_control));
    headers.insert(header::ETAG, text(&tag));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, text(encoding));
    }
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

impl File {
    /// The smallest form that the browser can read.
    fn suitable(&self, request: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let forms = [("br", self.brotli), ("gzip", self.gzip)];
        forms
            .into_iter()
            .filter(|(name, _)| accepts(request, name))
            .find_map(|(name, bytes)| Some((Some(name), bytes?)))
            .unwrap_or((None, self.plain))
    }
}

/// Whether an encoding is named, and not refused by a weight of zero.
fn accepts(request: &HeaderMap, encoding: &str) -> bool {
    let lists = request.get_all(header::ACCEPT_ENCODING).iter();
    let mut entries = lists
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','));
    entries.any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f32>().ok());
        is_named && weight.is_none_or(|weight| weight > 0.0)
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(accepted: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(accepted).unwrap())])
    }

    #[test]
    fn a_browser_gets_the_smallest_form_that_it_can_read() {
        let file = File {
            name: "a.js",
            plain: b"plain",
            brotli: Some(b"brotli"),
            gzip: Some(b"gzip"),
        };
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("GZIP;q=0.5", Some("gzip")),
            ("br;q=0, gzip;q=1.0", Some("gzip")),
            ("brotli", None),
            ("", None),
        ] {
            assert_eq!(file.suitable(&request(accepted)).0, expected, "`{accepted}`");
        }
        let font = File {
            brotli: None,
            gzip: None,
            ..file
        };
        assert_eq!(font.suitable(&request("br, gzip")), (None, &b"plain"[..]));
    }

    #[test]
    fn every_file_of_a_built_page_has_a_type_and_a_tag() {
        for file in FILES {
            let response = respond(&request("br"), file.name, "no-cache").unwrap();
            assert_ne!(content_type(file.name), "application/octet-stream", "{}", file.name);
            assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
            let tag = response.headers()[header::ETAG].clone();
            let again = HeaderMap::from_iter([
                (header::ACCEPT_ENCODING, HeaderValue::from_static("br")),
                (header::IF_NONE_MATCH, tag),
            ]);
            let unchanged = respond(&again, file.name, "no-cache").unwrap();
            assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED, "{}", file.name);
        }
        assert!(respond(&HeaderMap::new(), "assets/../index.html", "no-cache").is_none());
    }
}
