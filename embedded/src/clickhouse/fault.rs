//! Faults as ClickHouse tells them: a number, a name, a sentence, and the HTTP status that goes with the number.

use std::fmt;

use hyper::StatusCode;

/// Number and name of a fault, as in the server's own list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(pub(super) u32, pub(super) &'static str);

#[allow(missing_docs, reason = "the names are ClickHouse's own")]
impl Code {
    pub(super) const BAD_ARGUMENTS: Code = Code(36, "BAD_ARGUMENTS");
    pub(super) const NOT_IMPLEMENTED: Code = Code(48, "NOT_IMPLEMENTED");
    pub(super) const SYNTAX_ERROR: Code = Code(62, "SYNTAX_ERROR");
    pub(super) const CANNOT_WRITE_TO_FILE: Code = Code(75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR");
    pub(super) const UNKNOWN_TYPE_OF_QUERY: Code = Code(78, "UNKNOWN_TYPE_OF_QUERY");
    pub(super) const INCORRECT_DATA: Code = Code(117, "INCORRECT_DATA");
    pub(super) const TOO_MANY_SIMULTANEOUS_QUERIES: Code = Code(202, "TOO_MANY_SIMULTANEOUS_QUERIES");
    pub(super) const SOCKET_TIMEOUT: Code = Code(209, "SOCKET_TIMEOUT");
    pub(super) const READONLY: Code = Code(164, "READONLY");
    pub(super) const QUERY_IS_TOO_LARGE: Code = Code(223, "QUERY_IS_TOO_LARGE");
    pub(super) const CANNOT_DECOMPRESS: Code = Code(271, "CANNOT_DECOMPRESS");
    pub(super) const INTO_OUTFILE_NOT_ALLOWED: Code = Code(358, "INTO_OUTFILE_NOT_ALLOWED");
    pub(super) const INVALID_SESSION_TIMEOUT: Code = Code(374, "INVALID_SESSION_TIMEOUT");
    pub(super) const SESSION_NOT_FOUND: Code = Code(372, "SESSION_NOT_FOUND");
    pub(super) const SESSION_IS_LOCKED: Code = Code(373, "SESSION_IS_LOCKED");
    pub(super) const AUTHENTICATION_FAILED: Code = Code(516, "AUTHENTICATION_FAILED");
    pub(super) const STD_EXCEPTION: Code = Code(1001, "STD_EXCEPTION");
}

/// A fault with its text, ready to be answered.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    code: u32,
    text: String,
}

impl Fault {
    pub(super) fn new(code: Code, text: impl fmt::Display) -> Self {
        Self {
            code: code.0,
            text: format!("Code: {}. DB::Exception: {text}. ({})", code.0, code.1),
        }
    }

    /// A GET that would change something.
    pub(super) fn read_only() -> Self {
        Self::new(
            Code::READONLY,
            "Cannot execute query in readonly mode: use POST to change data",
        )
    }

    /// From the engine's own text, which starts with `Code: <number>.`.
    pub(super) fn from_engine(text: String) -> Self {
        let digits = text
            .strip_prefix("Code: ")
            .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
        match digits.flatten().and_then(|digits| digits.parse().ok()) {
            Some(code) => Self { code, text },
            None => Self::new(Code::STD_EXCEPTION, text.trim_end_matches('.')),
        }
    }

    pub(super) fn code(&self) -> u32 {
        self.code
    }

    /// The text with the engine's version at its end, as servers write it.
    pub(super) fn text(&self, version: &str) -> String {
        let text = self.text.trim_end();
        match text.rsplit_once(" (version ") {
            Some((text, _)) if self.text.contains(&format!("(version {version})")) => {
                format!("{text} (version {version} (official build))\n")
            }
            _ => format!("{text} (version {version} (official build))\n"),
        }
    }

    /// The status a server gives the code; 500 for all it does not single out.
    pub(super) fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 291 | 497 | 516 => StatusCode::FORBIDDEN,
            6
            | 25
            | 26
            | 27
            | 34
            | 38
            | 41
            | 53
            | 62
            | 69
            | 72
            | 117
            | 167
            | 168
            | 321
            | 374
            | 420
            | 436
            | 440..=443
            | 456
            | 457 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 336 => StatusCode::NOT_FOUND,
            159 => StatusCode::REQUEST_TIMEOUT,
            223 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            202 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}
