//! What a request asks for: URL, headers and form fields sorted into statement, settings, parameters and the rest.
//!
//! Pure: takes what HTTP delivered and gives an [`Ask`]. Names and meanings are those of ClickHouse's HTTP interface.

use std::{io::Read, time::Duration};

use hyper::{HeaderMap, Method, header, http::request};
use percent_encoding::percent_decode_str;

use super::{
    codec::{Coding, Compress},
    fault::{Code, Fault},
};
use crate::limits;

/// A request for the engine.
#[derive(Debug)]
pub(super) struct Ask {
    /// Statement or its beginning; the body follows it.
    pub(super) query: String,
    pub(super) body_coding: Option<Coding>,
    /// The body consists of native compressed blocks.
    pub(super) body_native: bool,
    /// The body is a form with this boundary.
    pub(super) form_boundary: Option<String>,
    pub(super) compress: Compress,
    pub(super) database: Option<String>,
    pub(super) default_format: Option<String>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) session: Option<SessionAsk>,
    pub(super) query_id: String,
    /// A GET may only read.
    pub(super) read_only: bool,
    /// The result must be complete before the first byte of it is sent.
    pub(super) whole: bool,
    /// Version of the protocol whose Native format the client reads; 0 without one.
    pub(super) protocol_version: u64,
}

/// The part about sessions.
#[derive(Clone, Debug)]
pub(super) struct SessionAsk {
    pub(super) id: String,
    pub(super) timeout: Duration,
    /// The session must exist already.
    pub(super) check: bool,
    /// The session ends with this request.
    pub(super) close: bool,
}

/// Name and password as the client gave them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl Ask {
    /// Reads the head of a request.
    pub(super) fn read(parts: &request::Parts) -> Result<(Self, Credentials), Fault> {
        let mut fields = Fields::default();
        for (name, value) in decode_pairs(parts.uri.query().unwrap_or_default())? {
            fields.add(name, value)?;
        }
        let headers = &parts.headers;
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let mut credentials = Credentials {
            user: fields.user.take(),
            password: fields.password.take(),
        };
        credentials.user = credentials.user.or_else(|| text("x-clickhouse-user"));
        credentials.password = credentials.password.or_else(|| text("x-clickhouse-key"));
        if let Some((user, password)) = basic_credentials(headers) {
            credentials.user = credentials.user.or(Some(user));
            credentials.password = credentials.password.or(Some(password));
        }
        let accepted = text(header::ACCEPT_ENCODING.as_str()).and_then(|value| Coding::accepted(&value));
        let compress = match accepted {
            _ if fields.native_out => Compress::NativeBlocks,
            Some(coding) if fields.http_compression => Compress::Http(coding),
            _ => Compress::No,
        };
        let content_encoding = text(header::CONTENT_ENCODING.as_str()).unwrap_or_default();
        let body_coding = Coding::named(&content_encoding).map_err(|error| Fault::new(Code::NOT_IMPLEMENTED, error))?;
        let session = fields.session()?;
        let ask = Self {
            query: fields.query,
            body_coding,
            body_native: fields.native_in,
            form_boundary: form_boundary(headers),
            compress,
            database: fields.database.or_else(|| text("x-clickhouse-database")),
            default_format: fields.default_format.or_else(|| text("x-clickhouse-format")),
            settings: fields.settings,
            parameters: fields.parameters,
            session,
            query_id: fields
                .query_id
                .or_else(|| text("x-clickhouse-query-id"))
                .unwrap_or_else(random_id),
            read_only: matches!(parts.method, Method::GET | Method::HEAD),
            whole: fields.whole,
            protocol_version: fields.protocol_version,
        };
        Ok((ask, credentials))
    }

    /// Adds the fields of a form body: what a URL can say, said in the body.
    pub(super) fn absorb_form(&mut self, boundary: &str, reader: impl Read) -> Result<(), Fault> {
        let mut body = Vec::new();
        let limit = limits::STATEMENT_BYTES_MAX as u64;
        let read = reader.take(limit + 1).read_to_end(&mut body);
        read.map_err(|error| Fault::new(Code::CANNOT_DECOMPRESS, format!("cannot read the form: {error}")))?;
        if body.len() as u64 > limit {
            return Err(Fault::new(
                Code::QUERY_IS_TOO_LARGE,
                format!("a form may have {limit} bytes"),
            ));
        }
        let mut fields = Fields::default();
        for (name, value) in form_fields(&body, boundary)? {
            fields.add(name, value)?;
        }
        self.query.push_str(&fields.query);
        self.settings.append(&mut fields.settings);
        self.parameters.append(&mut fields.parameters);
        self.database = fields.database.or_else(|| self.database.take());
        self.default_format = fields.default_format.or_else(|| self.default_format.take());
        self.whole |= fields.whole;
        Ok(())
    }
}

/// Fields by their meaning.
#[derive(Default)]
struct Fields {
    query: String,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    default_format: Option<String>,
    query_id: Option<String>,
    session_id: Option<String>,
    session_timeout: Option<String>,
    session_check: bool,
    session_close: bool,
    native_in: bool,
    native_out: bool,
    http_compression: bool,
    whole: bool,
    protocol_version: u64,
    settings: Vec<(String, String)>,
    parameters: Vec<(String, String)>,
}

impl Fields {
    fn add(&mut self, name: String, value: String) -> Result<(), Fault> {
        match name.as_str() {
            "query" => self.query.push_str(&value),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "database" => self.database = Some(value).filter(|name| !name.is_empty()),
            "default_format" => self.default_format = Some(value).filter(|name| !name.is_empty()),
            "query_id" => self.query_id = Some(value).filter(|id| !id.is_empty()),
            "session_id" => self.session_id = Some(value).filter(|id| !id.is_empty()),
            "session_timeout" => self.session_timeout = Some(value),
            "session_check" => self.session_check = is_true(&value),
            "close_session" => self.session_close = is_true(&value),
            "decompress" => self.native_in = is_true(&value),
            "compress" => self.native_out = is_true(&value),
            "enable_http_compression" => self.http_compression = is_true(&value),
            "wait_end_of_query" => self.whole = is_true(&value),
            "client_protocol_version" => self.protocol_version = value.parse().unwrap_or(0),
            // A server's own matters, which have no counterpart here.
            "quota_key" | "stacktrace" | "buffer_size" | "role" => {}
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None => self.settings.push((name, value)),
            },
        }
        if self.settings.len() + self.parameters.len() > limits::FORM_FIELDS_MAX {
            return Err(Fault::new(
                Code::BAD_ARGUMENTS,
                format!("more than {} fields", limits::FORM_FIELDS_MAX),
            ));
        }
        Ok(())
    }

    fn session(&mut self) -> Result<Option<SessionAsk>, Fault> {
        let Some(id) = self.session_id.take() else {
            return Ok(None);
        };
        let timeout = match &self.session_timeout {
            None => limits::SESSION_TIMEOUT_DEFAULT,
            Some(text) => {
                let seconds = text.parse().map(Duration::from_secs).ok();
                seconds
                    .filter(|timeout| *timeout <= limits::SESSION_TIMEOUT_MAX)
                    .ok_or_else(|| {
                        let maximum = limits::SESSION_TIMEOUT_MAX.as_secs();
                        let text = format!("session timeout `{text}` is not a number of seconds up to {maximum}");
                        Fault::new(Code::INVALID_SESSION_TIMEOUT, text)
                    })?
            }
        };
        Ok(Some(SessionAsk {
            id,
            timeout,
            check: self.session_check,
            close: self.session_close,
        }))
    }
}

fn is_true(value: &str) -> bool {
    value == "1" || value.eq_ignore_ascii_case("true")
}

fn decode_pairs(query: &str) -> Result<Vec<(String, String)>, Fault> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned);
        decoded.map_err(|_| Fault::new(Code::BAD_ARGUMENTS, "the URL is not UTF-8"))
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| Ok((decode(n)?, decode(v)?)))
        .collect()
}

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Basic ")?;
    let decoded = String::from_utf8(decode_base64(encoded.trim())?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut output = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            output.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(output)
}

fn form_boundary(headers: &HeaderMap) -> Option<String> {
    let media_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    if !media_type
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("multipart/form-data")
    {
        return None;
    }
    let boundary = media_type
        .split(';')
        .find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"').to_owned())
}

/// Takes a form apart. Files (data for external tables) are refused: the engine has no way to take them.
fn form_fields(body: &[u8], boundary: &str) -> Result<Vec<(String, String)>, Fault> {
    let broken = || Fault::new(Code::BAD_ARGUMENTS, "the form in the request body is broken");
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let mut rest = body.strip_prefix(&delimiter[2..]).ok_or_else(broken)?;
    let mut fields = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.strip_prefix(b"\r\n").ok_or_else(broken)?;
        let end = find(rest, &delimiter).ok_or_else(broken)?;
        let part = &rest[..end];
        let head_end = find(part, b"\r\n\r\n").ok_or_else(broken)?;
        let head = String::from_utf8_lossy(&part[..head_end]);
        if head.contains("filename=") {
            return Err(Fault::new(
                Code::NOT_IMPLEMENTED,
                "external tables are not supported by the embedded engine",
            ));
        }
        let name = head
            .split("name=\"")
            .nth(1)
            .and_then(|text| text.split('"').next())
            .ok_or_else(broken)?;
        let value = String::from_utf8(part[head_end + 4..].to_vec()).map_err(|_| broken())?;
        fields.push((name.to_owned(), value));
        rest = &rest[end + delimiter.len()..];
    }
    Ok(fields)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn random_id() -> String {
    let id = format!("{:032x}", rand::random::<u128>());
    format!(
        "{}-{}-{}-{}-{}",
        &id[..8],
        &id[8..12],
        &id[12..16],
        &id[16..20],
        &id[20..]
    )
}

#[cfg(test)]
mod tests;
