//! Secrets are read, and never printed.

use std::fs;

use proptest::prelude::*;

use super::{faults_of, lines, load, loader};
use crate::config::{Config, Secret, Section, Url, secret::is_secret_name};

fn password(root: &Section<'_>) -> Option<Secret> {
    root.section("mqtt").sections("brokers").first()?.secret("password")
}

fn read_password(config: &Config) -> Option<String> {
    config.read(password).unwrap().map(|secret| secret.expose().to_owned())
}

#[test]
fn a_secret_is_given_directly_or_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "from file\r\n").unwrap();
    assert_eq!(read_password(&load("[[mqtt.brokers]]\nname = 'a'")), None);
    let direct = load("[[mqtt.brokers]]\npassword = 'direct'");
    assert_eq!(read_password(&direct), Some("direct".to_owned()));
    let by_file = load(&format!("[[mqtt.brokers]]\npassword_file = '{}'", path.display()));
    assert_eq!(read_password(&by_file), Some("from file".to_owned()));
}

#[test]
fn a_secret_from_the_environment_is_taken_to_the_letter() {
    for text in ["12345", "true", "\"quoted\"", "a, b", " spaced "] {
        let config = loader()
            .environment([("MERIDIAN__MQTT__BROKERS__0__PASSWORD".into(), text.into())])
            .load()
            .unwrap();
        assert_eq!(read_password(&config).as_deref(), Some(text));
    }
}

#[test]
fn two_places_for_one_secret_are_a_fault() {
    let found = faults_of("[[mqtt.brokers]]\npassword = 'hunter2'\npassword_file = '/x'", |root| {
        let _ = password(root);
    });
    assert_eq!(
        found,
        ["config.toml:3: mqtt.brokers[0].password_file: is given as well as `password`; remove one of them"]
    );
}

#[test]
fn a_secret_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing");
    let found = faults_of(
        &format!("[[mqtt.brokers]]\npassword_file = '{}'", path.display()),
        |root| {
            let _ = password(root);
        },
    );
    let expected = format!(
        "config.toml:2: mqtt.brokers[0].password_file: cannot read `{}`: ",
        path.display()
    );
    assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");

    let huge = folder.path().join("huge");
    fs::write(&huge, vec![b'x'; 100_000]).unwrap();
    let found = faults_of(
        &format!("[[mqtt.brokers]]\npassword_file = '{}'", huge.display()),
        |root| {
            let _ = password(root);
        },
    );
    assert!(found.len() == 1 && found[0].contains("larger than"), "{found:?}");
}

#[test]
fn no_way_of_printing_shows_a_secret() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");

    let url = Url::parse("redis://user:hunter2@host:6379/0", &["redis"]).unwrap();
    let printed = format!("{url} {url:?} {:?}", url.password);
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("redis://user:***@host:6379/0"), "{printed}");
    assert_eq!(url.expose(), "redis://user:hunter2@host:6379/0");
}

#[test]
fn the_effective_configuration_masks_secrets() {
    let effective = load(
        "[serve]\nredis_url = 'redis://:hunter2@host'\n[[mqtt.brokers]]\npassword = 'hunter2'\n\
         [kafka.properties]\n'sasl.password' = 'hunter2'\n'ssl.key.location' = '/key'\n'api.secret' = 22",
    )
    .effective();
    assert!(
        !effective.contains("hunter2") && !effective.contains("22"),
        "{effective}"
    );
    assert!(effective.contains("redis_url = \"redis://:***@host\""), "{effective}");
    assert!(effective.contains("\"sasl.password\" = \"***\""), "{effective}");
    assert!(effective.contains("\"ssl.key.location\" = \"/key\""), "{effective}");
}

#[test]
fn faults_do_not_repeat_secrets() {
    let found = faults_of("[[mqtt.brokers]]\npassword = 424242", |root| {
        let _ = password(root);
    });
    assert_eq!(
        found,
        ["config.toml:2: mqtt.brokers[0].password: is `***`, but text is expected; write in quotes"]
    );
    for url in [
        "redis://user:hun/ter2@host",
        "http://user:hunter2@host",
        "user:hunter2@host:6379",
    ] {
        let found = faults_of(&format!("[serve]\nredis_url = '{url}'"), |root| {
            let _ = root.section("serve").required("redis_url").url(&["redis"]);
        });
        assert!(
            found.len() == 1 && !found[0].contains("ter2") && !found[0].contains("hun"),
            "{found:?}"
        );
        let found = faults_of(&format!("[serve]\nlisten = '{url}'"), |root| {
            let _ = root.section("serve").required("listen").host_port();
        });
        assert!(
            found.len() == 1 && !found[0].contains("ter2") && !found[0].contains("hun"),
            "{found:?}"
        );
    }
}

#[test]
fn secrets_are_known_by_their_names() {
    for name in [
        "password",
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "token",
        "api_key",
        "secret_access_key",
        "account-key",
        "sasl.oauthbearer.client.secret",
        "client_secret",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "password_file",
        "ssl.key.location",
        "username",
        "key_file",
        "partition_key",
        "access_key_id",
        "brokers",
        "sasl.oauthbearer.token.endpoint.url",
        "keepalive",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
}

#[test]
#[should_panic(expected = "`mode` would be printed")]
fn a_secret_under_a_name_that_would_be_printed_is_a_fault_of_the_program() {
    let _ = lines(load("").read(|root| {
        let _ = root.section("serve").secret("mode");
    }));
}

proptest! {
    #[test]
    fn a_url_never_prints_its_password(password in "[a-zA-Z0-9:/?#@%!]{8,20}", scheme in "redis|http|mqtt") {
        let text = format!("{scheme}://user:{password}@host:1/path");
        if let Ok(url) = Url::parse(&text, &["redis", "http", "mqtt"]) {
            let printed = format!("{url} {url:?}");
            prop_assert!(!printed.contains(&password));
        }
        if let Err(error) = Url::parse(&text, &["redis", "http"]) {
            // The scheme may be repeated, and a password may happen to be part of the hint.
            prop_assert!(!error.to_string().contains(&password));
        }
    }
}
