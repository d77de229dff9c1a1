//! Addresses are split as their writers mean them.

use proptest::prelude::*;

use crate::config::{AddressError, HostPort, Url};

#[test]
fn host_and_port_are_split() {
    for (text, host, port) in [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("[::1]:9464", "::1", 9464),
        ("edge_1.example.org:65535", "edge_1.example.org", 65535),
    ] {
        let parsed: HostPort = text.parse().unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port), (host, port));
        assert_eq!(parsed.to_string(), text);
    }
}

#[test]
fn what_is_no_host_and_port_says_why() {
    for (text, expected) in [
        ("localhost", AddressError::NoPort),
        (
            "http://localhost:1",
            AddressError::UnexpectedScheme("http://".to_owned()),
        ),
        ("localhost:65536", AddressError::InvalidPort("65536".to_owned())),
        ("localhost:+1", AddressError::InvalidPort("+1".to_owned())),
        ("localhost:", AddressError::InvalidPort(String::new())),
        ("::1:80", AddressError::InvalidHost),
        ("[::1:80", AddressError::InvalidHost),
        ("[nonsense]:80", AddressError::InvalidHost),
        ("[::1]80", AddressError::InvalidHost),
        (":80", AddressError::InvalidHost),
        ("a b:80", AddressError::InvalidHost),
        ("", AddressError::InvalidHost),
    ] {
        assert_eq!(text.parse::<HostPort>(), Err(expected), "{text}");
    }
}

#[test]
fn urls_are_split() {
    let schemes = ["mqtt", "redis", "file", "s3", "http"];
    let url = Url::parse("MQTT://127.0.0.1:1883", &schemes).unwrap();
    assert_eq!(
        (url.scheme.as_str(), url.host.as_str(), url.port),
        ("mqtt", "127.0.0.1", Some(1883))
    );
    assert_eq!((url.user, url.password, url.path.as_str()), (None, None, ""));

    let url = Url::parse("redis://user:p:w@[::1]/2?x=y@z", &schemes).unwrap();
    assert_eq!(
        (url.host.as_str(), url.port, url.path.as_str()),
        ("::1", None, "/2?x=y@z")
    );
    assert_eq!(url.user.as_deref(), Some("user"));
    assert_eq!(url.password.unwrap().expose(), "p:w");

    let url = Url::parse("file:./data/checkpoints", &schemes).unwrap();
    assert_eq!((url.host.as_str(), url.path.as_str()), ("", "./data/checkpoints"));
    let url = Url::parse("file:///srv/data", &schemes).unwrap();
    assert_eq!((url.host.as_str(), url.path.as_str()), ("", "/srv/data"));
    let url = Url::parse("s3://bucket/prefix", &schemes).unwrap();
    assert_eq!((url.host.as_str(), url.path.as_str()), ("bucket", "/prefix"));
}

#[test]
fn what_is_no_url_says_why() {
    let schemes = ["mqtt", "mqtts"];
    for (text, expected) in [
        ("", AddressError::NoScheme("mqtt".to_owned())),
        ("localhost", AddressError::NoScheme("mqtt".to_owned())),
        ("localhost:1883", AddressError::NoScheme("mqtt://".to_owned())),
        (
            "http://localhost",
            AddressError::UnknownScheme {
                found: "http".to_owned(),
                allowed: "mqtt, mqtts".to_owned(),
            },
        ),
        ("mqtt://", AddressError::InvalidHost),
        ("mqtt://host:port", AddressError::InvalidPort("port".to_owned())),
        ("mqtt://user:pass/word@host", AddressError::UnescapedPassword),
    ] {
        assert_eq!(Url::parse(text, &schemes), Err(expected), "{text}");
    }
}

proptest! {
    #[test]
    fn every_address_survives_writing_and_reading(host in "[a-z0-9][a-z0-9.-]{0,30}", port: u16) {
        let address = HostPort { host, port };
        prop_assert_eq!(address.to_string().parse::<HostPort>(), Ok(address));
    }

    #[test]
    fn every_ipv6_address_survives_writing_and_reading(host: std::net::Ipv6Addr, port: u16) {
        let address = HostPort { host: host.to_string(), port };
        prop_assert_eq!(address.to_string().parse::<HostPort>(), Ok(address));
    }

    #[test]
    fn any_text_is_read_or_refused_but_never_a_panic(text: String) {
        let _ = text.parse::<HostPort>();
        let _ = Url::parse(&text, &["mqtt", "file"]);
        let _ = Url::parse(&format!("mqtt://{text}"), &["mqtt"]);
    }
}
