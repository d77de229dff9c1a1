//! The closed list of what ingest measures. Nothing else in this crate has a metric name.

use std::collections::BTreeMap;

use platform::telemetry::{MetricSpec, MetricUnit};

use crate::ledger::BrokerTotals;

const RECEIVED: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_messages_received_total",
    MetricUnit::Count,
    "MQTT messages received, redeliveries included",
);
const ACKNOWLEDGED: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_messages_acknowledged_total",
    MetricUnit::Count,
    "Messages whose events the log has and that were acknowledged",
);
const DEAD_LETTERED: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_messages_dead_lettered_total",
    MetricUnit::Count,
    "Messages whose dead letter the log has and that were acknowledged",
);
const RETURNED: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_messages_returned_total",
    MetricUnit::Count,
    "Messages whose connection was gone before the acknowledgement; the broker sends them again",
);
const IN_FLIGHT: MetricSpec = MetricSpec::new_gauge(
    "meridian_ingest_messages_in_flight",
    MetricUnit::Count,
    "Messages received and not yet released",
);
const EVENTS: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_events_total",
    MetricUnit::Count,
    "Event records that the log has confirmed",
);
const REDELIVERED: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_messages_redelivered_total",
    MetricUnit::Count,
    "Messages that the broker marked as sent before",
);
const RESENT: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_records_resent_total",
    MetricUnit::Count,
    "Records sent to the log again, since it did not confirm them",
);
const CONNECTIONS: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_connections_total",
    MetricUnit::Count,
    "Connections to the broker that came up",
);
const SESSION_GAPS: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_session_gaps_total",
    MetricUnit::Count,
    "Connections to a broker that had lost our session: messages may be lost at the broker",
);
const DEAD_LETTERS: MetricSpec = MetricSpec::new_counter(
    "meridian_ingest_dead_letters_total",
    MetricUnit::Count,
    "Dead letters by reason",
);
/// Receipt to acknowledgement.
pub(crate) const ACK_LATENCY: MetricSpec = MetricSpec::new_latency(
    "meridian_ingest_acknowledgement_seconds",
    "Time from the receipt of a message to its acknowledgement; a sample",
);

/// All metrics of ingest, for the recorder.
pub const METRICS: &[MetricSpec] = &[
    RECEIVED,
    ACKNOWLEDGED,
    DEAD_LETTERED,
    RETURNED,
    IN_FLIGHT,
    EVENTS,
    REDELIVERED,
    RESENT,
    CONNECTIONS,
    SESSION_GAPS,
    DEAD_LETTERS,
    ACK_LATENCY,
];

/// Shows the ledger as metrics. Called twice a second, so the events themselves pay nothing for it.
#[allow(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; messages in flight are few"
)]
pub(crate) fn show(ledger: &BTreeMap<String, BrokerTotals>) {
    for (broker, totals) in ledger {
        let labels = [("broker", broker.as_str())];
        let counters = [
            (RECEIVED, totals.received),
            (ACKNOWLEDGED, totals.acknowledged),
            (DEAD_LETTERED, totals.dead_lettered),
            (RETURNED, totals.returned),
            (EVENTS, totals.events),
            (REDELIVERED, totals.redelivered),
            (RESENT, totals.resent),
            (CONNECTIONS, totals.connections),
            (SESSION_GAPS, totals.session_gaps),
        ];
        for (spec, total) in counters {
            spec.counter(&labels).absolute(total);
        }
        IN_FLIGHT.gauge(&labels).set(totals.in_flight as f64);
        for (reason, count) in &totals.dead_letters_by_reason {
            let labels = [("broker", broker.as_str()), ("reason", *reason)];
            DEAD_LETTERS.counter(&labels).absolute(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::METRICS;

    #[test]
    fn the_list_keeps_the_rules_of_metric_names() {
        assert_eq!(platform::telemetry::catalogue_faults(&[METRICS]), Vec::<String>::new());
    }
}
