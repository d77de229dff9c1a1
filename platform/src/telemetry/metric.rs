//! One closed list of metrics: each crate declares a table of [`MetricSpec`] constants, and nothing else has a name.
//!
//! The recorder that the `metrics` facade needs is the one global of this crate; it is installed once, from `main`,
//! with all tables. Handles are made once and kept: looking one up per event would cost more than counting.

use std::collections::BTreeSet;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::process;

/// Buckets for latencies in seconds: from a local acknowledgement (100 µs) to a broker that is away (a minute), about
/// three to the decade, which keeps percentiles within a third of the truth.
pub const LATENCY_SECONDS_BUCKETS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Buckets for sizes in bytes: from one message to a whole insert, in steps of four.
pub const SIZE_BYTES_BUCKETS: &[f64] = &[
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Every metric of ours starts with it, so that a dashboard finds them all.
const NAME_PREFIX: &str = "meridian_";

/// Handles are registered as if from one place: the exporter ignores where a metric comes from.
const METADATA: Metadata<'static> = Metadata::new("meridian", Level::INFO, None);

/// What a metric measures over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A distribution, counted in buckets with these upper bounds, rising.
    Histogram(&'static [f64]),
}

/// What one unit of a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricUnit {
    /// Things.
    Count,
    /// Seconds; the name says so.
    Seconds,
    /// Bytes; the name says so.
    Bytes,
    /// A share from 0 to 1; the name says so.
    Ratio,
}

impl MetricUnit {
    fn name_suffix(self) -> Option<&'static str> {
        match self {
            Self::Count => None,
            Self::Seconds => Some("_seconds"),
            Self::Bytes => Some("_bytes"),
            Self::Ratio => Some("_ratio"),
        }
    }

    fn exported(self) -> Unit {
        match self {
            Self::Count | Self::Ratio => Unit::Count,
            Self::Seconds => Unit::Seconds,
            Self::Bytes => Unit::Bytes,
        }
    }
}

/// One metric: declare it as a constant, list it in the crate's table, and make handles from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricSpec {
    /// `meridian_...`, with the unit and, for counters, `_total` at the end.
    pub name: &'static str,
    /// What it measures over time.
    pub kind: MetricKind,
    /// What one unit is.
    pub unit: MetricUnit,
    /// A sentence for who reads the dashboard.
    pub help: &'static str,
}

impl MetricSpec {
    /// Declares a counter.
    #[must_use]
    pub const fn new_counter(name: &'static str, unit: MetricUnit, help: &'static str) -> Self {
        let kind = MetricKind::Counter;
        Self { name, kind, unit, help }
    }

    /// Declares a gauge.
    #[must_use]
    pub const fn new_gauge(name: &'static str, unit: MetricUnit, help: &'static str) -> Self {
        let kind = MetricKind::Gauge;
        Self { name, kind, unit, help }
    }

    /// Declares a histogram of latencies, in seconds.
    #[must_use]
    pub const fn new_latency(name: &'static str, help: &'static str) -> Self {
        let (kind, unit) = (MetricKind::Histogram(LATENCY_SECONDS_BUCKETS), MetricUnit::Seconds);
        Self { name, kind, unit, help }
    }

    /// Declares a histogram of sizes, in bytes.
    #[must_use]
    pub const fn new_size(name: &'static str, help: &'static str) -> Self {
        let (kind, unit) = (MetricKind::Histogram(SIZE_BYTES_BUCKETS), MetricUnit::Bytes);
        Self { name, kind, unit, help }
    }

    /// The counter with these labels. Keep it: each call looks it up.
    ///
    /// # Panics
    /// When the metric is declared as something else.
    pub fn counter(&self, labels: &[(&'static str, &str)]) -> Counter {
        assert!(
            matches!(self.kind, MetricKind::Counter),
            "`{}` is no counter",
            self.name
        );
        metrics::with_recorder(|recorder| recorder.register_counter(&self.key(labels), &METADATA))
    }

    /// The gauge with these labels. Keep it: each call looks it up.
    ///
    /// # Panics
    /// When the metric is declared as something else.
    pub fn gauge(&self, labels: &[(&'static str, &str)]) -> Gauge {
        assert!(matches!(self.kind, MetricKind::Gauge), "`{}` is no gauge", self.name);
        metrics::with_recorder(|recorder| recorder.register_gauge(&self.key(labels), &METADATA))
    }

    /// The histogram with these labels. Keep it: each call looks it up.
    ///
    /// # Panics
    /// When the metric is declared as something else.
    pub fn histogram(&self, labels: &[(&'static str, &str)]) -> Histogram {
        assert!(
            matches!(self.kind, MetricKind::Histogram(_)),
            "`{}` is no histogram",
            self.name
        );
        metrics::with_recorder(|recorder| recorder.register_histogram(&self.key(labels), &METADATA))
    }

    fn key(&self, labels: &[(&'static str, &str)]) -> Key {
        let labels: Vec<Label> = labels
            .iter()
            .map(|(name, value)| Label::new(*name, (*value).to_owned()))
            .collect();
        Key::from_parts(self.name, labels)
    }

    fn describe(&self, recorder: &impl Recorder) {
        let name = KeyName::from_const_str(self.name);
        let (unit, help) = (Some(self.unit.exported()), SharedString::const_str(self.help));
        match self.kind {
            MetricKind::Counter => recorder.describe_counter(name, unit, help),
            MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
            MetricKind::Histogram(_) => recorder.describe_histogram(name, unit, help),
        }
    }
}

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The tables of metrics break a rule.
    #[error("the list of metrics has faults: {}", .0.join("; "))]
    Catalogue(Vec<String>),
    /// A table has a histogram that the exporter cannot hold.
    #[error("metric `{name}` cannot be exported: {detail}")]
    Buckets {
        /// The metric.
        name: &'static str,
        /// What the exporter said.
        detail: String,
    },
    /// Metrics are set up once per process.
    #[error("metrics are already set up in this process")]
    AlreadySet,
}

/// The metrics of the process, to be rendered for a scraper.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder of the process, knowing the metrics of all tables. Once per process, from `main`, before
    /// any handle is made.
    ///
    /// # Errors
    /// When a table breaks a rule ([`catalogue_faults`]), or metrics are set up already.
    pub fn install(tables: &[&[MetricSpec]]) -> Result<Self, MetricsError> {
        let (recorder, metrics) = Self::build(tables)?;
        metrics::set_global_recorder(recorder).map_err(|_already| MetricsError::AlreadySet)?;
        Ok(metrics)
    }

    /// A recorder that is not installed: for tests, with `metrics::with_local_recorder`.
    ///
    /// # Errors
    /// When a table breaks a rule.
    pub fn build(tables: &[&[MetricSpec]]) -> Result<(PrometheusRecorder, Self), MetricsError> {
        let faults = catalogue_faults(tables);
        if !faults.is_empty() {
            return Err(MetricsError::Catalogue(faults));
        }
        let specs = || tables.iter().copied().flatten();
        let mut builder = PrometheusBuilder::new();
        for spec in specs() {
            if let MetricKind::Histogram(buckets) = spec.kind {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(spec.name.to_owned()), buckets)
                    .map_err(|error| MetricsError::Buckets {
                        name: spec.name,
                        detail: error.to_string(),
                    })?;
            }
        }
        let recorder = builder.build_recorder();
        for spec in specs() {
            spec.describe(&recorder);
        }
        let handle = recorder.handle();
        Ok((recorder, Self { handle }))
    }

    /// All metrics, and those of the process itself, in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        process::render_into(&mut text);
        text
    }

    /// Folds raw samples into buckets. [`super::serve`] does it regularly; without a server, call it every second.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What breaks the rules of metric names, one sentence each; empty when all is well.
#[must_use]
pub fn catalogue_faults(tables: &[&[MetricSpec]]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    for spec in tables.iter().copied().flatten() {
        let name = spec.name;
        if !names.insert(name) {
            faults.push(format!("`{name}` is declared twice"));
        }
        let plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
        if !name.starts_with(NAME_PREFIX) || !name.chars().all(plain) {
            faults.push(format!(
                "`{name}` must start with `{NAME_PREFIX}` and hold lowercase letters, digits and `_` only"
            ));
        }
        let measured = name.strip_suffix("_total");
        if measured.is_some() != matches!(spec.kind, MetricKind::Counter) {
            faults.push(format!("`{name}`: counters end in `_total`, and nothing else does"));
        }
        if let Some(suffix) = spec.unit.name_suffix()
            && !measured.unwrap_or(name).ends_with(suffix)
        {
            faults.push(format!("`{name}` must say its unit: `{suffix}`"));
        }
        if spec.help.is_empty() {
            faults.push(format!("`{name}` needs a help text"));
        }
        if let MetricKind::Histogram(buckets) = spec.kind
            && (buckets.is_empty() || !buckets.is_sorted_by(|left, right| left < right))
        {
            faults.push(format!("`{name}` needs buckets that rise"));
        }
    }
    faults
}

#[cfg(test)]
mod tests;
