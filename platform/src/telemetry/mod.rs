//! What the process says about itself: logs on standard error, metrics and health over HTTP.
//!
//! Never per event: counting is an atomic addition, and log lines are for changes, not for traffic. A log line waits for
//! standard error, so one per event would let a slow terminal hold up the pipeline.

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
