//! What configuration promises to who writes one.

mod addresses;
mod definitions;
mod faults;
mod fields;
mod secrets;
mod sources;

use super::{Config, ConfigFaults, Loader, Section};

/// A default file with one of everything.
const DEFAULTS: &str = r#"# Everything there is.

[serve]
# Where to listen.
listen = "127.0.0.1:8080"
mode = "fast"
workers = 4
share = 0.5
verbose = false
tags = ["a", "b"]
timeout = "5s"
body_max = "1MiB"
redis_url = ""
#? certificate = "server.pem.crt"

# Brokers of the fleet.
#? [[mqtt.brokers]]
#? name = "edge-1"
#? url = "mqtt://127.0.0.1:1883"
#= protocol = "v5"
#? username = "meridian"
#? password = "example"
#? password_file = "/etc/meridian/mqtt"

[[ingest.routes]]
filter = "telemetry/+/+"
format = "json"
#= quality = 1

[[ingest.routes]]
filter = "legacy/#"
format = "senml"
#? prefix = "old"

# Without it, events stay here.
#? [kafka]
#? brokers = "127.0.0.1:9092"
#= group = "meridian"

#* [kafka.properties]
#? "linger.ms" = 5
"#;

fn loader() -> Loader {
    Loader::new(DEFAULTS).unwrap()
}

fn load(text: &str) -> Config {
    loader().text("config.toml", text).load().unwrap()
}

/// What a reader of this part of the configuration says about a document.
fn faults_of(text: &str, reader: impl FnOnce(&Section<'_>)) -> Vec<String> {
    lines(load(text).read(reader))
}

fn lines(result: Result<(), ConfigFaults>) -> Vec<String> {
    match result {
        Ok(()) => Vec::new(),
        Err(faults) => faults.to_string().lines().map(str::to_owned).collect(),
    }
}

fn nothing(_: &Section<'_>) {}
