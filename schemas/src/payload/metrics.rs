//! The `metrics` object of an event: names to numbers or booleans, objects inside it as dotted names.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{
    json::{Key, Verdict},
    value::{ValueSeed, enter},
};
use crate::{Metric, Reason, event::Metrics, limits::METRICS_PER_EVENT_MAX, name};

/// Adds a metric under the rules on names and numbers.
pub(super) fn add_metric<'de, E: Error>(
    verdict: &Verdict,
    metrics: &mut Metrics<'de>,
    metric: Cow<'de, str>,
    value: f64,
) -> Result<(), E> {
    if !name::is_metric_name(&metric) {
        let detail = format!("metric name `{metric}` is not of `[A-Za-z_][A-Za-z0-9_.:/-]{{0,127}}`");
        return Err(verdict.reject(Reason::InvalidMetricName, detail));
    }
    // As in JSON itself, the last of two equal names holds.
    if let Some(earlier) = metrics.iter_mut().find(|earlier| earlier.name == metric) {
        earlier.value = value;
        return Ok(());
    }
    if metrics.len() == METRICS_PER_EVENT_MAX {
        let detail = format!("more than {METRICS_PER_EVENT_MAX} metrics in one event");
        return Err(verdict.reject(Reason::TooManyMetrics, detail));
    }
    metrics.push(Metric { name: metric, value });
    Ok(())
}

/// The `metrics` object; objects inside it become dotted names.
pub(super) struct MetricsSeed<'v, 'm, 'de> {
    pub(super) verdict: &'v Verdict,
    /// Containers around the value.
    pub(super) depth: usize,
    /// Name of what is read; empty for the `metrics` object itself.
    pub(super) prefix: &'v str,
    pub(super) metrics: &'m mut Metrics<'de>,
}

impl<'de> DeserializeSeed<'de> for MetricsSeed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl MetricsSeed<'_, '_, '_> {
    fn not_metrics<E: Error>(&self, what: &str) -> E {
        if self.prefix.is_empty() {
            return self
                .verdict
                .reject(Reason::InvalidField, format!("`metrics` is {what}, not an object"));
        }
        let detail = format!("metric `{}` is {what}, neither number nor boolean", self.prefix);
        self.verdict.reject(Reason::InvalidMetricValue, detail)
    }

    fn add<E: Error>(self, value: f64) -> Result<(), E> {
        if self.prefix.is_empty() {
            return Err(self.not_metrics("a number"));
        }
        add_metric(self.verdict, self.metrics, Cow::Owned(self.prefix.to_owned()), value)
    }
}

impl<'de> Visitor<'de> for MetricsSeed<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("metrics")
    }

    /// A device that has no value right now writes null: that is no measurement, and no fault.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.add(f64::from(u8::from(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.add(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.add(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.add(value)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Err(self.not_metrics("text"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = enter(self.verdict, self.depth)?;
        while items
            .next_element_seed(ValueSeed {
                verdict: self.verdict,
                depth,
            })?
            .is_some()
        {}
        Err(self.not_metrics("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self {
            verdict,
            prefix,
            metrics,
            ..
        } = self;
        let depth = enter(verdict, self.depth)?;
        while let Some(Key(key)) = entries.next_key::<Key<'de>>()? {
            if prefix.is_empty() {
                // The usual case, flat metrics: the name stays borrowed, nested objects take the other branch.
                let name = key;
                let seed = FlatSeed {
                    verdict,
                    depth,
                    name: &name,
                    metrics,
                };
                if let Some(value) = entries.next_value_seed(seed)? {
                    add_metric(verdict, metrics, name, value)?;
                }
            } else {
                let name = format!("{prefix}.{key}");
                entries.next_value_seed(MetricsSeed {
                    verdict,
                    depth,
                    prefix: &name,
                    metrics,
                })?;
            }
        }
        Ok(())
    }
}

/// A value directly in `metrics`: a number comes back to be added under its borrowed name.
struct FlatSeed<'v, 'm, 'de> {
    verdict: &'v Verdict,
    depth: usize,
    name: &'v str,
    metrics: &'m mut Metrics<'de>,
}

impl<'de> FlatSeed<'_, '_, 'de> {
    fn nested(&mut self) -> MetricsSeed<'_, '_, 'de> {
        MetricsSeed {
            verdict: self.verdict,
            depth: self.depth,
            prefix: self.name,
            metrics: self.metrics,
        }
    }
}

impl<'de> DeserializeSeed<'de> for FlatSeed<'_, '_, 'de> {
    type Value = Option<f64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<f64>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FlatSeed<'_, '_, 'de> {
    type Value = Option<f64>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a metric")
    }

    fn visit_unit<E>(self) -> Result<Option<f64>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<f64>, E> {
        Ok(Some(f64::from(u8::from(value))))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<f64>, E> {
        Ok(Some(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<f64>, E> {
        Ok(Some(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<f64>, E> {
        Ok(Some(value))
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<Option<f64>, E> {
        self.nested().visit_str(value).map(|()| None)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, items: A) -> Result<Option<f64>, A::Error> {
        self.nested().visit_seq(items).map(|()| None)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, entries: A) -> Result<Option<f64>, A::Error> {
        self.nested().visit_map(entries).map(|()| None)
    }
}
