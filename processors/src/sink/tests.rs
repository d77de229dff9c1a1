//! Which failures of an insert are tried again.

use clickhouse::error::Error;
use platform::retry::{Classify, Retry};

use super::error::{SinkError, server_code};

fn answered(code: u32) -> SinkError {
    let text = format!("Code: {code}. DB::Exception: something. (SOMETHING)");
    SinkError::from_client("measurement_log", &Error::BadResponse(text))
}

#[test]
fn the_code_is_read_from_the_text_of_the_answer() {
    assert_eq!(server_code("Code: 252. DB::Exception: Too many parts"), Some(252));
    assert_eq!(server_code("<html>502 Bad Gateway</html>"), None);
    assert_eq!(server_code("Code: x"), None);
    assert_eq!(server_code("Code: 99999999999"), None);
}

#[test]
fn what_may_pass_is_sent_again() {
    // Timeouts, memory, too many parts, read-only replicas, unknown status, Keeper, and codes that do not exist yet.
    for code in [
        159, 160, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 285, 286, 319, 999, 60_000,
    ] {
        assert_eq!(answered(code).retry(), Retry::Same, "{code}");
    }
    for error in [
        Error::TimedOut,
        Error::Network("reset".into()),
        Error::BadResponse("bad gateway".into()),
    ] {
        assert_eq!(SinkError::from_client("t", &error).retry(), Retry::Same, "{error}");
    }
}

#[test]
fn what_can_never_succeed_names_table_and_code() {
    for code in [6, 16, 26, 27, 33, 41, 47, 53, 60, 62, 70, 115, 117, 306, 497, 516] {
        let error = answered(code);
        assert_eq!(error.retry(), Retry::Never, "{code}");
        let text = error.to_string();
        assert!(
            text.contains("`measurement_log`") && text.contains(&format!("code {code}")),
            "{text}"
        );
    }
}
