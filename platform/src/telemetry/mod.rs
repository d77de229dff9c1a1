//! What the process says about itself: logs on standard error, metrics and health over HTTP.
//!
//! Never in the way: a slow scraper or a closed terminal must not slow down a single event.

mod logging;
mod metric;
mod process;
mod server;

pub use logging::{LOG_FILTER_VARIABLE, LogFormat, LoggingError, init_logging, log_filter};
pub use metric::{
    LATENCY_SECONDS_BUCKETS, MetricKind, MetricSpec, MetricUnit, Metrics, MetricsError, SIZE_BYTES_BUCKETS,
    catalogue_faults,
};
pub use server::{MetricsServer, ServeError, serve};
