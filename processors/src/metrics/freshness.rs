//! How far each partition and each tenant has come in, and how long ago that was.
//!
//! Watermarks come with flushes, but age all the time: [`Freshness::keep`] brings their ages up to date also while
//! nothing happens. Must never have more labels than [`TENANT_LABELS_MAX`]: tenants are as many as users have.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ::metrics::Gauge;
use eventlog::TopicPartition;
use platform::{clock::Clock, telemetry::MetricSpec};

use super::{FRESHNESS, TENANT_FRESHNESS, TENANT_WATERMARK, WATERMARK};
use crate::limits::{FRESHNESS_INTERVAL, TENANT_LABELS_MAX};

/// The label of all tenants beyond [`TENANT_LABELS_MAX`]: no tenant, since names of tenants have no underscore.
pub(crate) const OTHER_TENANTS: &str = "_other";

/// Newest believed time of events, Unix milliseconds, by tenant.
pub(crate) type TenantWatermarks = BTreeMap<String, i64>;

/// The watermarks of an instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Freshness {
    board: Arc<Mutex<Board>>,
}

#[derive(Debug, Default)]
struct Board {
    partitions: BTreeMap<TopicPartition, Watermark>,
    /// By label.
    tenants: BTreeMap<String, Tenant>,
}

#[derive(Debug)]
struct Tenant {
    watermark: Watermark,
    /// Newest time in each partition that is ours.
    by_partition: BTreeMap<TopicPartition, i64>,
}

/// A pair of gauges.
#[derive(Debug)]
struct Watermark {
    watermark: Gauge,
    freshness: Gauge,
    /// None: nothing is known any more.
    at_ms: Option<i64>,
}

impl Freshness {
    /// What a flush told of a partition. Partitions without a watermark have no gauges.
    pub(crate) fn settle(&self, topic_partition: &TopicPartition, watermark_ms: i64, tenants: &TenantWatermarks) {
        let mut board = self.lock();
        // Before the first event there is none, and dead letters never have one.
        if watermark_ms > 0 {
            let partition = topic_partition.partition.0.to_string();
            let labels = [("topic", &*topic_partition.topic), ("partition", partition.as_str())];
            let known = board.partitions.entry(topic_partition.clone());
            let known = known.or_insert_with(|| Watermark::new(WATERMARK, FRESHNESS, &labels));
            known.set(Some(watermark_ms));
        }
        for (tenant, at_ms) in tenants {
            board.tenant(tenant).note(topic_partition, *at_ms);
        }
    }

    /// The partition is not ours any more: whoever owns it tells of it.
    pub(crate) fn release(&self, topic_partition: &TopicPartition) {
        let mut board = self.lock();
        if let Some(watermark) = board.partitions.get_mut(topic_partition) {
            watermark.set(None);
        }
        for tenant in board.tenants.values_mut() {
            tenant.by_partition.remove(topic_partition);
            tenant.show();
        }
    }

    /// Never ends: brings ages up to date.
    pub(crate) async fn keep(&self, clock: Arc<dyn Clock>) {
        loop {
            self.show_ages(clock.wall_ms());
            tokio::time::sleep(FRESHNESS_INTERVAL).await;
        }
    }

    fn show_ages(&self, now_ms: i64) {
        let board = self.lock();
        let tenants = board.tenants.values().map(|tenant| &tenant.watermark);
        for watermark in board.partitions.values().chain(tenants) {
            watermark.show_age(now_ms);
        }
    }

    /// Gauges are whole at any moment, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
    fn tenant(&mut self, name: &str) -> &mut Tenant {
        let is_full = self.tenants.len() >= TENANT_LABELS_MAX;
        let label = match is_full && !self.tenants.contains_key(name) {
            true => OTHER_TENANTS,
            false => name,
        };
        self.tenants.entry(label.to_owned()).or_insert_with(|| Tenant {
            watermark: Watermark::new(TENANT_WATERMARK, TENANT_FRESHNESS, &[("tenant", label)]),
            by_partition: BTreeMap::new(),
        })
    }
}

impl Tenant {
    fn note(&mut self, topic_partition: &TopicPartition, at_ms: i64) {
        let known = self.by_partition.entry(topic_partition.clone()).or_insert(at_ms);
        *known = at_ms.max(*known);
        self.show();
    }

    fn show(&mut self) {
        let newest = self.by_partition.values().max().copied();
        self.watermark.set(newest);
    }
}

impl Watermark {
    fn new(watermark: MetricSpec, freshness: MetricSpec, labels: &[(&'static str, &str)]) -> Self {
        Self {
            watermark: watermark.gauge(labels),
            freshness: freshness.gauge(labels),
            at_ms: None,
        }
    }

    fn set(&mut self, at_ms: Option<i64>) {
        self.at_ms = at_ms;
        self.watermark
            .set(at_ms.map_or(f64::NAN, |at_ms| at_ms as f64 / 1_000.0));
        if at_ms.is_none() {
            self.freshness.set(f64::NAN);
        }
    }

    fn show_age(&self, now_ms: i64) {
        if let Some(at_ms) = self.at_ms {
            self.freshness.set(now_ms.saturating_sub(at_ms) as f64 / 1_000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use eventlog::PartitionId;
    use platform::telemetry::Metrics;

    use super::{super::METRICS, *};

    fn partition(number: u16) -> TopicPartition {
        TopicPartition {
            topic: "t".into(),
            partition: PartitionId(number),
        }
    }

    fn with_gauges(check: impl FnOnce(&Freshness, &dyn Fn(&str) -> String)) {
        let (recorder, rendered) = Metrics::build(&[METRICS]).unwrap();
        ::metrics::with_local_recorder(&recorder, || {
            let value = |name: &str| {
                let text = rendered.render();
                let line = format!("meridian_process_{name} ");
                let found = text.lines().find_map(|found| found.strip_prefix(&line));
                found.unwrap_or("missing").to_owned()
            };
            check(&Freshness::default(), &value);
        });
    }

    fn tenants(pairs: &[(&str, i64)]) -> TenantWatermarks {
        pairs.iter().map(|(name, at_ms)| ((*name).to_owned(), *at_ms)).collect()
    }

    #[test]
    fn ages_rise_while_nothing_happens() {
        with_gauges(|freshness, value| {
            freshness.settle(&partition(3), 90_000, &tenants(&[("acme", 80_000)]));
            freshness.show_ages(100_000);
            assert_eq!(value(r#"watermark_seconds{topic="t",partition="3"}"#), "90");
            assert_eq!(value(r#"freshness_seconds{topic="t",partition="3"}"#), "10");
            assert_eq!(value(r#"tenant_freshness_seconds{tenant="acme"}"#), "20");
            freshness.show_ages(160_000);
            assert_eq!(value(r#"freshness_seconds{topic="t",partition="3"}"#), "70");
        });
    }

    #[test]
    fn a_tenant_is_as_fresh_as_its_freshest_partition_that_is_ours() {
        with_gauges(|freshness, value| {
            freshness.settle(&partition(1), 90_000, &tenants(&[("acme", 90_000)]));
            freshness.settle(&partition(2), 80_000, &tenants(&[("acme", 80_000), ("b", 1_000)]));
            freshness.settle(&partition(2), 80_000, &tenants(&[("b", 500)]));
            assert_eq!(value(r#"tenant_watermark_seconds{tenant="acme"}"#), "90");
            assert_eq!(value(r#"tenant_watermark_seconds{tenant="b"}"#), "1");
            freshness.release(&partition(1));
            assert_eq!(value(r#"tenant_watermark_seconds{tenant="acme"}"#), "80");
            assert_eq!(value(r#"watermark_seconds{topic="t",partition="1"}"#), "NaN");
        });
    }

    #[test]
    fn a_partition_without_events_claims_no_time() {
        with_gauges(|freshness, value| {
            freshness.settle(&partition(1), i64::MIN, &TenantWatermarks::new());
            freshness.settle(&partition(2), 0, &TenantWatermarks::new());
            assert_eq!(value(r#"watermark_seconds{topic="t",partition="1"}"#), "missing");
            assert_eq!(value(r#"watermark_seconds{topic="t",partition="2"}"#), "missing");
        });
    }

    #[test]
    fn tenants_beyond_the_bound_share_one_label() {
        with_gauges(|freshness, value| {
            for number in 0..TENANT_LABELS_MAX as i64 + 50 {
                let name = format!("tenant-{number:04}");
                freshness.settle(&partition(1), 1, &tenants(&[(&name, number * 1_000)]));
            }
            assert_eq!(freshness.lock().tenants.len(), TENANT_LABELS_MAX + 1);
            let newest = TENANT_LABELS_MAX + 49;
            assert_eq!(
                value(r#"tenant_watermark_seconds{tenant="_other"}"#),
                newest.to_string()
            );
            assert_eq!(value(r#"tenant_watermark_seconds{tenant="tenant-0001"}"#), "1");
        });
    }
}
