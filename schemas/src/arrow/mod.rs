//! Rows as Arrow: how the columns of [`crate::rows`] travel to ClickHouse.
//!
//! Column names and types are those of the tables in `schemas/clickhouse`, and the buffers of the rows are moved, not
//! copied. Texts travel as bytes, since that is what ClickHouse's `String` holds: no text is checked or refused here.

mod batch;
mod row;

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
    ipc::writer::StreamWriter,
};
use bytes::Bytes;

pub use row::row_to_json;

pub use batch::{dead_letter_batch, device_batch, ledger_batch, measurement_batch, rollup_batch};

use crate::rows::{Rows, TABLE_COUNT};

/// A table that the pipeline writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// `measurement_log`
    Measurements,
    /// `rollup_log`
    Rollups,
    /// `device_log`
    Devices,
    /// `dead_letter_log`
    DeadLetters,
    /// `ledger_log`
    Ledger,
}

impl Table {
    /// All tables, in the order of [`Rows::counts`].
    pub const ALL: [Self; TABLE_COUNT] = [
        Self::Measurements,
        Self::Rollups,
        Self::Devices,
        Self::DeadLetters,
        Self::Ledger,
    ];

    /// Name in ClickHouse.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Measurements => "measurement_log",
            Self::Rollups => "rollup_log",
            Self::Devices => "device_log",
            Self::DeadLetters => "dead_letter_log",
            Self::Ledger => "ledger_log",
        }
    }

    /// Arrow schema of its rows.
    #[must_use]
    pub fn schema(self) -> SchemaRef {
        Arc::new(Schema::new(match self {
            Self::Measurements => measurement_fields(),
            Self::Rollups => rollup_fields(),
            Self::Devices => device_fields(),
            Self::DeadLetters => dead_letter_fields(),
            Self::Ledger => ledger_fields(),
        }))
    }

    /// The columns, in order, for `INSERT INTO table (…)`.
    #[must_use]
    pub fn columns(self) -> String {
        let schema = self.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        names.join(", ")
    }
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Binary, false)
}

fn number(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, false)
}

fn time(name: &str) -> Field {
    Field::new(
        name,
        DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        false,
    )
}

fn list(name: &str, item: DataType) -> Field {
    Field::new(name, DataType::List(list_item(item)), false)
}

/// The item field of every list: name and nullability must agree between schema and arrays.
fn list_item(item: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", item, false))
}

fn measurement_fields() -> Vec<Field> {
    vec![
        text("tenant"),
        text("metric"),
        text("device"),
        time("ts"),
        number("value", DataType::Float64),
        number("latitude_e7", DataType::Int32),
        number("longitude_e7", DataType::Int32),
        number("cell", DataType::UInt64),
        number("seq", DataType::UInt64),
        number("received_lag_ms", DataType::Int64),
        number("device_lead_ms", DataType::Int64),
        number("clock_suspect", DataType::UInt8),
        number("altitude_m", DataType::Float32),
        number("speed_mps", DataType::Float32),
        number("heading_deg", DataType::Float32),
        number("accuracy_m", DataType::Float32),
        number("partition", DataType::UInt16),
        number("offset", DataType::UInt64),
    ]
}

fn rollup_fields() -> Vec<Field> {
    vec![
        text("tenant"),
        text("metric"),
        number("period", DataType::UInt32),
        number("res", DataType::UInt8),
        number("bucket", DataType::UInt32),
        number("cell", DataType::UInt64),
        number("partition", DataType::UInt16),
        number("generation", DataType::UInt64),
        number("version", DataType::UInt64),
        number("count", DataType::UInt64),
        number("sum", DataType::Float64),
        number("min", DataType::Float64),
        number("max", DataType::Float64),
        list("bin_keys", DataType::Int16),
        list("bin_counts", DataType::UInt64),
        list("device_hashes", DataType::UInt32),
    ]
}

fn device_fields() -> Vec<Field> {
    vec![
        text("tenant"),
        text("device"),
        number("partition", DataType::UInt16),
        number("version", DataType::UInt64),
        time("ts"),
        time("received_at"),
        number("latitude_e7", DataType::Int32),
        number("longitude_e7", DataType::Int32),
        number("cell", DataType::UInt64),
        number("seq", DataType::UInt64),
        number("clock_suspect", DataType::UInt8),
        number("clock_claims", DataType::UInt64),
        number("clock_skew_ms", DataType::Int64),
        number("clock_future", DataType::UInt64),
        number("clock_past", DataType::UInt64),
        time("clock_seen_at"),
        text("broker"),
        list("metric_names", DataType::Binary),
        list("metric_values", DataType::Float64),
        list("attribute_names", DataType::Binary),
        list("attribute_values", DataType::Binary),
    ]
}

fn dead_letter_fields() -> Vec<Field> {
    vec![
        text("id"),
        time("received_at"),
        text("stage"),
        text("reason"),
        text("detail"),
        text("broker"),
        text("topic"),
        text("payload"),
        text("replay_of"),
        number("replay_count", DataType::UInt16),
        time("first_received_at"),
        number("partition", DataType::UInt16),
        number("offset", DataType::UInt64),
    ]
}

fn ledger_fields() -> Vec<Field> {
    vec![
        text("topic"),
        number("partition", DataType::UInt16),
        number("chunk", DataType::UInt64),
        number("version", DataType::UInt64),
        number("first_offset", DataType::UInt64),
        number("last_offset", DataType::UInt64),
        number("records", DataType::UInt64),
        number("events", DataType::UInt64),
        number("duplicates", DataType::UInt64),
        number("dead_letters", DataType::UInt64),
        number("measurements", DataType::UInt64),
        time("ts_min"),
        time("ts_max"),
        number("checksum", DataType::UInt64),
        list("level_periods", DataType::UInt32),
        list("level_resolutions", DataType::UInt8),
        list("level_sinces", DataType::UInt64),
    ]
}

/// One record batch for each table that has rows: what a worker makes of its share of a flush.
#[derive(Clone, Debug, Default)]
pub struct TableBatches {
    /// By `Table as usize`.
    batches: [Option<RecordBatch>; TABLE_COUNT],
}

impl TableBatches {
    /// Moves rows into batches.
    ///
    /// # Errors
    /// When the columns of a table are of different lengths, which is a fault of ours.
    pub fn from_rows(rows: Rows) -> Result<Self, ArrowError> {
        let [measurements, rollups, devices, dead_letters, ledger] = rows.counts();
        Ok(Self {
            batches: [
                (measurements > 0)
                    .then(|| measurement_batch(rows.measurements))
                    .transpose()?,
                (rollups > 0).then(|| rollup_batch(rows.rollups)).transpose()?,
                (devices > 0).then(|| device_batch(rows.devices)).transpose()?,
                (dead_letters > 0)
                    .then(|| dead_letter_batch(rows.dead_letters))
                    .transpose()?,
                (ledger > 0).then(|| ledger_batch(rows.ledger)).transpose()?,
            ],
        })
    }

    /// The batch of a table, if it has rows.
    #[must_use]
    pub fn get(&self, table: Table) -> Option<&RecordBatch> {
        self.batches[table as usize].as_ref()
    }
}

/// The rows of one flush for one table, ready to send, and to send again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedTable {
    /// Where they go.
    pub table: Table,
    /// How many they are.
    pub row_count: u64,
    /// An Arrow IPC stream.
    pub body: Bytes,
}

/// The rows of one flush for all tables: at most one entry a table, none without rows.
pub type EncodedTables = Vec<EncodedTable>;

/// Joins the shares of all workers: one Arrow stream for each table that has rows.
///
/// # Errors
/// As [`encode_stream`].
pub fn encode_tables(shares: &[TableBatches]) -> Result<EncodedTables, ArrowError> {
    let mut encoded = EncodedTables::new();
    for table in Table::ALL {
        let batches: Vec<&RecordBatch> = shares.iter().filter_map(|share| share.get(table)).collect();
        if !batches.is_empty() {
            encoded.push(EncodedTable {
                table,
                row_count: batches.iter().map(|batch| batch.num_rows() as u64).sum(),
                body: encode_stream(table, &batches)?,
            });
        }
    }
    Ok(encoded)
}

/// One Arrow IPC stream of batches of one table.
///
/// # Errors
/// When a batch has another schema than the table.
pub fn encode_stream(table: Table, batches: &[&RecordBatch]) -> Result<Bytes, ArrowError> {
    let schema = table.schema();
    let size: usize = batches.iter().map(|batch| batch.get_array_memory_size()).sum();
    let mut writer = StreamWriter::try_new(Vec::with_capacity(size + STREAM_OVERHEAD_BYTES), &schema)?;
    for batch in batches {
        if batch.schema_ref() != &schema {
            return Err(ArrowError::SchemaError(format!(
                "a batch for `{}` has another schema",
                table.name()
            )));
        }
        writer.write(batch)?;
    }
    writer.finish()?;
    Ok(writer.into_inner()?.into())
}

/// Schema message, batch headers and padding of a usual stream: saves a reallocation, is no bound.
const STREAM_OVERHEAD_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
