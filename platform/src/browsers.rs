//! Requests that pages of other sites make a browser on this machine send.
//!
//! A port on loopback that asks for no credentials trusts whoever sits at this machine. Any page that is open there can
//! send requests to it as well, blindly (cross-site requests), or as if it were of this machine when its own name is made
//! to point here (DNS rebinding). The first says so in `Origin` or `Sec-Fetch-Site`, the second in `Host`.

use std::net::IpAddr;

use hyper::{HeaderMap, header};

/// Whether a host, with a port or without, is this machine by its name.
#[must_use]
pub fn is_loopback_name(host: &str) -> bool {
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
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

fn is_port(after: &str) -> bool {
    after.is_empty()
        || after
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Whether a request names this machine, once, as the host it is for.
#[must_use]
pub fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
    matches!(hosts[..], [host] if host.to_str().is_ok_and(is_loopback_name))
}

/// Whether a request names a host that is not this machine. Programs that name none are believed: browsers always do.
#[must_use]
pub fn is_for_another_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    hosts.any(|host| !host.to_str().is_ok_and(is_loopback_name))
}

/// Whether a page of another origin made a browser send this. Following a link is no such request: it reads, and what it
/// reads is seen by the person alone. A frame is one: nobody needs to see it.
#[must_use]
pub fn is_of_another_site(headers: &HeaderMap) -> bool {
    let is_followed = text(headers, "sec-fetch-mode") == Some("navigate")
        && matches!(text(headers, "sec-fetch-dest"), None | Some("document"));
    let is_link = is_followed && !headers.contains_key(header::ORIGIN);
    is_led_by_another_site(headers) && !is_link
}

/// The same with links: a page can follow its own without anybody's help, again and again, and stay open.
#[must_use]
pub fn is_led_by_another_site(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::ORIGIN) {
        let origin = text(headers, "origin").and_then(|origin| origin.split_once("://"));
        return origin.map(|(_scheme, authority)| authority) != text(headers, "host");
    }
    matches!(text(headers, "sec-fetch-site"), Some("cross-site" | "same-site"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        for (name, value) in pairs.map(pair) {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn only_names_of_this_machine_are_of_this_machine() {
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
            assert!(is_for_this_machine(&headers(&[("host", host)])), "{host}");
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
            assert!(!is_for_this_machine(&headers(&[("host", host)])), "{host}");
        }
        assert!(!is_for_this_machine(&headers(&[])));
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert!(!is_for_this_machine(&headers(&two)));
        assert!(is_for_another_machine(&headers(&two)));
        assert!(!is_for_another_machine(&headers(&[])) && !is_for_another_machine(&headers(&two[..1])));
    }

    #[test]
    fn pages_of_other_sites_are_told_from_programs_and_own_pages() {
        let host = ("host", "127.0.0.1:8123");
        for own in [
            &[host][..],
            &[host, ("origin", "http://127.0.0.1:8123")],
            &[
                host,
                ("origin", "http://127.0.0.1:8123"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[host, ("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
        ] {
            let own = headers(own);
            assert!(!is_of_another_site(&own) && !is_led_by_another_site(&own), "{own:?}");
        }
        for link in [
            &[host, ("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")][..],
            &[
                host,
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ],
        ] {
            let link = headers(link);
            assert!(!is_of_another_site(&link) && is_led_by_another_site(&link), "{link:?}");
        }
        for foreign in [
            &[host, ("origin", "http://evil.example")][..],
            &[host, ("origin", "null")],
            &[
                host,
                ("origin", "http://127.0.0.1:3000"),
                ("sec-fetch-site", "same-site"),
            ],
            &[host, ("origin", "https://evil.example"), ("sec-fetch-mode", "navigate")],
            &[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")],
            &[("origin", "http://evil.example")],
            &[
                host,
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
            ],
        ] {
            let foreign = headers(foreign);
            assert!(
                is_of_another_site(&foreign) && is_led_by_another_site(&foreign),
                "{foreign:?}"
            );
        }
    }
}
