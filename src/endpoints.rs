//! Where a running `meridian up` can be reached, for people and for programs.

use std::path::Path;

use platform::{atomic_file::PublishedFile, config::HostPort};
use serde::{Deserialize, Serialize};

use crate::{
    data_dir::{self, DATA_DIR_DEFAULT},
    failure::Failure,
};

/// Name of the file in the data folder. It is there exactly while everything is ready.
pub(crate) const FILE: &str = "endpoints.json";

/// All addresses. The keys are a promise to users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    /// Broker that devices publish to.
    pub(crate) mqtt: String,
    /// Kafka's bootstrap brokers; none when the log is embedded.
    pub(crate) kafka: Option<String>,
    /// ClickHouse over HTTP.
    pub(crate) clickhouse: String,
    /// The web side.
    pub(crate) http: String,
    /// What Prometheus scrapes.
    pub(crate) metrics: String,
}

impl Endpoints {
    /// The `meridian up` on a data folder, or on the default one where none is asked for; none may run there.
    ///
    /// # Errors
    /// When a folder is asked for and nothing is ready on it.
    pub(crate) fn find(data_dir: Option<&Path>) -> Result<Option<Self>, Failure> {
        let folder = data_dir.unwrap_or(Path::new(DATA_DIR_DEFAULT));
        match (Self::read(folder), data_dir) {
            (Ok(endpoints), _) => Ok(Some(endpoints)),
            (Err(_), None) => Ok(None),
            (Err(error), Some(_)) => Err(Failure::usage(format!(
                "no `meridian up` is ready on `{folder}`: {error}. Start one with `meridian up --data-dir {folder}`, or name \
                 the folder of one that runs",
                folder = folder.display()
            ))),
        }
    }

    fn read(folder: &Path) -> Result<Self, String> {
        let file = folder.join(FILE);
        let bytes = std::fs::read(&file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "nothing runs there".to_owned(),
            _ => format!("`{}`: {error}", file.display()),
        })?;
        // A process that was killed leaves the file behind.
        if !data_dir::is_claimed(folder) {
            return Err("the one that was there has ended".to_owned());
        }
        serde_json::from_slice(&bytes).map_err(|error| format!("`{}`: {error}", file.display()))
    }

    /// Publishes the file, to be removed when the value is dropped.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn publish(&self, path: &Path) -> Result<PublishedFile, Failure> {
        let text = serde_json::to_string_pretty(self).expect("texts are always JSON");
        PublishedFile::publish(path, format!("{text}\n").as_bytes()).map_err(Failure::runtime)
    }
}

/// The address at which a server that listens here is reached from this machine.
pub(crate) fn reachable(address: std::net::SocketAddr) -> HostPort {
    let host = match address.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => "::1".to_owned(),
        ip => ip.to_string(),
    };
    HostPort {
        host,
        port: address.port(),
    }
}

/// An address for people: with a word about who else reaches a server that listens on every address of this machine.
pub(crate) fn in_words(url: &str, listen: &HostPort) -> String {
    let ip = listen.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    match ip.is_ok_and(|ip| ip.is_unspecified()) {
        true => format!("{url} (from elsewhere: at any address of this machine)"),
        false => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_exactly_the_promised_keys() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(FILE);
        let endpoints = Endpoints {
            mqtt: "mqtt://127.0.0.1:1883".to_owned(),
            kafka: None,
            clickhouse: "http://127.0.0.1:8123".to_owned(),
            http: "http://127.0.0.1:8080".to_owned(),
            metrics: "http://127.0.0.1:9464/metrics".to_owned(),
        };
        let published = endpoints.publish(&path).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let expected = serde_json::json!({
            "mqtt": "mqtt://127.0.0.1:1883",
            "kafka": null,
            "clickhouse": "http://127.0.0.1:8123",
            "http": "http://127.0.0.1:8080",
            "metrics": "http://127.0.0.1:9464/metrics",
        });
        assert_eq!(value, expected);
        drop(published);
        assert!(!path.exists());
    }

    #[test]
    fn who_listens_everywhere_is_reached_on_loopback() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:80", "127.0.0.1:80");
        check("[::]:80", "[::1]:80");
        check("10.0.0.1:80", "10.0.0.1:80");
        let words = |host: &str| {
            let listen = HostPort {
                host: host.to_owned(),
                port: 80,
            };
            in_words("http://x", &listen)
        };
        for everywhere in ["0.0.0.0", "::", "[::]"] {
            assert_eq!(
                words(everywhere),
                "http://x (from elsewhere: at any address of this machine)"
            );
        }
        for one in ["127.0.0.1", "10.0.0.1", "localhost", "::1"] {
            assert_eq!(words(one), "http://x");
        }
    }
}
