//! MQTT topics: a route's pattern with named segments, and what it reads out of a topic.

use crate::{Reason, Rejection, name};

/// A topic pattern such as `telemetry/{tenant}/{device}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Tenant,
    Device,
    /// A named segment that nothing reads: `{site}`.
    Other,
}

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No `{tenant}` or no `{device}`, or one of them twice.
    #[error("a topic pattern names `{{{0}}}` exactly once, as in `telemetry/{{tenant}}/{{device}}`")]
    NotExactlyOnce(&'static str),
    /// A segment mixes text and braces, or has a wildcard.
    #[error("segment `{0}` is neither plain text nor one name in braces")]
    BadSegment(String),
}

impl TopicPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let segments = pattern.split('/').map(parse_segment).collect::<Result<Vec<_>, _>>()?;
        for (kind, named) in [(Segment::Tenant, "tenant"), (Segment::Device, "device")] {
            if segments.iter().filter(|segment| **segment == kind).count() != 1 {
                return Err(PatternError::NotExactlyOnce(named));
            }
        }
        Ok(Self { segments })
    }

    /// A regular expression, without anchors, for the topics that name a tenant in its place, whatever follows there: those
    /// of another shape are refused, and are the tenant's all the same.
    #[must_use]
    pub fn regex_of_tenant(&self, tenant: &str) -> String {
        let place = self.segments.iter().position(|segment| *segment == Segment::Tenant);
        let before = self.segments.iter().take(place.unwrap_or(0));
        let mut levels: Vec<String> = before
            .map(|segment| match segment {
                Segment::Literal(text) => regex_escape(text),
                Segment::Tenant | Segment::Device | Segment::Other => "[^/]*".to_owned(),
            })
            .collect();
        levels.push(regex_escape(tenant));
        levels.join("/") + "(?:/.*)?"
    }

    /// Tenant and device of a topic. None when the topic has another shape.
    ///
    /// # Errors
    /// A rejection when the shape fits and a name breaks the grammar.
    pub fn read<'topic>(&self, topic: &'topic str) -> Option<Result<(&'topic str, &'topic str), Rejection>> {
        let mut parts = topic.split('/');
        let (mut tenant, mut device) = ("", "");
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(text) if text == part => {}
                Segment::Literal(_) => return None,
                Segment::Tenant => tenant = part,
                Segment::Device => device = part,
                Segment::Other => {}
            }
        }
        if parts.next().is_some() {
            return None;
        }
        Some(check_names(tenant, device))
    }
}

/// A text that stands for itself in a regular expression.
#[must_use]
pub fn regex_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if letter.is_ascii() && !letter.is_ascii_alphanumeric() && letter != '_' {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

fn check_names<'topic>(tenant: &'topic str, device: &'topic str) -> Result<(&'topic str, &'topic str), Rejection> {
    for (what, text) in [("tenant", tenant), ("device", device)] {
        if text.is_empty() {
            return Err(Rejection::new(Reason::InvalidTopic, format!("the topic has no {what}")));
        }
        if !name::is_identifier(text) {
            let detail = format!("{what} `{text}` is not of `[A-Za-z0-9._:-]{{1,128}}`");
            return Err(Rejection::new(Reason::InvalidTopic, detail));
        }
    }
    Ok((tenant, device))
}

fn parse_segment(text: &str) -> Result<Segment, PatternError> {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner {
        Some("tenant") => Ok(Segment::Tenant),
        Some("device") => Ok(Segment::Device),
        Some(other) if !other.is_empty() && !other.contains(['{', '}']) => Ok(Segment::Other),
        None if !text.contains(['{', '}', '+', '#']) => Ok(Segment::Literal(text.to_owned())),
        _ => Err(PatternError::BadSegment(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, topic: &str) -> Option<Result<(String, String), Reason>> {
        let pattern = TopicPattern::parse(pattern).expect("pattern is valid");
        pattern.read(topic).map(|result| {
            result
                .map(|(tenant, device)| (tenant.to_owned(), device.to_owned()))
                .map_err(|rejection| rejection.reason)
        })
    }

    #[test]
    fn a_pattern_names_tenant_and_device_of_a_topic() {
        let expected = Some(Ok(("acme".to_owned(), "bus-7".to_owned())));
        assert_eq!(read("telemetry/{tenant}/{device}", "telemetry/acme/bus-7"), expected);
        assert_eq!(
            read("{device}/site/{room}/of/{tenant}", "bus-7/site/9/of/acme"),
            expected
        );
    }

    #[test]
    fn a_topic_of_another_shape_is_not_ours() {
        for topic in ["telemetry/acme", "telemetry/acme/bus/7", "status/acme/bus", ""] {
            assert_eq!(read("telemetry/{tenant}/{device}", topic), None, "{topic}");
        }
    }

    #[test]
    fn the_topics_of_a_tenant_are_told_by_an_expression() {
        let pattern = TopicPattern::parse("v1/{site}/{tenant}/{device}").expect("a pattern");
        assert_eq!(pattern.regex_of_tenant("a.b"), "v1/[^/]*/a\\.b(?:/.*)?");
    }

    #[test]
    fn names_outside_the_grammar_are_rejected() {
        for topic in ["telemetry//bus", "telemetry/acme/", "telemetry/a b/c", "telemetry/a/ü"] {
            assert_eq!(
                read("telemetry/{tenant}/{device}", topic),
                Some(Err(Reason::InvalidTopic)),
                "{topic}"
            );
        }
    }

    #[test]
    fn unusable_patterns_are_refused() {
        for pattern in ["telemetry/{tenant}", "{device}/x", "{tenant}/{device}/{device}"] {
            assert!(
                matches!(TopicPattern::parse(pattern), Err(PatternError::NotExactlyOnce(_))),
                "{pattern}"
            );
        }
        for pattern in ["{tenant}/{device}/+", "{tenant}/{device}/x{y}", "{tenant}/{device}/{}"] {
            assert!(
                matches!(TopicPattern::parse(pattern), Err(PatternError::BadSegment(_))),
                "{pattern}"
            );
        }
    }
}
