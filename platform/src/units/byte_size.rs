//! Sizes in bytes: a whole number and one unit, binary (`KiB`) or decimal (`kB`).

use super::split_quantity;

/// Binary units first, from the largest to the smallest: they are what we write; decimal ones are only read.
const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
];
const WRITTEN_UNIT_COUNT: usize = 5;

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// There is no whole number followed by one unit.
    #[error("is not a size; write a whole number and a unit, like `256KiB` or `1MiB`")]
    NotASize,
    /// A number stands alone.
    #[error("has no unit; write `{0}B` for bytes, or use KiB, MiB, GiB")]
    NoUnit(String),
    /// The unit is none of ours.
    #[error("has the unknown unit `{0}`; units are B, KiB, MiB, GiB, TiB, and kB, MB, GB, TB for powers of 1000")]
    UnknownUnit(String),
    /// More than 64 bits hold.
    #[error("is too large; the largest size is just under 16777216TiB")]
    TooLarge,
}

/// Reads a size such as `256KiB`, `1MiB` or `512B`.
///
/// # Errors
/// When the text is anything else; the message completes a sentence about the text.
pub fn parse_byte_size(text: &str) -> Result<u64, ByteSizeError> {
    let (number, unit, after) = split_quantity(text.trim()).ok_or(ByteSizeError::NotASize)?;
    if !after.is_empty() {
        return Err(ByteSizeError::NotASize);
    }
    if unit.is_empty() {
        return Err(ByteSizeError::NoUnit(number.to_owned()));
    }
    let unit_bytes = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, bytes)| *bytes)
        .ok_or_else(|| ByteSizeError::UnknownUnit(unit.to_owned()))?;
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_bytes))
        .ok_or(ByteSizeError::TooLarge)
}

/// Writes a size in the largest binary unit that shows it exactly.
#[must_use]
pub fn format_byte_size(bytes: u64) -> String {
    let (name, unit_bytes) = UNITS[..WRITTEN_UNIT_COUNT]
        .iter()
        .find(|(_, unit_bytes)| bytes >= *unit_bytes && bytes.is_multiple_of(*unit_bytes))
        .unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit_bytes)
}
