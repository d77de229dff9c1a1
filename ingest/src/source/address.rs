//! Reads the address of a broker: `mqtt://host:port` or `mqtts://host:port`. No I/O, no name lookup.

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Name or address; an IPv6 address keeps its brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Speaks TLS.
    pub tls: bool,
}

/// Why an address cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is no broker address: {reason}; write `mqtt://host:1883` or `mqtts://host:8883`")]
pub struct AddressError {
    url: String,
    reason: &'static str,
}

impl BrokerAddress {
    /// Reads an address; without a port it is 1883, or 8883 for TLS.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let fault = |reason| AddressError {
            url: url.to_owned(),
            reason,
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| fault("it has no scheme"))?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" | "tls" => true,
            _ => return Err(fault("the scheme is not known")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(fault("credentials belong into `username` and `password_file`"));
        }
        if rest.contains(['/', '?', '#', ' ']) {
            return Err(fault("it has more than host and port"));
        }
        let (host, port) = split_port(rest);
        if host.is_empty() {
            return Err(fault("it has no host"));
        }
        let port = match port {
            None if tls => 8883,
            None => 1883,
            Some(text) => text
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| fault("the port is no number from 1 to 65535"))?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            tls,
        })
    }
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        // The last colon of an IPv6 address in brackets is no port.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Option<(&str, u16, bool)>) {
        let parsed = BrokerAddress::parse(url).ok();
        let expected = expected.map(|(host, port, tls)| BrokerAddress {
            host: host.to_owned(),
            port,
            tls,
        });
        assert_eq!(parsed, expected, "{url}");
    }

    #[test]
    fn host_port_and_tls_are_read() {
        check("mqtt://127.0.0.1:1883", Some(("127.0.0.1", 1883, false)));
        check("mqtt://edge", Some(("edge", 1883, false)));
        check("mqtts://edge.example/", Some(("edge.example", 8883, true)));
        check("mqtt://[::1]:7", Some(("[::1]", 7, false)));
        check("mqtt://[::1]", Some(("[::1]", 1883, false)));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "edge:1883",
            "http://edge",
            "mqtt://",
            "mqtt://:1",
            "mqtt://a:0",
            "mqtt://a:x",
            "mqtt://a/b",
            "mqtt://u:p@a",
        ] {
            check(bad, None);
        }
    }
}
