//! What the configuration promises to who writes one.

use std::time::Duration;

use platform::config::ConfigFaults;

use super::{ValidConfig, default_text, loader, read, read_root};

/// The settings of a document laid over the defaults.
fn settings(text: &str) -> Result<ValidConfig, ConfigFaults> {
    read(&loader().unwrap().text("config.toml", text).load()?)
}

fn faults(text: &str) -> Vec<String> {
    let faults = settings(text).expect_err("it has faults");
    faults.faults().iter().map(ToString::to_string).collect()
}

/// Faults of one document: each expected text must be in the fault of its place, and no other fault is there.
fn check_faults(text: &str, expected: &[&str]) {
    let found = faults(text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for part in expected {
        assert!(found.iter().any(|fault| fault.contains(part)), "`{part}` in {found:#?}");
    }
}

#[test]
fn the_defaults_are_valid_and_name_no_service() {
    let config = settings("").unwrap();
    assert!(config.ingest.brokers.is_empty() && config.log.kafka.is_none() && config.clickhouse.url.is_none());
    assert_eq!(config.process.parameters, processors::task::Parameters::default());
    assert_eq!(config.process.flush_interval, Duration::from_secs(1));
    assert_eq!(config.serve_listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.metrics_listen.to_string(), "127.0.0.1:9464");
    let ingest = ingest::IngestSettings::new("1", Vec::new(), Vec::new());
    assert_eq!(config.ingest.payload_bytes_max, ingest.payload_bytes_max);
    assert_eq!(config.ingest.future_skew_max, ingest.future_skew_max);
    assert_eq!(config.ingest.window, ingest.window);
    assert_eq!(config.ingest.drain_max, ingest.drain_max);
}

#[test]
fn queries_know_that_a_level_waits_for_the_next_flush() {
    let waits_ms = |flush_interval: &str| {
        let config = settings(&format!("[process]\nflush_interval = \"{flush_interval}\"")).unwrap();
        let levels = crate::services::queries(&config, "http://127.0.0.1:1").levels;
        let mut waits_ms: Vec<u64> = levels.iter().map(|level| level.flush_interval_ms).collect();
        waits_ms.dedup();
        waits_ms
    };
    assert_eq!(waits_ms("1s"), [1_000, 5_000, 10_000]);
    assert_eq!(waits_ms("2s"), [2_000, 6_000, 10_000]);
    assert_eq!(waits_ms("1m"), [60_000]);
}

#[test]
fn the_default_file_laid_over_itself_changes_nothing() {
    let again = settings(default_text()).unwrap();
    assert_eq!(format!("{again:?}"), format!("{:?}", settings("").unwrap()));
}

#[test]
fn every_key_of_the_default_file_is_read() {
    let plain = loader().unwrap().load().unwrap();
    // Keys that exclude each other cannot all be given at once; asking for them counts as reading.
    let everything = plain
        .default_text_with_everything()
        .replace("password = \"secret\"\n", "")
        .replace(
            "password_file = \"/etc/meridian/mqtt-password\"",
            "password = \"secret\"",
        )
        .replace(
            "password_file = \"/etc/meridian/clickhouse-password\"",
            "password = \"secret\"",
        )
        .replace("jwks_file = \"/etc/meridian/jwks.json\"\n", "")
        .replace("engines = \"plain\"", "engines = \"replicated\"");
    let config = loader().unwrap().text("everything", everything).load().unwrap();
    let (_, unread) = config.read_and_list_unread(read_root).unwrap();
    assert_eq!(unread, Vec::<String>::new());
}

#[test]
fn the_configuration_of_the_contract_is_understood() {
    let config = settings(
        r#"
        [[mqtt.brokers]]
        name = "edge-1"
        url = "mqtt://127.0.0.1:1883"
        protocol = "v3.1.1"
        [[ingest.routes]]
        filter = "telemetry/+/+"
        topic = "telemetry/{tenant}/{device}"
        format = "json"
        [kafka]
        brokers = "127.0.0.1:9092"
        group = "meridian"
        [kafka.properties]
        "linger.ms" = 7
        [checkpoints]
        url = "file:./meridian-data/checkpoints"
        [clickhouse]
        url = "http://127.0.0.1:8123"
        database = "meridian"
        user = "default"
        [cache]
        redis_url = ""
        [serve]
        listen = "127.0.0.1:8080"
        [telemetry]
        metrics_listen = "127.0.0.1:9464"
        "#,
    )
    .unwrap();
    assert_eq!(config.ingest.brokers[0].protocol, ingest::Protocol::V311);
    let kafka = config.log.kafka.unwrap();
    assert_eq!(
        (kafka.client.brokers.as_str(), kafka.group.as_str()),
        ("127.0.0.1:9092", "meridian")
    );
    assert_eq!(kafka.client.properties["linger.ms"], "7");
    assert_eq!(
        config.checkpoints_url.as_deref(),
        Some("file:./meridian-data/checkpoints")
    );
    assert_eq!(config.clickhouse.url.unwrap().expose(), "http://127.0.0.1:8123");
}

#[test]
fn all_faults_are_told_at_once_with_their_lines() {
    let found = faults(
        "[kafka]\ngroop = \"a\"\n[clickhouse]\nurl = \"127.0.0.1:8123\"\n[process]\nflush_interval = 5\n[[mqtt.brokers]]\nname = \"a\"\n",
    );
    let expected = [
        ("config.toml:1", "kafka.brokers", "is missing"),
        ("config.toml:2", "kafka.groop", "did you mean `group`"),
        ("config.toml:4", "clickhouse.url", "http://"),
        ("config.toml:6", "process.flush_interval", "5s"),
        ("config.toml:7", "mqtt.brokers[0].url", "is missing"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (fault, (place, key, message)) in found.iter().zip(expected) {
        assert!(
            fault.starts_with(place) && fault.contains(key) && fault.contains(message),
            "{fault}"
        );
    }
}

#[test]
fn what_does_not_fit_together_is_a_fault() {
    let broker = |rest: &str| format!("[[mqtt.brokers]]\nname = \"a\"\nurl = \"mqtt://a\"\n{rest}");
    let two = format!("{0}{0}", broker(""));
    check_faults(&two, &["names are unique", "is used twice at one broker"]);
    check_faults(&broker("password = \"x\""), &["mqtt.brokers[0].username"]);
    check_faults(&broker("cert_file = \"a.pem\""), &["go together"]);
    check_faults(&broker("connections = [{ filters = [] }]"), &["is empty"]);
    check_faults(
        "[[mqtt.brokers]]\nname = \"a\"\nurl = \"mqtt://user:word@a\"",
        &["password_file"],
    );
    check_faults(
        "[[rollup.levels]]\nperiod = \"7s\"\nres = 9\nflush_interval = \"1s\"",
        &["do not fit together"],
    );
    check_faults("[rollup]\nbase_resolution = 8", &["base_resolution: is 8, coarser"]);
    check_faults("[rollup]\nbase_resolution = 22", &["rollup.base_resolution"]);
    check_faults("[ingest]\nroutes = []", &["without a route"]);
    check_faults(
        "[ingest]\nwindow_bytes_max = \"256KiB\"\npayload_bytes_max = \"1MiB\"",
        &["must fit"],
    );
    check_faults("[clickhouse]\ndatabase = \"a-b\"", &["plain name"]);
    check_faults("[clickhouse]\ncluster = \"main\"", &["replicated"]);
    check_faults("[kafka]\nbrokers = \"a:1\"\nproperties = { acks = \"1\" }", &["acks"]);
}

#[test]
fn routes_name_filter_and_topic_of_a_known_grammar() {
    let route = |filter: &str, topic: &str, format: &str| {
        format!("[[ingest.routes]]\nfilter = \"{filter}\"\ntopic = \"{topic}\"\nformat = \"{format}\"")
    };
    assert!(settings(&route("a/+/+/#", "a/{tenant}/{device}", "json")).is_ok());
    check_faults(&route("a/b+", "a/{tenant}/{device}", "json"), &["not an MQTT filter"]);
    check_faults(&route("a/#/b", "a/{tenant}/{device}", "json"), &["not an MQTT filter"]);
    check_faults(&route("a/#", "a/{tenant}", "json"), &["ingest.routes[0].topic"]);
    check_faults(
        &route("a/#", "a/{tenant}/{device}", "xml"),
        &["ingest.routes[0].format"],
    );
}

#[test]
fn the_environment_and_options_win_over_files() {
    let variables = [
        ("MERIDIAN__KAFKA__BROKERS", "a:1, b:2"),
        ("MERIDIAN__SERVE__LISTEN", "0.0.0.0:1"),
    ];
    let loaded = loader()
        .unwrap()
        .text("config.toml", "[kafka]\nbrokers = \"c:3\"\n")
        .environment(variables.map(|(name, value)| (name.into(), value.into())))
        .load()
        .unwrap();
    let config = read(&loaded).unwrap();
    assert_eq!(config.log.kafka.unwrap().client.brokers, "a:1,b:2");
    assert_eq!(config.serve_listen.to_string(), "0.0.0.0:1");
}

#[test]
fn who_is_let_in_is_configured_with_its_limits() {
    let plain = settings("").unwrap().access;
    assert_eq!(plain.limits, dashboards::RequestLimits::default());
    assert!(plain.tokens.is_none());
    let jwt = |rest: &str| format!("[serve.jwt]\nissuer = \"i\"\naudience = \"a\"\n{rest}");
    let tokens = settings(&jwt("jwks_file = \"keys.json\""))
        .unwrap()
        .access
        .tokens
        .unwrap();
    assert_eq!(
        (tokens.tenant_claim.as_str(), tokens.scope_claim.as_deref()),
        ("tenant", Some("scope"))
    );
    assert_eq!(tokens.signings.len(), 3);
    assert!(settings(&jwt("jwks_url = \"http://127.0.0.1:1/keys\"\nscope_claim = \"\"")).is_ok());
    check_faults(&jwt(""), &["serve.jwt.jwks_url"]);
    check_faults(&jwt("jwks_url = \"http://issuer.example/keys\""), &["write https://"]);
    check_faults(&jwt("jwks_file = \"a\"\njwks_url = \"https://a/\""), &["remove one"]);
    check_faults(
        &jwt("jwks_file = \"a\"\nalgorithms = [\"HS256\", \"RS256\"]"),
        &["`HS256`"],
    );
    check_faults(&jwt("jwks_file = \"a\"\nalgorithms = []"), &["is empty"]);
    check_faults("[serve]\ntrusted_proxies = [\"10.0.0.0/99\"]", &["`10.0.0.0/99`"]);
    check_faults("[serve.limits]\nrequests_per_second = 0", &["requests_per_second"]);
}

#[test]
fn secrets_are_never_shown() {
    let text = "[clickhouse]\npassword = \"hunter2\"\n[[mqtt.brokers]]\nname = \"a\"\nurl = \"mqtt://a\"\nusername = \"u\"\npassword = \"hunter2\"\n";
    let loaded = loader().unwrap().text("config.toml", text).load().unwrap();
    let shown = format!("{:?}{}", read(&loaded).unwrap(), loaded.effective());
    assert!(!shown.contains("hunter2"), "{shown}");
}
