//! Time as devices write it: integers in four units told apart by magnitude, or RFC 3339 text.

use crate::limits::TIMESTAMP_MS_MAX;

/// Below this an integer counts seconds (until the year 5138).
const SECONDS_BELOW: i64 = 100_000_000_000;
/// Below this it counts milliseconds, until the same year.
const MILLISECONDS_BELOW: i64 = SECONDS_BELOW * 1_000;
/// Below this it counts microseconds; from here on nanoseconds.
const MICROSECONDS_BELOW: i64 = MILLISECONDS_BELOW * 1_000;

/// Unix milliseconds of an integer in seconds, milliseconds, microseconds or nanoseconds.
///
/// None for times before 1970, which no rollup bucket can hold.
#[must_use]
pub fn from_integer(value: i64) -> Option<i64> {
    match value {
        ..0 => None,
        0..SECONDS_BELOW => Some(value * 1_000),
        SECONDS_BELOW..MILLISECONDS_BELOW => Some(value),
        MILLISECONDS_BELOW..MICROSECONDS_BELOW => Some(value / 1_000),
        MICROSECONDS_BELOW.. => Some(value / 1_000_000),
    }
}

/// Unix milliseconds of an RFC 3339 text (an offset or `Z` is required), rounded down.
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<i64> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    let milliseconds = timestamp.as_nanosecond().div_euclid(1_000_000);
    i64::try_from(milliseconds).ok().filter(|ms| *ms >= 0)
}

/// True when a rollup bucket can hold this time.
#[must_use]
pub fn fits_a_bucket(timestamp_ms: i64) -> bool {
    (0..=TIMESTAMP_MS_MAX).contains(&timestamp_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_apart_by_magnitude() {
        let expected = Some(1_732_212_345_000);
        assert_eq!(from_integer(1_732_212_345), expected);
        assert_eq!(from_integer(1_732_212_345_000), expected);
        assert_eq!(from_integer(1_732_212_345_000_999), expected);
        assert_eq!(from_integer(1_732_212_345_000_999_999), expected);
        assert_eq!(from_integer(0), Some(0));
        assert_eq!(from_integer(-1), None);
        assert_eq!(from_integer(i64::MAX), Some(i64::MAX / 1_000_000));
    }

    #[test]
    fn rfc3339_needs_an_offset() {
        assert_eq!(from_rfc3339("2024-11-21T18:05:45Z"), Some(1_732_212_345_000));
        assert_eq!(from_rfc3339("2024-11-21T19:05:45.678+01:00"), Some(1_732_212_345_678));
        for bad in [
            "2024-11-21T18:05:45",
            "2024-11-21",
            "yesterday",
            "",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(from_rfc3339(bad), None, "{bad}");
        }
    }
}
