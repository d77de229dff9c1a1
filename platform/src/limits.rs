//! Every bound of this crate, with its reason. No other module may hold a number that bounds something.

use std::time::Duration;

/// A configuration file is read whole; more than this is a data file given by mistake.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;

/// A secret is a line of text; a larger file is the wrong file.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;

/// How alike a known key must be to be suggested for an unknown one (Jaro-Winkler, 0 to 1). Slips of one or two letters
/// in keys of five letters and more score above; words that merely share some letters score below.
pub const SUGGESTION_SIMILARITY_MIN: f64 = 0.8;

/// Scrapers and probes: a handful of monitoring systems, each with a few connections. Others wait in the backlog.
pub const METRICS_CONNECTIONS_MAX: usize = 64;

/// A scraper on the slowest network sends its request head well within this; a client that does not holds a place.
pub const METRICS_HEADER_READ_MAX: Duration = Duration::from_secs(5);

/// No connection lives longer, so that clients that read slowly or never leave cannot hold all places.
pub const METRICS_CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);

/// Request heads of probes and scrapers are some hundred bytes (hyper needs at least 8 KiB).
pub const METRICS_HEADER_BYTES_MAX: usize = 16 << 10;

/// Open requests at shutdown get this long: a rendering of the metrics takes milliseconds.
pub const METRICS_DRAIN_MAX: Duration = Duration::from_secs(1);

/// How long accepting pauses when the process is out of file descriptors, instead of spinning.
pub const METRICS_ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Histograms keep raw samples until they are folded into buckets: at a million samples a second this is 8 MB.
pub const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A reason of a component's state is shown in one line.
pub const HEALTH_REASON_BYTES_MAX: usize = 512;

const _: () = assert!(
    METRICS_HEADER_READ_MAX.as_millis() < METRICS_CONNECTION_AGE_MAX.as_millis(),
    "a connection must live long enough to send its request"
);
const _: () = assert!(
    METRICS_HEADER_BYTES_MAX >= 8 << 10,
    "hyper refuses a smaller read buffer"
);
