//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Open requests at shutdown get this long: pages are made in memory.
pub const DRAIN_MAX: Duration = Duration::from_secs(1);

/// How often the start page asks again: it shows health, and a person looks at it.
pub const REFRESH_SECONDS: u32 = 5;

/// Taps at once: people looking on. Each reads the log for itself.
pub const TAPS_MAX: usize = 8;

/// Connections at once. Each costs some 20 KB; those who come later wait in the backlog.
pub const CONNECTIONS_MAX: usize = 10_000;

/// How long the head of a request may take to arrive: longer than any link needs, short enough that idle sockets are
/// no attack.
pub const REQUEST_HEAD_MAX: Duration = Duration::from_secs(10);

/// Pause after a connection could not be accepted, which is mostly a lack of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a query string: the longest sensible one has 200.
pub const QUERY_STRING_BYTES_MAX: usize = 4_096;

/// Hexagons in one answer: what a browser draws with ease. More are answered coarser.
pub const HEXAGONS_MAX: u32 = 20_000;

/// Hexagons that a view should have where its resolution is left to us: fine, and well below the bound.
pub const HEXAGONS_WANTED: f64 = 5_000.0;

/// Buckets in one series: more than any screen has pixels.
pub const BUCKETS_MAX: u32 = 10_000;

/// Buckets that a range should have where its period is left to us.
pub const BUCKETS_WANTED: u64 = 1_500;

/// The range where none is given: the last hour.
pub const RANGE_MS_DEFAULT: i64 = 3_600_000;

/// Latest time that can be asked for: a bucket of a day that begins before still ends within 32 bits of seconds.
pub const TIME_MS_MAX: i64 = (u32::MAX as i64 / 86_400 - 1) * 86_400_000;

/// Devices on one page, where nothing is said and at most.
pub const DEVICES_DEFAULT: u32 = 100;
/// See [`DEVICES_DEFAULT`].
pub const DEVICES_MAX: u32 = 1_000;

/// Nearest devices, where nothing is said; at most as many as a page has.
pub const NEARBY_DEFAULT: u32 = 10;

/// Half the circumference of the Earth and some: no two places are further apart.
pub const RADIUS_M_MAX: f64 = 20_038_000.0;

/// Positions of a track in one answer: a day of one every ten seconds.
pub const TRACK_POINTS_MAX: u32 = 10_000;

/// Metrics in a catalog: the page of a person. Fleets have tens.
pub const CATALOG_METRICS_MAX: u32 = 10_000;

/// Queries that ClickHouse works on for us at once: it uses all cores for each, so more only wait there.
pub const QUERIES_MAX: usize = 16;

/// How long a query waits for its turn, before the client is told to come back.
pub const QUEUE_WAIT_MAX: Duration = Duration::from_secs(2);

/// When a client that was turned away should come again.
pub const RETRY_AFTER_SECONDS: u32 = 2;

/// How long caches keep a file whose name changes with what is in it: a year, which is for ever.
pub const ASSET_AGE_SECONDS: u32 = 31_536_000;

/// How long ClickHouse may work on one query: a person has gone by then.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(10);

/// How long we wait for its answer: longer, so that its own word about the time comes first.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(12);

/// Rows that one query may read: some seconds of work on one machine.
pub const ROWS_READ_MAX: u64 = 500_000_000;

/// Memory that one query may use there: sketches of the largest answer need a tenth of it.
pub const QUERY_MEMORY_BYTES_MAX: u64 = 2 << 30;

/// How often ClickHouse is asked whether it is there.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Probes in a row without an answer that make the role unready: one may be lost to a busy moment.
pub const PROBES_MISSED_MAX: u32 = 3;

/// How long caches may use an answer about time that has passed, before they ask whether it still holds. A late event
/// shows after this at the latest.
pub const SETTLED_AGE_SECONDS: u32 = 60;

const _: () = assert!(QUERY_TIME_MAX.as_secs() < ANSWER_WAIT_MAX.as_secs());
const _: () = assert!(HEXAGONS_WANTED < HEXAGONS_MAX as f64);
