//! `[[mqtt.brokers]]`: the edge brokers.

use std::collections::BTreeSet;

use ingest::{BrokerSettings, Filter, IngestSettings, Protocol, TlsFiles, limits as ingest_limits};
use platform::config::{Field, Section};

use super::limits;

/// Reads the brokers; none when the configuration names none.
pub(super) fn read(mqtt: &Section<'_>) -> Vec<BrokerSettings> {
    let mut names = BTreeSet::new();
    let read = |section: &Section<'_>| {
        let broker = read_broker(section);
        if !broker.name.is_empty() && !names.insert(broker.name.clone()) {
            section.fault(
                "name",
                format!("is `{}`, as of another broker; names are unique", broker.name),
            );
        }
        broker
    };
    mqtt.sections("brokers").iter().map(read).collect()
}

/// A client id belongs to one connection of a broker: a second one would push the first one out, over and over.
pub(super) fn check_client_ids(mqtt: &Section<'_>, settings: &IngestSettings) {
    let mut known = BTreeSet::new();
    for (section, broker) in mqtt.sections("brokers").iter().zip(&settings.brokers) {
        for connection in 0..broker.connections.len().max(1) {
            let client_id = settings.client_id(broker, connection);
            if !broker.url.is_empty() && !known.insert((broker.url.clone(), client_id.clone())) {
                let message = format!("`{client_id}` is used twice at one broker: the two would disconnect each other");
                section.fault("client_id", message);
            }
        }
    }
}

fn read_broker(section: &Section<'_>) -> BrokerSettings {
    let text = |key| section.optional(key).map(|field| field.text());
    let path = |key| section.optional(key).map(|field| field.path());
    let mut broker = BrokerSettings::new(&read_name(section), &read_url(section));
    broker.protocol = section
        .required("protocol")
        .one_of(&[("v5", Protocol::V5), ("v3.1.1", Protocol::V311)]);
    broker.username = text("username");
    broker.password = section.secret("password").map(|secret| secret.expose().to_owned());
    if broker.password.is_some() && broker.username.is_none() {
        section.fault("username", "is missing, and a password is given; write both or none");
    }
    broker.client_id = text("client_id");
    broker.tls = TlsFiles {
        ca_file: path("ca_file"),
        certificate_file: path("cert_file"),
        key_file: path("key_file"),
    };
    if broker.tls.certificate_file.is_some() != broker.tls.key_file.is_some() {
        section.fault("cert_file", "and `key_file` go together; write both or none");
    }
    let receive_maximum = section.required("receive_maximum").integer(1..=u64::from(u16::MAX));
    broker.receive_maximum = u16::try_from(receive_maximum).expect("the range was checked");
    let keep_alive = ingest_limits::KEEP_ALIVE_MIN..=ingest_limits::KEEP_ALIVE_MAX;
    broker.keep_alive = section.required("keep_alive").duration(keep_alive);
    broker.session_expiry = section
        .optional("session_expiry")
        .map(|field| field.duration(limits::SESSION_EXPIRY));
    broker.connections = section.sections("connections").iter().map(read_filters).collect();
    broker
}

fn read_name(section: &Section<'_>) -> String {
    let field = section.required("name");
    let name = field.text();
    if name.is_empty() && section.contains("name") {
        field.fault("is empty; name the broker, as in `edge-1`");
    }
    name
}

/// The address as it is; faults of it have their own words, so an empty text stands for one that has any.
fn read_url(section: &Section<'_>) -> String {
    let field = section.required("url");
    let Some(url) = field.url(&["mqtt", "mqtts"]) else {
        return String::new();
    };
    let fault = if url.user.is_some() || url.password.is_some() {
        Some("has a user; write `username` and `password_file` instead")
    } else if !matches!(url.path.as_str(), "" | "/") {
        Some("has more than host and port; write `mqtt://host:1883`")
    } else if url.port == Some(0) {
        Some("has port 0, which nobody can connect to")
    } else {
        None
    };
    match fault {
        Some(fault) => {
            field.fault(fault);
            String::new()
        }
        None => url.expose().to_owned(),
    }
}

fn read_filters(section: &Section<'_>) -> Vec<Filter> {
    let field = section.required("filters");
    let filters: Vec<String> = field.texts();
    if filters.is_empty() && section.contains("filters") {
        field.fault("is empty; write at least one filter, or remove the section");
    }
    for filter in &filters {
        check_filter(&field, filter);
    }
    filters.into_iter().map(Filter).collect()
}

/// Wildcards stand alone in their level, and `#` only at the end.
pub(super) fn check_filter(field: &Field<'_>, filter: &str) {
    let levels: Vec<&str> = filter.split('/').collect();
    let last = levels.len() - 1;
    let is_legal = |(index, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => index == last,
        level => !level.contains(['+', '#', '\0']),
    };
    if filter.is_empty() || !levels.iter().enumerate().all(is_legal) {
        field.fault(format!(
            "has `{filter}`, which is not an MQTT filter; `+` stands for one whole level and `#` for all from there on"
        ));
    }
}
