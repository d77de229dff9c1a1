//! One row of a batch as text, as ClickHouse takes it back: `INSERT INTO table FORMAT JSONEachRow`.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{
        DataType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
};
use serde_json::{Map, Value};

/// A row as one JSON object. Columns that are lists are left out: rows that are shown one by one have none.
#[must_use]
pub fn row_to_json(batch: &RecordBatch, row: usize) -> String {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let object: Map<String, Value> = columns
        .filter_map(|(field, column)| Some((field.name().clone(), value(column, row)?)))
        .collect();
    Value::Object(object).to_string()
}

fn value(column: &dyn Array, row: usize) -> Option<Value> {
    Some(match column.data_type() {
        DataType::Binary => String::from_utf8_lossy(column.as_binary::<i32>().value(row)).into(),
        // ClickHouse reads a number of this many digits as seconds with their fraction in a `DateTime64(3)`.
        DataType::Timestamp(..) => seconds(column.as_primitive::<TimestampMillisecondType>().value(row)),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row))),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        _ => return None,
    })
}

/// Not a number in JSON, but as text it is one to ClickHouse.
fn float(number: f64) -> Value {
    match number.is_nan() {
        true => "nan".into(),
        false => number.into(),
    }
}

fn seconds(unix_ms: i64) -> Value {
    let (seconds, ms) = (unix_ms.div_euclid(1_000), unix_ms.rem_euclid(1_000));
    format!("{seconds}.{ms:03}").into()
}
