//! Hexagons as the store gave them, and written down once for all who ask.
//!
//! Pure but for a lock. Writing five thousand of them takes a hundred times as long as copying what is written.

use std::sync::{Arc, Mutex, PoisonError};

use clickhouse::Row;
use h3o::{CellIndex, LatLng};
use serde::{Deserialize, Serialize};

use super::{arrivals::Reach, finite, memory::Weigh, reply::Fingerprint, view::BoundingBox};

/// One hexagon.
#[derive(Clone, Debug, Deserialize, Row)]
pub(crate) struct Cell {
    pub(crate) hexagon: u64,
    pub(crate) value: f64,
    pub(crate) events: u64,
}

/// What the store said.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) cells: Vec<Cell>,
    pub(crate) resolution: u8,
    /// As it was when they were asked for.
    pub(crate) reach: Reach,
    /// The same as the columns of a JSON document.
    written: String,
    fingerprint: u64,
    cuts: Option<Cuts>,
}

/// What others are cut out with, and those that were.
#[derive(Debug)]
struct Cuts {
    /// Latitude and longitude of the centre of each hexagon, in degrees.
    centres: Vec<(f64, f64)>,
    /// By the bits of their box, the latest last.
    made: Mutex<Vec<([u64; 4], Arc<Found>)>>,
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
        let cuts = self.cuts.as_ref();
        // All that are kept together weigh no more than what they were cut out of.
        let of_cuts = cuts.map_or(0, |cuts| size_of_val(&*cuts.centres) + self.own_weight_bytes());
        self.own_weight_bytes() + of_cuts
    }
}

impl Found {
    pub(crate) fn new(cells: Vec<Cell>, resolution: u8, reach: Reach) -> Self {
        let numbers: Vec<u64> = cells.iter().flat_map(|cell| [cell.hexagon, cell.events]).collect();
        let values: Vec<f64> = cells.iter().map(|cell| cell.value).collect();
        let mut found = Self {
            fingerprint: Fingerprint::default().numbers(&numbers).values(&values).number(),
            written: String::new(),
            cells,
            resolution,
            reach,
            cuts: None,
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

    /// The same, prepared for having others cut out.
    pub(crate) fn divisible(mut self) -> Self {
        let centre = |cell: &Cell| {
            // No place is in no box.
            let centre = CellIndex::try_from(cell.hexagon).map(LatLng::from);
            centre.map_or((f64::NAN, f64::NAN), |centre| (centre.lat(), centre.lng()))
        };
        self.cuts = Some(Cuts {
            centres: self.cells.iter().map(centre).collect(),
            made: Mutex::default(),
        });
        self
    }

    /// The hexagons whose centres are in a box.
    ///
    /// # Panics
    /// When it is not prepared for that.
    pub(crate) fn cut(&self, place: &BoundingBox) -> Arc<Self> {
        let cuts = self.cuts.as_ref().expect("it is divisible");
        if let Some(made) = cuts.find(&place.bits()) {
            return made;
        }
        let pairs = self.cells.iter().zip(&cuts.centres);
        let inside = pairs.filter(|(_, (latitude, longitude))| place.holds(*latitude, *longitude));
        let cells = inside.map(|(cell, _)| cell.clone()).collect();
        let cut = Arc::new(Self::new(cells, self.resolution, self.reach));
        cuts.keep(place.bits(), cut.clone(), self.own_weight_bytes());
        cut
    }

    fn own_weight_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.cells) + self.written.len()
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

impl Cuts {
    fn find(&self, bits: &[u64; 4]) -> Option<Arc<Found>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let place = made.iter().position(|(of, _)| of == bits)?;
        let found = made.remove(place);
        made.push(found.clone());
        Some(found.1)
    }

    fn keep(&self, bits: [u64; 4], cut: Arc<Found>, bytes_max: usize) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|(of, _)| *of != bits);
        made.push((bits, cut));
        let mut bytes: usize = made.iter().map(|(_, cut)| cut.own_weight_bytes()).sum();
        while bytes > bytes_max {
            bytes -= made.remove(0).1.own_weight_bytes();
        }
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
        Found::new(cells.iter().map(cell).collect(), 7, Reach::stored(None, None, None))
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

    #[test]
    fn cut_out_is_what_has_its_centre_in_the_box() {
        let at = |latitude, longitude| {
            let place = LatLng::new(latitude, longitude).unwrap();
            u64::from(place.to_cell(h3o::Resolution::Seven))
        };
        let mut cells = vec![
            (at(48.1, 11.5), 1.0, 1),
            (at(48.2, 11.6), 2.0, 2),
            (at(-17.0, 179.9), 3.0, 3),
            (at(-17.0, -179.9), 4.0, 4),
        ];
        cells.sort_unstable_by_key(|cell| cell.0);
        let whole = found(&cells).divisible();
        let place = |west, south, east, north| BoundingBox {
            west,
            south,
            east,
            north,
        };
        let values = |place: &BoundingBox| {
            let mut values = whole.cut(place).values();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        assert_eq!(values(&BoundingBox::WORLD), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(values(&place(11.0, 48.0, 11.55, 49.0)), [1.0]);
        assert_eq!(
            values(&place(179.0, -20.0, -179.0, -10.0)),
            [3.0, 4.0],
            "across the antimeridian"
        );
        assert!(values(&place(0.0, 0.0, 1.0, 1.0)).is_empty());
        assert_eq!(
            whole.cut(&BoundingBox::WORLD).names(),
            whole.names(),
            "in the same order"
        );
    }

    #[test]
    fn cuts_are_kept_and_weigh_no_more_than_the_whole() {
        let places = (0..1_000_u32).map(|number| LatLng::new(0.0, f64::from(number) / 10.0).unwrap());
        let cells: Vec<_> = places
            .map(|place| (place.to_cell(h3o::Resolution::Seven).into(), 0.5, 1))
            .collect();
        let whole = found(&cells).divisible();
        let boxes = (0..5_000_u32).map(|number| BoundingBox {
            east: f64::from(number) / 50.0,
            ..BoundingBox::WORLD
        });
        let weight_bytes = whole.weight_bytes();
        for place in boxes {
            let cut = whole.cut(&place);
            assert!(Arc::ptr_eq(&cut, &whole.cut(&place)), "the second one is the first");
            let made = whole.cuts.as_ref().unwrap().made.lock().unwrap();
            let bytes: usize = made.iter().map(|(_, cut)| cut.own_weight_bytes()).sum();
            assert!(whole.own_weight_bytes() + bytes <= weight_bytes);
        }
    }
}
