//! Points in time as people write and read them.

use std::time::{SystemTime, UNIX_EPOCH};

use platform::units::parse_duration;

/// Reads RFC 3339, Unix milliseconds, or a duration, which means that long ago. Gives Unix milliseconds.
///
/// # Errors
/// What can be written.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    if let Ok(unix_ms) = text.parse::<i64>() {
        return Ok(unix_ms);
    }
    let ago = parse_duration(text).map_err(|_error| {
        "write a time as `2026-01-31T12:00:00Z` or in Unix milliseconds, or how long ago it was, as `2h`".to_owned()
    })?;
    Ok(now_ms() - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX / 2))
}

/// RFC 3339 with milliseconds.
pub(crate) fn show(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map_or_else(|_| unix_ms.to_string(), |time| format!("{time:.3}"))
}

/// Now, Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        assert_eq!(parse("1970-01-01T00:00:01Z"), Ok(1_000));
        assert_eq!(parse("1500"), Ok(1_500));
        let ago = now_ms() - parse("2h").unwrap();
        assert!((7_200_000..7_260_000).contains(&ago), "{ago}");
        assert!(parse("yesterday").unwrap_err().contains("2h"));
        assert_eq!(show(1_500), "1970-01-01T00:00:01.500Z");
    }
}
