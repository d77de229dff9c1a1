//! Durations and sizes as people write them: `1m30s`, `256KiB`.
//!
//! A number without a unit is never accepted: it is the difference between five seconds and five hours.

mod byte_size;
mod duration;

pub use byte_size::{ByteSizeError, format_byte_size, parse_byte_size};
pub use duration::{DurationError, format_duration, parse_duration};

/// Splits off leading digits and the letters after them: one quantity of a text, and the rest.
fn split_quantity(text: &str) -> Option<(&str, &str, &str)> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    if digits == 0 {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest
        .find(|character: char| !character.is_alphabetic())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    Some((number, unit, rest))
}

#[cfg(test)]
mod tests;
