//! The closed list of what the web side measures. Nothing else in this crate has a metric name.

use ::metrics::{Counter, Gauge};
use platform::telemetry::{MetricSpec, MetricUnit};

use crate::api::problem::Kind;

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
    "Live streams refused since all, or all of one tenant or credential, were taken.",
);
const CORRECTED: MetricSpec = MetricSpec::new_counter(
    "meridian_live_corrected_total",
    COUNT,
    "Snapshots of hexagons that ClickHouse had with other values than the live map, at the same version.",
);

const LITE: MetricSpec = MetricSpec::new_gauge(
    "meridian_lite",
    COUNT,
    "1 while ClickHouse does not keep up and everybody's hexagons are answered coarser, or older.",
);
const LITE_SHARES: MetricSpec = MetricSpec::new_gauge(
    "meridian_lite_tenants",
    COUNT,
    "Tenants, and credentials for several, whose hexagons are answered coarser, or older, since their own queries are slow.",
);
const TURNED_AWAY: MetricSpec = MetricSpec::new_counter(
    "meridian_requests_refused_total",
    COUNT,
    "Requests that were not let in, by reason: `credential` (none, or no good), `scope`, `host`, `site` (a page of \
     another site, without keys), `rate`, `connections`, `unknown` (the keys are not known yet).",
);

const ANSWERS: MetricSpec = MetricSpec::new_counter(
    "meridian_answers_total",
    COUNT,
    "Answers about hexagons, by where they came from: `memory`, `store`, `shared` (somebody else was asking the store), \
     `stale` (the store was busy or away), `lite` (coarser, or older, to spare the store).",
);
const ANSWER_BYTES: MetricSpec = MetricSpec::new_gauge(
    "meridian_answers_kept_bytes",
    MetricUnit::Bytes,
    "Memory of the answers that are kept.",
);
const INSPECTED: MetricSpec = MetricSpec::new_counter(
    "meridian_answers_inspected_total",
    COUNT,
    "Answers from memory that were compared with ClickHouse.",
);
const DISAGREED: MetricSpec = MetricSpec::new_counter(
    "meridian_answers_disagreed_total",
    COUNT,
    "Answers from memory that were not what ClickHouse said, though no change was told.",
);

const POSITIONS: MetricSpec = MetricSpec::new_gauge(
    "meridian_positions_held",
    COUNT,
    "Devices whose last position is held in memory.",
);
const POSITION_BYTES: MetricSpec = MetricSpec::new_gauge(
    "meridian_positions_held_bytes",
    MetricUnit::Bytes,
    "Memory of the positions that are held, when they were last counted.",
);
const SEARCHES: MetricSpec = MetricSpec::new_counter(
    "meridian_searches_total",
    COUNT,
    "Searches for devices by place or name, by where they were answered from: `index`, or `store` while the index may \
     lack something.",
);

/// Every metric of this crate: hand it to `Metrics::install`.
pub const METRICS: &[MetricSpec] = &[
    CLIENTS,
    WATCHES,
    EVENTS,
    STALLED,
    REFUSED,
    CORRECTED,
    LITE,
    LITE_SHARES,
    TURNED_AWAY,
    ANSWERS,
    ANSWER_BYTES,
    INSPECTED,
    DISAGREED,
    POSITIONS,
    POSITION_BYTES,
    SEARCHES,
];

/// Handles of kept answers, made once.
#[derive(Clone, Debug)]
pub(crate) struct MemoryMetrics {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) shared: Counter,
    pub(crate) stale: Counter,
    pub(crate) lite: Counter,
    pub(crate) bytes: Gauge,
    pub(crate) inspected: Counter,
    pub(crate) disagreed: Counter,
}

impl MemoryMetrics {
    pub(crate) fn new() -> Self {
        let answers = |from| ANSWERS.counter(&[("from", from)]);
        Self {
            hits: answers("memory"),
            misses: answers("store"),
            shared: answers("shared"),
            stale: answers("stale"),
            lite: answers("lite"),
            bytes: ANSWER_BYTES.gauge(&[]),
            inspected: INSPECTED.counter(&[]),
            disagreed: DISAGREED.counter(&[]),
        }
    }
}

/// Handles of the store, made once.
#[derive(Clone, Debug)]
pub(crate) struct StoreMetrics {
    pub(crate) lite: Gauge,
    pub(crate) lite_shares: Gauge,
}

impl StoreMetrics {
    pub(crate) fn new() -> Self {
        Self {
            lite: LITE.gauge(&[]),
            lite_shares: LITE_SHARES.gauge(&[]),
        }
    }
}

/// Handles of the door, made once.
#[derive(Clone, Debug)]
pub(crate) struct DoorMetrics {
    pub(crate) credential: Counter,
    pub(crate) scope: Counter,
    pub(crate) host: Counter,
    pub(crate) site: Counter,
    pub(crate) rate: Counter,
    pub(crate) connections: Counter,
    pub(crate) unknown: Counter,
}

impl DoorMetrics {
    pub(crate) fn new() -> Self {
        let refused = |reason| TURNED_AWAY.counter(&[("reason", reason)]);
        Self {
            credential: refused("credential"),
            scope: refused("scope"),
            host: refused("host"),
            site: refused("site"),
            rate: refused("rate"),
            connections: refused("connections"),
            unknown: refused("unknown"),
        }
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, kind: Kind) {
        match kind {
            Kind::CredentialMissing | Kind::CredentialRefused => self.credential.increment(1),
            Kind::ScopeMissing => self.scope.increment(1),
            Kind::HostRefused => self.host.increment(1),
            Kind::SiteRefused => self.site.increment(1),
            Kind::RateLimited => self.rate.increment(1),
            _ => self.unknown.increment(1),
        }
    }
}

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

/// Handles of held positions, made once.
#[derive(Clone, Debug)]
pub(crate) struct NearMetrics {
    pub(crate) devices: Gauge,
    pub(crate) bytes: Gauge,
    pub(crate) from_index: Counter,
    pub(crate) from_store: Counter,
}

impl NearMetrics {
    pub(crate) fn new() -> Self {
        let searches = |from| SEARCHES.counter(&[("from", from)]);
        Self {
            devices: POSITIONS.gauge(&[]),
            bytes: POSITION_BYTES.gauge(&[]),
            from_index: searches("index"),
            from_store: searches("store"),
        }
    }
}
