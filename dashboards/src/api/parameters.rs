//! The parameters of a request: each may be given once, and none that is not known.
//!
//! Must never hand on text that is outside its grammar.

use std::collections::BTreeMap;

use schemas::{name, timestamp};

use super::problem::Problem;
use crate::{
    access::caller::{Caller, Request},
    limits,
};

/// What a query string says. Those who read take what they know; [`Parameters::finish`] refuses the rest.
#[derive(Debug)]
pub(crate) struct Parameters {
    caller: Caller,
    values: BTreeMap<String, String>,
}

impl Parameters {
    /// # Errors
    /// When it is too long, or names a parameter twice.
    pub(crate) fn parse(request: Request<'_>) -> Result<Self, Problem> {
        let query = request.query.unwrap_or_default();
        if query.len() > limits::QUERY_STRING_BYTES_MAX {
            let detail = format!(
                "the query string is longer than {} bytes",
                limits::QUERY_STRING_BYTES_MAX
            );
            return Err(Problem::parameter("query", detail));
        }
        let mut values = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if values.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Problem::parameter(
                    &name,
                    format!("`{name}` is given twice; give it once"),
                ));
            }
        }
        Ok(Self {
            caller: request.caller.clone(),
            values,
        })
    }

    /// # Errors
    /// When something is left that nobody knew.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::parameter(
                name,
                format!("`{name}` is no parameter here; see /api/openapi.json"),
            )),
        }
    }

    /// The value as it was given.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// The tenant, which is one of the caller's, or an empty text for all of them, which is for callers who may see all.
    pub(crate) fn tenant(&mut self) -> Result<String, Problem> {
        let asked = self.text("tenant").map(|tenant| identifier("tenant", tenant));
        self.caller.tenant(asked.transpose()?)
    }

    pub(crate) fn device(&mut self) -> Result<Option<String>, Problem> {
        self.text("device")
            .map(|device| identifier("device", device))
            .transpose()
    }

    /// A part of a device's name, in small letters; an empty text where nothing is said.
    pub(crate) fn search(&mut self) -> Result<String, Problem> {
        let search = self.text("search").map(|search| identifier("search", search));
        Ok(search.transpose()?.unwrap_or_default().to_ascii_lowercase())
    }

    pub(crate) fn metric(&mut self) -> Result<String, Problem> {
        let metric = self
            .text("metric")
            .ok_or_else(|| Problem::parameter("metric", "`metric` is missing; name one of /api/v1/metrics-catalog"))?;
        match name::is_metric_name(&metric) {
            true => Ok(metric),
            false => Err(Problem::parameter(
                "metric",
                "`metric` is no name of a metric: letters, digits and `_.:/-`, at most 128, a letter or `_` first",
            )),
        }
    }

    /// A whole number in a range.
    pub(crate) fn integer(&mut self, name: &str, least: u32, most: u32) -> Result<Option<u32>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let is_plain = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text
            .parse()
            .ok()
            .filter(|number| is_plain && (least..=most).contains(number));
        number
            .map(Some)
            .ok_or_else(|| Problem::parameter(name, format!("`{name}` is no whole number from {least} to {most}")))
    }

    /// A number in a range.
    pub(crate) fn number(&mut self, name: &str, least: f64, most: f64) -> Result<Option<f64>, Problem> {
        self.text(name).map(|text| number(name, &text, least, most)).transpose()
    }

    /// A time as devices may write it too: an integer in a unit that its magnitude tells, or RFC 3339 text.
    pub(crate) fn time_ms(&mut self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let is_integer = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let time = match is_integer {
            true => text.parse().ok().and_then(timestamp::from_integer),
            false => timestamp::from_rfc3339(&text),
        };
        let lacks_offset = || timestamp::from_rfc3339(&format!("{text}Z")).is_some();
        match time.map(|time| time.ms) {
            Some(time_ms) if (0..=limits::TIME_MS_MAX).contains(&time_ms) => Ok(Some(time_ms)),
            Some(_) => Err(Problem::parameter(
                name,
                format!("`{name}` is not between the years 1970 and 2106"),
            )),
            None if lacks_offset() => Err(Problem::parameter(
                name,
                format!("`{name}` has no offset from UTC: put `Z` at its end, or one such as %2B02:00 or -05:00"),
            )),
            None => Err(Problem::parameter(
                name,
                format!(
                    "`{name}` is no time: give Unix seconds or milliseconds, or RFC 3339 text such as \
                     2026-01-31T12:00:00Z, with a `+` written as %2B"
                ),
            )),
        }
    }

    /// One of a few words; the first where nothing is said.
    pub(crate) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Result<T, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(choices[0].1);
        };
        choices
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, choice)| *choice)
            .ok_or_else(|| {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                Problem::parameter(name, format!("`{name}` is none of {}", words.join(", ")))
            })
    }
}

/// A query string that asks for the same, but for these parameters.
pub(crate) fn with(query: Option<&str>, replaced: &[(&str, &str)]) -> String {
    let given = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let kept = given.filter(|(name, _)| !replaced.iter().any(|(replaced, _)| name == replaced));
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .extend_pairs(replaced)
        .finish()
}

/// A tenant or a device.
///
/// # Errors
/// When it is outside the grammar.
pub(crate) fn identifier(name: &str, text: String) -> Result<String, Problem> {
    match name::is_identifier(&text) {
        true => Ok(text),
        false => Err(Problem::parameter(
            name,
            format!("`{name}` is no identifier: letters, digits and `._:-`, 1 to 128 of them"),
        )),
    }
}

/// A decimal number in a range, and nothing else that Rust would read as one.
pub(crate) fn number(name: &str, text: &str, least: f64, most: f64) -> Result<f64, Problem> {
    let is_plain = text.len() <= 32
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse()
        .ok()
        .filter(|number: &f64| is_plain && (least..=most).contains(number))
        // A zero has no sign for those who ask.
        .map(|number| number + 0.0)
        .ok_or_else(|| Problem::parameter(name, format!("`{name}` is no number from {least} to {most}")))
}
