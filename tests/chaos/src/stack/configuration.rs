//! The configuration of each role: everything as by default, but for addresses, which are those of the proxies, and the
//! session timeout. Must never make anything easier for the product.

use std::collections::BTreeMap;

use crate::{
    fault::{Hop, Part},
    limits::SESSION_TIMEOUT,
    proxy::Proxy,
};

/// The file of a role.
pub(super) fn of(part: Part, proxies: &BTreeMap<Hop, Proxy>) -> String {
    let port = |hop: Hop| proxies[&hop].port();
    let kafka = |hop: Hop| {
        format!(
            "[log]\npartitions = 6\n[kafka]\nbrokers = \"127.0.0.1:{}\"\n",
            port(hop)
        )
    };
    let process = |kafka_hop: Hop, clickhouse_hop: Hop| {
        format!(
            "{}[kafka.properties]\n\"session.timeout.ms\" = \"{}\"\n[clickhouse]\nurl = \"http://127.0.0.1:{}\"\n[checkpoints]\nurl = \"file:./checkpoints\"\n",
            kafka(kafka_hop),
            SESSION_TIMEOUT.as_millis(),
            port(clickhouse_hop)
        )
    };
    match part {
        Part::Ingest => format!(
            "[[mqtt.brokers]]\nname = \"edge\"\nurl = \"mqtt://127.0.0.1:{}\"\n{}",
            port(Hop::IngestToMosquitto),
            kafka(Hop::IngestToKafka)
        ),
        Part::ProcessOne => process(Hop::ProcessOneToKafka, Hop::ProcessOneToClickHouse),
        Part::ProcessTwo => process(Hop::ProcessTwoToKafka, Hop::ProcessTwoToClickHouse),
        Part::Mosquitto | Part::Kafka | Part::ClickHouse => String::new(),
    }
}
