//! The questions of a recovery to ClickHouse. All SQL lies in `sql/`; what is filled in are numbers, the name of the
//! database and that of the topic, nothing that a device or a person wrote.

use std::collections::HashMap;

use clickhouse::Row;
use eventlog::{PartitionId, TopicPartition};
use futures::{FutureExt, future::BoxFuture};
use schemas::{Position, record::EVENTS_TOPIC};
use serde::Deserialize;

use super::{Books, GoesOn, Mended, Recovery, RecoveryError, mend};
use crate::{
    audit::{AuditError, AuditStore},
    dedupe::sequence::{Claim, SequenceWindow},
    device::clock::ClockQuality,
    sink::ClickHouseSink,
    task::{
        Description, KnownDevice, Parameters, Remains,
        ledger::{Chunk, LevelSince},
    },
};

#[derive(Debug, Deserialize, Row)]
struct BooksRow {
    first_offset: u64,
    last_offset: u64,
    records: u64,
    events: u64,
    duplicates: u64,
    dead_letters: u64,
    measurements: u64,
    ts_min_ms: i64,
    ts_max_ms: i64,
    checksum: u64,
    levels: Vec<(u32, u8, u64)>,
}

#[derive(Debug, Deserialize, Row)]
struct ClockRow {
    found: u64,
    received_max_ms: i64,
    believed_max_ms: i64,
}

#[derive(Debug, Deserialize, Row)]
struct DeviceRow {
    key: String,
    last_offset: u64,
    heard_ms: i64,
    is_placed: u8,
    place: (i32, i32),
    place_ts_ms: i64,
}

#[derive(Debug, Deserialize, Row)]
struct CountRow {
    key: String,
    seq: u64,
    kind: u8,
    claim_ms: i64,
    goes_on: u8,
}

#[derive(Debug, Deserialize, Row)]
struct DescriptionRow {
    key: String,
    ts_ms: i64,
    received_at_ms: i64,
    seq: u64,
    clock_suspect: u8,
    clock_claims: u64,
    clock_skew_ms: i64,
    clock_future: u64,
    clock_past: u64,
    clock_seen_at_ms: i64,
    broker: String,
    metric_names: Vec<String>,
    metric_values: Vec<f64>,
    attribute_names: Vec<String>,
    attribute_values: Vec<String>,
}

#[derive(Debug, Deserialize, Row)]
struct IncarnationRow {
    topic: String,
    partition: u16,
    incarnation: u16,
}

impl Recovery for ClickHouseSink {
    fn incarnations(&self) -> BoxFuture<'_, Result<HashMap<TopicPartition, u16>, RecoveryError>> {
        async move {
            let sql = include_str!("sql/incarnations.sql");
            let rows = self.store().ask("the incarnations of partitions", sql, &[]).await?;
            let incarnation = |row: IncarnationRow| {
                let topic_partition = TopicPartition {
                    topic: row.topic.into(),
                    partition: PartitionId(row.partition),
                };
                (topic_partition, row.incarnation)
            };
            Ok(rows.into_iter().map(incarnation).collect())
        }
        .boxed()
    }

    fn books<'call>(
        &'call self,
        topic_partition: &'call TopicPartition,
    ) -> BoxFuture<'call, Result<Option<Books>, RecoveryError>> {
        async move { Ok(Asked::of(self, topic_partition).books().await?) }.boxed()
    }

    fn remains<'call>(
        &'call self,
        topic_partition: &'call TopicPartition,
        books: Books,
        counts_from: u64,
        low: u64,
        parameters: &'call Parameters,
    ) -> BoxFuture<'call, Result<Remains, RecoveryError>> {
        async move {
            let asked = Asked::of(self, topic_partition);
            Ok(asked.remains(books, counts_from, low, parameters).await?)
        }
        .boxed()
    }

    fn mend<'call>(
        &'call self,
        topic_partition: &'call TopicPartition,
        goes_on: GoesOn,
        parameters: &'call Parameters,
    ) -> BoxFuture<'call, Result<Mended, RecoveryError>> {
        mend::mend(self, topic_partition, goes_on, parameters).boxed()
    }
}

/// A partition that the tables are asked about.
pub(super) struct Asked<'call> {
    pub(super) store: AuditStore,
    topic_partition: &'call TopicPartition,
}

impl<'call> Asked<'call> {
    pub(super) fn of(sink: &ClickHouseSink, topic_partition: &'call TopicPartition) -> Self {
        Self {
            store: sink.store(),
            topic_partition,
        }
    }

    /// Rollups are made of events only.
    pub(super) fn is_of_events(&self) -> bool {
        &*self.topic_partition.topic == EVENTS_TOPIC
    }

    /// What is filled in: the partition, and more.
    pub(super) fn values<const N: usize>(&self, more: [(&'static str, String); N]) -> Vec<(&'static str, String)> {
        let mut values = vec![
            ("{topic}", self.topic_partition.topic.to_string()),
            ("{partition}", self.topic_partition.partition.0.to_string()),
        ];
        values.extend(more);
        values
    }

    async fn books(&self) -> Result<Option<Books>, AuditError> {
        let values = self.values([]);
        let sql = include_str!("sql/books.sql");
        let rows: Vec<BooksRow> = self.store.ask("the books of a partition", sql, &values).await?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let sql = include_str!("sql/incarnation.sql");
        let incarnations: Vec<u16> = self.store.ask("the incarnation of a partition", sql, &values).await?;
        let level = |(period_seconds, resolution, since)| LevelSince {
            period_seconds,
            resolution,
            since,
        };
        Ok(Some(Books {
            last_chunk: Chunk {
                first_offset: row.first_offset,
                last_offset: row.last_offset,
                records: row.records,
                events: row.events,
                duplicates: row.duplicates,
                dead_letters: row.dead_letters,
                measurements: row.measurements,
                ts_min_ms: row.ts_min_ms,
                ts_max_ms: row.ts_max_ms,
                checksum: row.checksum,
            },
            levels: row.levels.into_iter().map(level).collect(),
            incarnation: incarnations.first().copied().unwrap_or(0),
        }))
    }

    async fn remains(
        &self,
        books: Books,
        counts_from: u64,
        low: u64,
        parameters: &Parameters,
    ) -> Result<Remains, AuditError> {
        let mut remains = Remains {
            last_chunk: Some(books.last_chunk),
            levels: books.levels,
            learns_from: counts_from,
            log_clock_ms: i64::MIN,
            believed_ms: i64::MIN,
            devices: Vec::new(),
            letters: Vec::new(),
        };
        if !self.is_of_events() {
            remains.letters = self.letters(counts_from, parameters.identities.count_max / 2).await?;
            return Ok(remains);
        }
        let Some((clock_ms, _)) = self.clock(counts_from).await? else {
            return Ok(remains);
        };
        // What events without a count are known by is remembered for so long, and only records tell it.
        let remembered_from_ms = clock_ms.saturating_sub(parameters.identities.age_ms);
        let first = self.first_received(counts_from, remembered_from_ms).await?;
        remains.learns_from = first.unwrap_or(counts_from).max(low).min(counts_from);
        if let Some((clock_ms, believed_ms)) = self.clock(remains.learns_from).await? {
            (remains.log_clock_ms, remains.believed_ms) = (clock_ms, believed_ms);
        }
        let heard_from_ms = clock_ms.saturating_sub(parameters.devices.age_ms);
        remains.devices = self.devices(remains.learns_from, heard_from_ms).await?;
        let newest_count = remains.devices.len().saturating_sub(parameters.devices.count_max);
        remains.devices.drain(..newest_count);
        Ok(remains)
    }

    /// The largest time of receipt, and of those that were believed, before an offset.
    pub(super) async fn clock(&self, end: u64) -> Result<Option<(i64, i64)>, AuditError> {
        let values = self.values([("{end}", end.to_string())]);
        let sql = include_str!("sql/clock.sql");
        let rows: Vec<ClockRow> = self.store.ask("the times of a partition", sql, &values).await?;
        let row = rows.into_iter().find(|row| row.found > 0);
        Ok(row.map(|row| (row.received_max_ms, row.believed_max_ms)))
    }

    /// The first offset below `end` of an event that was received at a time or later.
    pub(super) async fn first_received(&self, end: u64, from_ms: i64) -> Result<Option<u64>, AuditError> {
        let values = self.values([("{end}", end.to_string()), ("{received_from_ms}", from_ms.to_string())]);
        let sql = include_str!("sql/since.sql");
        let rows: Vec<(u64, u64)> = self.store.ask("the offsets of a time", sql, &values).await?;
        Ok(rows.into_iter().find(|row| row.0 > 0).map(|row| row.1))
    }

    /// Fingerprints of the newest letters below `end`, the oldest first.
    async fn letters(&self, end: u64, limit: usize) -> Result<Vec<u64>, AuditError> {
        let values = self.values([
            ("{end}", end.to_string()),
            ("{events_topic}", EVENTS_TOPIC.to_owned()),
            ("{limit}", limit.to_string()),
        ]);
        let sql = include_str!("sql/letters.sql");
        let mut letters: Vec<u64> = self.store.ask("the letters of a partition", sql, &values).await?;
        letters.reverse();
        Ok(letters)
    }

    async fn devices(&self, end: u64, heard_from_ms: i64) -> Result<Vec<KnownDevice>, AuditError> {
        let values = self.values([
            ("{end}", end.to_string()),
            ("{heard_from_ms}", heard_from_ms.to_string()),
        ]);
        let sql = include_str!("sql/devices.sql");
        let rows: Vec<DeviceRow> = self.store.ask("the devices of a partition", sql, &values).await?;
        let mut numbers: HashMap<String, usize> = HashMap::with_capacity(rows.len());
        let mut devices = Vec::with_capacity(rows.len());
        for row in rows {
            numbers.insert(row.key.clone(), devices.len());
            devices.push(row.known());
        }
        let sql = include_str!("sql/counts.sql");
        let what = "the counts of devices";
        let mut cursor = self.store.cursor::<CountRow>(what, sql, &values)?;
        let query = |source| AuditError::Query { what, source };
        let mut before = 0;
        while let Some(row) = cursor.next().await.map_err(query)? {
            if let Some(number) = numbers.get(&row.key) {
                row.note(before, &mut devices[*number].sequence);
            }
            before = row.seq;
        }
        let what = "what is known of devices";
        let sql = include_str!("sql/descriptions.sql");
        let mut cursor = self.store.cursor::<DescriptionRow>(what, sql, &values)?;
        let query = |source| AuditError::Query { what, source };
        while let Some(row) = cursor.next().await.map_err(query)? {
            if let Some(number) = numbers.get(&row.key) {
                devices[*number].described = Some(row.description());
            }
        }
        Ok(devices)
    }
}

impl DeviceRow {
    fn known(self) -> KnownDevice {
        let position = Position::from_e7(self.place.0, self.place.1).filter(|_| self.is_placed == 1);
        KnownDevice {
            key: self.key,
            heard_ms: self.heard_ms,
            last_offset: self.last_offset,
            sequence: SequenceWindow::default(),
            place: position.map(|position| (position, self.place_ts_ms)),
            described: None,
        }
    }
}

impl CountRow {
    /// Remembers the count, and those that lie between it and the one `before` where the device went on counting.
    fn note(&self, before: u64, sequence: &mut SequenceWindow) {
        let claim = match self.kind {
            0 => Claim::None { known: false },
            1 => Claim::At(self.claim_ms),
            _ => Claim::Disbelieved(self.claim_ms),
        };
        let first = if self.goes_on == 1 { before + 1 } else { self.seq };
        for seq in first..=self.seq {
            sequence.observe(seq, claim);
        }
    }
}

impl DescriptionRow {
    fn description(self) -> Description {
        Description {
            ts_ms: self.ts_ms,
            received_at_ms: self.received_at_ms,
            seq: self.seq,
            clock_suspect: self.clock_suspect == 1,
            clock: ClockQuality::told(
                self.clock_claims,
                self.clock_skew_ms,
                self.clock_future,
                self.clock_past,
                self.clock_seen_at_ms,
            ),
            broker: self.broker,
            metrics: self.metric_names.into_iter().zip(self.metric_values).collect(),
            attributes: self.attribute_names.into_iter().zip(self.attribute_values).collect(),
        }
    }
}
