//! The configuration of each role: everything as by default, but for addresses, which are those of the proxies, the
//! session timeout, and what a [`Setting`] changes. Must never make anything easier for the product.

use std::collections::BTreeMap;

use crate::{
    fault::{Hop, Part, Setting},
    limits::SESSION_TIMEOUT,
    proxy::Proxy,
};

/// Periods and resolutions that the contract names.
const PERIODS: [&str; 3] = ["1m", "1h", "1d"];
const RESOLUTIONS: [u8; 3] = [9, 7, 5];

/// The file of a role.
pub(super) fn of(part: Part, setting: Setting, proxies: &BTreeMap<Hop, Proxy>) -> String {
    let port = |hop: Hop| proxies[&hop].port();
    let kafka = |hop: Hop| {
        format!(
            "[log]\npartitions = 6\n[kafka]\nbrokers = \"127.0.0.1:{}\"\n",
            port(hop)
        )
    };
    let process = |kafka_hop: Hop, clickhouse_hop: Hop| {
        format!(
            "{}[kafka.properties]\n\"session.timeout.ms\" = \"{}\"\n[clickhouse]\nurl = \"http://127.0.0.1:{}\"\n[checkpoints]\nurl = \"file:./checkpoints\"\n{}",
            kafka(kafka_hop),
            SESSION_TIMEOUT.as_millis(),
            port(clickhouse_hop),
            processing(setting)
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

fn processing(setting: Setting) -> String {
    match setting {
        Setting::Default => String::new(),
        Setting::Hasty => {
            // So few cells that some go while their minute lasts, and a level that comes and goes with the setting.
            let mut text = "[process]\nflush_interval = \"200ms\"\ncheckpoint_interval = \"2s\"\n\
                            [rollup]\nlinger = \"1s\"\ncells_max = 1000\n"
                .to_owned();
            text.push_str(&levels(["500ms", "1s", "2s"]));
            text.push_str(&level("5m", 8, "1s"));
            text
        }
        Setting::Patient => {
            let beginning = "[process]\nflush_interval = \"3s\"\n[rollup]\nlinger = \"1h\"\n";
            beginning.to_owned() + &levels(["4s", "8s", "10s"])
        }
    }
}

fn levels(flush_intervals: [&str; 3]) -> String {
    let periods = PERIODS.into_iter().zip(flush_intervals);
    periods
        .flat_map(|(period, flush_interval)| RESOLUTIONS.map(|resolution| level(period, resolution, flush_interval)))
        .collect()
}

fn level(period: &str, resolution: u8, flush_interval: &str) -> String {
    format!("[[rollup.levels]]\nperiod = \"{period}\"\nres = {resolution}\nflush_interval = \"{flush_interval}\"\n")
}
