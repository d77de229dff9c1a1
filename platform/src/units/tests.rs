//! What people write is read as they mean it, and nothing else is read at all.

use std::time::Duration;

use proptest::prelude::*;

use super::{ByteSizeError, DurationError, format_byte_size, format_duration, parse_byte_size, parse_duration};

#[test]
fn durations_read_as_written() {
    let cases = [
        ("0s", Duration::ZERO),
        ("5s", Duration::from_secs(5)),
        ("250ms", Duration::from_millis(250)),
        ("1m30s", Duration::from_secs(90)),
        ("1h 30m", Duration::from_secs(5_400)),
        (" 2d ", Duration::from_secs(172_800)),
        ("7 us", Duration::from_micros(7)),
        ("90s", Duration::from_secs(90)),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_duration(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_duration_says_why() {
    let cases = [
        ("", DurationError::NotADuration),
        ("soon", DurationError::NotADuration),
        ("-5s", DurationError::NotADuration),
        ("1.5s", DurationError::NotADuration),
        ("5", DurationError::NoUnit("5".to_owned())),
        ("1m30", DurationError::NoUnit("30".to_owned())),
        ("5 parsecs", DurationError::UnknownUnit("parsecs".to_owned())),
        ("5S", DurationError::UnknownUnit("S".to_owned())),
        ("30s1m", DurationError::OutOfOrder("m".to_owned())),
        ("1s1s", DurationError::OutOfOrder("s".to_owned())),
        ("999999999999d", DurationError::TooLong),
        ("99999999999999999999s", DurationError::TooLong),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_duration(text), Err(expected), "{text}");
    }
}

#[test]
fn sizes_read_as_written() {
    let cases = [
        ("0B", 0),
        ("512B", 512),
        ("256KiB", 262_144),
        ("1MiB", 1_048_576),
        ("2 GiB", 2_147_483_648),
        ("1kB", 1_000),
        ("10MB", 10_000_000),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_byte_size(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_size_says_why() {
    let cases = [
        ("", ByteSizeError::NotASize),
        ("big", ByteSizeError::NotASize),
        ("-1B", ByteSizeError::NotASize),
        ("1.5MiB", ByteSizeError::NotASize),
        ("1MiB2KiB", ByteSizeError::NotASize),
        ("1024", ByteSizeError::NoUnit("1024".to_owned())),
        ("1Mib", ByteSizeError::UnknownUnit("Mib".to_owned())),
        ("99999999TiB", ByteSizeError::TooLarge),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_byte_size(text), Err(expected), "{text}");
    }
}

proptest! {
    #[test]
    fn every_duration_survives_writing_and_reading(nanoseconds: u64) {
        let duration = Duration::from_nanos(nanoseconds);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }

    #[test]
    fn every_size_survives_writing_and_reading(bytes: u64) {
        prop_assert_eq!(parse_byte_size(&format_byte_size(bytes)), Ok(bytes));
    }

    #[test]
    fn round_sizes_are_written_in_their_unit(count in 1_u64..1024, unit in 0_usize..4) {
        let (name, bytes) = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)][unit];
        prop_assert_eq!(format_byte_size(count * bytes), format!("{count}{name}"));
    }

    #[test]
    fn any_text_is_read_or_refused_but_never_a_panic(text: String) {
        let _ = parse_duration(&text);
        let _ = parse_byte_size(&text);
    }

    #[test]
    fn what_is_read_is_read_the_same_after_writing(text in "[0-9]{1,4}(d|h|m|s|ms|us|ns)( ?[0-9]{1,3}(s|ms|us))?") {
        if let Ok(duration) = parse_duration(&text) {
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
