//! Which source wins, and how each one is written.

use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt};

use super::{DEFAULTS, lines, load, loader, nothing};
use crate::config::{Config, Loader, Section};

fn environment(variables: &[(&str, &str)]) -> Loader {
    environment_over("", variables)
}

fn environment_over(text: &str, variables: &[(&str, &str)]) -> Loader {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    loader().text("config.toml", text).environment(variables)
}

fn workers(config: &Config) -> u64 {
    config
        .read(|root| root.section("serve").required("workers").integer(0..=1_000))
        .unwrap()
}

fn broker_names(config: &Config) -> Vec<String> {
    config
        .read(|root| {
            let brokers = root.section("mqtt").sections("brokers");
            brokers.iter().map(|broker| broker.required("name").text()).collect()
        })
        .unwrap()
}

fn filters(root: &Section<'_>) -> Vec<String> {
    let routes = root.section("ingest").sections("routes");
    routes.iter().map(|route| route.required("filter").text()).collect()
}

#[test]
fn later_files_win_then_the_environment_then_options() {
    assert_eq!(workers(&load("")), 4);
    let files = || {
        loader()
            .text("first.toml", "[serve]\nworkers = 5")
            .text("second.toml", "[serve]\nworkers = 6")
    };
    assert_eq!(workers(&files().load().unwrap()), 6);
    let variable = || [(OsString::from("MERIDIAN__SERVE__WORKERS"), OsString::from("7"))];
    assert_eq!(workers(&files().environment(variable()).load().unwrap()), 7);
    let all = files()
        .option("--workers", "serve.workers", "8")
        .environment(variable());
    assert_eq!(workers(&all.load().unwrap()), 8);
}

#[test]
fn files_are_read_from_disk_and_keep_what_they_do_not_mention() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meridian.toml");
    fs::write(&path, "[serve]\nworkers = 9\n").unwrap();
    let config = loader().file(&path).load().unwrap();
    assert_eq!(workers(&config), 9);
    let mode = config.read(|root| root.section("serve").required("mode").text());
    assert_eq!(mode.unwrap(), "fast");
}

#[test]
fn an_optional_section_is_absent_until_one_of_its_keys_is_given() {
    let brokers_and_group = |config: &Config| {
        config
            .read(|root| {
                let kafka = root.optional_section("kafka")?;
                Some((kafka.required("brokers").text(), kafka.required("group").text()))
            })
            .unwrap()
    };
    assert_eq!(brokers_and_group(&load("")), None);
    let given = Some(("host:9092".to_owned(), "meridian".to_owned()));
    assert_eq!(brokers_and_group(&load("[kafka]\nbrokers = 'host:9092'")), given);
    let config = environment(&[("MERIDIAN__KAFKA__BROKERS", "host:9092")]).load();
    assert_eq!(brokers_and_group(&config.unwrap()), given);
}

#[test]
fn an_array_of_sections_replaces_the_default_as_a_whole() {
    assert_eq!(load("").read(filters).unwrap(), ["telemetry/+/+", "legacy/#"]);
    let config = load("[[ingest.routes]]\nfilter = 'own'\nformat = 'cbor'");
    assert_eq!(config.read(filters).unwrap(), ["own"]);
    let config = load("[ingest]\nroutes = []");
    assert_eq!(config.read(filters).unwrap(), Vec::<String>::new());
    let config = load("[ingest]\nroutes = [{ filter = 'inline', format = 'json' }]");
    assert_eq!(config.read(filters).unwrap(), ["inline"]);
}

#[test]
fn elements_get_the_defaults_of_their_section() {
    let config = load("[[mqtt.brokers]]\nname = 'a'\n[[mqtt.brokers]]\nname = 'b'\nprotocol = 'v3.1.1'");
    let protocols: Vec<String> = config
        .read(|root| {
            let brokers = root.section("mqtt").sections("brokers");
            brokers
                .iter()
                .map(|broker| broker.required("protocol").text())
                .collect()
        })
        .unwrap();
    assert_eq!(protocols, ["v5", "v3.1.1"]);

    let qualities: Vec<u64> = load("")
        .read(|root| {
            let routes = root.section("ingest").sections("routes");
            routes
                .iter()
                .map(|route| route.required("quality").integer(0..=2))
                .collect()
        })
        .unwrap();
    assert_eq!(qualities, [1, 1]);
}

#[test]
fn the_environment_reaches_into_arrays_by_index() {
    let config = environment_over(
        "[[mqtt.brokers]]\nname = 'a'\n[[mqtt.brokers]]\nname = 'b'",
        &[("MERIDIAN__MQTT__BROKERS__1__NAME", "changed")],
    );
    assert_eq!(broker_names(&config.load().unwrap()), ["a", "changed"]);
}

#[test]
fn the_environment_builds_an_array_from_nothing() {
    let names: Vec<(String, String)> = (0..12)
        .map(|index| {
            (
                format!("MERIDIAN__MQTT__BROKERS__{index}__NAME"),
                format!("edge-{index}"),
            )
        })
        .collect();
    let variables: Vec<(&str, &str)> = names
        .iter()
        .rev()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected: Vec<String> = (0..12).map(|index| format!("edge-{index}")).collect();
    assert_eq!(broker_names(&environment(&variables).load().unwrap()), expected);

    let whole = environment(&[
        ("MERIDIAN__MQTT__BROKERS__0__NAME", "changed"),
        ("MERIDIAN__MQTT__BROKERS", "[{name = 'a'}, {name = 'b'}]"),
    ]);
    assert_eq!(broker_names(&whole.load().unwrap()), ["changed", "b"]);
}

#[test]
fn environment_values_are_toml_if_they_parse_and_text_if_not() {
    let config = environment(&[
        ("MERIDIAN__SERVE__VERBOSE", "true"),
        ("MERIDIAN__SERVE__WORKERS", "12"),
        ("MERIDIAN__SERVE__SHARE", "0.25"),
        ("MERIDIAN__SERVE__TAGS", "[\"x\", \"y,z\"]"),
        ("MERIDIAN__SERVE__LISTEN", "0.0.0.0:80"),
        ("MERIDIAN__SERVE__MODE", "\"quoted\""),
        ("MERIDIAN__KAFKA__GROUP", "42"),
    ]);
    config
        .load()
        .unwrap()
        .read(|root| {
            let serve = root.section("serve");
            assert!(serve.required("verbose").boolean());
            assert_eq!(serve.required("workers").integer(0..=100), 12);
            assert_eq!(serve.required("share").number(0.0..=1.0), 0.25);
            assert_eq!(serve.required("tags").texts(), ["x", "y,z"]);
            assert_eq!(serve.required("listen").text(), "0.0.0.0:80");
            assert_eq!(serve.required("mode").text(), "quoted");
            let group = root.section("kafka").required("group").text();
            assert_eq!(group, "42", "where text is expected, digits are text");
        })
        .unwrap();
}

#[test]
fn a_list_in_the_environment_may_be_separated_by_commas() {
    let config = environment(&[("MERIDIAN__SERVE__TAGS", "x, y")]).load().unwrap();
    let tags = config.read(|root| root.section("serve").required("tags").texts());
    assert_eq!(tags.unwrap(), ["x", "y"]);
    let config = environment(&[("MERIDIAN__SERVE__TAGS", "")]).load().unwrap();
    let tags = config.read(|root| root.section("serve").required("tags").texts());
    assert_eq!(tags.unwrap(), Vec::<String>::new());
}

#[test]
fn a_free_form_section_takes_points_quoted_or_not() {
    let config = environment_over(
        "[kafka.properties]\n\"linger.ms\" = 20\nsocket.keepalive.enable = true\nclient.id = 'a'",
        &[("MERIDIAN__KAFKA__PROPERTIES__CLIENT__ID", "7")],
    );
    let config = config.load().unwrap();
    let properties = config
        .read(|root| root.section("kafka").properties("properties"))
        .unwrap();
    let properties: Vec<(&str, &str)> = properties
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        properties,
        [
            ("client.id", "7"),
            ("linger.ms", "20"),
            ("socket.keepalive.enable", "true")
        ]
    );
    let empty = load("").read(|root| root.section("kafka").properties("properties"));
    assert!(empty.unwrap().is_empty());
}

#[test]
fn other_environment_variables_are_none_of_our_business() {
    let config = environment(&[
        ("PATH", "/bin"),
        ("MERIDIAN_LOG", "debug"),
        ("MERIDIAN_CACHE_DIR", "/c"),
    ]);
    assert_eq!(lines(config.load().unwrap().read(nothing)), Vec::<String>::new());
}

#[test]
fn an_environment_variable_that_is_not_text_is_named() {
    let value = OsString::from_vec(vec![0xff, 0xfe]);
    let config = loader().environment([("MERIDIAN__SERVE__MODE".into(), value)]);
    assert_eq!(
        lines(config.load().unwrap().read(nothing)),
        ["environment variable MERIDIAN__SERVE__MODE: serve.mode: is not valid UTF-8; write it as text"]
    );
}

#[test]
fn the_default_file_used_as_a_configuration_changes_nothing() {
    let without_origin = |config: &Config| -> Vec<String> {
        let text = config.effective();
        text.lines()
            .map(|line| line.split("  # ").next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(without_origin(&load(DEFAULTS)), without_origin(&load("")));
    assert_eq!(load("").default_text(), DEFAULTS);
}

#[test]
fn the_effective_configuration_says_where_everything_comes_from() {
    let config = loader()
        .text(
            "config.toml",
            "[serve]\nworkers = 6\n\n[kafka]\nbrokers = 'a:1'\n[kafka.properties]\n'linger.ms' = 20",
        )
        .environment([("MERIDIAN__SERVE__MODE".into(), "slow".into())])
        .option("--listen", "serve.listen", "127.0.0.1:0")
        .load()
        .unwrap();
    let effective = config.effective();
    for line in [
        "listen = \"127.0.0.1:0\"  # option --listen",
        "mode = \"slow\"  # environment variable MERIDIAN__SERVE__MODE",
        "workers = 6  # config.toml:2",
        "timeout = \"5s\"  # default",
        "[[ingest.routes]]",
        "quality = 1  # default",
        "brokers = \"a:1\"  # config.toml:5",
        "[kafka.properties]",
        "\"linger.ms\" = 20  # config.toml:7",
    ] {
        assert!(
            effective.lines().any(|found| found == line),
            "no `{line}` in:\n{effective}"
        );
    }
    let again = load(&effective).effective();
    assert_eq!(
        again.lines().count(),
        effective.lines().count(),
        "it is valid and complete"
    );
}
