//! The closed list of what the web side measures. Nothing else in this crate has a metric name.

use ::metrics::{Counter, Gauge};
use platform::telemetry::{MetricSpec, MetricUnit};

const COUNT: MetricUnit = MetricUnit::Count;

const CLIENTS: MetricSpec = MetricSpec::new_gauge("meridian_live_clients", COUNT, "Live streams that are open.");
const WATCHES: MetricSpec = MetricSpec::new_gauge(
    "meridian_live_watches",
    COUNT,
    "Different metrics and levels that live streams look at.",
);
const EVENTS: MetricSpec = MetricSpec::new_counter(
    "meridian_live_events_total",
    COUNT,
    "Events sent to live streams, by kind: `snapshot`, `delta`, `gap`.",
);
const STALLED: MetricSpec = MetricSpec::new_counter(
    "meridian_live_stalled_total",
    COUNT,
    "Live streams closed since nobody read them.",
);
const REFUSED: MetricSpec = MetricSpec::new_counter(
    "meridian_live_refused_total",
    COUNT,
    "Live streams refused since all were taken.",
);
const CORRECTED: MetricSpec = MetricSpec::new_counter(
    "meridian_live_corrected_total",
    COUNT,
    "Snapshots of hexagons that ClickHouse had with other values than the live map, at the same version.",
);

/// Every metric of this crate: hand it to `Metrics::install`.
pub const METRICS: &[MetricSpec] = &[CLIENTS, WATCHES, EVENTS, STALLED, REFUSED, CORRECTED];

/// Handles of live streams, made once.
#[derive(Clone, Debug)]
pub(crate) struct LiveMetrics {
    pub(crate) clients: Gauge,
    pub(crate) watches: Gauge,
    pub(crate) snapshots: Counter,
    pub(crate) deltas: Counter,
    pub(crate) gaps: Counter,
    pub(crate) stalled: Counter,
    pub(crate) refused: Counter,
    pub(crate) corrected: Counter,
}

impl LiveMetrics {
    pub(crate) fn new() -> Self {
        Self {
            clients: CLIENTS.gauge(&[]),
            watches: WATCHES.gauge(&[]),
            snapshots: EVENTS.counter(&[("kind", "snapshot")]),
            deltas: EVENTS.counter(&[("kind", "delta")]),
            gaps: EVENTS.counter(&[("kind", "gap")]),
            stalled: STALLED.counter(&[]),
            refused: REFUSED.counter(&[]),
            corrected: CORRECTED.counter(&[]),
        }
    }
}
