//! Which failures of an insert are tried again, and what a sink that a cache hears of does besides.

use clickhouse::{Client, error::Error};
use platform::retry::{Classify, Retry};

use super::{
    CellSink, ClickHouseSink, SinkSettings,
    error::{SinkError, server_code},
};
use crate::runner::RowSink;

fn answered(code: u32) -> SinkError {
    let text = format!("Code: {code}. DB::Exception: something. (SOMETHING)");
    SinkError::from_client("measurement_log", &Error::BadResponse(text))
}

#[test]
fn the_code_is_read_from_the_text_of_the_answer() {
    assert_eq!(server_code("Code: 252. DB::Exception: Too many parts"), Some(252));
    assert_eq!(server_code("<html>502 Bad Gateway</html>"), None);
    assert_eq!(server_code("Code: x"), None);
    assert_eq!(server_code("Code: 99999999999"), None);
}

#[test]
fn what_may_pass_is_sent_again() {
    // Timeouts, memory, too many parts, read-only replicas, unknown status, Keeper, and codes that do not exist yet.
    for code in [
        159, 160, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 285, 286, 319, 999, 60_000,
    ] {
        assert_eq!(answered(code).retry(), Retry::Same, "{code}");
    }
    for error in [
        Error::TimedOut,
        Error::Network("reset".into()),
        Error::BadResponse("bad gateway".into()),
    ] {
        assert_eq!(SinkError::from_client("t", &error).retry(), Retry::Same, "{error}");
    }
}

#[test]
fn what_can_never_succeed_names_table_and_code() {
    for code in [6, 16, 26, 27, 33, 41, 47, 53, 60, 62, 70, 115, 117, 306, 497, 516] {
        let error = answered(code);
        assert_eq!(error.retry(), Retry::Never, "{code}");
        let text = error.to_string();
        assert!(
            text.contains("`measurement_log`") && text.contains(&format!("code {code}")),
            "{text}"
        );
    }
}

/// Hears how often it was told that the tables were changed otherwise.
#[derive(Default)]
struct Hearing {
    lost: std::sync::atomic::AtomicUsize,
}

#[async_trait::async_trait]
impl geocache::CellCache for Hearing {
    fn publish(&self, _batch: geocache::Batch) {}

    fn lose(&self) {
        self.lost.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn watch(&self) -> geocache::Notices {
        unreachable!("a sink does not watch")
    }

    async fn held(&self, _place: &geocache::Place) -> Result<Vec<geocache::Snapshot>, geocache::CacheError> {
        unreachable!("a sink does not read")
    }
}

#[tokio::test]
async fn a_sink_that_a_cache_hears_of_recovers_as_the_one_within_and_tells_what_it_mends() {
    let client = Client::default().with_url("http://127.0.0.1:1");
    let within = ClickHouseSink::new(SinkSettings::new(client, "meridian"));
    assert!(within.recovery().is_some());
    let cache = std::sync::Arc::new(Hearing::default());
    let clock = std::sync::Arc::new(platform::clock::ManualClock::at(0));
    let sink = CellSink::new(within, Some(cache.clone()), clock);
    let place = eventlog::TopicPartition {
        topic: "t".into(),
        partition: eventlog::PartitionId(0),
    };
    let goes_on = crate::recovery::GoesOn {
        counts_from: 0,
        incarnation: 1,
    };
    let parameters = crate::task::Parameters::default();
    // Whatever comes of it: something may have been written.
    let _ = sink.recovery().unwrap().mend(&place, goes_on, &parameters).await;
    assert_eq!(cache.lost.load(std::sync::atomic::Ordering::Relaxed), 1);
}
