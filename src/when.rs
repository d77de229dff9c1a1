//! Points in time as people write and read them.

use std::time::{SystemTime, UNIX_EPOCH};

use platform::units::parse_duration;

/// Reads RFC 3339, a time as ClickHouse prints it from our tables (`2026-01-31 12:00:00`, UTC), Unix milliseconds, or a
/// duration, which means that long ago. Gives Unix milliseconds.
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
    if let Some(time) = in_sql(text) {
        return Ok(time.as_millisecond());
    }
    let ago = parse_duration(text).map_err(|_error| {
        "write a time as `2026-01-31T12:00:00Z`, as `2026-01-31 12:00:00` (UTC) or in Unix milliseconds, or how long ago it \
         was, as `2h`"
            .to_owned()
    })?;
    Ok(now_ms() - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX / 2))
}

/// All columns of our tables that are times are in UTC.
fn in_sql(text: &str) -> Option<jiff::Timestamp> {
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S%.f", text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
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
        assert_eq!(parse("1970-01-01 00:00:01"), Ok(1_000));
        assert_eq!(parse("1970-01-01 00:00:01.250"), Ok(1_250));
        assert_eq!(parse("1970-01-01 02:00:01+02:00"), Ok(1_000));
        let ago = now_ms() - parse("2h").unwrap();
        assert!((7_200_000..7_260_000).contains(&ago), "{ago}");
        for vague in [
            "1970-01-01T00:00:01",
            "1970-01-01 00:00:01[Europe/Berlin]",
            "1970-01-01 00:00",
        ] {
            assert!(parse(vague).is_err(), "{vague}");
        }
        assert!(parse("yesterday").unwrap_err().contains("2h"));
        assert_eq!(show(1_500), "1970-01-01T00:00:01.500Z");
    }
}
