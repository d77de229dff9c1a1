//! Rows that ClickHouse refuses on their own: a constraint that somebody added, or a view of theirs that cannot compute
//! with a value. The good rows go in, and each bad one becomes a dead letter that holds it whole.
//!
//! Only measurements are sorted out. A rollup or a device is ours as a whole: one that is refused is a fault of ours,
//! and ends the role. What is a dead letter here is still counted by the rollups: it was received, and it is not lost.

use arrow::array::{AsArray, RecordBatch};
use schemas::{
    Reason, Rejection, Stage,
    arrow::{EncodedTable, EncodedTables, Table, TableBatches, encode_stream, encode_tables, row_to_json},
    rows::Rows,
};

use super::{ClickHouseSink, SinkError, error::may_be_one_row, limits::REFUSED_ROWS_MAX};

/// True when the rows should be tried apart.
pub(super) fn may_be_of_one_row(error: &SinkError) -> bool {
    matches!(error, SinkError::Refused { table, code, .. }
        if *table == Table::Measurements.name() && may_be_one_row(*code))
}

/// Inserts the measurements that are taken, by halves, and gives letters for those that are not. The same rows give
/// the same letters.
///
/// # Errors
/// The first refusal when too many rows are refused, and whatever else goes wrong.
pub(super) async fn sort_out(
    sink: &ClickHouseSink,
    shares: &[TableBatches],
    first: SinkError,
) -> Result<EncodedTables, SinkError> {
    let mut open: Vec<RecordBatch> = shares
        .iter()
        .filter_map(|share| share.get(Table::Measurements).cloned())
        .collect();
    let mut letters = Rows::default();
    while let Some(batch) = open.pop() {
        let error = match insert(sink, &batch).await {
            Ok(()) => continue,
            Err(error) if may_be_of_one_row(&error) => error,
            Err(error) => return Err(error),
        };
        let row_count = batch.num_rows();
        if row_count > 1 {
            let half = row_count / 2;
            open.push(batch.slice(half, row_count - half));
            open.push(batch.slice(0, half));
            continue;
        }
        if letters.dead_letters.offset.len() == REFUSED_ROWS_MAX {
            return Err(first);
        }
        add_letter(&mut letters, &batch, &error);
    }
    let count = letters.dead_letters.offset.len();
    tracing::error!(
        row_count = count,
        error = %first,
        "ClickHouse refuses rows on their own: they are dead letters of stage `insert`"
    );
    Ok(encode_tables(&[TableBatches::from_rows(letters)?])?)
}

async fn insert(sink: &ClickHouseSink, batch: &RecordBatch) -> Result<(), SinkError> {
    let encoded = EncodedTable {
        table: Table::Measurements,
        row_count: batch.num_rows() as u64,
        body: encode_stream(Table::Measurements, &[batch])?,
    };
    sink.insert_table(encoded).await
}

/// The letter of a batch of one row.
fn add_letter(letters: &mut Rows, batch: &RecordBatch, error: &SinkError) {
    use arrow::datatypes::{Int64Type, TimestampMillisecondType, UInt16Type, UInt64Type};
    let text = |column: &str| String::from_utf8_lossy(batch[column].as_binary::<i32>().value(0)).into_owned();
    let partition = batch["partition"].as_primitive::<UInt16Type>().value(0);
    let offset = batch["offset"].as_primitive::<UInt64Type>().value(0);
    let ts_ms = batch["ts"].as_primitive::<TimestampMillisecondType>().value(0);
    let lag_ms = batch["received_lag_ms"].as_primitive::<Int64Type>().value(0);
    let received_at_ms = ts_ms.wrapping_add(lag_ms);
    let rejection = Rejection::new(Reason::RowRefused, error.to_string());
    let rows = &mut letters.dead_letters;
    rows.id.push(format!("row-{partition}-{offset}-{}", text("metric")));
    rows.received_at_ms.push(received_at_ms);
    rows.stage.push(Stage::Insert.as_str());
    rows.reason.push(rejection.reason.as_str());
    rows.detail.push(&rejection.detail);
    rows.broker.push("");
    rows.topic.push(Table::Measurements.name());
    rows.payload.push(row_to_json(batch, 0));
    rows.replay_of.push("");
    rows.replay_count.push(0);
    rows.first_received_at_ms.push(received_at_ms);
    rows.partition.push(partition);
    rows.offset.push(offset);
}
