//! What a default file may say, for who writes the program.

use super::{load, loader};
use crate::config::Loader;

fn refusal(text: &str) -> String {
    Loader::new(text).unwrap_err().to_string()
}

#[test]
fn a_faulty_default_file_is_refused_with_its_line() {
    assert!(refusal("[a]\nb = \n").starts_with("default configuration, line 2: "));
    assert_eq!(
        refusal("#? [a]\nb = 1"),
        "default configuration, line 2: a value in force under a header that is not; mark it with `#? ` or `#= `"
    );
    assert_eq!(
        refusal("#* b = 1"),
        "default configuration, line 1: `#* ` marks sections, not values"
    );
    assert_eq!(
        refusal("[[a]]\nb = 1\n[[a]]\n[a.b]\nc = 1"),
        "default configuration, line 3: `b` is a value here and a section there"
    );
}

#[test]
fn keys_that_nobody_reads_are_listed() {
    let everything = load("").default_text_with_everything();
    let config = loader().text("everything.toml", everything).load().unwrap();
    let (_, unread) = config
        .read_and_list_unread(|root| {
            let _ = root.section("kafka").properties("properties");
            let _ = root.section("kafka").required("brokers");
            for route in root.section("ingest").sections("routes") {
                let _ = (
                    route.required("filter"),
                    route.required("format"),
                    route.optional("prefix"),
                );
            }
            let serve = root.section("serve");
            for key in [
                "listen", "mode", "workers", "share", "verbose", "tags", "timeout", "body_max",
            ] {
                let _ = serve.required(key);
            }
        })
        .unwrap();
    assert_eq!(
        unread,
        [
            "serve.redis_url",
            "serve.certificate",
            "mqtt.brokers.name",
            "mqtt.brokers.url",
            "mqtt.brokers.protocol",
            "mqtt.brokers.username",
            "mqtt.brokers.password",
            "mqtt.brokers.password_file",
            "ingest.routes.quality",
            "kafka.group",
        ]
    );
}

#[test]
#[should_panic(expected = "`serve.wrokers` is not declared in the default configuration")]
fn asking_for_an_undeclared_key_is_a_fault_of_the_program() {
    let _ = load("").read(|root| {
        let _ = root.section("serve").required("wrokers");
    });
}

#[test]
fn a_section_that_is_optional_may_hold_one_that_is_not() {
    let config = Loader::new("#? [a]\n#? x = 1\n\n[a.b]\ny = 2\n")
        .unwrap()
        .load()
        .unwrap();
    let read = config.read(|root| {
        let a = root.section("a");
        (a.contains("x"), a.section("b").required("y").integer(0..=9))
    });
    assert_eq!(read.unwrap(), (false, 2));
}
