//! Durations: one or more whole numbers with units, from the largest unit to the smallest.

use std::{fmt::Write, time::Duration};

use super::split_quantity;

/// Units from the largest to the smallest, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// There is no number where one should be.
    #[error("is not a duration; write a number and a unit, like `5s`, `250ms` or `1m30s`")]
    NotADuration,
    /// A number stands alone.
    #[error("has no unit; write `{0}s` for seconds or `{0}ms` for milliseconds")]
    NoUnit(String),
    /// The unit is none of ours.
    #[error("has the unknown unit `{0}`; units are d, h, m, s, ms, us and ns")]
    UnknownUnit(String),
    /// A unit stands twice, or a larger one after a smaller one.
    #[error("has the unit `{0}` out of order; write the largest unit first and each one once, like `1m30s`")]
    OutOfOrder(String),
    /// Longer than can be represented.
    #[error("is too long; the longest duration is some five hundred years")]
    TooLong,
}

/// Reads a duration such as `5s`, `250ms`, `1m30s` or `1h 30m`.
///
/// # Errors
/// When the text is anything else; the message completes a sentence about the text.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    let mut total_ns: u64 = 0;
    let mut next_unit = 0;
    if rest.is_empty() {
        return Err(DurationError::NotADuration);
    }
    while !rest.is_empty() {
        let (number, unit, after) = split_quantity(rest).ok_or(DurationError::NotADuration)?;
        if unit.is_empty() {
            // `1.5s` and `1,000s` stop at the point: that is no missing unit, but a number that is not whole.
            return Err(if after.is_empty() {
                DurationError::NoUnit(number.to_owned())
            } else {
                DurationError::NotADuration
            });
        }
        let index = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(|| DurationError::UnknownUnit(unit.to_owned()))?;
        if index < next_unit {
            return Err(DurationError::OutOfOrder(unit.to_owned()));
        }
        next_unit = index + 1;
        total_ns = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(UNITS[index].1))
            .and_then(|part_ns| total_ns.checked_add(part_ns))
            .ok_or(DurationError::TooLong)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_nanos(total_ns))
}

/// Writes a duration the shortest way that [`parse_duration`] reads back as the same value.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest_ns = duration.as_nanos();
    if rest_ns == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, unit_ns) in UNITS {
        let count = rest_ns / u128::from(unit_ns);
        if count > 0 {
            rest_ns %= u128::from(unit_ns);
            write!(text, "{count}{name}").expect("writing to a string cannot fail");
        }
    }
    text
}
