//! One value of the configuration, read as what the program needs.
//!
//! Every method returns something even when the value is wrong: reading goes on, so that all faults are found, and
//! nobody ever gets to see the placeholder, since [`Config::read`](super::Config::read) then returns the faults.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use super::{
    address::{HostPort, Url, masked},
    fault::{ConfigFault, nearest},
    secret::{MASK, is_secret_name},
    section::Reading,
    tree::{Leaf, Value},
};
use crate::units::{format_byte_size, format_duration, parse_byte_size, parse_duration};

/// A value to be read.
#[derive(Clone, Debug)]
pub struct Field<'config> {
    pub(super) reading: &'config Reading,
    pub(super) leaf: Option<&'config Leaf>,
    pub(super) example: &'config Value,
    pub(super) path: String,
}

impl Field<'_> {
    /// This field, unless its text is empty: `""` is how a default file says "off".
    #[must_use]
    pub fn non_empty(self) -> Option<Self> {
        let leaf = self.leaf?;
        (leaf.value != Value::Text(String::new())).then_some(self)
    }

    /// Text as it stands.
    #[must_use]
    pub fn text(&self) -> String {
        match self.value() {
            Some(Value::Text(text)) => text.clone(),
            Some(_) => {
                self.wrong_type("text", "in quotes");
                String::new()
            }
            None => String::new(),
        }
    }

    /// True or false.
    #[must_use]
    pub fn boolean(&self) -> bool {
        match self.value() {
            Some(Value::Boolean(value)) => *value,
            Some(_) => {
                self.wrong_type("a boolean", "`true` or `false`");
                false
            }
            None => false,
        }
    }

    /// A whole number within a range.
    #[must_use]
    pub fn integer(&self, range: RangeInclusive<u64>) -> u64 {
        match self.value() {
            Some(Value::Integer(number)) => match u64::try_from(*number) {
                Ok(number) => self.bounded(number, &range, u64::to_string),
                Err(_negative) => {
                    self.fault(format!(
                        "is {number}; write a number from {} to {}",
                        range.start(),
                        range.end()
                    ));
                    *range.start()
                }
            },
            Some(_) => {
                self.wrong_type("a whole number", "without quotes");
                *range.start()
            }
            None => *range.start(),
        }
    }

    /// A number within a range; whole numbers are welcome.
    #[must_use]
    pub fn number(&self, range: RangeInclusive<f64>) -> f64 {
        let number = match self.value() {
            Some(Value::Float(number)) => *number,
            // Numbers that people write are far below 2^53, where this would start to round.
            Some(Value::Integer(number)) => *number as f64,
            Some(_) => {
                self.wrong_type("a number", "without quotes");
                return *range.start();
            }
            None => return *range.start(),
        };
        self.bounded(number, &range, f64::to_string)
    }

    /// A duration such as `5s`, within a range.
    #[must_use]
    pub fn duration(&self, range: RangeInclusive<Duration>) -> Duration {
        match self.unit_text("a duration", "like \"5s\", \"250ms\" or \"1m30s\"", parse_duration) {
            Some(duration) => self.bounded(duration, &range, |value| format_duration(*value)),
            None => *range.start(),
        }
    }

    /// A size such as `1MiB`, in bytes, within a range.
    #[must_use]
    pub fn byte_size(&self, range: RangeInclusive<u64>) -> u64 {
        match self.unit_text("a size", "like \"256KiB\" or \"1MiB\"", parse_byte_size) {
            Some(bytes) => self.bounded(bytes, &range, |value| format_byte_size(*value)),
            None => *range.start(),
        }
    }

    /// One of a closed list of words.
    ///
    /// # Panics
    /// When the list is empty.
    #[must_use]
    pub fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> T {
        let placeholder = choices.first().expect("a choice has at least one word").1;
        let Some(value) = self.value() else {
            return placeholder;
        };
        let Value::Text(text) = value else {
            self.wrong_type("text", "in quotes");
            return placeholder;
        };
        match choices.iter().find(|(word, _)| word == text) {
            Some((_, choice)) => *choice,
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                let hint = nearest(&text.to_lowercase(), words.iter().copied())
                    .map_or(String::new(), |word| format!("; did you mean `{word}`?"));
                self.fault(format!("is {}; write one of {}{hint}", self.shown(), words.join(", ")));
                placeholder
            }
        }
    }

    /// A path, which need not exist.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let text = self.text();
        if text.is_empty() && matches!(self.value(), Some(Value::Text(_))) {
            self.fault("is empty; write a path");
        }
        PathBuf::from(text)
    }

    /// `host:port`.
    #[must_use]
    pub fn host_port(&self) -> HostPort {
        self.convert(HostPort::from_str).unwrap_or(HostPort {
            host: String::new(),
            port: 0,
        })
    }

    /// One `host:port` or more, separated by commas.
    #[must_use]
    pub fn host_ports(&self) -> Vec<HostPort> {
        self.convert(|text| {
            text.split(',')
                .map(|part| part.trim().parse())
                .collect::<Result<Vec<HostPort>, _>>()
        })
        .unwrap_or_default()
    }

    /// A URL with one of these schemes.
    #[must_use]
    pub fn url(&self, schemes: &[&str]) -> Option<Url> {
        self.convert(|text| Url::parse(text, schemes))
    }

    /// A list of texts.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let Some(value) = self.value() else {
            return Vec::new();
        };
        let texts: Option<Vec<String>> = match value {
            Value::List(values) => values
                .iter()
                .map(|each| match each {
                    Value::Text(text) => Some(text.clone()),
                    Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) => None,
                })
                .collect(),
            Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => None,
        };
        texts.unwrap_or_else(|| {
            self.wrong_type("a list of texts", "like [\"a\", \"b\"]");
            Vec::new()
        })
    }

    /// Text turned into a type of the caller's. The error's message must complete a sentence about the text, such as
    /// "is not a topic filter; ...".
    #[must_use]
    pub fn convert<T, E: Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match self.value()? {
            Value::Text(text) => match parse(text) {
                Ok(value) => Some(value),
                Err(error) => {
                    self.fault(format!("{} {error}", self.shown()));
                    None
                }
            },
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) => {
                self.wrong_type("text", "in quotes");
                None
            }
        }
    }

    /// Reports a fault about this value.
    pub fn fault(&self, message: impl Into<String>) {
        if let Some(leaf) = self.leaf {
            let fault = ConfigFault::new(self.path.clone(), leaf.origin.clone(), message);
            self.reading.faults.borrow_mut().push(fault);
        }
    }

    fn value(&self) -> Option<&Value> {
        self.leaf.map(|leaf| &leaf.value)
    }

    /// Text with a unit. A bare number is the likeliest slip, so the message says what it lacks.
    fn unit_text<T, E: Display>(&self, what: &str, how: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        match self.value()? {
            Value::Text(_) => self.convert(parse),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) => {
                self.wrong_type(what, how);
                None
            }
        }
    }

    fn bounded<T: PartialOrd + Copy>(&self, value: T, range: &RangeInclusive<T>, show: impl Fn(&T) -> String) -> T {
        if range.contains(&value) {
            return value;
        }
        self.fault(format!(
            "is {}; it must be from {} to {}",
            show(&value),
            show(range.start()),
            show(range.end())
        ));
        *range.start()
    }

    fn wrong_type(&self, expected: &str, how: &str) {
        self.fault(format!("is {}, but {expected} is expected; write {how}", self.shown()));
    }

    /// The value as it may be shown.
    fn shown(&self) -> String {
        let Some(value) = self.value() else {
            return String::new();
        };
        format!("`{}`", shown_value(&self.path, value))
    }
}

/// A value as people may see it: without secrets, text without quotes.
fn shown_value(path: &str, value: &Value) -> String {
    if is_secret_name(last_name(path)) {
        return MASK.to_owned();
    }
    match value {
        Value::Text(text) => masked(text),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) => value.to_toml(),
    }
}

fn last_name(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, name)| name)
}
