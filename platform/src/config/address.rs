//! Network addresses as they stand in a configuration: `host:port`, and URLs whose password is never printed.
//!
//! Splits text into its parts and nothing else: no names are resolved here.

use std::{fmt, str::FromStr};

use super::secret::{MASK, Secret};

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A URL where only host and port belong.
    #[error("must be `host:port` alone, without `{0}`")]
    UnexpectedScheme(String),
    /// There is no port.
    #[error("has no port; write `host:port`")]
    NoPort,
    /// The port is no number that a port can have.
    #[error("has the port `{0}`, which is not a number from 0 to 65535")]
    InvalidPort(String),
    /// There is no host, or one with characters that no host has.
    #[error("has no valid host name; write a name, an IPv4 address, or an IPv6 address in brackets")]
    InvalidHost,
    /// Something in front of the `@` ends the part where user and password stand.
    #[error("has a `/`, `?` or `#` in front of its `@`; within a password write `%2F`, `%3F` or `%23`")]
    UnescapedPassword,
    /// There is no scheme.
    #[error("is not a URL; it must start with a scheme such as `{0}:`")]
    NoScheme(String),
    /// The scheme is none of those allowed.
    #[error("has the scheme `{found}`; write one of {allowed}")]
    UnknownScheme {
        /// As given.
        found: String,
        /// Those that are.
        allowed: String,
    },
}

/// A host and a port, to listen on or to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// Port; 0 means any free one, where listening.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(AddressError::UnexpectedScheme(format!("{scheme}://")));
        }
        let (host, port) = split_host_port(text)?;
        let port = port.ok_or(AddressError::NoPort)?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

/// A URL in its parts. Prints with its password masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    /// Before the first colon, in lower case.
    pub scheme: String,
    /// Before the `@`, as written (percent signs are not decoded).
    pub user: Option<String>,
    /// Behind the user, as written.
    pub password: Option<Secret>,
    /// Name or address; IPv6 without brackets; empty for URLs without `//`.
    pub host: String,
    /// The port, if one is given.
    pub port: Option<u16>,
    /// Everything after the host, with query; for URLs without `//`, everything after the scheme.
    pub path: String,
}

impl Url {
    /// Splits a URL and checks its scheme.
    ///
    /// # Errors
    /// When it is none, or its scheme is not one of `schemes`; the message completes a sentence about the text.
    pub fn parse(text: &str, schemes: &[&str]) -> Result<Self, AddressError> {
        let example = schemes.first().copied().unwrap_or("https").to_owned();
        let (scheme, rest) = text.split_once(':').ok_or(AddressError::NoScheme(example.clone()))?;
        let scheme = scheme.to_ascii_lowercase();
        if !schemes.contains(&scheme.as_str()) {
            // `localhost:1883` has no scheme; calling `localhost` one would mislead.
            if !rest.starts_with("//") {
                return Err(AddressError::NoScheme(format!("{example}://")));
            }
            return Err(AddressError::UnknownScheme {
                found: scheme,
                allowed: schemes.join(", "),
            });
        }
        let mut url = Self {
            text: text.to_owned(),
            scheme,
            user: None,
            password: None,
            host: String::new(),
            port: None,
            path: rest.to_owned(),
        };
        if let Some(rest) = rest.strip_prefix("//") {
            url.read_authority(rest)?;
        }
        Ok(url)
    }

    /// The whole text with its password, for who connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    fn read_authority(&mut self, rest: &str) -> Result<(), AddressError> {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        path.clone_into(&mut self.path);
        let host_port = match authority.rsplit_once('@') {
            Some((user_info, host_port)) => {
                let (user, password) = match user_info.split_once(':') {
                    Some((user, password)) => (user, Some(Secret::new(password))),
                    None => (user_info, None),
                };
                self.user = (!user.is_empty()).then(|| user.to_owned());
                self.password = password;
                host_port
            }
            None => authority,
        };
        // `file:///srv/data` has an empty host, which is the point of it.
        if !host_port.is_empty() || self.scheme != "file" {
            let split = split_host_port(host_port);
            // What looks like a port is then a piece of a password, and must not get into a message.
            if split.is_err() && path.contains('@') {
                return Err(AddressError::UnescapedPassword);
            }
            (self.host, self.port) = split?;
        }
        Ok(())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&masked(&self.text))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Url({self})")
    }
}

/// The text with everything masked that could be the password of a URL; any other text as it is.
///
/// Takes no trouble to be exact: what stands between the first colon and the last `@` is hidden, so that a URL that is
/// itself wrong gives nothing away either.
pub(super) fn masked(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let parts = rest
        .rsplit_once('@')
        .and_then(|(user_info, host)| Some((user_info.split_once(':')?.0, host)));
    match parts {
        Some((user, host)) => format!("{scheme}{user}:{MASK}@{host}"),
        None => text.to_owned(),
    }
}

fn split_host_port(text: &str) -> Result<(String, Option<u16>), AddressError> {
    // No message may repeat what stands in front of an `@`.
    if text.contains('@') {
        return Err(AddressError::InvalidHost);
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(AddressError::InvalidHost)?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_error| AddressError::InvalidHost)?;
        let port = match after {
            "" => None,
            after => Some(after.strip_prefix(':').ok_or(AddressError::InvalidHost)?),
        };
        (host, port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let plain = |character: char| character.is_alphanumeric() || matches!(character, '.' | '-' | '_');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(AddressError::InvalidHost);
        }
        (host, port)
    };
    let port = port.map(parse_port).transpose()?;
    Ok((host.to_owned(), port))
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    // `parse` alone would take `+80`.
    let digits = text.chars().all(|character| character.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| AddressError::InvalidPort(text.to_owned()))
}
