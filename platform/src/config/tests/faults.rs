//! What is refused, and what the refusal says.

use super::{faults_of, lines, load, loader, nothing};

#[test]
fn an_unknown_key_is_refused_with_its_line_and_a_suggestion() {
    assert_eq!(
        faults_of("[serve]\n\nlisten = 'a:1'\ntimeuot = '5s'", nothing),
        ["config.toml:4: serve.timeuot: is not a known key; did you mean `timeout`?"]
    );
}

#[test]
fn an_unknown_key_inside_an_array_is_found_too() {
    assert_eq!(
        faults_of(
            "[[mqtt.brokers]]\nname = 'a'\n[[mqtt.brokers]]\nulr = 'mqtt://a'",
            nothing
        ),
        ["config.toml:4: mqtt.brokers[1].ulr: is not a known key; did you mean `url`?"]
    );
    assert_eq!(
        faults_of("[mqtt]\nbrokers = [{ nam = 'a' }]", nothing),
        ["config.toml:2: mqtt.brokers[0].nam: is not a known key; did you mean `name`?"]
    );
}

#[test]
fn a_key_under_the_wrong_header_is_told_where_it_belongs() {
    assert_eq!(
        faults_of("[kafka]\nlisten = 'a:1'", nothing),
        ["config.toml:2: kafka.listen: is not a known key here; did you mean `serve.listen`?"]
    );
}

#[test]
fn a_key_like_no_other_is_told_which_there_are() {
    assert_eq!(
        faults_of("[kafka]\nzzz = 1", nothing),
        ["config.toml:2: kafka.zzz: is not a known key; known here are `brokers`, `group`, `properties`"]
    );
    assert_eq!(
        faults_of("[srve]\nworkers = 1", nothing),
        ["config.toml:1: srve: is not a known key; did you mean `serve`?"]
    );
}

#[test]
fn unknown_keys_of_the_environment_and_options_are_refused_too() {
    let config = loader()
        .environment([
            ("MERIDIAN__KAFKA__BROKRES".into(), "a:1".into()),
            ("MERIDIAN__SERVE".into(), "5".into()),
            ("MERIDIAN__SERVE__WORKERS__0".into(), "5".into()),
            ("MERIDIAN__MQTT__BROKERS__2__NAME".into(), "a".into()),
            ("MERIDIAN__MQTT__BROKERS__FIRST__NAME".into(), "a".into()),
        ])
        .option("--fast", "serve.fast", "1")
        .load()
        .unwrap();
    assert_eq!(
        lines(config.read(nothing)),
        [
            "environment variable MERIDIAN__KAFKA__BROKRES: kafka.brokres: is not a known key; did you mean `brokers`?",
            "environment variable MERIDIAN__MQTT__BROKERS__2__NAME: mqtt.brokers: has no element 2; elements are \
             numbered from 0 without gaps, and the next free number is 0",
            "environment variable MERIDIAN__MQTT__BROKERS__FIRST__NAME: mqtt.brokers: is an array; write the number of \
             an element, from 0, in place of `first`",
            "environment variable MERIDIAN__SERVE: serve: is not a section; write `[serve]` and its keys below",
            "environment variable MERIDIAN__SERVE__WORKERS__0: serve.workers: is a value, it has no keys of its own",
            "option --fast: serve.fast: is not a known key; known here are `listen`, `mode`, `workers`, `share`, \
             `verbose`, `tags`, `timeout`, `body_max`, `redis_url`, `certificate`",
        ]
    );
}

#[test]
fn sections_and_values_are_told_apart() {
    assert_eq!(
        faults_of(
            "kafka = 1\n[serve.listen]\nhost = 'a'\n[mqtt.brokers]\nname = 'a'",
            nothing
        ),
        [
            "config.toml:1: kafka: is not a section; write `[kafka]` and its keys below",
            "config.toml:2: serve.listen: is a section, but a value is expected; write `listen = \"127.0.0.1:8080\"`",
            "config.toml:4: mqtt.brokers: is not an array of sections; write `[[mqtt.brokers]]`, with two brackets, \
             once for each",
        ]
    );
    assert_eq!(
        faults_of("[kafka.properties]\nlist = [1]", nothing),
        ["config.toml:2: kafka.properties.list: is a list; write one text, number or boolean"]
    );
}

#[test]
fn a_missing_key_is_reported_at_its_section_with_an_example() {
    let read = |root: &super::Section<'_>| {
        for broker in root.section("mqtt").sections("brokers") {
            let _ = broker.required("url").url(&["mqtt", "mqtts"]);
        }
    };
    assert_eq!(
        faults_of(
            "[[mqtt.brokers]]\nurl = 'mqtt://a'\n\n[[mqtt.brokers]]\nname = 'b'",
            read
        ),
        ["config.toml:4: mqtt.brokers[1].url: is missing; write for example `url = \"mqtt://127.0.0.1:1883\"`"]
    );
    let read = |root: &super::Section<'_>| {
        let _ = root.section("kafka").required("brokers").text();
    };
    assert_eq!(
        faults_of("", read),
        ["default configuration: kafka.brokers: is missing; write for example `brokers = \"127.0.0.1:9092\"`"]
    );
}

#[test]
fn all_faults_come_at_once_from_top_to_bottom() {
    let text = "[serve]\nworkers = 'many'\nmode = 'fast'\nlisten = 'nowhere'\nunknown_thing = 1\ntimeout = 5\n";
    let found = faults_of(text, |root| {
        let serve = root.section("serve");
        let _ = serve.required("timeout").text();
        let _ = serve.required("listen").host_port();
        let _ = serve.required("workers").integer(1..=10);
    });
    let places: Vec<&str> = found.iter().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(
        places,
        ["config.toml:2", "config.toml:4", "config.toml:5", "config.toml:6"]
    );
}

#[test]
fn a_relation_between_keys_is_reported_at_the_key() {
    let found = faults_of("[serve]\nworkers = 9", |root| {
        let serve = root.section("serve");
        serve.fault("workers", "is more than the machine has");
        serve.fault("certificate", "is needed to listen on a public address");
    });
    assert_eq!(
        found,
        [
            "config.toml:1: serve.certificate: is needed to listen on a public address",
            "config.toml:2: serve.workers: is more than the machine has",
        ]
    );
}

#[test]
fn a_syntax_error_has_line_and_column() {
    let error = loader().text("config.toml", "[serve]\nmode = \n").load().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("config.toml:2:8: is not valid TOML: "), "{text}");
    let error = loader().text("config.toml", "é = 1\n'é' = 2").load().unwrap_err();
    assert!(error.to_string().starts_with("config.toml:"), "{error}");
}

#[test]
fn every_unreadable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    let error = loader()
        .file(&missing)
        .file(folder.path())
        .text("broken.toml", "=")
        .load()
        .unwrap_err();
    let found: Vec<String> = error.faults().iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    let missing_text = format!("{}: this configuration file does not exist", missing.display());
    assert!(found.iter().any(|line| line.starts_with(&missing_text)), "{found:?}");
    let folder_text = format!("{}: cannot read this configuration file", folder.path().display());
    assert!(found.iter().any(|line| line.starts_with(&folder_text)), "{found:?}");
    assert!(
        found.iter().any(|line| line.starts_with("broken.toml:1:1: ")),
        "{found:?}"
    );
}

#[test]
fn a_number_that_does_not_fit_is_a_fault() {
    assert_eq!(
        faults_of("[serve]\nworkers = 99999999999999999999", nothing),
        [
            "config.toml:2: serve.workers: `99999999999999999999` is too large a number; the largest is \
             9223372036854775807"
        ]
    );
}

#[test]
fn nothing_that_was_read_gets_out_when_there_is_a_fault() {
    let result = load("[serve]\nworkers = 0").read(|root| root.section("serve").required("workers").integer(1..=8));
    assert!(result.is_err());
}
