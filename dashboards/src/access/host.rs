//! Who may use the open door: browsers and programs on this machine that mean this machine.
//!
//! A page of another site can let its own name point at 127.0.0.1 and would then count as ours (DNS rebinding). Its name
//! stands in `Host`. A proxy that passes on what others ask says so in headers of its own. Must refuse both.

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

/// # Errors
/// When a request is not for this machine by name, or comes from elsewhere.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    if FORWARDED.iter().any(|name| headers.contains_key(name)) {
        return Err(Problem::new(
            Kind::HostRefused,
            "there are no credentials, so nothing is answered through a proxy; make a key with `meridian keys new`",
        ));
    }
    match browsers::is_for_this_machine(headers) {
        true => Ok(()),
        false => Err(Problem::new(
            Kind::HostRefused,
            "there are no credentials, so only this machine is answered, under the name localhost, 127.0.0.1 or [::1]",
        )),
    }
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
}
