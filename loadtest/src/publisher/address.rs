//! Where the broker is: `mqtt://host:port`.

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Host name or IP address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Why a URL is not a broker's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is not an MQTT address ({fault}); write it as in `mqtt://127.0.0.1:1883`")]
pub struct AddressError {
    /// What was given.
    pub url: String,
    fault: &'static str,
}

/// The port of MQTT without TLS.
const PORT_DEFAULT: u16 = 1883;

impl BrokerAddress {
    /// Reads `mqtt://host[:port]`.
    ///
    /// # Errors
    /// Names what is wrong. TLS is not offered: load is made next to the broker.
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let error = |fault| AddressError {
            url: url.to_owned(),
            fault,
        };
        let authority = match url.split_once("://") {
            Some(("mqtt" | "tcp", rest)) => rest.trim_end_matches('/'),
            Some(("mqtts" | "ssl", _)) => return Err(error("TLS is not supported here")),
            Some(_) => return Err(error("unknown scheme")),
            None => return Err(error("no scheme")),
        };
        if authority.contains('@') {
            return Err(error("user and password are options of their own"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            // A colon inside brackets belongs to an IPv6 address.
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| error("bad port"))?),
            _ => (authority, PORT_DEFAULT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(error("no host"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Option<(String, u16)> {
        BrokerAddress::parse(url)
            .ok()
            .map(|address| (address.host, address.port))
    }

    #[test]
    fn host_and_port_are_read() {
        assert_eq!(parsed("mqtt://127.0.0.1:1884"), Some(("127.0.0.1".to_owned(), 1884)));
        assert_eq!(parsed("mqtt://edge.example/"), Some(("edge.example".to_owned(), 1883)));
        assert_eq!(parsed("mqtt://[::1]:1885"), Some(("::1".to_owned(), 1885)));
        assert_eq!(parsed("mqtt://[::1]"), Some(("::1".to_owned(), 1883)));
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for bad in [
            "",
            "localhost:1883",
            "http://a",
            "mqtts://a",
            "mqtt://",
            "mqtt://a:x",
            "mqtt://u:p@a",
        ] {
            let error = BrokerAddress::parse(bad).expect_err(bad).to_string();
            assert!(error.contains("mqtt://127.0.0.1:1883"), "{error}");
        }
    }
}
