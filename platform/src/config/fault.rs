//! What is wrong with a configuration, where, and what to write instead.
//!
//! Faults are collected, never thrown: who writes a configuration gets all of them in one go.

use std::{error::Error, fmt};

use super::{
    definition::{Shape, TableDefinition},
    tree::{Origin, join},
};
use crate::limits::SUGGESTION_SIMILARITY_MIN;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// Path of the key, such as `mqtt.brokers[0].url`; empty when a whole file is meant.
    pub key: String,
    /// Where the faulty value, or the section that misses one, comes from.
    pub origin: Origin,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl ConfigFault {
    pub(super) fn new(key: impl Into<String>, origin: Origin, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            origin,
            message: message.into(),
        }
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => formatter.write_str("default configuration")?,
            given => write!(formatter, "{given}")?,
        }
        if !self.key.is_empty() {
            write!(formatter, ": {}", self.key)?;
        }
        write!(formatter, ": {}", self.message)
    }
}

/// Everything that is wrong, in the order of the places; one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFaults {
    faults: Vec<ConfigFault>,
}

impl ConfigFaults {
    /// Sorted by place, so that a person fixes a file from top to bottom.
    pub(super) fn new(mut faults: Vec<ConfigFault>) -> Self {
        faults.sort_by(|left, right| left.origin.cmp(&right.origin));
        faults.dedup();
        Self { faults }
    }

    /// The faults; never empty.
    #[must_use]
    pub fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{fault}")?;
        }
        Ok(())
    }
}

impl Error for ConfigFaults {}

/// What to say about a key that is not declared in `section`.
pub(super) fn unknown_key(name: &str, section: &TableDefinition, root: &TableDefinition) -> String {
    if let Some(known) = nearest(name, section.keys().map(|key| key.name.as_str())) {
        return format!("is not a known key; did you mean `{known}`?");
    }
    if let Some(path) = find_elsewhere(name, root, "") {
        return format!("is not a known key here; did you mean `{path}`?");
    }
    let known: Vec<String> = section.keys().map(|key| format!("`{}`", key.name)).collect();
    if known.is_empty() {
        "is not a known key".to_owned()
    } else {
        format!("is not a known key; known here are {}", known.join(", "))
    }
}

/// The known word that was probably meant. Words of a few letters are unlike each other by Jaro-Winkler after a single
/// slip, so one slip always counts.
pub(super) fn nearest<'word>(name: &str, known: impl Iterator<Item = &'word str>) -> Option<&'word str> {
    known
        .map(|word| (strsim::jaro_winkler(name, word), word))
        .filter(|(similarity, word)| {
            *similarity >= SUGGESTION_SIMILARITY_MIN || strsim::damerau_levenshtein(name, word) <= 1
        })
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, word)| word)
}

/// A key of that name in another section: the most common slip is a key that stands under the wrong header.
fn find_elsewhere(name: &str, section: &TableDefinition, path: &str) -> Option<String> {
    section.keys().find_map(|key| {
        let path = join(path, &key.name);
        if key.name == name {
            return Some(path);
        }
        match &key.shape {
            Shape::Value(_) => None,
            Shape::Table(inner) | Shape::Tables(inner) => find_elsewhere(name, inner, &path),
        }
    })
}
