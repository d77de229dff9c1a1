//! Text that is never printed.

use std::{
    fmt, fs,
    io::{self, Read},
    path::Path,
};

use crate::limits::SECRET_FILE_BYTES_MAX;

/// What is shown in place of a secret.
pub(super) const MASK: &str = "***";

/// A password, token or key. Prints as `***`, however it is printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads a secret from a file; line ends after it do not belong to it.
    pub(super) fn from_file(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        let read = fs::File::open(path)?
            .take(SECRET_FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)?;
        if u64::try_from(read).is_ok_and(|read| read > SECRET_FILE_BYTES_MAX) {
            return Err(io::Error::other(format!(
                "larger than {SECRET_FILE_BYTES_MAX} bytes, which no secret is"
            )));
        }
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        Ok(Self(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

/// True when a key of this name holds a secret, in our sections and in free-form ones such as Kafka's properties.
///
/// Rather one too many: a masked harmless value annoys, a printed password does not come back.
pub(super) fn is_secret_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(['.', '_', '-']).collect();
    // What points at a secret, or goes with it, is none.
    let pointers = ["file", "path", "location", "url", "id", "name", "type"];
    if words.last().is_some_and(|last| pointers.contains(last)) {
        return false;
    }
    let secret_words = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "credential",
        "credentials",
        "pem",
        "jaas",
        "oauthbearer",
    ];
    let key_owners = ["api", "access", "account", "secret", "private", "encryption", "master"];
    words.iter().any(|word| secret_words.contains(word))
        || words
            .windows(2)
            .any(|pair| key_owners.contains(&pair[0]) && pair[1].starts_with("key"))
}
