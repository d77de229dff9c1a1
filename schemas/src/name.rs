//! The grammar of identifiers and metric names. Names that pass are safe in keys, topics and URLs.

use crate::limits::{IDENTIFIER_BYTES_MAX, METRIC_NAME_BYTES_MAX};

/// The metric of an event that has a position and no metric of its own; its value is 1.
pub const POSITION_METRIC: &str = "position";

/// True for a tenant or device identifier: `[A-Za-z0-9._:-]{1,128}`.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= IDENTIFIER_BYTES_MAX
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(byte))
}

/// True for a metric name: `[A-Za-z_][A-Za-z0-9_.:/-]{0,127}`.
#[must_use]
pub fn is_metric_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((first, rest)) = bytes.split_first() else {
        return false;
    };
    bytes.len() <= METRIC_NAME_BYTES_MAX
        && (first.is_ascii_alphabetic() || *first == b'_')
        && rest
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.:/-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_the_promised_grammar() {
        let longest = "d".repeat(128);
        for good in ["a", "A9._:-", "-", longest.as_str()] {
            assert!(is_identifier(good), "{good}");
        }
        let too_long = "d".repeat(129);
        for bad in ["", "a b", "a/b", "ü", "a+", "#", "a\0", too_long.as_str()] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }

    #[test]
    fn metric_names_follow_the_promised_grammar() {
        let longest = "m".repeat(128);
        for good in ["t", "_x", "engine.rpm", "a/b:c-d_9", longest.as_str()] {
            assert!(is_metric_name(good), "{good}");
        }
        let too_long = "m".repeat(129);
        for bad in ["", "9a", ".a", "a b", "°C", too_long.as_str()] {
            assert!(!is_metric_name(bad), "{bad}");
        }
    }
}
