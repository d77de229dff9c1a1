//! Metrics of a running process, as a scraper sees them: for commands that want to know what roles count.
//!
//! Reads only what Meridian itself writes; a line that is none of ours is left out.

use std::collections::BTreeMap;

use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use crate::limits;

/// What one process counts, as it was at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scrape {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// Asks a process.
    ///
    /// # Errors
    /// Why it does not answer.
    pub(crate) async fn of(url: &str) -> Result<Self, String> {
        let uri: hyper::Uri = url.parse().map_err(|error| format!("`{url}` is no address: {error}"))?;
        let client: Client<_, Empty<&[u8]>> = Client::builder(TokioExecutor::new()).build_http();
        let answer = async {
            let response = client.get(uri).await.map_err(|error| error.to_string())?;
            if !response.status().is_success() {
                return Err(response.status().to_string());
            }
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(|error| error.to_string())?;
            Ok(Self::parse(&String::from_utf8_lossy(&body.to_bytes())))
        };
        tokio::time::timeout(limits::PROBE_MAX, answer)
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
            .map_err(|reason| format!("metrics at {url}: {reason}"))
    }

    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(sample);
        Self {
            samples: samples.collect(),
        }
    }

    /// Values of a metric by one label, added up over all others.
    pub(crate) fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name == name) {
            if let Some(value) = sample.labels.get(label) {
                *sums.entry(value.clone()).or_default() += sample.value as u64;
            }
        }
        sums
    }

    /// Values of a metric by topic and partition.
    pub(crate) fn by_partition(&self, name: &str) -> BTreeMap<(String, u16), u64> {
        let samples = self.samples.iter().filter(|sample| sample.name == name);
        let values = samples.filter_map(|sample| {
            let partition = sample.labels.get("partition")?.parse().ok()?;
            Some(((sample.labels.get("topic")?.clone(), partition), sample.value as u64))
        });
        values.collect()
    }
}

/// `name{label="value",...} 1.5`. Values of our labels are names: they hold neither quotes nor commas.
fn sample(line: &str) -> Option<Sample> {
    let (key, value) = line.rsplit_once(' ')?;
    let (name, labels) = key.split_once('{').unwrap_or((key, ""));
    let pairs = labels
        .trim_end_matches('}')
        .split("\",")
        .filter(|pair| !pair.is_empty());
    let labels = pairs.map(|pair| {
        let (label, value) = pair.split_once("=\"")?;
        Some((label.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some(Sample {
        name: name.to_owned(),
        labels: labels.collect::<Option<_>>()?,
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_labels() {
        let scrape = Scrape::parse(
            "# HELP a text\na{broker=\"edge-1\"} 3\na{broker=\"edge-1\",reason=\"x\"} 4\nb 1.5\n\
             p{topic=\"t\",partition=\"7\"} 12\n",
        );
        assert_eq!(
            scrape.by_label("a", "broker"),
            BTreeMap::from([("edge-1".to_owned(), 7)])
        );
        assert_eq!(scrape.by_partition("p"), BTreeMap::from([(("t".to_owned(), 7), 12)]));
        assert!(scrape.by_partition("a").is_empty());
    }
}
