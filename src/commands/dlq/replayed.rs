//! The memory of replays, in `dead_letter_replay_log`: one row before a letter is published, one after the broker has
//! acknowledged it.

use clickhouse::Row;
use serde::Serialize;

use crate::{failure::Failure, store::Store, when};

/// A row, named as the table's columns.
#[derive(Clone, Debug, Row, Serialize)]
pub(super) struct Replayed {
    pub(super) id: String,
    version: u64,
    replayed_at: i64,
    acknowledged: u8,
    pub(super) broker: String,
    pub(super) replay_of: String,
    pub(super) replay_count: u16,
}

impl Replayed {
    /// A letter that is about to be published.
    pub(super) fn begun(id: String, broker: String, replay_of: String, replay_count: u16) -> Self {
        let now_ms = when::now_ms();
        Self {
            id,
            version: version_at(now_ms),
            replayed_at: now_ms,
            acknowledged: 0,
            broker,
            replay_of,
            replay_count,
        }
    }

    /// The same, acknowledged by the broker.
    pub(super) fn acknowledged(mut self) -> Self {
        self.replayed_at = when::now_ms();
        // Newer than its beginning, whatever the clock did meanwhile.
        self.version = version_at(self.replayed_at).max(self.version) + 1;
        self.acknowledged = 1;
        self
    }
}

/// Newer replays win. Two of one millisecond cannot be of one letter, but the beginning and the end of one can.
fn version_at(unix_ms: i64) -> u64 {
    u64::try_from(unix_ms).unwrap_or(0) * 2
}

/// Writes rows; they are durable when this returns.
///
/// # Errors
/// When ClickHouse does not take them.
pub(super) async fn remember(store: &Store, rows: impl IntoIterator<Item = Replayed>) -> Result<(), Failure> {
    let failed = |error| store.failure(&error);
    let mut insert = store
        .client()
        .insert::<Replayed>("dead_letter_replay_log")
        .await
        .map_err(failed)?;
    for row in rows {
        insert.write(&row).await.map_err(failed)?;
    }
    insert.end().await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_replay_is_newer_than_its_beginning() {
        let begun = Replayed::begun("a".into(), "b".into(), "a".into(), 1);
        let acknowledged = begun.clone().acknowledged();
        assert!(acknowledged.version > begun.version);
        assert_eq!((begun.acknowledged, acknowledged.acknowledged), (0, 1));
    }
}
