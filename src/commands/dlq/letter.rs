//! A dead letter as it is stored, and what became of it.

use clickhouse::Row;
use serde::Deserialize;

use super::filter::CONDITION;
use crate::{failure::Failure, store::Store, when};

/// A row of `dead_letters`, with what is known of its replay.
#[derive(Debug, Clone, Row, Deserialize)]
pub(super) struct Letter {
    pub(super) id: String,
    pub(super) received_at_ms: i64,
    pub(super) stage: String,
    pub(super) reason: String,
    pub(super) detail: String,
    pub(super) broker: String,
    pub(super) topic: String,
    pub(super) payload_bytes: u64,
    pub(super) replay_of: String,
    pub(super) replay_count: u16,
    pub(super) first_received_at_ms: i64,
    pub(super) partition: u16,
    pub(super) offset: u64,
    /// 0 when it was never published again.
    pub(super) replayed_at_ms: i64,
    /// The broker has acknowledged the replay.
    pub(super) replay_acknowledged: u8,
}

/// The columns of [`Letter`], of `dead_letters AS letter` and `dead_letter_replays AS replay`.
pub(super) const COLUMNS: &str = "letter.id AS id, toUnixTimestamp64Milli(letter.received_at) AS received_at_ms, \
    letter.stage AS stage, letter.reason AS reason, letter.detail AS detail, letter.broker AS broker, \
    letter.topic AS topic, length(letter.payload) AS payload_bytes, letter.replay_of AS replay_of, \
    letter.replay_count AS replay_count, toUnixTimestamp64Milli(letter.first_received_at) AS first_received_at_ms, \
    letter.partition AS partition, letter.offset AS offset, toUnixTimestamp64Milli(replay.replayed_at) AS replayed_at_ms, \
    replay.acknowledged AS replay_acknowledged";

/// Letters and their replays, as [`COLUMNS`] and [`CONDITION`] want them.
pub(super) const TABLES: &str =
    "dead_letters AS letter LEFT JOIN dead_letter_replays AS replay ON replay.id = letter.id";

impl Letter {
    /// The newest letters that fit, newest first.
    pub(super) async fn newest(
        store: &Store,
        bind: impl Fn(clickhouse::query::Query) -> clickhouse::query::Query,
        limit: u64,
    ) -> Result<Vec<Self>, Failure> {
        let sql =
            format!("SELECT {COLUMNS} FROM {TABLES} WHERE {CONDITION} ORDER BY received_at_ms DESC, id LIMIT {limit}");
        store.rows(bind(store.query(&sql))).await
    }

    /// What became of it, in a word or two.
    pub(super) fn state(&self) -> &'static str {
        match (self.replayed_at_ms, self.replay_acknowledged) {
            (0, _) => "waiting",
            (_, 0) => "uncertain",
            _ => "replayed",
        }
    }

    /// For programs.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let replayed_at = (self.replayed_at_ms != 0).then(|| when::show(self.replayed_at_ms));
        let replay_of = (!self.replay_of.is_empty()).then_some(&self.replay_of);
        serde_json::json!({
            "id": self.id,
            "received_at": when::show(self.received_at_ms),
            "stage": self.stage,
            "reason": self.reason,
            "detail": self.detail,
            "broker": self.broker,
            "topic": self.topic,
            "payload_bytes": self.payload_bytes,
            "state": self.state(),
            "replayed_at": replayed_at,
            "replay_of": replay_of,
            "replay_count": self.replay_count,
            "first_received_at": when::show(self.first_received_at_ms),
            "partition": self.partition,
            "offset": self.offset,
        })
    }
}
