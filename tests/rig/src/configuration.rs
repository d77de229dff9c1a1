//! The configuration files of `docker/`, with single keys replaced. It must never change what is not asked for: tests
//! are to run with what users run.

use crate::RigError;
use std::fs;
use std::path::PathBuf;

/// How a file writes `key` and `value` on a line.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// `key value`, as Mosquitto and Redis read it.
    Words,
    /// `key=value`, as Kafka reads it.
    Properties,
}

/// Reads `docker/{name}`.
pub(crate) fn read(name: &str) -> Result<String, RigError> {
    let path = folder().join(name);
    fs::read_to_string(&path).map_err(|source| RigError::Configuration { path, source })
}

fn folder() -> PathBuf {
    // As cargo says now, not as it was when this was compiled: checkouts may share compiled code. Every package lies
    // below the root folder.
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let mut folders = package.ancestors().map(|folder| folder.join("docker"));
    folders
        .find(|folder| folder.is_dir())
        .unwrap_or_else(|| package.join("docker"))
}

/// The text with every line that sets one of the keys removed, and the new values at the end, in the given order.
pub(crate) fn replace<'a>(text: &str, style: Style, settings: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let settings: Vec<_> = settings.into_iter().collect();
    let separator = match style {
        Style::Words => ' ',
        Style::Properties => '=',
    };
    let is_replaced = |line: &str| {
        let key = line.trim_start().split(separator).next().unwrap_or("").trim();
        settings.iter().any(|(name, _)| *name == key)
    };
    let mut result: String = text
        .lines()
        .filter(|line| !is_replaced(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    for (name, value) in &settings {
        result.push_str(&format!("{name}{separator}{value}\n"));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::{Style, replace};

    #[test]
    fn only_the_named_keys_change() {
        let text = "# port is 1\nport 1\nportal 2\nother=3\n";
        let changed = replace(text, Style::Words, [("port", "9".to_owned())]);
        assert_eq!(changed, "# port is 1\nportal 2\nother=3\nport 9\n");
    }

    #[test]
    fn properties_are_split_at_the_equals_sign() {
        let text = "listeners=A://:1\nlog.dirs=/a\n";
        let changed = replace(text, Style::Properties, [("log.dirs", "/b".to_owned())]);
        assert_eq!(changed, "listeners=A://:1\nlog.dirs=/b\n");
    }
}
