//! Answers as tables: CSV and Arrow.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array},
    ipc::writer::StreamWriter,
};
use bytes::Bytes;
use schemas::name;

use super::{
    reply::{About, Format},
    time_text,
};

/// Values of one column.
pub(crate) enum Column {
    Texts(Vec<String>),
    /// Unix milliseconds.
    Times(Vec<i64>),
    /// What is not a number is left empty.
    Numbers(Vec<f64>),
    Counts(Vec<u64>),
}

/// Columns of one length.
pub(crate) struct Table {
    pub(crate) columns: Vec<(&'static str, Column)>,
    /// Goes with it where the format has a place for it.
    pub(crate) about: About,
}

impl Table {
    /// The table as CSV or as an Arrow stream; `None` for formats that are no tables.
    pub(crate) fn write(&self, format: Format) -> Option<Bytes> {
        match format {
            Format::Csv => Some(self.csv().into()),
            Format::Arrow => Some(self.arrow().into()),
            Format::Json | Format::GeoJson => None,
        }
    }

    fn csv(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let mut text = names.join(",") + "\r\n";
        for row in 0..self.rows() {
            for (index, (_, column)) in self.columns.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                let written = match column {
                    Column::Texts(texts) => write!(text, "{}", quoted(&texts[row])),
                    Column::Times(times) => write!(text, "{}", time_text(times[row])),
                    Column::Counts(counts) => write!(text, "{}", counts[row]),
                    Column::Numbers(numbers) if numbers[row].is_finite() => write!(text, "{}", numbers[row]),
                    Column::Numbers(_) => Ok(()),
                };
                written.expect("writing to a string cannot fail");
            }
            text.push_str("\r\n");
        }
        text
    }

    fn arrow(&self) -> Vec<u8> {
        let columns = self.columns.iter().map(|(name, column)| {
            let array: ArrayRef = match column {
                Column::Texts(texts) => Arc::new(StringArray::from_iter_values(texts)),
                Column::Times(times) => {
                    let times = TimestampMillisecondArray::from_iter_values(times.iter().copied());
                    Arc::new(times.with_timezone("UTC"))
                }
                Column::Counts(counts) => Arc::new(UInt64Array::from_iter_values(counts.iter().copied())),
                Column::Numbers(numbers) => {
                    let known = numbers
                        .iter()
                        .map(|number| Some(*number).filter(|number| number.is_finite()));
                    Arc::new(known.collect::<Float64Array>())
                }
            };
            (*name, array, true)
        });
        let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("columns have one length");
        let about = self.about.entries().into_iter();
        let about: BTreeMap<String, String> = about.map(|(name, text)| (name.to_owned(), text)).collect();
        let schema = Arc::new(batch.schema().as_ref().clone().with_metadata(about));
        let batch = batch.with_schema(schema).expect("the fields are the same");
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect("memory takes every write");
        writer.write(&batch).expect("memory takes every write");
        writer.into_inner().expect("memory takes every write")
    }

    fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, column)| match column {
            Column::Texts(texts) => texts.len(),
            Column::Times(times) => times.len(),
            Column::Numbers(numbers) => numbers.len(),
            Column::Counts(counts) => counts.len(),
        })
    }
}

/// Text that is one CSV field, and that no spreadsheet takes for a formula. Identifiers are left as they are, so that rows
/// join by them: the only one of these characters that one may begin with is `-`, and none has the brackets of a call.
fn quoted(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !name::is_identifier(text);
    let is_special = text.contains([',', '"', '\n', '\r']);
    match (is_formula, is_special) {
        (false, false) => text.to_owned(),
        (true, _) => format!("\"'{}\"", text.replace('"', "\"\"")),
        (false, true) => format!("\"{}\"", text.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use arrow::{array::AsArray, datatypes::TimestampMillisecondType, ipc::reader::StreamReader};

    use super::*;

    fn table() -> Table {
        Table {
            columns: vec![
                ("name", Column::Texts(vec!["a,\"b\"".to_owned(), "=1+1".to_owned()])),
                ("ts", Column::Times(vec![0, 1_767_225_600_001])),
                ("value", Column::Numbers(vec![0.1, f64::NAN])),
                ("count", Column::Counts(vec![1, u64::MAX])),
            ],
            about: About {
                period_seconds: Some(60),
                is_complete: Some(false),
                ..About::default()
            },
        }
    }

    #[test]
    fn csv_quotes_what_would_break_it_and_hides_formulas() {
        let text = table().csv();
        assert_eq!(
            text,
            "name,ts,value,count\r\n\"a,\"\"b\"\"\",1970-01-01T00:00:00Z,0.1,1\r\n\
             \"'=1+1\",2026-01-01T00:00:00.001Z,,18446744073709551615\r\n"
        );
    }

    #[test]
    fn identifiers_are_written_as_they_are_and_other_text_is_no_formula() {
        for identifier in ["-neg", "-1", "--", "bus-7", ".a:b_c"] {
            assert_eq!(quoted(identifier), identifier);
        }
        for (text, written) in [
            ("-cmd|' /C calc'!A0", "\"'-cmd|' /C calc'!A0\""),
            ("-1+cmd()", "\"'-1+cmd()\""),
            ("+1", "\"'+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
        ] {
            assert_eq!(quoted(text), written);
        }
    }

    #[test]
    fn arrow_comes_back_as_it_went_in() {
        let bytes = table().arrow();
        let batches: Vec<RecordBatch> = StreamReader::try_new(&bytes[..], None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let [batch] = &batches[..] else {
            panic!("{} batches", batches.len())
        };
        assert_eq!(batch.num_rows(), 2);
        let times = batch.column(1).as_primitive::<TimestampMillisecondType>();
        assert_eq!(times.timezone(), Some("UTC"));
        assert_eq!(times.values(), &[0, 1_767_225_600_001]);
        let values = batch.column(2).as_any().downcast_ref::<Float64Array>().unwrap();
        assert_eq!(values.iter().collect::<Vec<_>>(), [Some(0.1), None]);
        let about = [("meridian-period", "60"), ("meridian-complete", "0")];
        let about = about.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(batch.schema().metadata(), &BTreeMap::from(about));
    }
}
