//! Who may use the open door: browsers and programs on this machine that mean this machine.
//!
//! A page of another site can have a browser here send questions whose answers it never sees, each of which is work for the
//! store; browsers say so. It can also let its own name point at 127.0.0.1 and would then count as ours (DNS rebinding): its
//! name stands in `Host`. A proxy that passes on what others ask says so in headers of its own. Must refuse all three.

use axum::http::{HeaderMap, HeaderName};
use platform::browsers;

use crate::api::problem::{Kind, Problem};

/// What proxies add about those they speak for.
const FORWARDED: [HeaderName; 6] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("via"),
];

/// `is_question`: answering it is work. Links of other sites lead to everything else.
///
/// # Errors
/// When a request is not for this machine by name, or comes from elsewhere.
pub(crate) fn check(headers: &HeaderMap, is_question: bool) -> Result<(), Problem> {
    if FORWARDED.iter().any(|name| headers.contains_key(name)) {
        return Err(Problem::new(
            Kind::HostRefused,
            "there are no credentials, so nothing is answered through a proxy; make a key with `meridian keys new`",
        ));
    }
    if !browsers::is_for_this_machine(headers) {
        return Err(Problem::new(
            Kind::HostRefused,
            "there are no credentials, so only this machine is answered, under the name localhost, 127.0.0.1 or [::1]",
        ));
    }
    let is_foreign = match is_question {
        true => browsers::is_led_by_another_site(headers),
        false => browsers::is_of_another_site(headers),
    };
    match is_foreign {
        false => Ok(()),
        true => Err(Problem::new(
            Kind::SiteRefused,
            "there are no credentials, so no page of another site, and no link on one, may ask this; open the dashboard at \
             `/`, enter the address by hand, or ask with a program",
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn checked(headers: &[(&'static str, &'static str)], is_question: bool) -> Result<(), Kind> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        check(&map, is_question).map_err(|problem| problem.kind)
    }

    fn is_answered(headers: &[(&'static str, &'static str)]) -> bool {
        let answered = [true, false].map(|is_question| checked(headers, is_question).is_ok());
        assert_eq!(answered[0], answered[1], "{headers:?}");
        answered[0]
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        assert!(is_answered(&[("host", "localhost:8080")]));
        assert!(!is_answered(&[("host", "evil.example:8080")]));
    }

    #[test]
    fn nothing_is_answered_through_a_proxy() {
        for header in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
            "via",
        ] {
            assert!(
                !is_answered(&[("host", "127.0.0.1:8080"), (header, "10.0.0.9")]),
                "{header}"
            );
        }
    }

    #[test]
    fn a_link_of_another_site_leads_to_pages_and_asks_nothing() {
        let host = ("host", "127.0.0.1:8080");
        let link = [
            host,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(
            (checked(&link, false), checked(&link, true)),
            (Ok(()), Err(Kind::SiteRefused))
        );
        let image = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")];
        assert_eq!(checked(&image, false), Err(Kind::SiteRefused));
        assert!(is_answered(&[
            host,
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "cors")
        ]));
    }
}
