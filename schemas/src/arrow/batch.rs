//! Rows into record batches, one function for each table. Columns are in the order of the table's schema.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BinaryArray, ListArray, PrimitiveArray, RecordBatch, TimestampMillisecondArray},
    buffer::{Buffer, OffsetBuffer, ScalarBuffer},
    datatypes::{
        ArrowPrimitiveType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
    error::ArrowError,
};

use super::{Table, list_item};
use crate::rows::{DeadLetterRows, DeviceRows, LedgerRows, ListColumn, MeasurementRows, RollupRows, TextColumn};

/// Rows of `measurement_log`.
///
/// # Errors
/// When the columns are of different lengths.
pub fn measurement_batch(rows: MeasurementRows) -> Result<RecordBatch, ArrowError> {
    let received_lag_ms = distances(&rows.received_at_ms, &rows.ts_ms);
    let device_lead_ms = distances(&rows.device_ts_ms, &rows.ts_ms);
    RecordBatch::try_new(
        Table::Measurements.schema(),
        vec![
            text(rows.tenant)?,
            text(rows.metric)?,
            text(rows.device)?,
            time(rows.ts_ms),
            number::<Float64Type>(rows.value),
            number::<Int32Type>(rows.latitude_e7),
            number::<Int32Type>(rows.longitude_e7),
            number::<UInt64Type>(rows.cell),
            number::<UInt64Type>(rows.seq),
            number::<Int64Type>(received_lag_ms),
            number::<Int64Type>(device_lead_ms),
            number::<UInt8Type>(rows.clock_suspect),
            number::<Float32Type>(rows.altitude_m),
            number::<Float32Type>(rows.speed_mps),
            number::<Float32Type>(rows.heading_deg),
            number::<Float32Type>(rows.accuracy_m),
            number::<UInt16Type>(rows.partition),
            number::<UInt64Type>(rows.offset),
        ],
    )
}

/// Rows of `rollup_log`.
///
/// # Errors
/// When the columns are of different lengths.
pub fn rollup_batch(rows: RollupRows) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(
        Table::Rollups.schema(),
        vec![
            text(rows.tenant)?,
            text(rows.metric)?,
            number::<UInt32Type>(rows.period_seconds),
            number::<UInt8Type>(rows.resolution),
            number::<UInt32Type>(rows.bucket_seconds),
            number::<UInt64Type>(rows.cell),
            number::<UInt16Type>(rows.partition),
            number::<UInt64Type>(rows.generation),
            number::<UInt64Type>(rows.version),
            number::<UInt64Type>(rows.count),
            number::<Float64Type>(rows.sum),
            number::<Float64Type>(rows.min),
            number::<Float64Type>(rows.max),
            numbers::<Int16Type>(rows.bin_keys)?,
            numbers::<UInt64Type>(rows.bin_counts)?,
            numbers::<UInt32Type>(rows.device_hashes)?,
        ],
    )
}

/// Rows of `device_log`.
///
/// # Errors
/// When the columns are of different lengths.
pub fn device_batch(rows: DeviceRows) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(
        Table::Devices.schema(),
        vec![
            text(rows.tenant)?,
            text(rows.device)?,
            number::<UInt16Type>(rows.partition),
            number::<UInt64Type>(rows.version),
            time(rows.ts_ms),
            time(rows.received_at_ms),
            number::<Int32Type>(rows.latitude_e7),
            number::<Int32Type>(rows.longitude_e7),
            number::<UInt64Type>(rows.cell),
            number::<UInt64Type>(rows.seq),
            number::<UInt8Type>(rows.clock_suspect),
            number::<UInt64Type>(rows.clock_claim_count),
            number::<Int64Type>(rows.clock_skew_ms),
            number::<UInt64Type>(rows.clock_future_count),
            number::<UInt64Type>(rows.clock_past_count),
            time(rows.clock_seen_at_ms),
            text(rows.broker)?,
            list(&rows.metric_ends, text(rows.metric_names)?)?,
            list(&rows.metric_ends, number::<Float64Type>(rows.metric_values))?,
            list(&rows.attribute_ends, text(rows.attribute_names)?)?,
            list(&rows.attribute_ends, text(rows.attribute_values)?)?,
        ],
    )
}

/// Rows of `dead_letter_log`.
///
/// # Errors
/// When the columns are of different lengths.
pub fn dead_letter_batch(rows: DeadLetterRows) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(
        Table::DeadLetters.schema(),
        vec![
            text(rows.id)?,
            time(rows.received_at_ms),
            text(rows.stage)?,
            text(rows.reason)?,
            text(rows.detail)?,
            text(rows.broker)?,
            text(rows.topic)?,
            text(rows.payload)?,
            text(rows.replay_of)?,
            number::<UInt16Type>(rows.replay_count),
            time(rows.first_received_at_ms),
            number::<UInt16Type>(rows.partition),
            number::<UInt64Type>(rows.offset),
        ],
    )
}

/// Rows of `ledger_log`.
///
/// # Errors
/// When the columns are of different lengths.
pub fn ledger_batch(rows: LedgerRows) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(
        Table::Ledger.schema(),
        vec![
            text(rows.topic)?,
            number::<UInt16Type>(rows.partition),
            number::<UInt64Type>(rows.chunk),
            number::<UInt64Type>(rows.version),
            number::<UInt64Type>(rows.first_offset),
            number::<UInt64Type>(rows.last_offset),
            number::<UInt64Type>(rows.records),
            number::<UInt64Type>(rows.events),
            number::<UInt64Type>(rows.duplicates),
            number::<UInt64Type>(rows.dead_letters),
            number::<UInt64Type>(rows.measurements),
            time(rows.ts_min_ms),
            time(rows.ts_max_ms),
            number::<UInt64Type>(rows.checksum),
            numbers::<UInt32Type>(rows.level_periods)?,
            numbers::<UInt8Type>(rows.level_resolutions)?,
            numbers::<UInt64Type>(rows.level_sinces)?,
        ],
    )
}

/// How far each time is from its base. Stored instead of the time, since it is small or zero. Wrapping: a distance
/// that does not fit is read back by the same wrapping addition.
fn distances(times_ms: &[i64], bases_ms: &[i64]) -> Vec<i64> {
    times_ms
        .iter()
        .zip(bases_ms)
        .map(|(time, base)| time.wrapping_sub(*base))
        .collect()
}

fn number<T: ArrowPrimitiveType>(values: Vec<T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), None))
}

fn time(unix_ms: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::new(ScalarBuffer::from(unix_ms), None).with_timezone("UTC"))
}

fn text(column: TextColumn) -> Result<ArrayRef, ArrowError> {
    let bytes = Buffer::from_vec(column.bytes);
    let array = BinaryArray::try_new(offsets(&column.ends)?, bytes, None)?;
    Ok(Arc::new(array))
}

fn numbers<T: ArrowPrimitiveType>(column: ListColumn<T::Native>) -> Result<ArrayRef, ArrowError> {
    list(&column.ends, number::<T>(column.items))
}

fn list(ends: &[i32], items: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let item = list_item(items.data_type().clone());
    Ok(Arc::new(ListArray::try_new(item, offsets(ends)?, items, None)?))
}

/// Arrow wants the start of the first text, too.
fn offsets(ends: &[i32]) -> Result<OffsetBuffer<i32>, ArrowError> {
    if !ends.is_sorted() || ends.first().is_some_and(|end| *end < 0) {
        return Err(ArrowError::InvalidArgumentError(
            "the ends of a column do not rise".to_owned(),
        ));
    }
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.extend_from_slice(ends);
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}
