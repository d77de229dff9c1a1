//! `[ingest]`: routes and bounds.

use ingest::{BrokerSettings, Filter, IngestSettings, PayloadFormat, Route, WindowSettings};
use platform::config::Section;
use schemas::topic::TopicPattern;

use super::{limits, mqtt::check_filter};

/// Reads what ingest must be told.
pub(super) fn read(section: &Section<'_>, brokers: Vec<BrokerSettings>) -> IngestSettings {
    let routes: Vec<Route> = section.sections("routes").iter().filter_map(read_route).collect();
    if section.sections("routes").is_empty() {
        section.fault("routes", "is empty; without a route nothing is subscribed to");
    }
    let mut settings = IngestSettings::new(&read_instance(section), brokers, routes);
    let payload = section.required("payload_bytes_max");
    settings.payload_bytes_max = size(payload.byte_size(1..=ingest::limits::PAYLOAD_BYTES_MAX as u64));
    settings.future_skew_max = section.required("future_skew_max").duration(limits::FUTURE_SKEW);
    settings.window = WindowSettings {
        messages_max: size(section.required("window_messages_max").integer(limits::WINDOW_MESSAGES)),
        bytes_max: size(section.required("window_bytes_max").byte_size(limits::WINDOW_BYTES)),
    };
    settings.drain_max = section.required("drain_max").duration(limits::DRAIN);
    if settings.window.bytes_max < settings.payload_bytes_max {
        section.fault(
            "window_bytes_max",
            "is less than `payload_bytes_max`; one message of the largest size must fit",
        );
    }
    settings
}

fn read_instance(section: &Section<'_>) -> String {
    let field = section.required("instance");
    let instance = field.text();
    if instance.is_empty() {
        field.fault("is empty; name this instance, as in `1`");
    }
    instance
}

fn read_route(section: &Section<'_>) -> Option<Route> {
    let filter_field = section.required("filter");
    let filter = filter_field.text();
    if section.contains("filter") {
        check_filter(&filter_field, &filter);
    }
    let topic = section.required("topic");
    let topic = topic.convert(|text| TopicPattern::parse(text).map_err(|error| format!("does not fit: {error}")));
    let format = section.required("format").one_of(&[("json", PayloadFormat::Json)]);
    let topic = topic?;
    Some(Route {
        filter: Filter(filter),
        topic,
        format,
    })
}

/// Sizes are checked against ranges that fit into memory.
fn size(number: u64) -> usize {
    usize::try_from(number).expect("ranges of sizes fit into memory")
}
