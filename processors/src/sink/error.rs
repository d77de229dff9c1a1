//! Why an INSERT failed, and whether the same bytes may succeed later.
//!
//! Every row is idempotent by its key, so what is uncertain is sent again; only what the server will refuse every time
//! ends the attempt. Must never call an error permanent that an outage, a restart or a full disk can cause.

use platform::retry::{Classify, Domain, Retry};

/// Why rows are not in ClickHouse.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// No answer, or an answer that says "not now". The rows may be in the table or not.
    #[error("`{table}` cannot be written at the moment: {detail}")]
    Unavailable {
        /// Table name.
        table: &'static str,
        /// Code of the server, where it answered with one.
        code: Option<u32>,
        /// What was heard.
        detail: String,
    },
    /// The server will say no every time.
    #[error(
        "ClickHouse refuses rows for `{table}` with code {code}: {detail}; \
         run `meridian validate --connect`, which checks schema, rights and settings"
    )]
    Refused {
        /// Table name.
        table: &'static str,
        /// Code of the server.
        code: u32,
        /// What it said.
        detail: String,
    },
    /// The request could not even be made.
    #[error("`{table}` cannot be written with this configuration: {detail}; check `[clickhouse] url`")]
    Configuration {
        /// Table name.
        table: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// The rows are no table: a fault of ours.
    #[error("rows could not be encoded: {0}")]
    Encoding(#[from] arrow::error::ArrowError),
}

impl SinkError {
    /// Sorts an error of the client library.
    #[must_use]
    pub fn from_client(table: &'static str, error: &clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;
        let detail = chain(error);
        match error {
            Error::BadResponse(text) => match server_code(text) {
                Some(code) if is_permanent(code) => Self::Refused { table, code, detail },
                code => Self::Unavailable { table, code, detail },
            },
            Error::Unsupported(_) | Error::InvalidParams(_) => Self::Configuration { table, detail },
            _ => Self::Unavailable {
                table,
                code: None,
                detail,
            },
        }
    }
}

impl Classify for SinkError {
    fn domain(&self) -> Domain {
        match self {
            Self::Unavailable { .. } => Domain::External,
            Self::Refused { .. } | Self::Configuration { .. } | Self::Encoding(_) => Domain::Internal,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } => Retry::Same,
            Self::Refused { .. } | Self::Configuration { .. } | Self::Encoding(_) => Retry::Never,
        }
    }
}

/// The code in "Code: 252. DB::Exception: ...".
#[must_use]
pub fn server_code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Codes that the same bytes will meet again. All others are tried again: to wait for a person costs time, to give up
/// on rows that were acknowledged would break the promise.
fn is_permanent(code: u32) -> bool {
    matches!(
        code,
        // Our data is not what the table takes: cannot parse, types, numbers of columns, too large.
        6 | 26 | 27 | 33 | 38 | 41 | 43 | 44 | 53 | 70 | 72 | 117 | 131 | 321 | 636
        // What somebody added to the table refuses a value: constraints, and views that compute with it.
        | 69 | 153 | 407 | 469
        // Our statement or table does not fit: names, columns, database, table, settings, syntax, formats.
        | 8 | 10 | 16 | 20 | 36 | 46 | 47 | 48 | 60 | 62 | 73 | 80 | 81 | 115 | 306 | 395
        // We may not: read-only user, unknown user, wrong password, rights.
        | 164 | 192 | 193 | 194 | 497 | 516
    )
}

/// Codes that one row can cause while its neighbours are taken: a constraint, or a view that cannot compute with a value.
/// Codes that tell of the whole table are not among them.
pub(super) fn may_be_one_row(code: u32) -> bool {
    matches!(
        code,
        6 | 27 | 38 | 41 | 69 | 70 | 72 | 131 | 153 | 321 | 395 | 407 | 469
    )
}

/// The error with its causes, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
