//! What log lines promise.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use super::{LogFormat, LoggingError, log_filter, subscriber};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = subscriber(format, filter, false, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, log);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn text_lines_are_plain_and_carry_fields() {
    let text = logged(LogFormat::Text, "info", || {
        tracing::warn!(error = "refused", "cannot connect");
    });
    assert_eq!(text.lines().count(), 1);
    assert!(
        text.contains("WARN") && text.contains("cannot connect") && text.contains("refused"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colour codes outside a terminal: {text}");
}

#[test]
fn json_lines_are_flat_objects() {
    let text = logged(LogFormat::Json, "info", || {
        tracing::warn!(error = "refused", partition = 3, "cannot connect");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["message"], "cannot connect");
    assert_eq!(line["error"], "refused");
    assert_eq!(line["partition"], 3);
    assert!(line["timestamp"].is_string());
}

#[test]
fn the_filter_decides_per_target() {
    let text = logged(LogFormat::Text, "warn,noisy=debug", || {
        tracing::info!(target: "quiet", "unwanted");
        tracing::debug!(target: "noisy", "wanted");
    });
    assert!(text.contains("wanted") && !text.contains("unwanted"), "{text}");
}

#[test]
fn the_environment_wins_over_the_default() {
    assert_eq!(log_filter(Some("trace")), "trace");
    assert_eq!(log_filter(Some(" ")), "info");
    assert_eq!(log_filter(None), "info");
}

#[test]
fn what_cannot_be_read_says_what_to_write() {
    let error = subscriber(LogFormat::Text, "info,=nonsense=", false, io::sink)
        .err()
        .unwrap();
    assert!(matches!(error, LoggingError::InvalidFilter { .. }));
    assert!(error.to_string().contains("write a level like `info`"), "{error}");

    assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
    assert_eq!("text".parse::<LogFormat>().unwrap(), LogFormat::Text);
    let error = "xml".parse::<LogFormat>().unwrap_err().to_string();
    assert_eq!(error, "log format `xml` is unknown; write `text` or `json`");
}
