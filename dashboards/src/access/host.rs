//! Who may use the open door: browsers and programs on this machine that mean this machine.
//!
//! A page of another site can let its own name point at 127.0.0.1 and would then count as ours (DNS rebinding). Its name
//! stands in `Host`. A proxy that passes on what others ask says so in headers of its own. Must refuse both.

use axum::http::{HeaderMap, HeaderName, header};

use crate::api::problem::{Kind, Problem};

/// What proxies add about those they speak for.
const FORWARDED: [HeaderName; 4] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

/// # Errors
/// When a request is not for this machine by name, or comes from elsewhere.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    if FORWARDED.iter().any(|name| headers.contains_key(name)) {
        return Err(Problem::new(
            Kind::HostRefused,
            "there are no credentials, so nothing is answered through a proxy; make a key with `meridian keys new`",
        ));
    }
    let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
    match hosts[..] {
        [host] if host.to_str().is_ok_and(is_loopback) => Ok(()),
        _ => Err(Problem::new(
            Kind::HostRefused,
            "there are no credentials, so only this machine is answered, under the name localhost, 127.0.0.1 or [::1]",
        )),
    }
}

/// Whether a host, with a port or without, is this machine by its name.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, after)) if is_port(after) => name,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback())
}

fn is_port(after: &str) -> bool {
    after.is_empty()
        || after
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn is_answered(headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        check(&map).is_ok()
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.3.2.1:1",
            "[::1]",
            "[::1]:8080",
            "localhost.:1",
        ] {
            assert!(is_answered(&[("host", host)]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:8080",
            "0.0.0.0",
            "[::]",
            "localhost:8080@evil.example",
            "127.0.0.1:80:80",
            "[::1]evil",
            "evil.example#localhost",
            "2130706433",
            "0x7f.1",
        ] {
            assert!(!is_answered(&[("host", host)]), "{host}");
        }
        assert!(!is_answered(&[]));
        assert!(!is_answered(&[("host", "localhost"), ("host", "evil.example")]));
    }

    #[test]
    fn nothing_is_answered_through_a_proxy() {
        for header in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"] {
            assert!(
                !is_answered(&[("host", "127.0.0.1:8080"), (header, "10.0.0.9")]),
                "{header}"
            );
        }
    }
}
