//! The closed list of what the cache measures. Nothing else in this crate has a metric name.

use ::metrics::{Counter, Gauge};
use platform::telemetry::{MetricSpec, MetricUnit};

const COUNT: MetricUnit = MetricUnit::Count;

const PUBLISHED: MetricSpec = MetricSpec::new_counter(
    "meridian_cache_published_total",
    COUNT,
    "Snapshots of hexagons handed to the cache after ClickHouse had them.",
);
const STALE: MetricSpec = MetricSpec::new_counter(
    "meridian_cache_stale_total",
    COUNT,
    "Snapshots refused since the cache had a newer version.",
);
const EVICTED: MetricSpec = MetricSpec::new_counter(
    "meridian_cache_evicted_total",
    COUNT,
    "Snapshots pushed out before their bucket was old.",
);
const DROPPED: MetricSpec = MetricSpec::new_counter(
    "meridian_cache_dropped_total",
    COUNT,
    "Snapshots that the cache did not take in time; those who watch read ClickHouse instead.",
);
const HELD: MetricSpec = MetricSpec::new_gauge("meridian_cache_held", COUNT, "Snapshots held in process.");
const UP: MetricSpec = MetricSpec::new_gauge(
    "meridian_cache_up",
    COUNT,
    "1 while the shared cache answers, 0 while it does not; without one, nothing.",
);
const LOST: MetricSpec = MetricSpec::new_counter(
    "meridian_cache_lost_total",
    COUNT,
    "Times that those who watch had to read ClickHouse again, since changes may have been missed.",
);

/// Every metric of this crate: hand it to `Metrics::install`.
pub const METRICS: &[MetricSpec] = &[PUBLISHED, STALE, EVICTED, DROPPED, HELD, UP, LOST];

/// Handles, made once.
#[derive(Clone, Debug)]
pub(crate) struct CacheMetrics {
    pub(crate) published: Counter,
    pub(crate) stale: Counter,
    pub(crate) evicted: Counter,
    pub(crate) dropped: Counter,
    pub(crate) held: Gauge,
    pub(crate) up: Gauge,
    pub(crate) lost: Counter,
}

impl CacheMetrics {
    pub(crate) fn new() -> Self {
        Self {
            published: PUBLISHED.counter(&[]),
            stale: STALE.counter(&[]),
            evicted: EVICTED.counter(&[]),
            dropped: DROPPED.counter(&[]),
            held: HELD.gauge(&[]),
            up: UP.gauge(&[]),
            lost: LOST.counter(&[]),
        }
    }
}
