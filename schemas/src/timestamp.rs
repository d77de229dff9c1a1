//! Time as devices write it: integers in four units told apart by magnitude, or RFC 3339 text.

use crate::limits::TIMESTAMP_MS_MAX;

/// Below this an integer counts seconds (until the year 5138).
const SECONDS_BELOW: i64 = 100_000_000_000;
/// Below this it counts milliseconds, until the same year.
const MILLISECONDS_BELOW: i64 = SECONDS_BELOW * 1_000;
/// Below this it counts microseconds; from here on nanoseconds.
const MICROSECONDS_BELOW: i64 = MILLISECONDS_BELOW * 1_000;

/// A time as a device wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenTime {
    /// Unix milliseconds, rounded down: what is stored.
    pub ms: i64,
    /// Nanoseconds beyond them, below a million: kept only to tell events of one millisecond apart.
    pub submilli_ns: u32,
}

impl WrittenTime {
    fn from_nanoseconds(nanoseconds: i128) -> Option<Self> {
        let ms = i64::try_from(nanoseconds.div_euclid(NS_PER_MS))
            .ok()
            .filter(|ms| *ms >= 0)?;
        let submilli_ns = nanoseconds.rem_euclid(NS_PER_MS) as u32;
        Some(Self { ms, submilli_ns })
    }
}

const NS_PER_MS: i128 = 1_000_000;

/// The time of an integer in seconds, milliseconds, microseconds or nanoseconds.
///
/// None for times before 1970, which no rollup bucket can hold.
#[must_use]
pub fn from_integer(value: i64) -> Option<WrittenTime> {
    let unit_ns = match value {
        ..SECONDS_BELOW => 1_000_000_000,
        SECONDS_BELOW..MILLISECONDS_BELOW => 1_000_000,
        MILLISECONDS_BELOW..MICROSECONDS_BELOW => 1_000,
        MICROSECONDS_BELOW.. => 1,
    };
    WrittenTime::from_nanoseconds(i128::from(value) * unit_ns)
}

/// The time of an RFC 3339 text (an offset or `Z` is required).
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<WrittenTime> {
    let timestamp: jiff::Timestamp = text.parse().ok()?;
    WrittenTime::from_nanoseconds(timestamp.as_nanosecond())
}

/// True when a rollup bucket can hold this time.
#[must_use]
pub fn fits_a_bucket(timestamp_ms: i64) -> bool {
    (0..=TIMESTAMP_MS_MAX).contains(&timestamp_ms)
}

/// The begin of a bucket as people read it: RFC 3339 in UTC, whole seconds.
#[must_use]
pub fn show_bucket(unix_seconds: u32) -> String {
    jiff::Timestamp::from_second(unix_seconds.into()).map_or_else(|_| unix_seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_has_a_readable_begin() {
        assert_eq!(show_bucket(0), "1970-01-01T00:00:00Z");
        assert_eq!(show_bucket(u32::MAX), "2106-02-07T06:28:15Z");
    }

    fn ms(time: Option<WrittenTime>) -> Option<i64> {
        time.map(|time| time.ms)
    }

    #[test]
    fn units_are_told_apart_by_magnitude() {
        let expected = Some(1_732_212_345_000);
        assert_eq!(ms(from_integer(1_732_212_345)), expected);
        assert_eq!(ms(from_integer(1_732_212_345_000)), expected);
        assert_eq!(ms(from_integer(1_732_212_345_000_999)), expected);
        assert_eq!(ms(from_integer(1_732_212_345_000_999_999)), expected);
        assert_eq!(ms(from_integer(0)), Some(0));
        assert_eq!(from_integer(-1), None);
        assert_eq!(ms(from_integer(i64::MAX)), Some(i64::MAX / 1_000_000));
    }

    #[test]
    fn what_is_finer_than_a_millisecond_is_kept_beside_it() {
        let finer = |time: Option<WrittenTime>| time.map(|time| time.submilli_ns);
        assert_eq!(finer(from_integer(1_732_212_345_000_999)), Some(999_000));
        assert_eq!(finer(from_integer(1_732_212_345_000_999_999)), Some(999_999));
        assert_eq!(finer(from_integer(1_732_212_345_678)), Some(0));
        assert_eq!(finer(from_rfc3339("2024-11-21T18:05:45.678901Z")), Some(901_000));
    }

    #[test]
    fn rfc3339_needs_an_offset() {
        assert_eq!(ms(from_rfc3339("2024-11-21T18:05:45Z")), Some(1_732_212_345_000));
        assert_eq!(
            ms(from_rfc3339("2024-11-21T19:05:45.678+01:00")),
            Some(1_732_212_345_678)
        );
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
