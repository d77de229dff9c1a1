//! What each kind of value accepts, and what it says otherwise.

use std::{path::PathBuf, time::Duration};

use proptest::prelude::*;

use super::{faults_of, load};
use crate::config::Field;

/// The message about one value of `[serve]`, or nothing.
fn message(key: &str, value: &str, read: impl FnOnce(&Field<'_>)) -> String {
    let faults = faults_of(&format!("[serve]\n{key} = {value}"), |root| {
        read(&root.section("serve").required(key));
    });
    assert!(faults.len() <= 1, "{faults:?}");
    let place = format!("config.toml:2: serve.{key}: ");
    faults.first().map_or(String::new(), |fault| {
        fault
            .strip_prefix(&place)
            .unwrap_or_else(|| panic!("{fault}"))
            .to_owned()
    })
}

#[test]
fn every_kind_of_value_is_read() {
    load("")
        .read(|root| {
            let serve = root.section("serve");
            assert_eq!(serve.required("mode").text(), "fast");
            assert!(!serve.required("verbose").boolean());
            assert_eq!(serve.required("workers").integer(1..=8), 4);
            assert_eq!(serve.required("workers").number(1.0..=8.0), 4.0);
            assert_eq!(serve.required("share").number(0.0..=1.0), 0.5);
            let timeout = serve.required("timeout");
            assert_eq!(timeout.duration(Duration::ZERO..=Duration::MAX), Duration::from_secs(5));
            assert_eq!(serve.required("body_max").byte_size(0..=u64::MAX), 1 << 20);
            assert_eq!(serve.required("mode").one_of(&[("slow", 1), ("fast", 2)]), 2);
            assert_eq!(serve.required("mode").path(), PathBuf::from("fast"));
            assert_eq!(serve.required("listen").host_port().to_string(), "127.0.0.1:8080");
            assert_eq!(serve.required("tags").texts(), ["a", "b"]);
            assert!(serve.required("redis_url").non_empty().is_none());
            assert!(serve.optional("certificate").is_none());
            assert!(serve.contains("mode") && !serve.contains("certificate"));
        })
        .unwrap();
}

#[test]
fn several_addresses_are_separated_by_commas() {
    let config = load("[kafka]\nbrokers = 'one:9092, [::1]:9093'");
    let brokers = config
        .read(|root| root.section("kafka").required("brokers").host_ports())
        .unwrap();
    let brokers: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    assert_eq!(brokers, ["one:9092", "[::1]:9093"]);
}

#[test]
fn wrong_types_say_what_to_write() {
    let cases = [
        (
            message("mode", "5", |field| drop(field.text())),
            "is `5`, but text is expected; write in quotes",
        ),
        (
            message("verbose", "'yes'", |field| {
                let _ = field.boolean();
            }),
            "is `yes`, but a boolean is expected; write `true` or `false`",
        ),
        (
            message("workers", "'4'", |field| {
                let _ = field.integer(1..=8);
            }),
            "is `4`, but a whole number is expected; write without quotes",
        ),
        (
            message("timeout", "5", |field| {
                let _ = field.duration(Duration::ZERO..=Duration::MAX);
            }),
            "is `5`, but a duration is expected; write like \"5s\", \"250ms\" or \"1m30s\"",
        ),
        (
            message("body_max", "1024", |field| {
                let _ = field.byte_size(0..=u64::MAX);
            }),
            "is `1024`, but a size is expected; write like \"256KiB\" or \"1MiB\"",
        ),
        (
            message("tags", "'a'", |field| drop(field.texts())),
            "is `a`, but a list of texts is expected; write like [\"a\", \"b\"]",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn wrong_values_say_what_to_write() {
    let cases = [
        (
            message("workers", "9", |field| {
                let _ = field.integer(1..=8);
            }),
            "is 9; it must be from 1 to 8",
        ),
        (
            message("workers", "-1", |field| {
                let _ = field.integer(1..=8);
            }),
            "is -1; write a number from 1 to 8",
        ),
        (
            message("share", "nan", |field| {
                let _ = field.number(0.0..=1.0);
            }),
            "is NaN; it must be from 0 to 1",
        ),
        (
            message("timeout", "'5'", |field| {
                let _ = field.duration(Duration::ZERO..=Duration::MAX);
            }),
            "`5` has no unit; write `5s` for seconds or `5ms` for milliseconds",
        ),
        (
            message("timeout", "'2h'", |field| {
                let _ = field.duration(Duration::from_millis(10)..=Duration::from_secs(60));
            }),
            "is 2h; it must be from 10ms to 1m",
        ),
        (
            message("body_max", "'1GiB'", |field| {
                let _ = field.byte_size(1..=1 << 20);
            }),
            "is 1GiB; it must be from 1B to 1MiB",
        ),
        (
            message("mode", "'fsat'", |field| {
                let _ = field.one_of(&[("slow", 1), ("fast", 2)]);
            }),
            "is `fsat`; write one of slow, fast; did you mean `fast`?",
        ),
        (
            message("listen", "'127.0.0.1'", |field| {
                let _ = field.host_port();
            }),
            "`127.0.0.1` has no port; write `host:port`",
        ),
        (
            message("redis_url", "'http://host'", |field| {
                let _ = field.url(&["redis", "rediss"]);
            }),
            "`http://host` has the scheme `http`; write one of redis, rediss",
        ),
        (
            message("mode", "''", |field| drop(field.path())),
            "is empty; write a path",
        ),
        (
            message("mode", "'x'", |field| {
                let _: Option<()> = field.convert(|_| Err("is not what I want"));
            }),
            "`x` is not what I want",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

proptest! {
    #[test]
    fn any_number_in_range_is_read_and_any_other_is_refused(number: i64) {
        let config = load(&format!("[serve]\nworkers = {number}"));
        let read = config.read(|root| root.section("serve").required("workers").integer(10..=1_000_000));
        match u64::try_from(number).ok().filter(|number| (10..=1_000_000).contains(number)) {
            Some(expected) => prop_assert_eq!(read.unwrap(), expected),
            None => prop_assert!(read.is_err()),
        }
    }

    #[test]
    fn any_text_survives_the_environment(text in "[^\\x00]*") {
        prop_assume!(!text.trim_start().starts_with(['"', '\'']));
        let config = super::loader()
            .environment([("MERIDIAN__SERVE__MODE".into(), text.clone().into())])
            .load()
            .unwrap();
        let read = config.read(|root| root.section("serve").required("mode").text());
        prop_assert_eq!(read.unwrap(), text);
    }

    #[test]
    fn no_document_makes_the_loader_panic(text in "([a-z\\[\\]=\\.'\"0-9 \n{}#,]|serve|mqtt|brokers|kafka|properties)*") {
        if let Ok(config) = super::loader().text("config.toml", text).load() {
            let _ = config.read(super::nothing);
            let _ = config.effective();
        }
    }
}
