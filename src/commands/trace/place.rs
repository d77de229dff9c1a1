//! Where an event falls: cells, their parents, and buckets of time.

use h3o::{CellIndex, Resolution};

/// The bits of a snapshot's version, and of a generation, that are an offset (`processors::rollup`): above stands the
/// incarnation of the partition's state.
const OFFSET_BITS: u32 = 48;

/// The offset in a version.
pub(super) fn offset_of(version: u64) -> u64 {
    version & ((1 << OFFSET_BITS) - 1)
}

/// A stretch of time that a cell is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Unix seconds.
    pub(super) start: u32,
    pub(super) period_seconds: u32,
}

impl Bucket {
    /// The one that holds a time.
    pub(super) fn holding(unix_ms: i64, period_seconds: u32) -> Result<Self, String> {
        let seconds = u32::try_from(unix_ms.div_euclid(1_000))
            .map_err(|_| "the time of the bucket is beyond the range of the rollups".to_owned())?;
        Ok(Self {
            start: seconds - seconds % period_seconds,
            period_seconds,
        })
    }
}

/// Reads a cell.
pub(super) fn parse_cell(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    let hexadecimal = u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let decimal = text.parse::<u64>().ok();
    let is_cell = |number: &u64| CellIndex::try_from(*number).is_ok();
    hexadecimal
        .filter(is_cell)
        .or(decimal.filter(is_cell))
        .ok_or_else(|| "is no H3 cell; write it as `871f1d489ffffff`, or 0 for events without a position".to_owned())
}

/// As people write cells.
pub(super) fn show_cell(cell: u64) -> String {
    match cell {
        0 => "0".to_owned(),
        cell => format!("{cell:x}"),
    }
}

/// The resolution of a cell; none for 0.
pub(super) fn resolution(cell: u64) -> Option<u8> {
    CellIndex::try_from(cell).ok().map(|cell| cell.resolution().into())
}

/// The cell of a level that holds a base cell. None when the base cell is coarser than that.
pub(super) fn parent(cell: u64, resolution: u8) -> Option<u64> {
    if cell == 0 {
        return Some(0);
    }
    let resolution = Resolution::try_from(resolution).ok()?;
    CellIndex::try_from(cell).ok()?.parent(resolution).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: u64 = 0x0891_f1d4_89c3_ffff;

    #[test]
    fn cells_are_read_in_both_forms_and_have_parents() {
        assert_eq!(parse_cell(&format!("{CELL:x}")), Ok(CELL));
        assert_eq!(parse_cell(&CELL.to_string()), Ok(CELL));
        assert_eq!(parse_cell("0"), Ok(0));
        assert!(parse_cell("12").unwrap_err().contains("H3"));
        assert_eq!(resolution(CELL), Some(9));
        assert_eq!(parent(CELL, 7).and_then(resolution), Some(7));
        assert_eq!((parent(CELL, 10), parent(0, 7)), (None, Some(0)));
    }

    #[test]
    fn buckets_begin_at_whole_periods() {
        let bucket = Bucket::holding(3_725_999, 3_600).unwrap();
        assert_eq!(bucket.start, 3_600);
        assert!(Bucket::holding(-1, 60).is_err());
    }

    #[test]
    fn the_incarnation_is_no_part_of_the_offset() {
        assert_eq!(offset_of(3 << OFFSET_BITS | 77), 77);
    }
}
