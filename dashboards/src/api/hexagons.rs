//! Hexagons as the store gave them, and written down once for all who ask.
//!
//! Pure. Writing five thousand of them takes a hundred times as long as copying what is written.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{finite, memory::Weigh, reply::Fingerprint};

/// One hexagon.
#[derive(Clone, Debug, Deserialize, Row)]
pub(crate) struct Cell {
    pub(crate) hexagon: u64,
    pub(crate) value: f64,
    pub(crate) events: u64,
}

/// What the store said.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) cells: Vec<Cell>,
    pub(crate) resolution: u8,
    pub(crate) newest_ms: Option<i64>,
    /// The same as the columns of a JSON document.
    written: String,
    fingerprint: u64,
}

/// The columns that are written once, and what stands for them where they are still to be put in.
#[derive(Serialize)]
struct Columns {
    cells: Vec<String>,
    values: Vec<Option<f64>>,
    counts: Vec<u64>,
}

const NO_COLUMNS: &str = r#""cells":[],"values":[],"counts":[]"#;

impl Weigh for Found {
    fn weight_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.cells) + self.written.len()
    }
}

impl Found {
    pub(crate) fn new(cells: Vec<Cell>, resolution: u8, newest_ms: Option<i64>) -> Self {
        let numbers: Vec<u64> = cells.iter().flat_map(|cell| [cell.hexagon, cell.events]).collect();
        let values: Vec<f64> = cells.iter().map(|cell| cell.value).collect();
        let mut found = Self {
            fingerprint: Fingerprint::default().numbers(&numbers).values(&values).number(),
            written: String::new(),
            cells,
            resolution,
            newest_ms,
        };
        let columns = Columns {
            cells: found.names(),
            values: values.into_iter().map(finite).collect(),
            counts: found.counts(),
        };
        let document = serde_json::to_string(&columns).expect("text and numbers are always JSON");
        // Without the braces around them.
        document[1..document.len() - 1].clone_into(&mut found.written);
        found
    }

    /// A document whose columns are empty, with these columns.
    pub(crate) fn written_into(&self, document: &impl Serialize) -> Vec<u8> {
        let document = serde_json::to_string(document).expect("text and numbers are always JSON");
        let (before, after) = document
            .split_once(NO_COLUMNS)
            .expect("the document has the columns, one after the other");
        [before.as_bytes(), self.written.as_bytes(), after.as_bytes()].concat()
    }

    /// The same for equal hexagons, whatever the last digits of sums are.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.cells.iter().map(|cell| format!("{:x}", cell.hexagon)).collect()
    }

    pub(crate) fn values(&self) -> Vec<f64> {
        self.cells.iter().map(|cell| cell.value).collect()
    }

    pub(crate) fn counts(&self) -> Vec<u64> {
        self.cells.iter().map(|cell| cell.events).collect()
    }

    /// Whether both say the same, but for the last digits of sums, which depend on their order.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let is_close = |(one, other): (&Cell, &Cell)| {
            let tolerance = 1e-9 * one.value.abs().max(other.value.abs()).max(1.0);
            let is_equal = (one.value - other.value).abs() <= tolerance || one.value.to_bits() == other.value.to_bits();
            (one.hexagon, one.events) == (other.hexagon, other.events) && is_equal
        };
        let pairs = self.cells.iter().zip(&other.cells);
        (self.resolution, self.cells.len()) == (other.resolution, other.cells.len()) && pairs.into_iter().all(is_close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cells: &[(u64, f64, u64)]) -> Found {
        let cell = |(hexagon, value, events): &(u64, f64, u64)| Cell {
            hexagon: *hexagon,
            value: *value,
            events: *events,
        };
        Found::new(cells.iter().map(cell).collect(), 7, None)
    }

    /// An answer with fields on both sides of its columns.
    #[derive(Serialize)]
    struct Document {
        metric: &'static str,
        #[serde(flatten)]
        columns: Columns,
        complete: bool,
    }

    #[test]
    fn what_is_written_once_is_the_document() {
        let document = |columns| Document {
            metric: "a",
            columns,
            complete: true,
        };
        for cells in [
            vec![],
            vec![(0x0872_a107_2bff_ffff, 1.5, 3)],
            vec![(1, f64::NAN, 1), (u64::MAX, -1e300, u64::MAX)],
        ] {
            let found = found(&cells);
            let empty = document(columns_of(&self::found(&[])));
            let whole = document(columns_of(&found));
            assert_eq!(found.written_into(&empty), serde_json::to_vec(&whole).unwrap());
        }
    }

    fn columns_of(found: &Found) -> Columns {
        Columns {
            cells: found.names(),
            values: found.values().into_iter().map(finite).collect(),
            counts: found.counts(),
        }
    }
}
